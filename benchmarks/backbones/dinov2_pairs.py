"""The mean squared error of a linear depth head on features with channels replaced, without running the head again.

Two exact shortcuts. A pair (i <- j) changes the logits of bin k at position p by w_ik t_p + v_ik s, where t = x_j - x_i at the
patch tokens, enlarged, and s is the same of the CLS token: one product instead of a linear layer. And enlarging the depth d to
the image is linear, so that its squared error is a quadratic form: with e = d - d0, the change against the unreplaced features,

    error(d) = error(d0) + (2 <U'C(U d0 - truth), e> + <e, U'CU e>) / sum(C)

U the bilinear enlargement, C the pixels that count. U'CU joins a position with its eight neighbours only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_OFFSETS = ((0, 0), (0, 1), (1, -1), (1, 0), (1, 1))  # half of the neighbours; the others are the same by symmetry


@dataclass(frozen=True)
class SquaredError:
    """Mean squared error over the pixels that count, of depth maps enlarged bilinearly to an image and cropped to a truth.

    at: the map (h, w) that `base` is the error of. slope (h, w) and bands (5, h, w): the first and second order of a change.
    """

    at: Tensor
    base: Tensor
    slope: Tensor
    bands: Tensor

    @classmethod
    def around(cls, low: Tensor, truth: Tensor, counts: Tensor, size: tuple[int, int], at: tuple[int, int]) -> SquaredError:
        """About the map `low` (h, w). truth (H, W) in metres and counts (H, W) bool lie at row and column `at` of an image of
        `size`, to which the map is enlarged. Sums are in float64, for they cancel."""
        h, w = low.shape
        rows = _enlargement(h, size[0], low.device)[at[0] : at[0] + truth.shape[0]]
        columns = _enlargement(w, size[1], low.device)[at[1] : at[1] + truth.shape[1]]
        share = counts.double() / counts.sum().clamp(min=1)
        wrong = rows @ low.double() @ columns.T - truth.double()
        bands = low.new_zeros(len(_OFFSETS), h, w, dtype=torch.float64)
        for band, (down, right) in zip(bands, _OFFSETS):
            by_row = rows[:, : h - down] * rows[:, down:]
            start, stop = max(0, -right), w - max(0, right)
            by_column = columns[:, start:stop] * columns[:, start + right : stop + right]
            band[: h - down, start:stop] = (by_row.T @ share @ by_column) * (2 if down or right else 1)
        slope = 2 * rows.T @ (share * wrong) @ columns
        return cls(low, (share * wrong.square()).sum().float(), slope.float(), bands.float())

    def of(self, low: Tensor) -> Tensor:
        """The error (B,) of maps (B, h, w)."""
        change, (h, w) = low - self.at, low.shape[1:]
        total = torch.addcmul(self.slope, self.bands[0], change)
        for band, (down, right) in zip(self.bands[1:], _OFFSETS[1:]):
            start, stop = max(0, -right), w - max(0, right)
            moved = change[:, down:, start + right : stop + right]
            total[:, : h - down, start:stop].addcmul_(band[: h - down, start:stop], moved)
        return self.base + (total * change).flatten(1).sum(1)


def _enlargement(small: int, large: int, device) -> Tensor:
    """The matrix (large, small) of bilinear enlargement along one side, as `F.interpolate` does it, float64."""
    unit = torch.eye(small, dtype=torch.float64, device=device)[:, None]
    return F.interpolate(unit, large, mode="linear", align_corners=False)[:, 0].T


@dataclass(frozen=True)
class Image:
    """What the pairs of one image share. logits (K, n) of the unreplaced features at the n enlarged positions, maps (C, n) the
    enlarged patch tokens, cls (C,), and the error of a depth map (h, w), n = h w."""

    logits: Tensor
    maps: Tensor
    cls: Tensor
    error: SquaredError


def errors(image: Image, pairs: Tensor, weight: tuple[Tensor, Tensor], bins: Tensor, floor: float) -> Tensor:
    """The error (B,) of candidates (B, P, 2), filled up with -1. weight: the head's, by patch and by CLS channel, (C, K) each;
    bins (K,) in metres; each bin's share is its logit, where above 0, and `floor`."""
    patch, whole = weight
    redundant, effective = pairs.unbind(-1)
    # What fills up is the last channel against itself: no change.
    shift = ((image.cls[effective] - image.cls[redundant])[..., None] * whole[redundant]).sum(1)  # (B, K)
    change = image.maps[effective] - image.maps[redundant]  # (B, P, n)
    logits = torch.addcmul(image.logits, patch[redundant[:, 0]][..., None], change[:, :1])  # (B, K, n)
    for k in range(1, pairs.shape[1]):
        logits.addcmul_(patch[redundant[:, k]][..., None], change[:, k, None])
    # relu(x + shift) + floor = max(x, -shift) + shift + floor, and what does not depend on the position is added to the sums.
    torch.maximum(logits, -shift[..., None], out=logits)
    constant = shift + floor
    total = torch.stack([bins, torch.ones_like(bins)]) @ logits  # (B, 2, n)
    metres = total[:, 0].add_((constant @ bins)[:, None]).div_(total[:, 1].add_(constant.sum(1, keepdim=True)))
    return image.error.of(metres.unflatten(1, image.error.at.shape))
