"""A sweep: many runs from one call, by an engine (see `benchmarks.engines`). Imports no torch here.

Runs of one trained model (a method with and without swap, one dataset, one seed) are a *group*: one process does them one after
the other and shares what it has in memory. Groups share what is kept: a stage that two need is done by one (`store.alone`).
On a CPU a process of one thread each wastes least: threads of one process wait for each other's interpreter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from benchmarks import code, store
from benchmarks.catalog import METHODS
from benchmarks.engines import Ended, Engine, Job, in_a_line, work
from benchmarks.errors import MissingData, RunFailed, UsageError
from benchmarks.grid import Cell
from benchmarks.plan import Plan, Request, images_stay, plan
from benchmarks.protocols import SHARED
from benchmarks.remote import remote


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


@dataclass(frozen=True)
class Unready:
    """A cell that cannot be run here, and why. `missing`: for want of data or weights."""

    cell: Cell
    reason: str
    missing: bool


def plans_of(cells: Iterable[Cell], request: Request) -> tuple[list[Plan], list[Unready]]:
    """The runs of a grid, and the cells that cannot be run here. `request` holds how, its names are not looked at.

    Raises UsageError where the device or an option cannot be had by any of them.
    """
    plans, unready = [], []
    with images_stay():
        for c in cells:
            asked = replace(request, task=c.task, method=c.method, protocol=c.protocol, dataset=c.dataset, backbone=c.backbone)
            try:
                plans.append(plan(asked, c.seed))
            except (UsageError, MissingData) as error:
                unready.append(Unready(c, str(error), isinstance(error, MissingData)))
    return plans, unready


def groups(plans: Iterable[Plan]) -> list[list[Plan]]:
    """Plans by trained model. In a group the swap comes first: it makes all that the plain run then reads. Groups without
    training come first of all, since every other one reads their evaluation of the bare model."""

    def model(p: Plan) -> tuple:
        return (p.method != "base", p.seed, p.dataset.name, p.backbone.name, p.protocol.name, list(METHODS).index(p.method))

    ordered = sorted(plans, key=lambda p: (model(p), not p.swap))
    return [list(group) for _, group in groupby(ordered, key=model)]


def jobs_of(
    group: list[Plan],
    tier: Path,
    threads: int,
    force: bool = False,
    parts: int = 1,
    memory_mb: float | None = None,
    logs: tuple[str, ...] = (),
) -> list[Job]:
    """A group as jobs, the last of which leaves its records. With `parts` a search that can be split is done by so many jobs, each
    once what stands before the search is done; the last job merges them."""
    first = group[0]
    named = f"{first.protocol.name} {first.dataset.name} {first.backbone.name} {first.method} seed {first.seed}"
    if parts == 1 or not first.swap or first.protocol.strategy not in SHARED:
        return [Job(named, _group, (group, tier, threads, force, logs), memory_mb=memory_mb)]
    before = Job(f"{named}, before its search", _before, (first, tier, threads, force), memory_mb=memory_mb)
    shares = [
        Job(f"{named}, part {k + 1} of {parts}", _part, (first, (k, parts), tier, threads), (before.name,), memory_mb)
        for k in range(parts)
    ]
    last = Job(named, _merged, (group, tier, threads, force, logs), tuple(j.name for j in shares), memory_mb)
    return [before, *shares, last]


def sweep(
    plans: list[Plan],
    tier: Path,
    engine: Engine,
    threads: int,
    force: bool = False,
    said: Callable[[Outcome], None] = lambda outcome: None,
    parts: int = 1,
    memory: Callable[[Plan], float | None] = lambda plan: None,
    logs: tuple[str, ...] = (),
) -> list[Outcome]:
    """Do every plan and write each record under `tier`, by an engine whose processes have `threads` threads.

    A run that fails leaves its record and the sweep goes on; so it does when a process dies and dies again, with the runs of its
    group counted as failed. `said` hears of each outcome as it comes. `memory`: what a plan takes of a GPU, MB, where that is
    known. `logs` name where scalars go besides. KeyboardInterrupt stops it: what is finished is kept.
    """
    outcomes: list[Outcome] = []
    tier = tier.absolute()
    if force:  # here and once: every group reads it
        for job in {job.key: job for p in plans for name, job in p.jobs.items() if name == "evaluate base"}.values():
            store.discard(job)
    # A worker sees one GPU, the one that it is given, and sees it as the first.
    here = [replace(p, device="cuda:0") if p.device.startswith("cuda") else p for p in plans]
    jobs, members = [], {}
    for group in groups(here):
        made = jobs_of(group, tier, threads, force, parts, memory(group[0]), logs)
        members[made[-1].name] = group
        jobs += made

    def hear(ended: Ended) -> None:
        group = members.get(ended.job.name)
        if group is None:  # a part, of which nothing is to be told
            return
        found = [("failed", 0.0, ended.error)] * len(group) if ended.error else ended.value
        for p, (status, seconds, error) in zip(group, found):
            if status != "failed" and not (tier / p.file_name).exists() and not _fetched(p, tier):
                status, error = "failed", "its record is on another machine; give the workers a shared folder, or --store URL"
            outcomes.append(Outcome(p, status, seconds, error))
            said(outcomes[-1])

    work(engine, jobs, hear)
    return outcomes


def _fetched(p: Plan, tier: Path) -> bool:
    from benchmarks.runner import cached

    return remote() is not None and cached(p, tier / p.file_name) is not None


def _same_code(p: Plan) -> None:
    """Raise RunFailed where this process, begun later or elsewhere, would run other code than the run was planned with. A method
    from outside is made known to it here."""
    if p.origin:
        METHODS.get(p.origin.place)
    if METHODS.origin(p.method) != p.origin or code.digest() != p.code:
        raise RunFailed(
            f"the code of {p.method} or of the suite has changed since the sweep began, or is another there; call it again"
        )


def _discarded(plans: Sequence[Plan]) -> None:
    for job in {job.key: job for p in plans for name, job in p.jobs.items() if name != "evaluate base"}.values():
        store.discard(job)


def _group(
    group: list[Plan], tier: Path, threads: int, force: bool, logs: tuple[str, ...]
) -> list[tuple[str, float, str | None]]:
    """The runs of a group: of each its status, seconds, and error in a line."""
    from benchmarks.progress import silent

    if force:
        _discarded(group)
    with silent():
        return [_run(p, tier / p.file_name, threads, force, logs) for p in group]


def _run(p: Plan, path: Path, threads: int, force: bool, logs: tuple[str, ...]) -> tuple[str, float, str | None]:
    from benchmarks.runner import cached
    from benchmarks.tracking import tracked

    with store.alone_with(p.file_name):  # another sweep, or another shard of this one, may be at it
        begun = time.monotonic()
        if not force and cached(p, path):
            return "cached", 0.0, None
        try:
            _same_code(p)
            record = tracked(logs, p, path, threads)
            status, error = record.status, record.error
        except Exception as failure:  # missing data, a full disk: this cell's fault, not the sweep's
            status, error = "failed", in_a_line(failure)
        return status, time.monotonic() - begun, error


def _before(p: Plan, tier: Path, threads: int, force: bool) -> str | None:
    """What stands before a search that is split. An error is not raised: the run itself comes to it again and leaves its record."""
    from benchmarks.progress import silent
    from benchmarks.runner import cached, prepare

    if force:
        _discarded([p])  # here alone: the jobs after this one read what it makes
    elif cached(p, tier / p.file_name) or store.there(p.jobs["search"]):
        return "its search is done"
    try:
        _same_code(p)
        with silent():
            prepare(p, threads)
    except Exception as failure:
        return in_a_line(failure)
    return None


def _part(p: Plan, part: tuple[int, int], tier: Path, threads: int, found: dict[str, str | None]) -> None:
    """One part of a search, left beside its journal. One that fails is scored by the run itself."""
    from benchmarks.progress import silent
    from benchmarks.runner import search_part

    if any(found.values()):
        return
    with silent():
        search_part(p, part, threads)
    if shared := remote():
        shared.push_parts(p.jobs["search"])


def _merged(
    group: list[Plan], tier: Path, threads: int, force: bool, logs: tuple[str, ...], found: dict
) -> list[tuple[str, float, str | None]]:
    from benchmarks.progress import silent

    if shared := remote():
        shared.pull_parts(group[0].jobs["search"])
    with silent():
        return [_run(p, tier / p.file_name, threads, force, logs) for p in group]
