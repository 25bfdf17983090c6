"""Scalars of a run for TensorBoard or Weights & Biases. It can cost a run nothing: whatever fails is said once, and left out.

What is logged: how far each stage is while it runs, the losses when training ends, the gains of the best pairs when the search
ends, and at the end every metric and difference of the record, with its specification as hyperparameters.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.files import home
from benchmarks.plan import Plan
from benchmarks.progress import heard
from benchmarks.records import Record, Search
from benchmarks.runner import run
from benchmarks.tracking.backends import BACKENDS, Backend

log = logging.getLogger("benchmarks")
EVERY = 1.0  # seconds between two points of a stage's progress: more would be a file of nothing else


@dataclass
class Tracker:
    """The logs of one run. Its calls never raise: a backend that fails is dropped with a line of warning."""

    backends: list[Backend]
    _said: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, names: Iterable[str], p: Plan) -> Tracker:
        tracker = cls([])
        for name in dict.fromkeys(names):
            if (backend := _tried(name, partial(BACKENDS[name], folder(name), run_name(p)))) is not None:
                tracker.backends.append(backend)
        return tracker

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._each(lambda b: b.scalar(tag, float(value), step))

    def progress(self, name: str, done: int, total: int) -> None:
        """A stage's share of its work, at most once a second and at its end."""
        now = time.monotonic()
        if done >= total or now - self._said.get(name, -EVERY) >= EVERY:
            self._said[name] = now
            self.scalar(f"progress/{name}", done / max(total, 1), done)

    def losses(self, values: list[float]) -> None:
        for epoch, value in enumerate(values, 1):
            self.scalar("train/loss", value, epoch)

    def search(self, found: Search) -> None:
        """The best single pairs by rank, and what the chosen swap gained on the search set."""
        for rank, pair in enumerate(found.kept, 1):
            self.scalar("search/gain of kept pair", pair.gain, rank)
        self.scalar("search/gain", found.search_gain, found.evaluations)

    def end(self, record: Record | None) -> None:
        """Close the logs: with all that the record states, or of a run that was stopped as it is."""
        if record is not None:
            metrics = {f"test/{e.name}/{m}": v.value for e in record.evaluations for m, v in e.metrics.items()}
            metrics |= {f"difference/{c.a} - {c.b}/{c.metric}": c.difference for c in record.comparisons}
            settings = {k: v for k, v in record.spec.model_dump().items() if v is not None}
            settings |= {"protocol_version": record.protocol_hash[:8], "status": record.status}
            self._each(lambda b: b.summary(settings, metrics))
        self._each(lambda b: b.close())

    def _each(self, call: Callable[[Backend], None]) -> None:
        self.backends = [b for b in self.backends if _tried(b.name, lambda b=b: (call(b), b)[1]) is not None]


def tracked(names: Iterable[str], p: Plan, path: Path, threads: int) -> Record:
    """`runner.run`, logged where there are names. Raises what it raises."""
    if not (names := tuple(names)):
        return run(p, path, threads)
    from benchmarks.tracking.bench import TrackedWorkbench

    tracker, record = Tracker.begin(names, p), None
    try:
        with heard(tracker.progress):
            record = run(p, path, threads, partial(TrackedWorkbench, tracker=tracker))
        return record
    finally:
        tracker.end(record)


def folder(name: str) -> Path:
    """Where a backend keeps its files."""
    return home() / "logs" / name


def run_name(p: Plan) -> str:
    """As the record's file: every specification and version has a name of its own."""
    return Path(p.file_name).stem


def _tried(name: str, call: Callable):
    """What `call` gives; None where it fails, which is said. Only the user's own interrupt goes through."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except ImportError as error:
        log.warning("--log %s: not logged (%s); pip install %s for the next time, the run goes on", name, _line(error), name)
    except BaseException as error:  # some of these packages end the process where they are not content
        log.warning("--log %s: no longer logged (%s); the run goes on", name, _line(error))
    return None


def _line(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else f"{text[:197]}..."
