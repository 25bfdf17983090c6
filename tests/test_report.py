"""`doctor --report`: all that a bug report needs, and nothing of who sends it."""

from __future__ import annotations

import getpass
import json
import re
import socket
from pathlib import Path

import pytest

from benchmarks import records, report
from benchmarks.cli import main

ROOT = Path(__file__).parents[1]


@pytest.fixture
def person(tmp_path, monkeypatch) -> Path:
    """A user Jane Roe on a machine of hers, with a home of her own."""
    home = tmp_path / "people" / "janeroe"
    (home / "cache" / "chanswap").mkdir(parents=True)
    for name, value in {
        "HOME": str(home),
        "USER": "janeroe",
        "LOGNAME": "janeroe",
        "CHANSWAP_HOME": str(home / "cache" / "chanswap"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CHANSWAP_TOKEN", "hunter2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(getpass, "getuser", lambda: "janeroe")
    monkeypatch.setattr(socket, "gethostname", lambda: "roe-laptop.lab.example.org")
    return home


def failed(results: Path, name: str, error: str, started: str, **more) -> None:
    value = json.loads(next(iter(sorted((ROOT / "results" / "verified").rglob("*.json")))).read_text())
    value |= {
        "status": "failed",
        "error": error,
        "started": started,
        "evaluations": [],
        "comparisons": [],
        "images": [],
        "search": None,
    }
    records.write(records.Record.model_validate(value | more), results / "community" / f"{name}.json")


def test_it_tells_what_is_needed_and_nothing_of_who_sends_it(person, tmp_path, capsys):
    results = person / "my papers" / "results"
    error = (
        f"OSError: [Errno 5] Input/output error: '{person}/cache/chanswap/stages/train/x' on roe-laptop, beside /mnt/janes disk/private/a.png"
        f" and {ROOT}/benchmarks/train.py, see https://example.org/help/io"
    )
    for k in range(7):
        failed(results, f"run-{k}", error if k == 6 else f"the run number {k} failed", f"2026-01-0{k + 1}T00:00:00+00:00")
    failed(
        results,
        "own",
        "own",
        "2026-02-01T00:00:00+00:00",
        command=f"python -m benchmarks run --method {person}/secret project/m.py:M",
    )
    (results / "community" / "broken.json").write_text("{")
    assert main(["doctor", "--report", "--results", str(results)]) == 0
    said = capsys.readouterr().out
    for name in (
        "janeroe",
        "roe-laptop",
        "example.org",
        "hunter2",
        str(tmp_path),
        str(ROOT),
        "people",
        "my papers",
        "private",
        "secret",
    ):
        assert name.lower() not in said.lower().replace("https://example.org/help/io", ""), name
    assert "https://example.org/help/io" in said  # an address of the web is no folder
    assert "Input/output error: '<CHANSWAP_HOME>/stages/train/x' on <host>" in said
    assert "<checkout>/benchmarks/train.py" in said and "a.png" in said and "m.py:M" in said
    for wanted in ("[system]", "torch ", "Python 3.", "commit ", "digest ", "CHANSWAP_HOME=<CHANSWAP_HOME>", "OMP_NUM_THREADS=1"):
        assert wanted in said
    assert "CHANSWAP_TOKEN=<not shown>" in said and "backbone sam-mini: ready" in said and "dataset camo-mini: ready" in said
    told = re.findall(r"the run number (\d) failed", said)
    assert told == ["5", "4", "3"] and "not a valid record" not in said  # the newest five


def test_a_part_that_cannot_be_had_costs_no_other(person, monkeypatch):
    monkeypatch.setattr(report, "_device", lambda: (_ for _ in ()).throw(RuntimeError(f"driver gone in {person}")))
    said = report.report(person / "no results")
    assert "not to be had: RuntimeError: driver gone in ~" in said and "[prepared]" in said and said.rstrip().endswith("none")


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("/home/ann/x/y.png: bad", "<folder>/y.png: bad"),
        ("'/home/ann/x/' is a folder", "'<folder>/' is a folder"),
        (r"C:\Users\ann\y.png", "<folder>/y.png"),
        ("in /mnt/ann's disk/b c/d.png", "in <folder>/d.png"),
        ("~/notes of ann/y.png", "<folder>/y.png"),
        ("a/b and 3/4 and https://x.org/a/b", "a/b and 3/4 and https://x.org/a/b"),
        ("janeroe's, not janeroes", "<user>'s, not janeroes"),
        ("", ""),
    ],
)
def test_what_is_replaced(person, text, wanted):
    assert report.anonymous(text) == wanted


def test_names_that_every_machine_has_are_left(person, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "root")
    monkeypatch.setenv("HOME", "/root")
    monkeypatch.setenv("USER", "root")
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert report.anonymous("the root of localhost, /root/x") == "the root of localhost, <folder>/x"
