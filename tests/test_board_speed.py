"""A board of many records is built in seconds: the limits are CPU seconds, which a busy neighbour stretches less than the clock's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.board.build import build
from benchmarks.board.collect import collect
from tests.many_records import write_many


def timed(folder: Path, count: int) -> float:
    """CPU seconds of one build of `count` records; both times are printed."""
    write_many(folder / "results", count)
    cpu, wall = time.process_time(), time.perf_counter()
    pages = build(folder / "results", folder / "pages")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{count:,} records, {len(pages)} pages and pictures: {wall:.1f} s, of which {cpu:.1f} s of CPU")
    return cpu


def test_a_thousand_records(tmp_path):
    assert timed(tmp_path, 1_000) < 5
    found = collect(tmp_path / "results")
    assert len(found.kept) == 1_000 and not found.dropped
    assert len(list((tmp_path / "pages").glob("*.md"))) == 6  # five datasets and the index


@pytest.mark.slow
def test_ten_thousand_records_in_under_ten_seconds(tmp_path):
    spent = timed(tmp_path, 10_000)
    if spent >= 10 and os.getloadavg()[0] > os.cpu_count():
        pytest.skip(f"{spent:.1f} s of CPU, on a machine with more to do than it has cores: that says nothing")
    assert spent < 10


def test_the_maker_of_many_records_runs_as_a_script(tmp_path):
    script = Path(__file__).with_name("many_records.py")
    subprocess.run([sys.executable, str(script), str(tmp_path), "40"], check=True)
    assert len(list(tmp_path.rglob("*.json"))) == 40
