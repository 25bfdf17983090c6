"""A record's run, done again from nothing, and its scores held against the record's: what no look at a record can replace."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import device, threads
from benchmarks.board.text import plain
from benchmarks.catalog import SWAP
from benchmarks.errors import BenchmarkError
from benchmarks.files import home
from benchmarks.metrics.names import METRICS
from benchmarks.options import Options
from benchmarks.plan import Plan, Request, plan
from benchmarks.records import Record
from benchmarks.runner import run
from benchmarks.validation.findings import Fault, Found, Note

# On another kind of machine or with other versions of the libraries, sums are rounded otherwise and a few pixels fall on the other side of
# a cut; where training is between, more. Bounds of the mean of an evaluation, in the unit of scores of 0 to 1. They are generous: on sam-mini,
# between two sets of CPU instructions and versions of the code, of 1,000 scores at most 2 moved, by 0.0004 at most, training included.
BOUND_BARE, BOUND_TRAINED = 0.002, 0.02
CURE = "ask the sender how it was made; a record that cannot be made again is not taken"


@dataclass(frozen=True)
class Outcome:
    """What a run done again found: faults and notes, and a line that says how near it came."""

    found: tuple[Found, ...]
    line: str


def rerun(path: str, record: Record, count: int | None = None, method: str | None = None) -> Outcome:
    """Do a record's run again, in an empty temporary home that shares weights and data alone: nothing that was kept is read.

    `method` names the method where it comes from a file. The record's own command is never executed. On the same platform (device,
    libraries, code) every score must be equal; on another, the mean of each evaluation within a bound.
    """
    try:
        with _empty_home():
            p = _plan(record, method)
            if reason := _others(p, record):
                return Outcome(
                    (Fault("rerun", reason, "check out the commit that the record names, then validate --rerun", path),),
                    "not run",
                )
            with tempfile.TemporaryDirectory(prefix="chanswap-rerun-") as folder:
                again = run(p, Path(folder) / "record.json", threads.choose(count))
    except BenchmarkError as error:
        return Outcome(
            (Fault("rerun", f"it cannot be run here: {plain(error)}", "mend that, then validate --rerun", path),), "not run"
        )
    if again.status == "failed":
        return Outcome((Fault("rerun", f"run again, it failed: {plain(again.error)}", CURE, path),), "failed")
    return compared(path, record, again)


def compared(path: str, record: Record, again: Record) -> Outcome:
    """The record against the same run done again."""
    others = _platform(record, again)
    found: list[Found] = []
    worst, unequal, total = 0.0, 0, 0
    for e in record.evaluations:
        other = again.evaluation(e.name)
        for metric, values in e.scores.items():
            if other is None or metric not in other.scores:
                found.append(Fault("rerun", f"{plain(e.name)}, {plain(metric)}: run again, it is not measured", CURE, path))
                continue
            if again.images != record.images or len(values) != len(record.images):
                found.append(Fault("rerun", f"{plain(e.name)}, {plain(metric)}: run again, it has other images", CURE, path))
                continue
            gaps = np.array(values) - np.array(other.scores[metric])
            worst, unequal, total = max(worst, float(abs(gaps).max())), unequal + int((gaps != 0).sum()), total + len(gaps)
            found += _judged(path, record, e.name, metric, gaps, np.array(values), others)
    if record.search and again.search and not others:
        for part in ("pairs", "base_score", "search_gain"):
            if getattr(record.search, part) != getattr(again.search, part):
                found.append(Fault("rerun", f"the search, done again, comes to another {part.replace('_', ' ')}", CURE, path))
    if record.trainable != again.trainable:
        found.append(Fault("rerun", "another number of parameters is trained", CURE, path))
    where = f"another platform ({', '.join(others)})" if others else "the same platform"
    line = f"{unequal:,} of {total:,} scores differ, by up to {worst:.3g}; {where}"
    if others:
        found.append(Note("rerun", f"run again on {where}: scores are held to a bound and not to equality", path))
    return Outcome(tuple(found), line)


def _judged(
    path: str, record: Record, name: str, metric: str, gaps: np.ndarray, values: np.ndarray, others: list[str]
) -> Iterator[Found]:
    where = f"{plain(name)}, {plain(metric)}"
    if not others:
        if (wrong := int((gaps != 0).sum())) > 0:
            what = f"{where}: {wrong} of {len(gaps)} scores differ, by up to {abs(gaps).max():.3g}, on the same platform"
            yield Fault("rerun", what, CURE, path)
        return
    bound = BOUND_BARE if record.spec.method.removesuffix(SWAP) == "base" or name.startswith("base") else BOUND_TRAINED
    scale = 1.0 if metric in METRICS and METRICS[metric].highest is not None else max(abs(values).mean(), 1e-12)
    if abs(gaps.mean()) > bound * scale:
        what = f"{where}: the mean differs by {abs(gaps.mean()):.3g}; between platforms at most {bound * scale:.3g} is taken"
        yield Fault("rerun", what, CURE, path)


def _platform(a: Record, b: Record) -> list[str]:
    """In which ways two records' platforms differ."""
    one, other = a.environment, b.environment
    found = ["device"] if (one.device, one.platform) != (other.device, other.platform) else []
    if a.code != b.code:
        changed = [n for n in other.packages if one.packages.get(n) != other.packages[n]]
        found.append("code" + (f" or versions of {', '.join(changed)}" if changed else ""))
    return found


def _plan(record: Record, method: str | None) -> Plan:
    how, spec = record.training, record.spec
    options = Options(how.micro_batch, how.activation_checkpointing, how.loaders) if how else Options()
    name = f"{method}{SWAP if spec.method.endswith(SWAP) else ''}" if method else spec.method
    return plan(
        Request(spec.task, name, spec.protocol, spec.dataset, spec.backbone, spec.limit, device.resolve("auto"), spec.precision,
                options, strategy=record.protocol.get("strategy")),
        spec.seed,
    )  # fmt: skip


def _others(p: Plan, record: Record) -> str | None:
    """Why the plan is of another run than the record's."""
    differing = [
        name
        for name, mine, theirs in (
            ("specification", p.spec, record.spec),
            ("protocol", p.protocol.hash, record.protocol_hash),
            ("weights", {p.backbone.name: p.weights}, record.weights),
            ("images", p.data, record.data),
            ("method's source", p.origin.sha256 if p.origin else None, record.origin.sha256 if record.origin else None),
        )
        if mine != theirs
    ]
    return f"here is another {' and '.join(differing)} than it ran with" if differing else None


@contextmanager
def _empty_home() -> Iterator[None]:
    """A home without kept stages: weights and data are those of the real one."""
    real, before = home(), os.environ.get("CHANSWAP_HOME")
    with tempfile.TemporaryDirectory(prefix="chanswap-home-") as folder:
        for part in ("weights", "data"):
            (real / part).mkdir(parents=True, exist_ok=True)
            (Path(folder) / part).symlink_to((real / part).resolve(), target_is_directory=True)
        os.environ["CHANSWAP_HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["CHANSWAP_HOME"]
            else:
                os.environ["CHANSWAP_HOME"] = before
