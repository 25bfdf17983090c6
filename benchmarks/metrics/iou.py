"""Foreground intersection over union, of a batch of masks against one."""

from __future__ import annotations

from torch import Tensor

_EXACT = 1 << 24  # whole numbers up to here are exact in float32


def iou(predicted: Tensor, truth: Tensor) -> Tensor:
    """IoU (B,) of masks (B, ...), bool or 0 and 1, against one mask (...) bool of the same shape. An empty union counts as 1.

    Raises ValueError where the sizes differ.
    """
    if predicted.shape[1:] != truth.shape:
        raise ValueError(f"masks of {tuple(predicted.shape[1:])} against a truth of {tuple(truth.shape)}")
    flat, target = predicted.flatten(1), truth.flatten()
    # A product of 0s and 1s counts the intersection faster than `&` and `sum` of bools do.
    flat, target = (flat.float(), target.float()) if target.numel() < _EXACT else (flat.double(), target.double())
    both = flat @ target
    union = flat.sum(1) + target.sum() - both
    return (both / union.clamp(min=1)).where(union > 0, 1.0)
