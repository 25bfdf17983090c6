"""What the records say of one cell of a table: a number with its interval, or why there is none."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from benchmarks.board.collect import REASONS, Board, Collection, boards
from benchmarks.board.pool import Difference, difference, interval, mean, pool, reference
from benchmarks.board.text import plain
from benchmarks.catalog import BACKBONES, DATASETS, SWAP
from benchmarks.metrics.intervals import Estimate
from benchmarks.protocols import rules_of
from benchmarks.records import Record

PRECISION = "float32"  # of a cell: the paper's, and what every number of another precision must not join


@dataclass(frozen=True)
class Place:
    """A cell: which run measures it, and by which metric."""

    dataset: str
    backbone: str
    method: str
    metric: str

    @property
    def protocol(self) -> str:
        return DATASETS.get(self.dataset).protocol

    @property
    def version(self) -> str:
        """The hash of the protocol as it is installed, for this dataset's task and this backbone's family."""
        return rules_of(DATASETS.get(self.dataset)).for_family(BACKBONES.get(self.backbone).family).hash


@dataclass(frozen=True)
class Number:
    """A measured cell, in the metric's own unit. `estimate` is None where the seeds have different test images; `gain` is what a
    row with swap has more than the same without, paired by image."""

    value: float
    estimate: Estimate | None
    seeds: tuple[int, ...]
    gain: Difference | None


class Evidence:
    """The records of a collection, by cell. A cell takes records of one tier, of the protocol's installed version, in float32."""

    def __init__(self, found: Collection):
        self._boards: dict[tuple, dict[Board, list[Record]]] = defaultdict(dict)
        for board, records in boards(found.kept).items():
            self._boards[board.tier, board.dataset, board.backbone][board] = records
        self._dropped = defaultdict(list)
        for item in found.dropped:
            if item.record is not None:
                spec = item.record.spec
                self._dropped[item.tier, spec.dataset, spec.backbone, spec.method, spec.protocol].append(item)

    def any(self, backbone: str, protocol: str) -> bool:
        """Whether some board of the protocol has this backbone."""
        return any(b.protocol == protocol for key, known in self._boards.items() if key[2] == backbone for b in known)

    def look(self, tier: str, place: Place) -> Number | str:
        """The number of a cell in a tier, or why there is none."""
        known = self._boards.get((tier, place.dataset, place.backbone), {})
        known = {b: r for b, r in known.items() if b.protocol == place.protocol and _holds(r, place)}
        right = [b for b in known if b.protocol_hash == place.version and b.precision == PRECISION]
        if right:  # of other weights or images of one name: the board that has more seeds of it, then the newer one
            board = max(right, key=lambda b: (len(_seeds(known[b], place)), max(r.started for r in known[b]), b.inputs))
            return _number(known[board], place)
        return self._why(tier, place, list(known))

    def _why(self, tier: str, place: Place, other: list[Board]) -> str:
        dropped = self._dropped.get((tier, place.dataset, place.backbone, place.method, place.protocol), [])
        for item in dropped:
            if item.reason == "failed":
                return f"failed, seed {item.record.spec.seed}: {plain(item.detail)}"
        if versions := sorted({b.protocol_hash[:8] for b in other if b.protocol_hash != place.version}):
            return f"records of another version of {place.protocol} alone ({', '.join(versions)}; it is now {place.version[:8]})"
        if precisions := sorted({b.precision for b in other}):
            return f"records of another precision alone ({', '.join(precisions)})"
        if dropped:
            return f"records that stand on no board: {REASONS[dropped[0].reason]}"
        return f"no {tier} record under {place.protocol}"


def _holds(records: list[Record], place: Place) -> bool:
    return any((e := r.evaluation(place.method)) is not None and place.metric in e.scores for r in records)


def _seeds(records: list[Record], place: Place) -> tuple[int, ...]:
    return tuple(pool(records, place.metric).scores.get(place.method, {}))


def _number(records: list[Record], place: Place) -> Number:
    pooled, name = pool(records, place.metric), place.method
    gain = difference(pooled, name, reference(name)) if name.endswith(SWAP) else None
    return Number(mean(pooled, name), interval(pooled, name), _seeds(records, place), gain)
