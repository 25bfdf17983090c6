"""COCO's masks: polygons and run lengths, as the dataset's own tools turn them into pixels."""

from __future__ import annotations

import numpy as np

_SCALE = 5  # COCO's tools draw a polygon's border on a grid five times as fine
_LONGEST = (
    2**24
)  # grid points of a polygon's border, a hundred times the longest published; a few numbers could ask for a thousandfold
_BITS = 40  # of one run length: more than a mask of any size has, and no number that takes a second to add


def decode(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """(height, width) bool of a `segmentation` entry: a list of polygons (their union), or a run-length code.

    Raises ValueError where the entry is neither, is of another size, or its runs do not fill the picture.
    """
    if isinstance(segmentation, dict):
        counts, size = segmentation.get("counts"), segmentation.get("size")
        if size != [height, width]:
            raise ValueError(f"a run-length code of size {repr(size)[:40]} for a picture of [{height}, {width}]")
        if not isinstance(counts, list | str | bytes):
            raise ValueError(f"run lengths are a list or a text, not {type(counts).__name__}")
        return from_runs(counts if isinstance(counts, list) else uncompress(counts), height, width)
    if not isinstance(segmentation, list):
        raise ValueError(f"a segmentation is a list of polygons or a run-length code, not {type(segmentation).__name__}")
    union = np.zeros((height, width), bool)
    for points in segmentation:
        if not isinstance(points, list) or not all(type(x) in (int, float) for x in points) or len(points) % 2:
            raise ValueError("a polygon is a list of x, y, x, y, ...")
        union |= polygon(np.asarray(points, float).reshape(-1, 2), height, width)
    return union


def from_runs(runs: list[int], height: int, width: int) -> np.ndarray:
    """(height, width) bool of alternating run lengths of 0 and 1, down the columns, 0 first. Raises ValueError."""
    if not all(type(n) is int for n in runs):
        raise ValueError("run lengths are whole numbers")
    if any(n < 0 for n in runs) or sum(runs) != height * width:
        raise ValueError(f"runs of {sum(runs)} pixels for a mask of {height} x {width}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def to_runs(mask: np.ndarray) -> list[int]:
    """The run lengths of a mask (H, W) bool, as `from_runs` reads them."""
    flat = np.concatenate([[False], mask.T.ravel(), [False]])
    borders = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], borders, [mask.size]])).tolist()


def uncompress(text: str | bytes) -> list[int]:
    """The run lengths of COCO's compressed code: five bits a character, the sixth says that more follow, and from the fourth
    run on each is the difference from the run two before. Raises ValueError for other characters and where the text ends within a number."""
    codes = text.encode() if isinstance(text, str) else text
    runs: list[int] = []
    value = shift = 0
    for code in codes:
        bits = code - 48
        if not 0 <= bits < 64 or shift > _BITS:
            raise ValueError("a compressed run-length code holds what is no number of a mask")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("a compressed run-length code ends within a number")
    return runs


def polygon(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) bool inside a closed polygon of points (n, 2), x and y in pixels, even-odd.

    The rule is that of COCO's own rasteriser (`rleFrPoly` in maskApi.c): the border is walked on a finer grid, and each column is
    toggled where the border crosses the column's centre, so areas agree with the published annotations.
    Raises ValueError for points that are not finite or lie farther outside than the picture is large, and for an endless border.
    """
    if len(points) == 0:
        return np.zeros((height, width), bool)
    reach = np.array([width, height])
    if not ((points >= -reach) & (points <= 2 * reach)).all():  # NaN too
        raise ValueError(f"a polygon's point lies far outside a picture of {width} x {height} pixels")
    if _SCALE * np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum() > _LONGEST:
        raise ValueError("a polygon's border is longer than any that was ever drawn")
    x, y = np.trunc(_SCALE * points + 0.5).astype(np.int64).T
    steps = [_line(x[k - 1], y[k - 1], x[k], y[k]) for k in [*range(1, len(x)), 0]]
    u, v = np.concatenate(steps, axis=1)
    moved = np.flatnonzero(u[1:] != u[:-1]) + 1
    column = (np.minimum(u[moved], u[moved - 1]) + 0.5) / _SCALE - 0.5
    row = (np.minimum(v[moved], v[moved - 1]) + 0.5) / _SCALE - 0.5
    kept = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    row = np.ceil(np.clip(row[kept], 0, height)).astype(np.int64)
    toggles = np.bincount(column[kept].astype(np.int64) * height + row, minlength=height * width + 1)[: height * width]
    return (np.cumsum(toggles) % 2 == 1).reshape(width, height).T


def _line(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """The grid points (2, n) from one corner to the next, both included. Rounded from the same end in either direction."""
    dx, dy = abs(x1 - x0), abs(y1 - y0)
    flip = (dx >= dy and x0 > x1) or (dx < dy and y0 > y1)
    if flip:
        x0, y0, x1, y1 = x1, y1, x0, y0
    t = np.arange(max(dx, dy) + 1)
    t = t[::-1] if flip else t
    if dx >= dy:
        return np.stack([x0 + t, np.trunc(y0 + t * ((y1 - y0) / max(dx, 1)) + 0.5).astype(np.int64)])
    return np.stack([np.trunc(x0 + t * ((x1 - x0) / dy) + 0.5).astype(np.int64), y0 + t])
