"""What an export takes from the records: the chosen boards, and a row of numbers for each evaluation and metric."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.board.collect import TIERS, Board, boards, collect
from benchmarks.board.pool import Difference, Pool, difference, interval, mean, metrics_of, ordered, pool, reference
from benchmarks.errors import MissingData
from benchmarks.metrics.intervals import Estimate
from benchmarks.records import Record


@dataclass(frozen=True)
class Choice:
    """Which boards are exported. None means all; the tier is one of TIERS or "all"."""

    task: str | None = None
    dataset: str | None = None
    backbone: str | None = None
    tier: str = "verified"

    def takes(self, board: Board) -> bool:
        named = ((self.task, board.task), (self.dataset, board.dataset), (self.backbone, board.backbone))
        return self.tier in ("all", board.tier) and all(wanted in (None, is_) for wanted, is_ in named)


@dataclass(frozen=True)
class Row:
    """One evaluation by one metric, over the seeds that were run. Values are as records hold them: mIoU 0.65, not 65.

    `estimate` is None where the seeds have different test images; `compared` names what `against` is a difference to.
    """

    evaluation: str
    role: str
    metric: str
    mean: float
    estimate: Estimate | None
    seeds: tuple[int, ...]
    images: int
    compared: str | None = None
    against: Difference = field(default_factory=Difference)


def chosen(results: Path, choice: Choice) -> dict[Board, list[Record]]:
    """The boards that a choice names, in their fixed order. Raises MissingData, saying what there is, where it names none."""
    every = boards(collect(results).kept)
    found = {board: records for board, records in every.items() if choice.takes(board)}
    if not found:
        there = sorted({(TIERS.index(b.tier), b.task, b.dataset, b.backbone) for b in every})
        listed = "; ".join(f"{TIERS[t]}: {task}, {dataset}, {backbone}" for t, task, dataset, backbone in there[:12])
        raise MissingData(
            f"no board of that choice in {results}; "
            + (f"there are {listed}{' and more' if len(there) > 12 else ''}" if every else "run something first")
        )
    return found


def rows(records: list[Record], only: str | None = None) -> Iterator[Row]:
    """Every evaluation of one board by every metric, the protocol's first; of the evaluation `only` alone where it is named."""
    for metric in metrics_of(records):
        pooled = pool(records, metric)
        for name in ordered(n for n in pooled.scores if only in (None, n)):
            yield row(pooled, name)


def row(pooled: Pool, name: str) -> Row:
    scores, other = pooled.scores[name], reference(name)
    return Row(
        name,
        pooled.roles[name],
        pooled.metric,
        mean(pooled, name),
        interval(pooled, name),
        tuple(scores),
        len(next(iter(scores.values())).images),
        other,
        difference(pooled, name, other) if other else Difference(),
    )
