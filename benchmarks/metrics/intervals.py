"""Bootstrap intervals over images and seeds: pure functions of arrays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DRAWS = 10_000  # the 2.5 % point of a normal mean is then known to about 2 % of the interval's width
LEVEL = 0.95
# Student's t at 97.5 % for 1, 2, ... degrees of freedom; the last is the normal's, near enough from 30 on.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 1.960,
)  # fmt: skip
_LEAST = 1e-200  # the smallest p that is computed
ROUNDING = 1e-12  # a mean no farther from zero is zero
_CHUNK = 1_000  # draws at a time: 1,000 x 500 images x 8 bytes = 4 MB
_TOGETHER = 32  # tables at a time: 32 x 10,000 draws x 8 bytes = 2.6 MB
_KEPT = 2**24  # numbers of resamplings that are kept for the next table of the same shape: 32 MB at two bytes each


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
        return self.low <= ROUNDING and self.high >= -ROUNDING


def bootstrap(values, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Percentile bootstrap of the mean of `values`, (images,) or (seeds, images), resampling both axes.

    One image keeps its scores of all seeds together and one seed those of all images: the crossed ("pigeonhole") bootstrap
    of Owen (2007). Three seeds say little about the spread of seeds, and a plain bootstrap of them is far too sure: the
    seeds' deviations are first widened to Student's t with seeds - 1 degrees of freedom. With one seed only images are
    resampled. The draws come from PCG64's raw stream, so a given `seed` makes the same interval everywhere.
    Raises ValueError for an empty or non-finite array.
    """
    return bootstraps([values], draws, seed)[0]


def bootstraps(several: Iterable, draws: int = DRAWS, seed: int = 0) -> list[Estimate]:
    """`bootstrap` of each of `several` arrays, in their order. Those of one shape share the draws, and the time for them.
    Raises ValueError as `bootstrap` does."""
    tables = [_table(values) for values in several]
    found: list[Estimate | None] = [None] * len(tables)
    by_shape = defaultdict(list)
    for k, table in enumerate(tables):
        by_shape[table.shape].append(k)
    for places in by_shape.values():
        for start in range(0, len(places), _TOGETHER):
            some = places[start : start + _TOGETHER]
            for k, estimate in zip(some, _alike(np.stack([tables[k] for k in some]), draws, seed), strict=True):
                found[k] = estimate
    return found


def _table(values) -> np.ndarray:
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"need a finite, non-empty (images,) or (seeds, images) array, got shape {np.shape(values)}")
    return table


def _alike(tables: np.ndarray, draws: int, seed: int) -> list[Estimate]:
    """Estimates of (tables, seeds, images)."""
    return estimates(tables.mean(axis=(1, 2)), resampled_means(tables, draws, seed))


def estimates(values: Iterable[float], means: Iterable[np.ndarray]) -> list[Estimate]:
    """Estimates of `values` from the `resampled_means` of each, (draws,). One after another: a row that is made when it is asked for
    stays near the processor."""
    found = []
    for value, row in zip(values, means, strict=True):
        # Adding one keeps p above zero: that no draw crossed zero does not make it impossible.
        fewer = min(np.count_nonzero(row <= ROUNDING), np.count_nonzero(row >= -ROUNDING))
        found.append(Estimate(float(value), *map(float, _ends(row)), float(min(1.0, 2 * (1 + fewer) / (len(row) + 1)))))
    return found


def _ends(draws: np.ndarray) -> tuple[float, float]:
    """The ends of the interval of one table's resampled means, (draws,)."""
    return _quantile(draws, (1 - LEVEL) / 2), _quantile(draws, (1 + LEVEL) / 2)


def _quantile(draws: np.ndarray, share: float) -> float:
    """As `np.quantile` has it (type 7 of Hyndman and Fan, 1996), in a fraction of the time."""
    place = share * (len(draws) - 1)
    below = int(place)
    above = min(below + 1, len(draws) - 1)
    # One draw put where sorting would put it, and the largest of those below it, are found sooner than two draws.
    parted = np.partition(draws, above)
    low = parted[: below + 1].max()
    return low + (parted[above] - low) * (place - below)


def resampled_means(tables: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """The means that `bootstrap` takes quantiles of, (tables, draws), of finite (tables, seeds, images). All tables share a draw, so
    that the difference of two rows is what `paired` draws of the two."""
    count, seeds, images = tables.shape
    if seeds > 1:
        centres = tables.mean(axis=(1, 2))
        widened = _T[min(seeds - 1, len(_T)) - 1] / _T[-1] * np.sqrt(seeds / (seeds - 1))
        tables = tables + (widened - 1) * (tables.mean(2, keepdims=True) - centres[:, None, None])
    # A draw's mean sums over seeds and images how often both were drawn: first over images, one product for all tables.
    rows, means, start = tables.reshape(count * seeds, images), np.empty((count, draws)), 0
    counts = np.empty((min(_CHUNK, draws), images))  # one buffer: fresh memory for each chunk would cost more than the product
    for by_image, by_seed in _resampled(seed, draws, images, seeds):
        size = len(by_image)
        np.copyto(counts[:size], by_image)
        sums = (rows @ counts[:size].T).reshape(count, seeds, size)
        sums *= np.ascontiguousarray(by_seed.T) / (seeds * images)
        np.add.reduce(sums, axis=1, out=means[:, start : start + size])
        start += size
    return means


def two_sided(values) -> float:
    """The two-sided p-value of the mean of paired differences, (images,) or (seeds, images), being zero.

    With one seed it is the paired t-test over images. With more, images and seeds are two crossed samples, each with its own standard
    error and Student's t of its own degrees of freedom; p is the level at which an interval of half-width
    sqrt((t e)_images^2 + (t e)_seeds^2) just reaches zero. At 95 % that is the interval of `bootstrap`, normal instead of resampled,
    so that the two agree; unlike the bootstrap's p it holds further out too, where a correction for many comparisons looks (three
    seeds ask for a t of 4.3 at 5 % and of 22 at 0.2 %, and 10,000 draws know nothing of it). On simulated nulls it errs at most as often
    as it says, less often where seeds and images both vary. It takes the means to be near normal: for images by their number, for
    seeds by assumption. Raises ValueError as `bootstrap` does.
    """
    from scipy.special import stdtrit  # here: no page needs it

    table = _table(values)
    parts = [
        (table.mean(axis).var(ddof=1) / count, count - 1)  # (squared standard error, degrees of freedom)
        for axis, count in ((0, table.shape[1]), (1, table.shape[0]))
        if count > 1
    ]
    mean, total = abs(table.mean()), sum(square for square, _ in parts)
    if mean <= ROUNDING or not parts:
        return 1.0
    if total <= 1e-24:  # all differences are one number, and no t is to be had: by their signs
        return max(_LEAST, 2.0 ** (1 - table.shape[1]))
    low, high = np.log(_LEAST / 2), np.log(0.5)  # of one tail's level; the half-width falls as it rises
    for _ in range(60):
        tail = (low + high) / 2
        wide = sum(square * stdtrit(freedom, np.exp(tail)) ** 2 for square, freedom in parts) > mean**2
        low, high = (tail, high) if wide else (low, tail)
    return float(2 * np.exp(high))


def holm(ps: Iterable[float]) -> list[float]:
    """The p-values corrected for their number by Holm (1979): rejecting those at most 0.05 errs in any at most once in 20 times."""
    ps = list(ps)
    corrected, highest = [0.0] * len(ps), 0.0
    for rank, k in enumerate(sorted(range(len(ps)), key=lambda k: ps[k])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[k]))
        corrected[k] = highest
    return corrected


def _resampled(seed: int, draws: int, images: int, seeds: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """In chunks of draws, how often each image and each seed is drawn, (chunk, images) and (chunk, seeds). It does not depend on
    the values, so that the many tables of one shape on a page share it."""
    small = draws * (images + seeds) <= _KEPT and max(images, seeds) < 2**16
    return _resampled_once(seed, draws, images, seeds) if small else _counts(seed, draws, images, seeds)


@lru_cache(maxsize=4)  # of one dataset with one seed and with all, twice
def _resampled_once(seed: int, draws: int, images: int, seeds: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    return tuple((a.astype(np.uint16), b.astype(np.uint16)) for a, b in _counts(seed, draws, images, seeds))


def _counts(seed: int, draws: int, images: int, seeds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    raw = np.random.PCG64(seed)
    for start in range(0, draws, _CHUNK):
        count = min(_CHUNK, draws - start)
        yield _drawn(raw, count, images), _drawn(raw, count, seeds)


def _drawn(raw: np.random.PCG64, draws: int, of: int) -> np.ndarray:
    """(draws, of): in each draw, how often each thing is picked when `of` things are drawn with replacement."""
    picked = ((raw.random_raw(draws * of) >> np.uint64(32)) * np.uint64(of) >> np.uint64(32)).astype(np.int64)
    rows = np.repeat(np.arange(draws) * of, of)
    return np.bincount(rows + picked, minlength=draws * of).reshape(draws, of)


def paired(a, b, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """`bootstrap` of a - b, which must have one shape and one order of images. Raises ValueError otherwise."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired scores differ in shape: {a.shape} and {b.shape}")
    return bootstrap(a - b, draws, seed)


def mean_of_independent(estimates: Iterable[Estimate]) -> tuple[float, float, float]:
    """The mean of independent estimates, and its interval from theirs: distances to the ends add up in squares (MOVER: Zou and
    Donner, Statistics in Medicine 27, 2008). For the mean over datasets, which share no image. Raises ValueError for none."""
    several = list(estimates)
    if not several:
        raise ValueError("the mean of no estimate")
    value = sum(e.value for e in several) / len(several)
    below = sum((e.value - e.low) ** 2 for e in several) ** 0.5 / len(several)
    above = sum((e.high - e.value) ** 2 for e in several) ** 0.5 / len(several)
    return value, value - below, value + above


def ties(means: np.ndarray) -> np.ndarray:
    """(tables, tables) of bool from `resampled_means`: whether the paired interval of two of them contains zero."""
    count, draws = means.shape
    found = np.eye(count, dtype=bool)
    place = (1 - LEVEL) / 2 * (draws - 1)
    # The end of an interval lies between two of the sorted draws. Zero is inside where both ends' draws say so, and outside where one
    # end's says the opposite; only between the two is the end itself worked out.
    sure, never = int(place) + 2, int(place)
    stops = sorted({min(draws, sure * 4**k) for k in range(1, 6)})  # most ties show in the first draws
    for k in range(count - 1):
        others, start = np.arange(k + 1, count), 0
        below, above = np.zeros(len(others), dtype=int), np.zeros(len(others), dtype=int)
        for stop in stops:
            gaps = means[others, start:stop] - means[k, start:stop]
            below += _counted(gaps <= ROUNDING)
            above += _counted(gaps >= -ROUNDING)
            start, open_ = stop, np.minimum(below, above) < sure
            found[k, others[~open_]] = True
            others, below, above = others[open_], below[open_], above[open_]
        for j in others[np.minimum(below, above) > never]:
            low, high = _ends(means[j] - means[k])
            found[k, j] = low <= ROUNDING and high >= -ROUNDING
        found[k + 1 :, k] = found[k, k + 1 :]
    return found


def _counted(rows: np.ndarray) -> np.ndarray:
    """How many of each row, (rows, n) of bool, are true. Summing booleans makes numbers of them first, which takes twice as long."""
    return np.array([np.count_nonzero(row) for row in rows], dtype=int)
