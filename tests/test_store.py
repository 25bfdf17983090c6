"""The store of finished stages: one process at a time."""

from __future__ import annotations

import logging
import threading

import pytest

from benchmarks import store


def test_who_comes_second_waits_says_so_and_reads_what_the_first_left(tmp_path, monkeypatch, caplog):
    pytest.importorskip("fcntl", reason="this system has no such locks")
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    job, inside, seen = store.Job("train", {"seed": 0}), threading.Event(), []

    def second():
        with store.alone(job):  # another open file is another holder, also within one process
            seen.append(store.kept(job))

    waiting = threading.Thread(target=second)
    with caplog.at_level(logging.INFO), store.alone(job):
        waiting.start()
        inside.wait(0.5)
        assert not seen and "another process is at the stage train; waiting" in caplog.text
        store.keep(job, {"x": 1}, {"seconds": 2.0})
    waiting.join(10)
    assert seen[0].result == {"x": 1} and seen[0].cost == {"seconds": 2.0}


def test_stages_of_other_inputs_do_not_wait_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    with store.alone(store.Job("train", {"seed": 0})), store.alone(store.Job("train", {"seed": 1})):
        pass


def test_a_stage_is_forgotten_only_once_nobody_is_at_it(tmp_path, monkeypatch):
    """`--force` of one process must not take from another the file that it is about to keep."""
    pytest.importorskip("fcntl", reason="this system has no such locks")
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    job = store.Job("train", {"seed": 0})
    forced = threading.Thread(target=store.discard, args=(job,))
    with store.alone(job):
        job.folder.mkdir(parents=True)
        (job.folder / "weights.safetensors").write_bytes(b"weights")
        forced.start()
        forced.join(0.5)
        assert forced.is_alive()
        assert store.keep(job, {}, {}, ("weights.safetensors",)).files
    forced.join(10)
    assert store.kept(job) is None and not job.folder.exists()
