"""Damaged files, a few hundred for each reader; `python -m tests.fuzz --cases 1000000` does a million."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fuzz
from tests.fuzz_mutate import json_mutated, mutated
from tests.fuzz_readers import READERS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")
CASES = {"pages": 30, "coco": 60, "archive": 200, "weights": 150, "saved_table": 100, "stage": 150, "train_state": 200}


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_soundly_or_refused_in_a_line(name, tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    logging.disable(logging.CRITICAL)
    try:
        reader, tally = READERS[name](tmp_path), fuzz.Tally()
        fuzz.run(reader, 0, 0, CASES.get(name, 300), tally)
    finally:
        logging.disable(logging.NOTSET)
    assert tally.failures == [] and tally.read + tally.refused == tally.cases
    assert tally.read  # else nothing but the first check was tried


@pytest.mark.parametrize("name", READERS)
def test_the_valid_files_are_read(name, tmp_path, monkeypatch):
    """A reader that refuses everything would pass the other test."""
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    reader = READERS[name](tmp_path)
    accepted = [fuzz.attempt(reader, data)[0] for data in reader.seeds]
    assert "failed" not in accepted and ("read" in accepted if name in ("labels", "mask", "notes") else set(accepted) == {"read"})


def test_a_case_is_the_same_input_each_time():
    data = b'{"a": [1, 2, 3], "b": {"c": "text"}}'
    for change in (mutated, json_mutated):
        first = [change(random.Random(k), data, [data]) for k in range(50)]
        assert first == [change(random.Random(k), data, [data]) for k in range(50)] and len(set(first)) > 30


def test_a_fault_is_found_saved_and_can_be_had_again(tmp_path):
    reader = fuzz.Reader("frail", [b"0123456789"], lambda data: data.decode("ascii"), (), lambda value, data: None)
    tally = fuzz.Tally()
    fuzz.run(reader, 0, 0, 200, tally, tmp_path)
    assert tally.failures and "UnicodeDecodeError" in tally.failures[0]
    number = int(tally.failures[0].split()[1].rstrip(":"))
    assert (tmp_path / f"frail-seed0-case{number}.bin").read_bytes() == fuzz.made(reader, 0, number)
    with pytest.raises(UnicodeDecodeError):
        fuzz.attempt(reader, fuzz.made(reader, 0, number), raising=True)


def test_the_command_counts_and_goes_on_where_it_stopped(tmp_path):
    words = [sys.executable, "-m", "tests.fuzz", "--readers", "swap,masks", "--state", str(tmp_path / "state.json")]
    root = Path(__file__).parents[1]
    for cases, done in (("400", "400"), ("1000", "600")):
        ended = subprocess.run([*words, "--cases", cases], capture_output=True, text=True, cwd=root)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines()[-1].split()[:2] == ["all", done]
