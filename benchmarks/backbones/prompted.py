"""`Prompted`: what scoring a mask needs of a sample, whichever SAM made it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from benchmarks.backbones.upsampled import above_zero, phases
from benchmarks.metrics.iou import iou


@dataclass(frozen=True)
class Prompted:
    """A sample's prompt embeddings, sparse (1, P, C) and dense (1, C, h, w), and its truth (H, W) bool."""

    id: str
    sparse: Tensor
    dense: Tensor
    truth: Tensor
    _phases: dict[int, Tensor] = field(default_factory=dict, compare=False, repr=False, kw_only=True)

    def overlap(self, tiled: Tensor, factor: int) -> Tensor:
        """IoU (B,) of masks whose logits (B, 4, 4, h, w) are a whole `factor` smaller than the truth, never enlarged as a whole: see
        `benchmarks.backbones.upsampled`."""
        if factor not in self._phases:
            self._phases[factor] = phases(self.truth, factor, 4)
        return iou(above_zero(tiled, factor), self._phases[factor])
