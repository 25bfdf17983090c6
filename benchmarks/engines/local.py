"""The engine of one machine: a process a GPU, or a process for some of the CPU's cores. Imports no torch."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from benchmarks.engines import Ended, Job, call, in_a_line
from benchmarks.watched import end_with_parent

VISIBLE = "CUDA_VISIBLE_DEVICES"


def assign(device: str, gpus: int, visible: str | None, jobs: int | None, cores: int) -> list[str | None]:
    """A place for each process: what it gets as CUDA_VISIBLE_DEVICES, None where it is left as it is.

    `device` as named to --device and resolved: "cuda" stands for every one of the machine's `gpus`, "cuda:N" for that one; within
    `visible`, where that is set, for then torch numbers only those. Without `jobs` a process a GPU, a core a process on the CPU;
    with more jobs than GPUs they take turns.
    """
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return [None] * (jobs or (cores if kind == "cpu" else 1))
    names = [name.strip() for name in visible.split(",")] if visible else [str(k) for k in range(gpus)]
    names = names[:gpus] or [str(k) for k in range(gpus)]
    mine = [names[int(number)]] if number else names
    return [mine[k % len(mine)] for k in range(jobs or len(mine))]


class Local:
    """Processes of this machine, one for each of `places` (see `assign`), with `threads` each."""

    def __init__(self, places: list[str | None], threads: int, retries: int = 1):
        self.retries, self.threads, self._places = retries, threads, places
        self._pools: list[ProcessPoolExecutor | None] = [None] * len(places)
        self._running: dict[Future, tuple[Job, int]] = {}

    def room(self) -> bool:
        return len(self._running) < len(self._places)

    def begin(self, job: Job, found: dict[str, Any]) -> None:
        taken = {k for _, k in self._running.values()}
        k = next(k for k in range(len(self._places)) if k not in taken)
        try:
            future = self._pool(k).submit(call, job, found)
        except BrokenProcessPool:  # it died while it had nothing to do
            self._drop(k)
            future = self._pool(k).submit(call, job, found)
        self._running[future] = job, k

    def ended(self) -> list[Ended]:
        found = []
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            job, k = self._running.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                self._drop(k)
                found.append(Ended(job, error="its process died", died=True))
            elif error is not None:
                found.append(Ended(job, error=in_a_line(error)))
            else:
                found.append(Ended(job, future.result()))
        return found

    def close(self, now: bool = False) -> None:
        for pool in filter(None, self._pools):
            pool.shutdown(wait=not now, cancel_futures=True)
        if now:
            for process in multiprocessing.active_children():  # an interrupt may have reached this process alone
                process.terminate()

    def _pool(self, k: int) -> ProcessPoolExecutor:
        """A process of its own a place, so that it is known which job a dead one was at. A fresh interpreter: torch's threads and a
        GPU do not survive a fork."""
        if self._pools[k] is None:
            level = logging.getLogger("benchmarks").getEffectiveLevel()
            arguments = (self.threads, level, self._places[k])
            self._pools[k] = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, arguments)
        return self._pools[k]

    def _drop(self, k: int) -> None:
        self._pools[k].shutdown(wait=False)
        self._pools[k] = None


def _begin(threads: int, level: int, visible: str | None) -> None:
    """In a new process, before torch is imported."""
    settle(threads, level)
    if visible is not None:
        os.environ[VISIBLE] = visible
    end_with_parent()  # what a killed sweep was at goes on with the next call, from the last epoch or block


def settle(threads: int, level: int) -> None:
    """Threads before torch is imported; warnings alone, since the bars of several processes would overwrite each other."""
    from benchmarks import threads as threading

    threading.wait_passively()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    logging.basicConfig(level=max(level, logging.WARNING), format="%(message)s", stream=sys.stderr, force=True)
