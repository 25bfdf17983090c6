"""What a person mistypes or takes for something else: the error is one line, names the nearest that exists, and says where help is."""

from __future__ import annotations

import json

import pytest

from benchmarks import records
from benchmarks.cli import main
from benchmarks.errors import InvalidRecord


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "missing: COMMAND. See: python -m benchmarks --help"),
        ("rn --task camo", "unknown command 'rn'; did you mean run? See: python -m benchmarks --help"),
        ("frobnicate", "unknown command 'frobnicate'; choose from: run, sweep, study, "),
        ("run --task camo", "missing: --method. See: python -m benchmarks run --help"),
        ("run --task camo --method base --sedes 1", "there is no argument --sedes 1; did you mean --seeds"),
        ("run --task camo --method base more", "there is no argument more. See: python -m benchmarks run --help"),
        ("run --task camo --method base --log wandbb", "--log cannot be 'wandbb'; did you mean wandb?"),
        ("run --task camo --method base --limit x", "argument --limit: invalid int value: 'x'. See: python -m benchmarks run"),
        ("board buidl", "unknown 'buidl'; did you mean build? See: python -m benchmarks board --help"),
        ("doctor camo", "there is no argument camo. See: python -m benchmarks doctor --help"),
        ("run --task camo --method base \x1b[2J", "there is no argument "),
    ],
)
def test_a_command_line_that_cannot_be_is_one_line(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words.split())
    shown = capsys.readouterr()
    assert end.value.code == 2 and not shown.out
    (line,) = shown.err.splitlines()
    assert line.startswith(f"error: {said}") and " --help" in line and line.isprintable()


def test_a_folder_or_another_file_in_the_place_of_a_record(tmp_path, capsys):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("")
    assert main(["show", str(tmp_path)]) == 2
    assert f"it is a folder; name files in it, such as {tmp_path / 'deep' / 'a.json'}" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 2
    assert "it is a folder; name files in it" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "notes.txt")]) == 2
    assert "notes.txt is no record; a run says where its record is" in capsys.readouterr().err


@pytest.mark.parametrize("content", [{}, {"channels": 512, "pairs": [[3, 7]]}])
def test_a_file_of_another_kind_is_called_that_once(content, tmp_path, capsys):
    path = tmp_path / "my.swap.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidRecord, match="of another kind, with none of a record's fields; name records"):
        records.read(path)
    assert main(["validate", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert (
        shown.count("fault,") == 1 and "of another kind" in shown and "to do: name records, or a folder of nothing else" in shown
    )


def test_a_folder_that_is_not_the_dataset_is_told_the_layout(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    (tmp_path / "mine").mkdir()
    assert main(["data", "add", "kvasir", str(tmp_path / "mine")]) == 3
    said = capsys.readouterr().err
    assert "mine/Kvasir-SEG/images is missing; name the folder that holds Kvasir-SEG/{images,masks}/*.jpg, or get it: " in said
    assert said.rstrip().endswith("python -m benchmarks data fetch kvasir")


def test_a_board_of_a_folder_without_records_says_so(tmp_path, capsys):
    (tmp_path / "X").mkdir()
    assert main(["board", "build", "--results", str(tmp_path / "X")]) == 0
    assert "X holds no records, and the pages say so; a results folder is named with --results" in capsys.readouterr().err
