"""The camouflage field's measures of one map against one mask, equal to those of `pysodmetrics` on the same 8-bit maps.

S-measure: Fan et al. 2017 (arXiv 1708.00786). E-measure: Fan et al. 2018 (arXiv 1805.10421). Weighted F: Margolin et al. 2014.
That package would hold NumPy back, so it is the tests' oracle and no dependency.
"""

from __future__ import annotations

import numpy as np

EPS = np.spacing(1)
LEVELS = 256


def normalised(grey: np.ndarray) -> np.ndarray:
    """A map (H, W) uint8 stretched to 0..1, as the field does before it measures; a constant map is only divided by 255."""
    pixels = grey / 255
    low, high = pixels.min(), pixels.max()
    return (pixels - low) / (high - low) if high > low else pixels


def mae(p: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error of a map p (H, W) in 0..1 against a mask."""
    return float(np.abs(p - truth).mean())


def s_measure(p: np.ndarray, truth: np.ndarray) -> float:
    """Structure: half how alike object and background are by themselves, half how alike four quarters around its centre are."""
    share = truth.mean()
    if share in (0, 1):
        return float(1 - p.mean() if share == 0 else p.mean())
    objects = _alike(p[truth]) * share + _alike(1 - p[~truth]) * (1 - share)
    height, width = truth.shape
    rows, columns = np.nonzero(truth)
    y, x = int(rows.mean().round()) + 1, int(columns.mean().round()) + 1
    regions, left = 0.0, 1.0
    for row, column in (
        (slice(0, y), slice(0, x)),
        (slice(0, y), slice(x, None)),
        (slice(y, None), slice(0, x)),
        (slice(y, None), slice(x, None)),
    ):
        part, mask = p[row, column], truth[row, column]
        # The last weight is what the others leave, so that they sum to one.
        weight = left if (row.start, column.start) == (y, x) else mask.size / (height * width)
        left -= weight
        regions += weight * _structure(part, mask) if mask.size else 0.0
    return float(max(0.0, 0.5 * objects + 0.5 * regions))


def _alike(values: np.ndarray) -> float:
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    mean = values.mean()
    return 2 * mean / (mean * mean + 1 + spread + EPS)


def _structure(p: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity of two whole regions."""
    a, b, freedom = p - p.mean(), truth - truth.mean(), p.size - 1 + EPS
    x, y = p.mean(), truth.mean()
    alpha = 4 * x * y * (a * b).sum() / freedom
    beta = (x * x + y * y) * ((a * a).sum() / freedom + (b * b).sum() / freedom)
    if alpha != 0:
        return alpha / (beta + EPS)
    return 1.0 if beta == 0 else 0.0


def e_curve(p: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """E-measure (256,) of a map in 0..1 cut at each of its 256 levels, from "level 255" down to "all"."""
    levels = (p * 255).astype(np.uint8)
    inside = np.bincount(levels[truth], minlength=LEVELS)[::-1].cumsum()
    outside = np.bincount(levels[~truth], minlength=LEVELS)[::-1].cumsum()
    return _enhanced(inside, outside, truth)


def e_adaptive(p: np.ndarray, truth: np.ndarray) -> float:
    """E-measure of a map in 0..1 cut at twice its mean, at most at 1."""
    cut = p >= min(2 * p.mean(), 1)
    return float(_enhanced(np.array([np.count_nonzero(cut & truth)]), np.array([np.count_nonzero(cut & ~truth)]), truth)[0])


def _enhanced(inside: np.ndarray, outside: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """E-measure of cuts with so many pixels inside and outside the object: the squared alignment of both maps less their means,
    which takes four values, one for each kind of agreement."""
    size, objects = truth.size, np.count_nonzero(truth)
    found = inside + outside
    if objects in (0, size):
        return (found if objects else size - found) / max(size - 1, 1)
    mean, of_truth = found / size, objects / size
    total = np.zeros(len(found))
    for count, a, b in (
        (inside, 1 - mean, 1 - of_truth),
        (outside, 1 - mean, -of_truth),
        (objects - inside, -mean, 1 - of_truth),
        (size - found - (objects - inside), -mean, -of_truth),
    ):
        align = 2 * a * b / (a * a + b * b + EPS)
        total += count * (align + 1) ** 2 / 4
    return total / max(size - 1, 1)


def weighted_f(p: np.ndarray, truth: np.ndarray) -> float:
    """F-measure whose errors weigh less where they are near others of the object, and more far from it. 0 for an empty mask."""
    from scipy import ndimage

    if not truth.any():
        return 0.0
    distance, nearest = ndimage.distance_transform_edt(~truth, return_indices=True)
    error = np.abs(p - truth)
    spread = error[nearest[0], nearest[1]]  # an error outside counts as that of the nearest pixel inside
    reach = np.exp(-(np.arange(-3, 4) ** 2) / 50.0)
    kernel = np.outer(reach, reach)
    smooth = ndimage.convolve(spread, kernel / kernel.sum(), mode="constant")
    least = np.where(truth & (smooth < error), smooth, error)
    weighted = least * np.where(truth, 1.0, 2 - np.exp(np.log(0.5) / 5 * distance))
    hits, false = truth.sum() - weighted[truth].sum(), weighted[~truth].sum()
    recall, precision = 1 - weighted[truth].mean(), hits / (hits + false + EPS)
    return float(2 * recall * precision / (recall + precision + EPS))
