"""Names that were chosen to do harm: on a terminal, in Markdown, in a picture, as names of files."""

from __future__ import annotations

import re
import sys
import unicodedata
import xml.etree.ElementTree as Xml

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import outside, records
from benchmarks.board import search_plot
from benchmarks.board.build import _file_names, build, render
from benchmarks.board.text import Table, code, escape, markdown, paragraph, terminal
from benchmarks.catalog import METHODS
from benchmarks.cli import main
from benchmarks.errors import InvalidRecord, MissingData, UsageError
from benchmarks.files import RESERVED
from benchmarks.plain import UNPRINTABLE, plain, printable
from benchmarks.plan import Request, plan
from tests.make_example_results import example
from tests.test_board import changed, put

NASTY = [
    "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "a\rb", "a\nb", "a\x08\x08b", "\x9b31m", "a\0b", "\u202eevil", "a\u2066b\u2069", "a\u200bb",
    "\u2028", "\ufeffa", "\U000e0041", "../../etc/passwd", "/etc/passwd", "..\\..\\x", "C:\\x", "a|b|c", "`x`", "```", "[x](http://e.vil)",
    "![x](http://e.vil/x.png)", "<img src=x onerror=alert(1)>", "<!-- ", "$x$", "https://e.vil/x", "www.e.vil", "me@e.vil", "# x", "1. x", "- x",
    "===", "x" * 300, "con", "nul.md", "COM1", "", " ", ".", "..", "README", "cost", "search", "é", "e\u0301", "%s%n", "{0}", "~", "*x*", "&amp;",
]  # fmt: skip


def test_every_character_that_does_not_print_is_known():
    """All control, format and surrogate characters and line separators of this Python's Unicode."""
    for point in range(sys.maxunicode + 1):
        kind = unicodedata.category(chr(point))
        if kind in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert UNPRINTABLE.fullmatch(chr(point)), f"U+{point:04X} {kind}"
        elif kind[0] in "LNPS" or kind == "Zs":
            assert not UNPRINTABLE.search(chr(point)), f"U+{point:04X} {kind}"


@pytest.mark.parametrize("name", NASTY)
def test_text_for_a_terminal_is_a_line_that_prints(name):
    for shown in (printable(name), plain(name), terminal(Table("", pd.DataFrame([{"a": name}]))).splitlines()[-1]):
        assert not UNPRINTABLE.search(shown)
    assert len(plain(name)) <= 300


def test_an_error_that_quotes_an_endless_name_can_be_read():
    said = str(MissingData(f"/data/{'x' * 100_000}.png cannot be read; replace the file"))
    assert said.startswith("/data/xxx") and said.endswith("xxx.png cannot be read; replace the file") and len(said) < 500
    long = f"/{'a-folder/' * 80}image.png"  # a path that a person may have
    assert str(MissingData(f"{long} is missing")) == f"{long} is missing"


@pytest.mark.parametrize("name", NASTY)
def test_text_for_a_page_is_no_markup_of_its_own(name):
    line, start = escape(name), paragraph(name)
    assert not re.search(r"[|`<>$\[\]*~\\]", line) and not UNPRINTABLE.search(line)
    assert not re.search(r"https?:|www\.|@", line), "GitHub makes a link of it"
    assert not re.match(r"#|[-+*]\s|\d+[.)]\s|=+$|-+$", start)
    table = markdown(Table(name, pd.DataFrame([{"a": name, "b": "x"}]), (name,)))
    assert {row.count("|") for row in table.splitlines() if row.startswith("|")} == {3}
    assert code([name]).count("```") == 2 and len(code([name]).splitlines()) == 3


@pytest.mark.parametrize("name", NASTY)
def test_a_picture_stays_xml(name):
    text = search_plot.plot(
        [(name, [search_plot.Point(name, 10.0, 1.0, 0.5, 1.5), search_plot.Point("x", 99.0, 0.0, -1.0, 1.0)])]
    )
    Xml.fromstring(text)
    assert "<img" not in text


def test_pages_have_safe_distinct_names_on_every_system(tmp_path):
    subjects = [(protocol, dataset) for protocol in ("mini-v1", "con", "con.x", "\x1b[2J", "") for dataset in NASTY]
    names = _file_names(set(subjects), {"cost.md", "search.md"})
    assert len({name.casefold() for name in names.values()} | {"readme.md", "cost.md", "search.md"}) == len(set(subjects)) + 3
    for name in names.values():
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.md", name) and len(name) < 120 and not RESERVED.match(name), name
    for k, (protocol, dataset) in enumerate(subjects[::16]):
        record = example("base", 0, dataset=dataset, protocol={"name": protocol, "prompt": "interior", "metric": "miou"})
        put(record, tmp_path / "results" / "community" / f"{k}.json")
    pages = render(tmp_path / "results")
    build(tmp_path / "results", tmp_path / "board")
    assert len([name for name in pages if name.endswith(".md")]) == len(subjects[::16]) + 1
    written = {f.relative_to(tmp_path / "board").as_posix() for f in (tmp_path / "board").rglob("*")}
    assert written == {*pages, "index.html"}
    for text in pages.values():
        assert not UNPRINTABLE.search(text.replace("\n", ""))


@pytest.mark.parametrize("name", NASTY)
def test_a_record_is_shown_in_lines_that_print(name, tmp_path, capsys):
    record = changed(example("base", 0, device=f"cpu {name}"), command=f"python {name}", started=name)
    put(record, tmp_path / "a.json")
    assert main(["show", str(tmp_path / "a.json")]) == 0
    out = capsys.readouterr().out
    assert not UNPRINTABLE.search(out.replace("\n", ""))
    put(example("base", 0, error=f"no {name}"), tmp_path / "b.json")
    assert main(["show", str(tmp_path / "b.json")]) == 0
    assert not UNPRINTABLE.search(capsys.readouterr().out.replace("\n", ""))


@pytest.mark.parametrize("name", [n for n in NASTY if "\0" not in n])
@pytest.mark.parametrize(
    "words", [("show",), ("run", "--task"), ("run", "--task", "camo", "--method"), ("data", "verify"), ("weights", "fetch")]
)
def test_a_name_that_nobody_knows_is_one_line_that_prints(words, name, capsys):
    if not name or name.startswith("-"):
        pytest.skip("argparse says so itself")
    code = main([*words, name, *(("--method", "base") if words[-1] == "--task" else ())])
    err = capsys.readouterr().err
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1 and not UNPRINTABLE.search(err.rstrip("\n"))


@pytest.mark.parametrize("error", [MissingData, UsageError, InvalidRecord])
def test_every_error_is_one_line_that_prints(error):
    assert all(not UNPRINTABLE.search(str(error(f"{name}: damaged"))) for name in NASTY)


def test_a_folder_with_a_name_that_does_not_print_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    """Its records could not be written: half a surrogate pair stands for a byte that is no UTF-8."""
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    root = tmp_path / "data" / "camo"
    for split in ("train", "test"):
        for part, ending in (("Imgs", "jpg"), ("GT", "png")):
            (root / split / part).mkdir(parents=True)
            for name in ("a", "b", *(["evil\x1b[2J\udcff"] if split == "test" else [])):
                Image.fromarray(np.zeros((9, 9), np.uint8)).save(file := root / split / part / "x.png")
                file.rename(file.with_name(f"{name}.{ending}"))
    from benchmarks import backbones

    monkeypatch.setattr(backbones, "lacking", lambda backbone: None)
    with pytest.raises(MissingData, match=r"camo: the name 'test/evil\\x1b\[2J\\udcff' has characters .*; rename the file"):
        plan(Request("camo", "base", "paper-v1", "camo", "sam-vit-b"), 0)
    assert main(["data", "verify", "camo"]) == 3
    assert not UNPRINTABLE.search(capsys.readouterr().out.replace("\n", ""))


METHOD = """
from benchmarks.methods import Attachment, Method

class Mine(Method):
    name = "alike"
    def attach(self, model):
        return Attachment()
    def count(self, model):
        return 0
"""


def test_two_files_whose_methods_have_one_name_never_share_a_record(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    names = {}
    for folder, text in (("one", METHOD), ("two", METHOD + "\n# another\n"), ("three", METHOD)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(text)
        methods = outside.Methods()  # as a call of its own knows them
        methods.get(f"{tmp_path}/{folder}/mine.py:Mine")
        monkeypatch.setitem(METHODS._entries, "alike", methods.get("alike"))
        monkeypatch.setitem(METHODS._origins, "alike", methods.origin("alike"))
        names[folder] = plan(Request("camo", "alike+swap", "mini-v1"), 0).file_name
    assert names["one"] != names["two"]  # of other code, though both are shown as mine.py:Mine
    assert names["one"] == names["three"]  # the same code: the same run


def test_the_suites_own_records_keep_their_names(monkeypatch, tmp_path):
    """Nothing was added to what their hash is made of."""
    from pathlib import Path

    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    found = plan(Request("camo", "lora+swap", "mini-v1", device="cpu"), 1).file_name
    assert (Path(__file__).parents[1] / "results" / "verified" / found).is_file()


def test_a_run_that_another_version_left_is_kept_and_listed(tmp_path):
    for k, sha256 in enumerate(("a" * 64, "b" * 64)):
        record = changed(
            example("dora", 0, started=f"2026-01-0{k + 1}T10:00:00+00:00"),
            origin=records.MethodOrigin(place="mine.py:Mine", sha256=sha256),
        )
        put(record, tmp_path / "results" / "community" / f"{k}.json")
    page = render(tmp_path / "results")["README.md"]
    assert "community/0.json: other version: community/1.json is newer" in page
