"""Sweeps by each engine: real runs on a few images, workers killed in the middle, the same tables as one run after the other."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import records, small
from benchmarks.engines import Job, work
from benchmarks.engines.local import Local
from benchmarks.plan import Plan
from benchmarks.runner import run
from benchmarks.sweep import _group, jobs_of, sweep

METHODS = ("base+swap", "base", "lora+swap", "lora")


@pytest.fixture(scope="module")
def place() -> Iterator[small.Place]:
    with small.place() as made:
        yield made


@pytest.fixture
def home(place, tmp_path) -> Iterator[small.Place]:
    """The same images in a home of its own, which is the home inside."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "data").symlink_to(place.folder / "data")
    with (mine := small.Place(tmp_path / "home", place.images)).inside():
        yield mine


@pytest.fixture(scope="module")
def sequential(place, tmp_path_factory) -> dict[str, records.Record]:
    """The runs one after the other in this process: what every engine must come to."""
    folder = tmp_path_factory.mktemp("sequential")
    (folder / "home").mkdir()
    (folder / "home" / "data").symlink_to(place.folder / "data")
    with small.Place(folder / "home", place.images).inside():
        return {m: run(p, folder / p.file_name, 1) for m in METHODS for p in [place.plan(m)]}


def left(tier: Path) -> dict[str, records.Record]:
    return {r.spec.method: r for r in map(records.read, tier.rglob("*.json"))}


def same(made: dict[str, records.Record], wanted: dict[str, records.Record]) -> None:
    for method, record in made.items():
        assert record.status == "done"
        for part in ("evaluations", "comparisons", "search", "trainable", "images"):
            assert getattr(record, part) == getattr(wanted[method], part), (method, part)


def none_twice(made: dict[str, records.Record], plans: list[Plan]) -> None:
    """Each stage, by its key, was computed at most once: by at most one of the records that hold it."""
    keys = {p.method_name: p.jobs for p in plans}
    computed = Counter(keys[m][s.name].key for m, r in made.items() for s in r.stages if not s.cached)
    assert max(computed.values()) == 1


def workers_of(name: str) -> list[int]:
    """Processes below this one that a sweep's home is in the environment of, and that have torch in memory."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if name.encode() in (folder / "environ").read_bytes() and "libtorch" in (folder / "maps").read_text():
                found.append(int(folder.name))
        except OSError:
            pass
    return [pid for pid in found if pid != os.getpid()]


class Killer(threading.Thread):
    """Kills one worker as soon as a search has left its first block. `killed` is its process."""

    def __init__(self, home: Path):
        super().__init__(daemon=True)
        self.home, self.killed = home, None

    def run(self) -> None:
        until = time.monotonic() + 300
        while time.monotonic() < until:
            if any(f.stat().st_size > 1000 for f in self.home.glob("stages/search/*/journal*")):
                if workers := workers_of(str(self.home)):
                    self.killed = workers[0]
                    os.kill(self.killed, signal.SIGKILL)
                    return
            time.sleep(0.01)


def test_two_processes_at_one_cell_do_it_once_and_its_numbers_are_those_of_one(home, sequential, tmp_path):
    plans = [home.plan("base+swap")]
    jobs = [Job(name, _group, (plans, tmp_path / "tier", 1, False, ())) for name in ("one", "other")]
    ended = work(Local([None, None], 1), jobs)
    assert sorted(e.value[0][0] for e in ended.values()) == ["cached", "done"]
    (record,) = left(tmp_path / "tier").values()
    assert not any(s.cached for s in record.stages)
    same({"base+swap": record}, sequential)


def test_a_search_is_jobs_that_need_each_other(home, tmp_path):
    (one,) = jobs_of([home.plan("base")], tmp_path, 1, parts=3)
    assert one.needs == ()
    before, *shares, last = jobs_of([home.plan("base+swap"), home.plan("base")], tmp_path, 1, parts=3)
    assert len(shares) == 3 and {s.needs for s in shares} == {(before.name,)} and last.needs == tuple(s.name for s in shares)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("name", ["local", "ray"])
def test_a_worker_killed_in_the_middle_costs_no_cell_and_none_is_done_twice(name, home, sequential, tmp_path):
    if name == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
        from benchmarks.engines.ray_ import Ray

        engine = Ray(None, 2, 1)
    else:
        engine = Local([None, None], 1)
    plans = [home.plan(m) for m in METHODS]
    killer = Killer(home.folder)
    killer.start()
    outcomes = sweep(plans, tmp_path / "tier", engine, 1)
    killer.join(1)
    assert killer.killed, "nothing was killed"
    assert sorted((o.plan.method_name, o.status) for o in outcomes) == [(m, "done") for m in sorted(METHODS)]
    made = left(tmp_path / "tier")
    same(made, sequential)
    none_twice(made, plans)
    before = {f: f.read_bytes() for f in (tmp_path / "tier").rglob("*.json")}
    again = sweep(plans, tmp_path / "tier", Local([None], 1), 1)
    assert {o.status for o in again} == {"cached"} and before == {f: f.read_bytes() for f in before}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "ray"])
def test_a_split_search_and_a_store_without_a_shared_home_come_to_the_same(name, home, sequential, tmp_path, monkeypatch):
    """On one machine the workers share a home too; that of the second call shares nothing with them but the store."""
    monkeypatch.setenv("CHANSWAP_STORE", (tmp_path / "store").as_uri())
    if name == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
        from benchmarks.engines.ray_ import Ray

        engine = Ray(None, 2, 1)
    else:
        engine = Local([None, None], 1)
    plans = [home.plan(m) for m in METHODS[:2]]
    outcomes = sweep(plans, tmp_path / "tier", engine, 1, parts=2)
    assert {o.status for o in outcomes} == {"done"}
    same(left(tmp_path / "tier"), sequential)
    # Another machine: no home, no results, the store alone.
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "data").symlink_to(home.folder / "data")
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "second"))
    again = sweep(plans, tmp_path / "second" / "results" / "tier", Local([None], 1), 1)
    assert {o.status for o in again} == {"cached"}
    same(left(tmp_path / "second" / "results" / "tier"), sequential)
