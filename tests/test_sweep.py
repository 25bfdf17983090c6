"""Sweeps: a grid of runs in processes of their own. Real ones, on the small protocol."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import records
from benchmarks.plan import Request, plan
from benchmarks.sweep import groups
from tests.small import home

SMALL = "from tests.small import shrink; shrink(); import sys; from benchmarks.cli import main; sys.exit(main())"
FAULTY = """
import os, pathlib
from benchmarks.methods import Attachment, Method


class Plain(Method):
    name = "plain"

    def attach(self, model):
        return Attachment(("mask_decoder.mask_tokens.weight",))

    def count(self, model):
        return 256


class Raises(Plain):
    name = "raises"

    def attach(self, model):
        raise RuntimeError("no place in this model")


class Dies(Plain):
    name = "dies"

    def attach(self, model):
        with open(pathlib.Path(__file__).with_name("deaths"), "a") as file:
            file.write("x")
        os._exit(9)  # as the kernel ends a process that took too much memory
"""


def sweep(place: Path, *words: str) -> subprocess.CompletedProcess:
    call = [sys.executable, "-c", SMALL, words[0], "--tasks", "camo", "--seeds", "0", "--results", str(place / "results")]
    call += words[1:]
    return subprocess.run(call, env=home(place / "home"), cwd=place, capture_output=True, text=True)


def found(place: Path) -> dict[str, records.Record]:
    return {r.spec.method: r for r in map(records.read, (place / "results").rglob("*-sam-mini-*.json"))}


def test_groups_share_a_trained_model_and_the_bare_one_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    names = ["dora", "lora+swap", "base", "dora+swap", "base+swap"]
    plans = [plan(Request("camo", name), seed) for seed in (1, 0) for name in names]
    made = [[(p.method_name, p.seed) for p in group] for group in groups(plans)]
    assert made == [
        [("base+swap", 0), ("base", 0)],
        [("base+swap", 1), ("base", 1)],
        [("lora+swap", 0)],
        [("dora+swap", 0), ("dora", 0)],
        [("lora+swap", 1)],
        [("dora+swap", 1), ("dora", 1)],
    ]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """One sweep of four runs, two processes at a time."""
    place = tmp_path_factory.mktemp("sweep")
    done = sweep(place, "sweep", "--methods", "base,base+swap,lora,lora+swap", "--jobs", "2", "--threads", "2")
    assert done.returncode == 0, done.stderr
    return place, done


def test_a_sweep_does_every_run_and_shares_its_stages(swept):
    place, done = swept
    made = found(place)
    assert set(made) == {"base", "base+swap", "lora", "lora+swap"} and all(r.status == "done" for r in made.values())
    assert re.search(r"^4 done, 0 cached, 0 failed", done.stdout, re.M)
    assert re.search(r"^lora +\d", done.stdout, re.M) and "[4/4" in done.stderr
    cached = {(name, s.name) for name, r in made.items() for s in r.stages if s.cached}
    assert {("lora", "train"), ("lora", "evaluate base"), ("base", "evaluate base")} <= cached
    # Two groups run at once, and whichever comes to the bare model first evaluates it for all.
    assert len([name for name, r in made.items() for s in r.stages if (s.name, s.cached) == ("evaluate base", False)]) == 1
    assert (place / "leaderboard" / "mini-v1-camo-mini.md").exists()


def test_its_numbers_are_those_of_single_runs(swept, tmp_path):
    place, _ = swept
    words = ["run", "--task", "camo", "--method", "lora+swap", "--results", str(tmp_path / "results")]
    done = subprocess.run(
        [sys.executable, "-c", SMALL, *words], env=home(tmp_path / "home"), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    single, of_sweep = found(tmp_path)["lora+swap"], found(place)["lora+swap"]
    assert single.evaluations == of_sweep.evaluations and single.search == of_sweep.search


def test_a_second_call_has_nothing_to_do(swept):
    place, _ = swept
    before = {p: p.read_bytes() for p in (place / "results").rglob("*.json")}
    plan_ = sweep(place, "sweep", "--methods", "base,base+swap,lora,lora+swap", "--dry-run")
    assert plan_.stdout.count("nothing to do") == 4
    again = sweep(place, "sweep", "--methods", "base,base+swap,lora,lora+swap")
    assert re.search(r"^0 done, 4 cached, 0 failed", again.stdout, re.M)
    assert before == {p: p.read_bytes() for p in (place / "results").rglob("*.json")}


def test_force_does_every_stage_again(tmp_path):
    words = ("sweep", "--methods", "base", "--jobs", "1")
    assert sweep(tmp_path, *words).returncode == 0
    (stage,) = tmp_path.glob("home/stages/evaluate/*/stage.json")
    before = stage.stat().st_mtime_ns
    assert sweep(tmp_path, *words, "--force").returncode == 0
    assert stage.stat().st_mtime_ns > before
    (record,) = found(tmp_path).values()
    assert not any(s.cached for s in record.stages)


def test_failed_cells_and_dead_processes_do_not_stop_it(tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY.replace("return 256", "return 4 * 64"))
    methods = ",".join(f"faulty.py:{name}" for name in ("Raises", "Dies", "Plain"))
    done = sweep(tmp_path, "sweep", "--methods", methods, "--jobs", "2", "--threads", "2")
    assert done.returncode == 1, done.stderr
    made = found(tmp_path)
    assert made["plain"].status == "done" and made["raises"].status == "failed" and "dies" not in made
    assert made["raises"].error == "RuntimeError: no place in this model"
    assert re.search(r"^1 done, 0 cached, 2 failed", done.stdout, re.M)
    assert re.search(r"^failed: camo-mini raises seed 0: RuntimeError: no place in this model$", done.stdout, re.M)
    assert re.search(r"^failed: camo-mini dies seed 0: its process died twice", done.stdout, re.M)
    assert (tmp_path / "deaths").read_text() == "xx"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_killed_sweep_leaves_no_process_and_goes_on(tmp_path):
    call = [sys.executable, "-c", SMALL, "sweep", "--tasks", "camo", "--seeds", "0", "--methods", "base+swap", "--jobs", "1"]
    call += ["--results", str(tmp_path / "results")]
    parent = subprocess.Popen(
        call, env=home(tmp_path / "home"), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def alive() -> set[str]:
        """Processes whose environment names this test's home."""
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if str(tmp_path / "home").encode() in (folder / "environ").read_bytes():
                    found.add(folder.name)
            except OSError:
                pass
        return found - {str(os.getpid())}

    until = time.monotonic() + 120
    while not list((tmp_path / "home").glob("stages/embed/*/stage.json")):  # it is searching
        assert parent.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    assert len(alive()) >= 2
    parent.kill()
    parent.wait()
    until = time.monotonic() + 30
    while alive():
        assert time.monotonic() < until, "a process outlived its sweep"
        time.sleep(0.1)
    done = sweep(tmp_path, "sweep", "--methods", "base+swap", "--jobs", "1")
    assert done.returncode == 0 and re.search(r"^1 done, 0 cached, 0 failed", done.stdout, re.M)


def test_names_that_are_none_are_refused_before_anything_runs(tmp_path):
    done = sweep(tmp_path, "sweep", "--methods", "dora,doraa")
    assert done.returncode == 2 and "did you mean dora" in done.stderr and not (tmp_path / "results").exists()
    done = sweep(tmp_path, "sweep", "--tasks", "camoo")
    assert done.returncode == 2 and done.stderr.count("did you mean camo") == 1
