"""Comparing evaluations, paired by image: the numbers of `python -m benchmarks compare`. What is compared with what is `sides`' to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.board.pool import Pool, difference, pool, stack
from benchmarks.board.units import unit
from benchmarks.compare.sides import Pair
from benchmarks.errors import UsageError
from benchmarks.metrics.intervals import LEVEL, Estimate, holm, two_sided

ALIKE = 5e-7  # records hold six decimals: what differs by less is the same score
NOTHING, AFTER = "no difference shown", "no difference shown after the correction"


@dataclass(frozen=True)
class Row:
    """`a` minus `b` on one board, over the `seeds` that both have.

    mean_a, mean_b: means over these seeds and all images. estimate: the difference with its bootstrap interval, as on the board.
    p: of `two_sided`; holm: the same, corrected for all rows of the call. better, alike, worse: numbers of images, by each image's
    mean over seeds; better is better, whichever way the metric runs. scores: (2, images), each image's means over seeds of a and b.
    """

    pair: Pair
    metric: str
    seeds: tuple[int, ...]
    mean_a: float
    mean_b: float
    estimate: Estimate
    p: float
    holm: float
    better: int
    alike: int
    worse: int
    scores: np.ndarray

    @property
    def images(self) -> int:
        return self.better + self.alike + self.worse

    @property
    def shown(self) -> bool:
        """Whether a difference is shown: the interval is clear of zero, and the corrected p at most 0.05."""
        return not self.estimate.tie and self.holm <= 1 - LEVEL

    @property
    def verdict(self) -> str:
        if self.shown:
            gains = (self.estimate.value > 0) == unit(self.metric).higher
            return f"{self.pair.a.label if gains else self.pair.b.label} is better"
        return AFTER if not self.estimate.tie and self.p <= 1 - LEVEL else NOTHING


def rows(pairs: list[Pair], metric: str | None = None) -> tuple[Row, ...]:
    """A row for each pair. `metric` None is that of the pair's protocol.

    Raises UsageError where a pair lacks the metric, a common seed or common images: a comparison that was asked for is never left out.
    """
    measured = [_measured(pair, metric or pair.metric) for pair in pairs]
    tested = [two_sided(table_a - table_b) for _, _, table_a, table_b, _ in measured]
    found = []
    for pair, (name, seeds, a, b, estimate), p, corrected in zip(pairs, measured, tested, holm(tested)):
        scores = np.stack([a.mean(0), b.mean(0)])
        gains = (scores[0] - scores[1]) * (1 if unit(name).higher else -1)
        better, worse = int((gains > ALIKE).sum()), int((gains < -ALIKE).sum())
        alike = len(gains) - better - worse
        row = Row(pair, name, seeds, float(a.mean()), float(b.mean()), estimate, p, corrected, better, alike, worse, scores)
        found.append(row)
    return tuple(found)


def _measured(pair: Pair, metric: str) -> tuple[str, tuple[int, ...], np.ndarray, np.ndarray, Estimate]:
    """Metric, common seeds, scores (seeds, images) of a and of b in one order of images, and the difference."""
    sides = {}
    for key, side in (("a", pair.a), ("b", pair.b)):
        found = pool(list(side.records), metric).scores.get(side.name)
        if not found:
            has = sorted({m for r in side.records if (e := r.evaluation(side.name)) for m in e.scores})
            raise UsageError(
                f"{side.label} on {pair.where} has no {metric}; choose --metric from: {', '.join(has) or 'none measured'}"
            )
        sides[key] = found
    estimated = difference(Pool(metric, sides, {}, {}, ()), "a", "b")
    if estimated.estimate is None:
        reason = estimated.reason.removeprefix("not paired: ")
        reason = "no seed in common" if reason.startswith("no seed") else reason
        raise UsageError(
            f"{pair.a.label} and {pair.b.label} on {pair.where} cannot be paired: {reason}; run both on the same seeds and images"
        )
    seeds = estimated.seeds
    table = stack([sides[key][seed] for key in ("a", "b") for seed in seeds])
    return metric, seeds, table[: len(seeds)], table[len(seeds) :], estimated.estimate
