"""Claims: one process at a time at a piece of work, by locks and by leases."""

from __future__ import annotations

import fcntl
import multiprocessing
import threading
import time

import fsspec
import pytest

from benchmarks import claims, store
from benchmarks.claims import claimed, lease


@pytest.fixture
def quick(monkeypatch):
    """The same in a hundredth of the time."""
    for name in ("BEAT", "STALE", "LOOK"):
        monkeypatch.setattr(claims, name, getattr(claims, name) / 100)


def _without_locks(*_):
    raise OSError("no locks available")


def at_once(enter, rounds: int = 3) -> int:
    """Most of three threads that were inside at once."""
    inside, most, guard = 0, 0, threading.Lock()

    def one():
        nonlocal inside, most
        for _ in range(rounds):
            with enter():
                with guard:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.02)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=one) for _ in range(3)]
    [t.start() for t in threads]
    [t.join(60) for t in threads]
    return most


@pytest.mark.parametrize("place", ["file", "memory"])
def test_a_lease_is_held_by_one_and_given_back(place, tmp_path, quick):
    url = tmp_path.as_uri() if place == "file" else f"memory://{tmp_path.name}"
    assert at_once(lambda: lease(f"{url}/x.lease", "x")) == 1
    assert not fsspec.core.url_to_fs(f"{url}/x.lease")[0].exists(fsspec.core.url_to_fs(f"{url}/x.lease")[1])


def test_the_lease_of_one_that_is_gone_is_taken_over_and_that_of_one_that_works_is_not(tmp_path, quick, caplog):
    path = tmp_path / "x.lease"
    path.write_bytes(b"gone 3")
    begun = time.monotonic()
    with lease(str(path), "the stage train"):
        assert time.monotonic() - begun > claims.STALE and b"gone" not in path.read_bytes()
        assert "whoever was at the stage train has been silent" in caplog.text
        first = path.read_bytes()
        waiting = threading.Thread(target=lambda: lease(str(path), "x").__enter__(), daemon=True)
        waiting.start()
        time.sleep(2 * claims.STALE)
        assert path.read_bytes() != first and path.read_bytes().split()[0] == first.split()[0]  # it beats, and is still ours


def test_where_a_lease_cannot_be_written_nobody_waits(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with lease(f"{tmp_path}/file/below/x.lease", "the stage train"):
        assert "should others be at the stage train too, it is done twice" in caplog.text


@pytest.mark.parametrize("how", ["locks", "no locks", "leases asked for"])
def test_a_claim_is_held_by_one(how, tmp_path, quick, monkeypatch):
    if how == "no locks":
        monkeypatch.setattr(fcntl, "flock", _without_locks)
    if how == "leases asked for":  # and locks that hold on one machine only
        monkeypatch.setenv("CHANSWAP_LOCKS", "lease")
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    assert at_once(lambda: claimed(tmp_path, "x", "x")) == 1
    assert not (tmp_path / "x.lease").exists()


def test_two_homes_with_a_shared_store_wait_for_each_other(tmp_path, quick, monkeypatch):
    assert at_once(lambda: claimed(tmp_path / str(threading.get_ident()), "x", "x", f"memory://{tmp_path.name}/claims")) == 1


def _hold(home: str, seen) -> None:
    import os

    os.environ["CHANSWAP_HOME"] = home
    with store.alone_with("a/record.json"):
        seen.append("in")
        time.sleep(0.2)
        seen.append("out")


def test_runs_of_one_record_are_done_one_after_the_other_by_whatever_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        seen = manager.list()
        processes = [context.Process(target=_hold, args=(str(tmp_path), seen)) for _ in range(2)]
        [p.start() for p in processes]
        [p.join(120) for p in processes]
        assert list(seen) == ["in", "out"] * 2
