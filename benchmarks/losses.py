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
