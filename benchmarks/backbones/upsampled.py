"""Where a bilinear enlargement by a whole number is above zero, phase by phase: no interpolated map is ever put together.

Enlarged n times without aligned corners, output pixel n k + p of a row lies (p + 0.5) / n - 0.5 input pixels from input pixel
k, the same for every k. The outputs of one p, a *phase*, are thus one `lerp` between the row and itself moved by one.
"""

from __future__ import annotations

import torch
from torch import Tensor


def above_zero(maps: Tensor, factor: int) -> Tensor:
    """1.0 where `F.interpolate(maps, scale_factor=factor, mode="bilinear")` is above zero, else 0.0.

    maps (B, h, w); result (B, factor, factor, h, w): phase of the row, phase of the column, then the input pixel.
    """
    rows = _phases_along(maps, factor, 1)
    return torch.stack([x.gt_(0) for row in rows for x in _phases_along(row, factor, 2)], 1).unflatten(1, (factor, factor))


def phases(mask: Tensor, factor: int) -> Tensor:
    """A mask (factor h, factor w) in the layout of `above_zero`: (factor, factor, h, w)."""
    height, width = mask.shape
    return mask.view(height // factor, factor, width // factor, factor).permute(1, 3, 0, 2).contiguous()


def _phases_along(x: Tensor, factor: int, dim: int) -> list[Tensor]:
    size = x.shape[dim]
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, size - 1, 1)
    before = torch.cat([first, x.narrow(dim, 0, size - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, size - 1), last], dim)
    offsets = [(p + 0.5) / factor - 0.5 for p in range(factor)]
    return [torch.lerp(x, before if offset < 0 else after, abs(offset)) for offset in offsets]
