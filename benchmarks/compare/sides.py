"""What a word of `compare` means: the evaluation of a name on every board, a record file, or a folder of records."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.board.collect import TIERS, Board, board_of, boards, collect, fault
from benchmarks.board.pool import metrics_of, ordered
from benchmarks.board.text import plain
from benchmarks.errors import UsageError, some
from benchmarks.records import Record, read

NARROW = "--task, --dataset, --backbone, --protocol or --tier"


@dataclass(frozen=True)
class Wanted:
    """Which boards count, as the flags say; None is any. The tier is that of names: a file is where it is."""

    task: str | None = None
    dataset: str | None = None
    backbone: str | None = None
    protocol: str | None = None
    tier: str | None = None

    def takes(self, board: Board, files: bool = False) -> bool:
        fields = {name: value for name, value in vars(self).items() if value is not None and not (files and name == "tier")}
        return all(getattr(board, name) == value for name, value in fields.items())


@dataclass(frozen=True)
class Side:
    """One evaluation on one board, from the board's records or from named files. `files`: it was named by a path."""

    label: str
    name: str
    board: Board
    records: tuple[Record, ...]
    files: bool = False


@dataclass(frozen=True)
class Pair:
    """Two evaluations that may be compared."""

    a: Side
    b: Side

    @property
    def where(self) -> str:
        board = self.a.board
        return f"{board.dataset} with {board.backbone}"

    @property
    def tier(self) -> str:
        a, b = self.a.board.tier, self.b.board.tier
        return a if a == b else f"{a} against {b}"

    @property
    def metric(self) -> str:
        """That of the protocol."""
        return metrics_of(list(self.a.records))[0]


def pairs(words: list[str], results: Path, wanted: Wanted, every: bool = False) -> tuple[list[Pair], list[str]]:
    """The first word against each other one, or `every` two of them: a pair for each board on which both exist; and what had to be
    left out, a sentence each.

    Raises UsageError where a word means nothing or too much, or where two words have no board in common; it says what differs.
    """
    bare = [w for w in words if "/" not in w and not w.endswith(".json")]
    known = boards(collect(results).kept) if any(not Path(w).is_dir() for w in bare) or (bare and results.is_dir()) else {}
    sides = {word: _sides(word, known, wanted) for word in words}
    if len(sides) < len(words):
        raise UsageError("a name stands twice; compare different ones")
    found, left_out = [], []
    for k, first in enumerate(words[:-1] if every else words[:1]):
        for second in words[k + 1 :]:
            joined, apart = _joined(sides[first], sides[second])
            if not joined:
                raise UsageError(_nothing(first, second, sides, apart))
            found += joined
            left_out += apart
    return found, left_out


def _path(word: str) -> tuple[Path, str | None] | None:
    """The file or folder that a word names, with the evaluation after a colon; None where it is a name."""
    place, colon, name = word.rpartition(":")
    for path, evaluation in ((Path(word), None), *([(Path(place), name)] if colon else [])):
        if path.is_dir() or (path.suffix == ".json" and path.is_file()):
            return path, evaluation
    if word.endswith(".json") or "/" in word:
        raise UsageError(f"there is no record or folder {plain(word)}; a name is without slashes, such as dora+swap")
    return None


def _sides(word: str, known: dict[Board, list[Record]], wanted: Wanted) -> list[Side]:
    every = {e.name for records in known.values() for r in records for e in r.evaluations}
    if word not in every and (path := _path(word)) is not None:  # a folder that is named as a method is meant by ./NAME
        return _from_files(word, *path, wanted)
    found = [
        Side(word, word, board, tuple(records))
        for board, records in known.items()
        if wanted.takes(board) and any(r.evaluation(word) for r in records)
    ]
    if word not in every:
        near = difflib.get_close_matches(word, every, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(plain, near))}?" if near else f"there are: {_names(every)}"
        raise UsageError(f"no record holds an evaluation named {plain(word)}; {hint}")
    if not found:
        there = [_named(b) for b, records in known.items() if any(r.evaluation(word) for r in records)]
        raise UsageError(f"{plain(word)} is on no board that the flags leave; it is on: {some(there, 8)}")
    return found


def _from_files(word: str, path: Path, evaluation: str | None, wanted: Wanted) -> list[Side]:
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))
    if not files:
        raise UsageError(f"there is no record in {plain(word)}; name a folder that holds record files")
    groups: dict[Board, list[Record]] = {}
    for file in files:
        record = read(file)
        tier = next((part for part in reversed(file.resolve().parts) if part in TIERS), "file")
        reason = fault(record, tier)
        if reason and reason[0] in ("failed", "invalid"):
            raise UsageError(f"{plain(file)} has nothing to compare: {plain(reason[1])}; run it again")
        groups.setdefault(board_of(record, tier), []).append(record)
    methods = {r.spec.method for records in groups.values() for r in records}
    if evaluation is None and len(methods) > 1:
        raise UsageError(f"{plain(word)} holds {_names(methods)}; say which, such as {plain(word)}:{plain(min(methods))}")
    name = evaluation or methods.pop()
    groups = {board: records for board, records in groups.items() if any(r.evaluation(name) for r in records)}
    if not groups:
        raise UsageError(f"{plain(word)} holds no evaluation named {plain(name)}; a record's own are listed by: show FILE")
    left = [
        Side(word, name, board, tuple(records), files=True)
        for board, records in groups.items()
        if wanted.takes(board, files=True)
    ]
    if not left:
        raise UsageError(f"{plain(word)} is of {some(map(_named, groups), 4)}, which the flags leave out; drop a flag")
    # Two runs of one specification in a folder would count as one seed.
    for side in left:
        seeds = [r.spec.seed for r in side.records if r.spec.method in (name, *methods) or r.evaluation(name)]
        if evaluation is None and len(set(seeds)) < len(seeds):
            raise UsageError(f"{plain(word)} holds a seed of {plain(name)} twice; name one record of each seed")
    return left


def _joined(a: list[Side], b: list[Side]) -> tuple[list[Pair], list[str]]:
    """The pairs, and for sides of one dataset and backbone that may not be compared, the reason."""
    found, apart = [], []
    for one in a:
        alike = [other for other in b if _subject(one.board) == _subject(other.board)]
        reasons = {id(other): _differences(one, other) for other in alike}
        fitting = [other for other in alike if not reasons[id(other)]]
        if len(fitting) > 1:
            where = ", ".join(sorted(plain(o.board.tier) for o in fitting))
            raise UsageError(f"{plain(fitting[0].label)} is on {_named(one.board)} in several tiers: {where}; add --tier")
        found += [Pair(one, other) for other in fitting]
        if not fitting:
            apart += [
                f"{plain(one.label)} and {plain(other.label)} on {plain(one.board.dataset)}: {'; '.join(reasons[id(other)])}"
                for other in alike
            ]
    return found, apart


def _subject(board: Board) -> tuple:
    return board.task, board.dataset, board.backbone


def _differences(a: Side, b: Side) -> list[str]:
    """What keeps two sides of one dataset and backbone apart; names are looked up within one tier, files may be of two."""
    one, other = a.records[0], b.records[0]
    found = []
    if one.protocol_hash != other.protocol_hash:
        found.append(f"protocol versions differ ({_versions(one, other)})")
    if a.board.precision != b.board.precision:
        found.append(f"precisions differ ({plain(a.board.precision)} and {plain(b.board.precision)})")
    if one.weights != other.weights:
        found.append(f"weights differ ({_short(one.weights)} and {_short(other.weights)})")
    if one.data != other.data:
        found.append(f"images differ (data {plain(one.data[:8])} and {plain(other.data[:8])})")
    if not (a.files or b.files) and a.board.tier != b.board.tier:
        found.append(
            f"tiers differ ({a.board.tier} and {b.board.tier}), which are compared only where the records are named by path"
        )
    return found


def _versions(one: Record, other: Record) -> str:
    """`mini-v1 7b3eb69f and a73005ce: train_images 250 and 200`."""
    absent = object()
    keys = [
        k for k in dict.fromkeys([*one.protocol, *other.protocol]) if one.protocol.get(k, absent) != other.protocol.get(k, absent)
    ]
    said = [f"{k} {json.dumps(one.protocol.get(k))} and {json.dumps(other.protocol.get(k))}" for k in keys]
    names = f"{one.spec.protocol} {one.protocol_hash[:8]} and {other.spec.protocol} {other.protocol_hash[:8]}"
    return plain(f"{names}: {some(said)}")


def _short(weights: dict[str, str]) -> str:
    return plain(", ".join(f"{name} {digest[:8]}" for name, digest in weights.items()) or "not stated")


def _nothing(first: str, second: str, sides: dict[str, list[Side]], apart: list[str]) -> str:
    if apart:
        return f"may not be compared: {some(apart)}; run one of them again as the other was, or narrow by {NARROW}"
    there = [f"{plain(w)} is on {some([_named(s.board) for s in sides[w]], 6)}" for w in (first, second)]
    return f"{plain(first)} and {plain(second)} have no board in common: {'; '.join(there)}; run the one that is missing"


def _named(board: Board) -> str:
    precision = f", {board.precision}" if board.precision != "float32" else ""
    return plain(f"{board.dataset} ({board.tier}, {board.backbone}{precision}, {board.protocol} {board.protocol_hash[:8]})")


def _names(names) -> str:
    return plain(some(map(plain, ordered(names)), 12))
