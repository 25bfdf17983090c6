"""Engines: graphs of jobs in real processes, places on GPUs (by a made-up count: the assignment alone), shards."""

from __future__ import annotations

import sys

import pytest

from benchmarks.engines import Job, work
from benchmarks.engines.local import Local, assign
from benchmarks.engines.ray_ import Ray
from benchmarks.engines.ray_ import share as gpu_share
from benchmarks.engines.shards import share
from benchmarks.errors import UsageError
from benchmarks.grid import Grid, expand
from tests.engine_jobs import dies, dies_at_first, fails, noted, setting, total


def test_jobs_wait_for_what_they_need_and_get_its_value(tmp_path):
    log, said = str(tmp_path / "log"), []
    jobs = [
        Job("sum", total, (100,), ("one", "two")),
        Job("more", total, (0,), ("sum",)),
        Job("one", noted, (log, 1)),
        Job("two", noted, (log, 2)),
    ]
    ended = work(Local([None, None], 1), jobs, lambda e: said.append(e.job.name))
    assert {name: e.value for name, e in ended.items()} == {"one": 1, "two": 2, "sum": 103, "more": 103}
    assert set(said[:2]) == {"one", "two"} and said[2:] == ["sum", "more"]


def test_a_failure_keeps_only_what_needs_it_from_being_done(tmp_path):
    log = str(tmp_path / "log")
    jobs = [
        Job("bad", fails),
        Job("after", total, (0,), ("bad",)),
        Job("later", total, (0,), ("after", "good")),
        Job("good", noted, (log, 3)),
    ]
    ended = work(Local([None], 1), jobs)
    assert ended["bad"].error == "ValueError: no such channel" and not ended["bad"].died
    assert ended["after"].error == "not begun, since bad failed: ValueError: no such channel"
    assert ended["later"].error.startswith("not begun, since after failed: not begun") and ended["good"].value == 3


def test_a_job_whose_process_dies_is_begun_again_and_no_other(tmp_path):
    files = {name: str(tmp_path / name) for name in ("once", "always", "good")}
    jobs = [
        Job("once", dies_at_first, (files["once"],)),
        Job("always", dies, (files["always"],)),
        Job("good", noted, (files["good"], 3)),
        Job("after", total, (1,), ("once",)),
        Job("never", total, (1,), ("always",)),
    ]
    ended = work(Local([None, None], 1), jobs)
    begun = {name: len(open(path).read().splitlines()) for name, path in files.items()}
    assert begun == {"once": 2, "always": 2, "good": 1}
    assert ended["once"].value == 7 and ended["after"].value == 8 and ended["good"].value == 3
    assert ended["always"].error == "its process died twice; look at the system's log for what killed it"
    assert ended["never"].error.startswith("not begun, since always failed")
    assert work(Local([None], 1, retries=0), [Job("always", dies, (files["always"],))])["always"].error == "its process died"


@pytest.mark.parametrize(
    "jobs, fault",
    [
        ([Job("a", fails), Job("a", fails)], "same name"),
        ([Job("a", total, (0,), ("b",))], "a needs b, which is no job"),
        ([Job("a", total, (0,), ("b",)), Job("b", total, (0,), ("a",)), Job("c", fails)], "circle: a, b"),
        ([Job("a", lambda: 1)], "cannot find tests.test_engines.<lambda>"),
    ],
)
def test_jobs_that_cannot_all_be_done_are_refused(jobs, fault):
    with pytest.raises(ValueError, match=fault):
        work(Local([None], 1), jobs)


@pytest.mark.parametrize(
    "device, gpus, visible, jobs, cores, places",
    [
        ("cuda", 4, None, None, 16, ["0", "1", "2", "3"]),
        ("cuda", 2, "5,7", None, 16, ["5", "7"]),  # torch numbers what is visible
        ("cuda", 2, None, 5, 16, ["0", "1", "0", "1", "0"]),
        ("cuda", 4, None, 2, 16, ["0", "1"]),
        ("cuda:1", 2, "5,7", None, 16, ["7"]),
        ("cuda:3", 4, None, 2, 16, ["3", "3"]),
        ("cuda", 1, "GPU-8f", None, 16, ["GPU-8f"]),
        ("cpu", 0, None, None, 3, [None] * 3),
        ("cpu", 0, "0", 2, 8, [None] * 2),
        ("mps", 0, None, None, 8, [None]),
    ],
)
def test_each_process_has_a_gpu_or_some_cores(device, gpus, visible, jobs, cores, places):
    assert assign(device, gpus, visible, jobs, cores) == places


def test_a_process_sees_the_gpu_of_its_place_before_it_imports_anything():
    ended = work(Local(["3"], 2), [Job(n, setting, (n,)) for n in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")])
    assert [e.value for e in ended.values()] == ["3", "2"]


def test_the_share_of_a_gpu_is_by_what_was_measured():
    assert gpu_share(None, 80_000) == 1 and gpu_share(10_000, None) == 1
    assert gpu_share(11_000, 80_000) == 1 / 5  # (11,000 x 1.2 + 600) five times
    assert gpu_share(60_000, 80_000) == 1 and gpu_share(200_000, 80_000) == 1


def test_shards_are_the_grid_each_cell_once_whatever_the_order():
    models = [cell.model for cell in expand(Grid(datasets=["all"], backbones=["all"], protocols=["all"]))]
    named = [(m, " ".join(m)) for m in models]
    for n in (1, 3, 16):
        parts = [share(named, (i, n)) for i in range(n)]
        assert sum(map(len, parts)) == len(set(models)) and set().union(*parts) == set(models)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert parts == [share(reversed(named), (i, n)) for i in range(n)]
    seeds = [sum(m[4] == "0" for m in share(named, (i, 3))) for i in range(3)]
    assert max(seeds) < 2 * min(seeds)  # every third a seed, and no shard has one of them alone


def test_the_split_is_the_same_on_every_machine_and_tomorrow():
    assert sorted(share([(k, str(k)) for k in range(40)], (1, 4))) == [2, 9, 12, 16, 17, 18, 22, 26, 31, 34]


def test_without_ray_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'chanswap\[ray\]'"):
        Ray(None, 1, 1)
