"""Losses that more than one backbone trains with."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def dice_ce(logits: Tensor, truth: Tensor) -> Tensor:
    """Dice loss plus binary cross-entropy, equal parts, averaged over a batch of (B, H, W) logits and truths in 0..1."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth)
    p = logits.sigmoid()
    overlap = 2 * (p * truth).sum((1, 2)) + 1
    return entropy + (1 - overlap / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)).mean()


def low_target(truth: Tensor, resized: tuple[int, int], size: int, low: int) -> Tensor:
    """A mask (H, W) as a decoder's low-resolution mask (low, low) should be: resized and padded as its image was to size x size,
    area-averaged, 0..1, zero in the padding."""
    # On the CPU: not every device averages over areas that do not divide.
    mask = F.interpolate(truth[None, None].cpu().float(), resized, mode="area")
    padded = F.pad(mask, (0, size - resized[1], 0, size - resized[0]))
    return F.interpolate(padded, (low, low), mode="area")[0, 0].to(truth.device)
