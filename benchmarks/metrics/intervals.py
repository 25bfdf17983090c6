"""Bootstrap intervals over images and seeds: pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 10_000  # the 2.5 % point of a normal mean is then known to about 2 % of the interval's width
LEVEL = 0.95
# Student's t at 97.5 % for 1, 2, ... degrees of freedom; the last is the normal's, near enough from 30 on.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 1.960,
)  # fmt: skip
_CHUNK = 1_000  # draws at a time: 1,000 x 500 images x 8 bytes = 4 MB


@dataclass(frozen=True)
class Estimate:
    """A mean with its percentile interval and the two-sided p-value of the mean being zero."""

    value: float
    low: float
    high: float
    p: float

    @property
    def tie(self) -> bool:
        """True where zero lies inside the interval (or within rounding of it): no difference is shown."""
        return self.low <= 1e-12 and self.high >= -1e-12


def bootstrap(values, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Percentile bootstrap of the mean of `values`, (images,) or (seeds, images), resampling both axes.

    One image keeps its scores of all seeds together and one seed those of all images: the crossed ("pigeonhole") bootstrap
    of Owen (2007). Three seeds say little about the spread of seeds, and a plain bootstrap of them is far too sure: the
    seeds' deviations are first widened to Student's t with seeds - 1 degrees of freedom. With one seed only images are
    resampled. The draws come from PCG64's raw stream, so a given `seed` makes the same interval everywhere.
    Raises ValueError for an empty or non-finite array.
    """
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"need a finite, non-empty (images,) or (seeds, images) array, got shape {np.shape(values)}")
    seeds, images = table.shape
    mean = table.mean()
    if seeds > 1:
        widened = _T[min(seeds - 1, len(_T)) - 1] / _T[-1] * np.sqrt(seeds / (seeds - 1))
        table = table + (widened - 1) * (table.mean(1, keepdims=True) - mean)
    raw = np.random.PCG64(seed)
    means = np.empty(draws)
    for start in range(0, draws, _CHUNK):
        count = min(_CHUNK, draws - start)
        by_image, by_seed = _shares(raw, count, images), _shares(raw, count, seeds)
        means[start : start + count] = ((by_seed @ table) * by_image).sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # Adding one keeps p above zero: that no draw crossed zero does not make it impossible.
    p = 2 * (1 + min(int((means <= 0).sum()), int((means >= 0).sum()))) / (draws + 1)
    return Estimate(float(mean), float(low), float(high), min(1.0, p))


def _shares(raw: np.random.PCG64, draws: int, of: int) -> np.ndarray:
    """(draws, of): in each draw, the share of each thing when `of` things are drawn with replacement."""
    picked = ((raw.random_raw(draws * of) >> np.uint64(32)) * np.uint64(of) >> np.uint64(32)).astype(np.int64)
    rows = np.repeat(np.arange(draws) * of, of)
    return np.bincount(rows + picked, minlength=draws * of).reshape(draws, of) / of


def paired(a, b, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """`bootstrap` of a - b, which must have one shape and one order of images. Raises ValueError otherwise."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired scores differ in shape: {a.shape} and {b.shape}")
    return bootstrap(a - b, draws, seed)
