"""The metrics by name: how they are written, in which unit, and which way is up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """`scale` and `digits` are those of a table: a value 0.6512 of scale 100 and two digits is shown as 65.12. `highest`: no score of
    an image is above it, None where there is no such number; the lowest is 0 for all."""

    name: str
    label: str
    higher_is_better: bool = True
    scale: float = 1.0
    digits: int = 3
    unit: str = ""
    highest: float | None = 1.0

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is: a difference times this is a gain."""
        return 1 if self.higher_is_better else -1

    def fits(self, values: Sequence[float]) -> bool:
        """Whether values can be of this metric and in its unit."""
        most = float("inf") if self.highest is None else self.highest + SLACK
        return not values or (-SLACK <= min(values) and max(values) <= most)


# The field divides a sum over N pixels by N - 1: perfect maps of a few thousand pixels are a little better than 1.
_NEARLY_ONE = 1.001
_E = 2.0  # of the E-measure, whose sum is divided by one pixel less: two pixels count twice

SLACK = 1e-3  # the cross-entropy of large logits in float32 can come out below 0

METRICS = {
    m.name: m
    for m in (
        Metric("miou", "mIoU", scale=100, digits=2, unit="points"),
        Metric("dice", "Dice", scale=100, digits=2, unit="points"),
        Metric("s_measure", "S-measure", highest=_NEARLY_ONE),
        Metric("e_adaptive", "adaptive E-measure", highest=_E),
        Metric("e_mean", "mean E-measure", highest=_E),
        Metric("e_max", "max E-measure", highest=_E),
        Metric("weighted_f", "weighted F"),
        Metric("mae", "MAE", higher_is_better=False),
        Metric("mse", "MSE", higher_is_better=False, digits=4, unit="m²", highest=None),
        Metric("rmse", "RMSE", higher_is_better=False, unit="m", highest=None),
        Metric("abs_rel", "AbsRel", higher_is_better=False, highest=None),
        Metric("delta1", "delta1"),
        Metric("delta2", "delta2"),
        Metric("delta3", "delta3"),
        Metric("accuracy", "accuracy", scale=100, digits=2, unit="points"),
        Metric("cross_entropy", "cross-entropy", higher_is_better=False, highest=None),
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
