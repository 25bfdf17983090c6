"""Read a results folder: which records stand on a board, and why the others do not."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path

from benchmarks.errors import InvalidRecord, MissingData
from benchmarks.hashes import hash_of
from benchmarks.records import Record, read

EMBEDDED = "Embedded suite (generated images, small checkpoint). These numbers never stand in the paper's tables."
TIERS = ("verified", "community")
TIER_MEANS = {
    "verified": "run from a clean tree, on the full test set; a note names the seeds of the protocol that are missing",
    "community": "any other run, your own or one that was sent in, without what verified asks for",
}
REASONS = {  # in the order in which they are tried and shown
    "invalid": "not a valid record",
    "failed": "the run failed",
    "limited": "ran on part of the test set",
    "marked": "marked by the runner as not comparable",
    "not verified": "in the verified tier, but not from a tree that is known to be clean",
    "duplicate": "an older run of the same specification and protocol",
    "other version": "of another version of a method from outside than its newest run",
}


@dataclass(frozen=True)
class Kept:
    """A record that stands on a board. `path` is relative to the results folder, with forward slashes."""

    path: str
    tier: str
    record: Record

    @cached_property
    def board(self) -> Board:
        return board_of(self.record, self.tier)


@dataclass(frozen=True)
class Dropped:
    """A file that does not. `reason` is a key of REASONS; `record` is None where the file could not be read."""

    path: str
    tier: str
    reason: str
    detail: str
    record: Record | None = None


@dataclass(frozen=True)
class Collection:
    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True)
class Board:
    """What must be equal for two records to be compared. Another protocol hash, precision or tier is another board."""

    protocol: str
    dataset: str
    tier: str
    task: str
    backbone: str
    precision: str
    protocol_hash: str
    inputs: str  # of weights and images: a retrained checkpoint or changed images never join the old ones

    @property
    def model(self) -> str:
        """The backbone, with its precision where that is not the usual."""
        return self.backbone + (f", {self.precision}" if self.precision != "float32" else "")

    @property
    def order(self) -> tuple:
        """The order of boards on a page: verified before community."""
        return (self.protocol, self.dataset, TIERS.index(self.tier), self.task, self.backbone, self.precision, self.protocol_hash)

    @property
    def rules(self) -> tuple:
        """All but the inputs, which a run that failed early does not know."""
        return (self.protocol, self.dataset, self.tier, self.task, self.backbone, self.precision, self.protocol_hash)


def embedded(protocol: str) -> bool:
    """Whether a protocol is of the embedded suite, whose numbers stand apart from those of the paper's protocols."""
    return protocol.startswith("mini")


def collect(results: Path) -> Collection:
    """Read `verified/` and `community/` under `results`. No file can stop it: a bad one is dropped with its reason.

    Raises MissingData when `results` is no folder.
    """
    results = Path(results)
    if not results.is_dir():
        raise MissingData(f"no results folder at {results}: run `python -m benchmarks run` first, or name the right folder")
    kept, dropped = [], []
    for tier in TIERS:
        for name in _files(results, tier):
            path = f"{results}/{name}"
            try:
                record = read(path)
            except Exception as error:  # noqa: BLE001 - one damaged file, however damaged, must not hide the others
                known = isinstance(error, InvalidRecord)
                detail = str(error) if known else f"{type(error).__name__}: {error}"
                dropped.append(Dropped(name, tier, "invalid", detail.removeprefix(f"{path}: ")))
                continue
            reason = fault(record, tier)
            if reason:
                dropped.append(Dropped(name, tier, *reason, record))
            else:
                kept.append(Kept(name, tier, record))
    kept, older = current(kept)
    return Collection(tuple(kept), tuple(sorted(dropped + older, key=lambda d: d.path)))


def current(kept: list[Kept]) -> tuple[list[Kept], list[Dropped]]:
    """Those that stand beside each other: the newest run of each specification, and of a method from outside one version."""
    kept, older = _newest(kept)
    kept, others = _one_version(kept)
    return kept, older + others


def _files(results: Path, tier: str) -> list[str]:
    """All that is called .json below a tier, relative to the results folder, in the order of folders and names."""
    found = []
    for folder, folders, files in os.walk(results / tier):
        place = Path(folder).relative_to(results).as_posix()
        found += [f"{place}/{name}" for name in [*folders, *files] if name.endswith(".json")]
    return sorted(found, key=lambda name: name.split("/"))


def boards(kept: tuple[Kept, ...]) -> dict[Board, list[Record]]:
    """The kept records, by board, in a fixed order."""
    groups = defaultdict(list)
    for item in sorted(kept, key=lambda k: k.path):
        groups[item.board].append(item.record)
    return dict(sorted(groups.items(), key=lambda g: g[0].order))


def board_of(record: Record, tier: str) -> Board:
    spec = record.spec
    return Board(
        spec.protocol, spec.dataset, tier, spec.task, spec.backbone, spec.precision, record.protocol_hash, inputs_of(record)
    )


def inputs_of(record: Record) -> str:
    return _hashed(tuple(record.weights.items()), record.data)


@lru_cache(maxsize=4096)
def _hashed(weights: tuple[tuple[str, str], ...], data: str) -> str:
    return hash_of([dict(weights), data])[:8]


def fault(record: Record, tier: str) -> tuple[str, str] | None:
    """None where a board takes the record, else a key of REASONS and the detail."""
    if record.status == "failed":
        return "failed", record.error
    if record.spec.limit is not None:  # before the marks, because the runner marks a limited record too
        return "limited", "; ".join(record.marks) or f"at most {record.spec.limit} test images"
    if record.marks:
        return "marked", "; ".join(record.marks)
    if not record.evaluations or not record.images:
        return "invalid", "status is done, but nothing was evaluated"
    if tier == "verified" and record.environment.dirty is not False:
        known = "it ran with uncommitted changes" if record.environment.dirty else "it is unknown whether its tree was clean"
        return "not verified", known
    return None


def _newest(kept: list[Kept]) -> tuple[list[Kept], list[Dropped]]:
    """Of the runs of one specification, protocol and tier, the one that started last; the others as dropped."""
    runs = defaultdict(list)
    for item in kept:
        made_by = item.record.origin and (
            item.record.origin.place,
            item.record.origin.sha256,
        )  # the next step tells versions apart
        runs[item.tier, item.record.spec_hash, item.record.protocol_hash, inputs_of(item.record), made_by].append(item)
    newest, older = [], []
    for items in runs.values():
        *rest, last = sorted(items, key=lambda k: (_moment(k.record.started), k.path))
        newest.append(last)
        older += [Dropped(k.path, k.tier, "duplicate", f"{last.path} is newer", k.record) for k in rest]
    return sorted(newest, key=lambda k: k.path), older


def _one_version(kept: list[Kept]) -> tuple[list[Kept], list[Dropped]]:
    """Of a method from outside, the runs of the version that ran last: two versions are two methods of one name."""
    methods = defaultdict(list)
    for item in kept:
        methods[item.board, item.record.spec.method.removesuffix("+swap")].append(item)
    same, others = [], []
    for items in methods.values():
        last = max(items, key=lambda k: (_moment(k.record.started), k.path))
        for item in items:
            if item.record.origin == last.record.origin:
                same.append(item)
            else:
                others.append(Dropped(item.path, item.tier, "other version", f"{last.path} is newer", item.record))
    return sorted(same, key=lambda k: k.path), others


def _moment(started: str) -> float:
    """Seconds since 1970, so that two time zones compare; a time without a zone is UTC, an unreadable one is oldest."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return float("-inf")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
