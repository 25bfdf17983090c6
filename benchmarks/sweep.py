"""A sweep: many runs from one call, several at a time, each in a process of its own. Imports no torch here.

Runs of one trained model (a method with and without swap, one dataset, one seed) are a *group*: one process does them one after
the other and shares what it has in memory. Groups share what is kept: a stage that two need is done by one (`store.alone`).
On a CPU a process of one thread each wastes least: threads of one process wait for each other's interpreter.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks import code, store
from benchmarks.catalog import METHODS
from benchmarks.errors import RunFailed
from benchmarks.plan import Plan
from benchmarks.watched import end_with_parent

log = logging.getLogger("benchmarks")


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended: done, cached (its record was there) or failed, with the error in a line."""

    plan: Plan
    status: str
    seconds: float
    error: str | None = None

    @property
    def name(self) -> str:
        return f"{self.plan.dataset.name} {self.plan.method_name} seed {self.plan.seed}"


def groups(plans: Iterable[Plan]) -> list[list[Plan]]:
    """Plans by trained model. In a group the swap comes first: it makes all that the plain run then reads. Groups without
    training come first of all, since every other one reads their evaluation of the bare model."""

    def model(p: Plan) -> tuple:
        return (p.method != "base", p.seed, p.dataset.name, p.backbone.name, list(METHODS).index(p.method))

    ordered = sorted(plans, key=lambda p: (model(p), not p.swap))
    return [list(group) for _, group in groupby(ordered, key=model)]


def sweep(
    plans: list[Plan],
    tier: Path,
    jobs: int,
    threads: int,
    force: bool,
    said: Callable[[Outcome], None],
    logs: tuple[str, ...] = (),
) -> list[Outcome]:
    """Do every plan, `jobs` groups at a time with `threads` threads each, and write each record under `tier`; `logs` name where
    scalars go besides.

    A run that fails leaves its record and the sweep goes on; so it does when a process dies, with the runs of its group
    counted as failed. `said` hears of each outcome as it comes. KeyboardInterrupt stops it: what is finished is kept.
    """
    waiting, outcomes = groups(plans), []

    def hear(found: list[Outcome]) -> None:
        for outcome in found:
            outcomes.append(outcome)
            said(outcome)

    if force:  # here and once: every group reads it
        for job in {job.key: job for p in plans for name, job in p.jobs.items() if name == "evaluate base"}.values():
            store.discard(job)
    while waiting:
        # A fresh interpreter each: torch's threads and a GPU do not survive a fork.
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (threads, log.getEffectiveLevel()))
        running = {}
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    future = pool.submit(_group, waiting[0], tier, threads, force, logs)  # raises where a process has just died
                    running[future] = waiting.pop(0)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    hear(future.result())
                    del running[future]
        except BrokenProcessPool:
            # Nobody tells which process died, and all of the pool end with it: what was running is tried again, alone.
            lost = list(running.values())
            log.warning("a process of the sweep died (out of memory?); its runs are tried once more, one at a time")
            pool.shutdown()
            for group in lost:
                hear(_alone(group, tier, threads, force, logs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():  # an interrupt may have reached this process alone
                process.terminate()
            raise
        else:
            pool.shutdown()
    return outcomes


def _alone(group: list[Plan], tier: Path, threads: int, force: bool, logs: tuple[str, ...]) -> list[Outcome]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (threads, log.getEffectiveLevel())) as pool:
        try:
            return pool.submit(_group, group, tier, threads, force, logs).result()
        except BrokenProcessPool:
            return [
                Outcome(p, "failed", 0.0, "its process died twice; look at the system's log for what killed it") for p in group
            ]


def _begin(threads: int, level: int) -> None:
    """In a new process: threads before torch is imported, warnings alone (bars of several processes would overwrite each other)."""
    from benchmarks import threads as threading

    threading.wait_passively()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    end_with_parent()  # what a killed sweep was at goes on with the next call, from the last epoch or block
    logging.basicConfig(level=max(level, logging.WARNING), format="%(message)s", stream=sys.stderr, force=True)


def _same_code(p: Plan) -> None:
    """Raise RunFailed where this process, begun later, would run other code than the run was planned with. A method from
    outside is made known to it here."""
    if p.origin:
        METHODS.get(p.origin.place)
    if METHODS.origin(p.method) != p.origin or code.digest() != p.code:
        raise RunFailed(f"the code of {p.method} or of the suite has changed since the sweep began; call it again")


def _group(group: list[Plan], tier: Path, threads: int, force: bool, logs: tuple[str, ...]) -> list[Outcome]:
    from benchmarks.progress import silent
    from benchmarks.runner import cached
    from benchmarks.tracking import tracked

    if force:
        for job in {job.key: job for p in group for name, job in p.jobs.items() if name != "evaluate base"}.values():
            store.discard(job)
    found = []
    with silent():
        for p in group:
            path, begun = tier / p.file_name, time.monotonic()
            if not force and cached(p, path):
                found.append(Outcome(p, "cached", 0.0))
                continue
            try:
                _same_code(p)
                record = tracked(logs, p, path, threads)
                status, error = record.status, record.error
            except Exception as failure:  # missing data, a full disk: this cell's fault, not the sweep's
                status, error = "failed", f"{type(failure).__name__}: {failure}".splitlines()[0]
            found.append(Outcome(p, status, time.monotonic() - begun, error))
    return found
