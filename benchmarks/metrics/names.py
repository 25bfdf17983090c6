"""The metrics by name: how they are written, in which unit, and which way is up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """`scale` and `digits` are those of a table: a value 0.6512 of scale 100 and two digits is shown as 65.12. A value lies between 0
    and `most`: a record whose scores do not was written in another unit."""

    name: str
    label: str
    higher_is_better: bool = True
    scale: float = 1.0
    digits: int = 3
    unit: str = ""
    most: float = 1.0

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is: a difference times this is a gain."""
        return 1 if self.higher_is_better else -1

    def fits(self, values: Iterable[float]) -> bool:
        """Whether values can be of this metric and in its unit."""
        return all(-SLACK <= x <= self.most + SLACK for x in values)


SLACK = 1e-3  # the cross-entropy of large logits in float32 can come out below 0
INFINITE = float("inf")
METRICS = {
    m.name: m
    for m in (
        Metric("miou", "mIoU", scale=100, digits=2, unit="points"),
        Metric("dice", "Dice", scale=100, digits=2, unit="points"),
        Metric("s_measure", "S-measure"),
        Metric("e_adaptive", "adaptive E-measure", most=2.0),  # its definition divides by one pixel less than there are
        Metric("e_mean", "mean E-measure", most=2.0),
        Metric("e_max", "max E-measure", most=2.0),
        Metric("weighted_f", "weighted F"),
        Metric("mae", "MAE", higher_is_better=False),
        Metric("mse", "MSE", higher_is_better=False, digits=4, unit="m²", most=INFINITE),
        Metric("rmse", "RMSE", higher_is_better=False, unit="m", most=INFINITE),
        Metric("abs_rel", "AbsRel", higher_is_better=False, most=INFINITE),
        Metric("delta1", "delta1"),
        Metric("delta2", "delta2"),
        Metric("delta3", "delta3"),
        Metric("accuracy", "accuracy", scale=100, digits=2, unit="points"),
        Metric("cross_entropy", "cross-entropy", higher_is_better=False, most=INFINITE),
    )
}
CURVE = "e_curve"  # the E-measure of an image at each of 256 thresholds


def finish(columns: dict[str, list]) -> dict[str, list[float]]:
    """Per-image columns with each curve turned into metrics.

    The maximal E-measure of a dataset is the mean curve's maximum, so `e_max` holds each image's value at the threshold where
    the mean over images is largest: its mean is the dataset's. `e_mean` is each curve's mean.
    """
    if CURVE not in columns:
        return columns
    curves = np.asarray(columns[CURVE], dtype=np.float64)
    best = int(curves.mean(0).argmax())
    made = {"e_mean": curves.mean(1).tolist(), "e_max": curves[:, best].tolist()}
    return {name: values for name, values in columns.items() if name != CURVE} | made
