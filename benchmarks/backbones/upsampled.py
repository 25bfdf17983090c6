"""Where a bilinear enlargement by a whole number is above zero, phase by phase: no interpolated map is ever put together.

Enlarged n times without aligned corners, output pixel n k + p of a row lies (p + 0.5) / n - 0.5 input pixels from input pixel
k, the same for every k. The outputs of one p, a *phase*, are thus one `lerp` between the map and itself moved by a pixel.
Maps come as *tiles* (B, s, s, h, w), tile [y, x] holding the pixels s k + y of the rows and s k + x of the columns: so they
leave a decoder whose upscaling makes s x s sub-pixels of each token, and putting them together would cost more than scoring.
"""

from __future__ import annotations

import torch
from torch import Tensor


def tiles(maps: Tensor, side: int) -> Tensor:
    """Maps (..., s h, s w) as tiles (..., s, s, h, w), a view."""
    split = maps.unflatten(-2, (-1, side)).unflatten(-1, (-1, side))  # (..., h, s, w, s)
    return split.movedim((-3, -1), (-4, -3))


def whole(tiled: Tensor) -> Tensor:
    """What `tiles` took apart, put together: maps (..., s h, s w)."""
    return tiled.movedim((-4, -3), (-3, -1)).flatten(-2).flatten(-3, -2)


def above_zero(tiled: Tensor, factor: int) -> Tensor:
    """1.0 where `F.interpolate(maps, scale_factor=factor, mode="bilinear")` is above zero, else 0.0.

    tiled (B, s, s, h, w); result (B, factor, factor, s, s, h, w): phase of the row, phase of the column, then as it came.
    """
    rows = _phases_along(tiled, factor, 1)
    return torch.stack([x.gt_(0) for row in rows for x in _phases_along(row, factor, 2)], 1).unflatten(1, (factor, factor))


def phases(mask: Tensor, factor: int, side: int) -> Tensor:
    """A mask (factor s h, factor s w) in the layout of `above_zero`: (factor, factor, s, s, h, w)."""
    fine = tiles(mask, factor)  # (factor, factor, s h, s w)
    return tiles(fine, side).contiguous()


def _phases_along(x: Tensor, factor: int, dim: int) -> list[Tensor]:
    """Interpolated along the rows (dim 1, pixels in dim 3) or the columns (dim 2, pixels in dim 4) of tiles."""
    before, after = _moved(x, dim)
    offsets = [(p + 0.5) / factor - 0.5 for p in range(factor)]
    return [torch.lerp(x, before if offset < 0 else after, abs(offset)) for offset in offsets]


def _moved(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Each pixel's neighbour before and after it; at the border, the pixel itself."""
    side, size = x.shape[dim], x.shape[dim + 2]
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, side - 1, 1)
    wrapped = torch.cat([first.narrow(dim + 2, 0, 1), last.narrow(dim + 2, 0, size - 1)], dim + 2)
    before = torch.cat([wrapped, x.narrow(dim, 0, side - 1)], dim)
    wrapped = torch.cat([first.narrow(dim + 2, 1, size - 1), last.narrow(dim + 2, size - 1, 1)], dim + 2)
    return before, torch.cat([x.narrow(dim, 1, side - 1), wrapped], dim)
