"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.board.headline import BEGIN, END, READ
from benchmarks.cli import parser

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_the_library_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    edit, search = BLOCKS[:2]
    exec(compile(edit, "README", "exec"), {})
    assert (tmp_path / "my-task.swap.json").stat().st_size < 1024
    exec(compile(search, "README", "exec"), {})
    assert "2<-5" in capsys.readouterr().out


@pytest.mark.parametrize("line", re.findall(r"python -m benchmarks ([^`\n]*)", TEXT))
def test_every_command_is_one(line):
    parser().parse_args(re.split(r"\s{2,}", line)[0].split())


def test_every_linked_file_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_headline_table_is_the_one_made_from_the_records():
    page = (ROOT / "leaderboard" / "README.md").read_text()
    block = TEXT.split(BEGIN)[1].split(END)[0]
    (table,) = re.findall(r"^\| method +\| camo-mini .*\n(?:\|.*\n)+", block, re.M)
    assert len(table.splitlines()) == 2 + 9 and table in page and READ in page


def test_every_trained_method_has_its_row():
    from benchmarks.catalog import METHODS

    (rows,) = re.findall(r"^\| method \| what is trained .*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.M)
    named = re.findall(r"^\| `([a-z-]+)` \|", rows, re.M)
    assert named == [name for name in METHODS if METHODS.origin(name) is None]


def test_the_committed_pages_are_what_the_records_give():
    from benchmarks.board.build import check

    assert check(ROOT / "results", ROOT / "leaderboard", ROOT) == []


def test_the_checkpoint_card_states_what_its_records_say():
    from benchmarks import records

    folder = ROOT / "benchmarks" / "backbones" / "checkpoints"
    card = (folder / "README.md").read_text()
    tried = [
        *(folder / "tried").glob("*.json"),
        *(ROOT / "results" / "verified" / "mini-v1" / "camo-mini").glob("base+swap-*.json"),
    ]
    assert len(tried) == 10
    for path in tried:
        (found,) = (c for c in records.read(path).comparisons if c.a == "base+swap" and c.b == "base")
        assert f"{100 * found.difference:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})" in card, path.name
