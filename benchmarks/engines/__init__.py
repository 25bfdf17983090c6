"""Engines: where the jobs of a sweep are done. Imports no torch.

A job is a function of a module, its arguments, and the names of the jobs that must have ended before it. What runs a set of them
(`work`) is the same for every engine; an engine only begins jobs and says how they ended. The groups of a sweep are one kind of
job, the parts of a search that is split over workers another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

log = logging.getLogger("benchmarks")


@dataclass(frozen=True)
class Job:
    """Work for one process: `function(*args)`, with `found=` the values of `needs` by name where it has any.

    `function` stands in a module by its own name, so that a new interpreter finds it; arguments and value can be pickled. A job
    whose process dies is begun again: it must come to the same when it is done twice. `memory_mb` is what it takes of a GPU, where
    that was measured: an engine that places jobs by it gives the others a whole one.
    """

    name: str
    function: Callable[..., Any]
    args: tuple = ()
    needs: tuple[str, ...] = ()
    memory_mb: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a job ended: with its value, or with an error in a line. `died`: its process or its machine is gone, and nothing is known
    of what the job did."""

    job: Job
    value: Any = None
    error: str | None = None
    died: bool = False


class Engine(Protocol):
    """Begins jobs and says how they ended. `retries`: how often `work` begins a job again that died, alone; an engine that does so
    itself says 0."""

    retries: int

    def room(self) -> bool:
        """Whether a further job can begin now."""

    def begin(self, job: Job, found: dict[str, Any]) -> None:
        """Begin a job; `found` are the values of its needs. Returns at once."""

    def ended(self) -> list[Ended]:
        """Wait until at least one of the running jobs has ended. Raises nothing of theirs."""

    def close(self, now: bool = False) -> None:
        """Let go of every process; `now` also of those that work."""


def call(job: Job, found: dict[str, Any]) -> Any:
    """Do a job here."""
    return job.function(*job.args, found=found) if job.needs else job.function(*job.args)


def in_a_line(error: BaseException) -> str:
    """An exception as a record and a summary say it."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def work(engine: Engine, jobs: Sequence[Job], said: Callable[[Ended], None] = lambda ended: None) -> dict[str, Ended]:
    """Do every job, each once what it needs has ended well, in the order given where there is a choice. By name, how each ended.

    A job fails alone: only those that need it are not begun. One that died waits until the others that run have ended and is then
    begun again by itself, since what ended it may have been the memory of all of them. `said` hears of each end as it comes.
    Raises ValueError for jobs that cannot all be done: two of one name, an unknown need, a circle.
    """
    _possible(jobs)
    waiting, lost = list(jobs), []
    done: dict[str, Ended] = {}
    begun: dict[str, int] = {}
    running = 0

    def end(ended: Ended) -> None:
        done[ended.job.name] = ended
        said(ended)

    def begin(job: Job) -> None:
        nonlocal running
        begun[job.name] = begun.get(job.name, 0) + 1
        engine.begin(job, {name: done[name].value for name in job.needs})
        running += 1

    try:
        while waiting or running or lost:
            for job in list(waiting):
                if failed := next((n for n in job.needs if n in done and done[n].error), None):
                    waiting.remove(job)
                    end(Ended(job, error=f"not begun, since {failed} failed: {done[failed].error}"))
            if lost and not running:
                begin(lost.pop(0))
            elif not lost:
                for job in [j for j in waiting if all(n in done for n in j.needs)]:
                    if not engine.room():
                        break
                    waiting.remove(job)
                    begin(job)
            if not running:
                continue
            for ended in engine.ended():
                running -= 1
                times = begun[ended.job.name]
                if ended.died and times <= engine.retries:
                    log.warning("%s: %s (out of memory?); it is begun again, alone", ended.job.name, ended.error)
                    lost.append(ended.job)
                elif ended.died and times > 1:
                    often = "twice" if times == 2 else f"{times} times"
                    end(replace(ended, error=f"{ended.error} {often}; look at the system's log for what killed it"))
                else:
                    end(ended)
    except BaseException:
        engine.close(now=True)
        raise
    engine.close()
    return done


def _possible(jobs: Sequence[Job]) -> None:
    by_name = {job.name: job for job in jobs}
    if len(by_name) != len(jobs):
        raise ValueError("two jobs have the same name")
    for job in jobs:
        name, module = getattr(job.function, "__qualname__", "?"), getattr(job.function, "__module__", "?")
        if "<" in name or module == "__main__":
            raise ValueError(f"{job.name}: a new interpreter cannot find {module}.{name}; give a function of a module")
        if unknown := [n for n in job.needs if n not in by_name]:
            raise ValueError(f"{job.name} needs {unknown[0]}, which is no job")
    settled: set[str] = set()
    while len(settled) < len(jobs):
        free = {j.name for j in jobs if j.name not in settled and settled.issuperset(j.needs)}
        if not free:
            raise ValueError(f"jobs need each other in a circle: {', '.join(sorted(by_name.keys() - settled))}")
        settled |= free
