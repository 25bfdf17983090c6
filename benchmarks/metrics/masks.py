"""The metrics of predicted masks: overlap from the cut at zero, the camouflage field's measures from the map itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.metrics import camouflage
from benchmarks.metrics.iou import iou
from benchmarks.metrics.names import CURVE

_OF_MAPS = {
    "s_measure": camouflage.s_measure,
    "e_adaptive": camouflage.e_adaptive,
    CURVE: camouflage.e_curve,
    "weighted_f": camouflage.weighted_f,
    "mae": camouflage.mae,
}


def measures(logits: Tensor, truth: Tensor, metrics: tuple[str, ...]) -> dict[str, Tensor]:
    """Each of `metrics` (B,) of logits (B, H, W) at the image's own resolution against a mask (H, W) bool.

    E-measures are given as one curve (B, 256), see `benchmarks.metrics.names.finish`. The maps that the field's measures are of are
    sigmoids in 8 bits, as they would be saved. Raises ValueError for a metric that is none of masks, and for logits that are not finite:
    NaN is above nothing, and would pass for an empty mask.
    """
    if not torch.isfinite(logits).all():
        raise ValueError("the model gave mask logits that are not finite; its weights or features are damaged")
    wanted = list(dict.fromkeys(CURVE if name in ("e_mean", "e_max") else name for name in metrics))
    if unknown := [name for name in wanted if name not in ("miou", "dice", *_OF_MAPS)]:
        raise ValueError(f"no metric of masks: {', '.join(unknown)}")
    found: dict[str, Tensor] = {}
    if {"miou", "dice"} & set(wanted):
        overlap = iou(logits > 0, truth)
        found |= {"miou": overlap, "dice": 2 * overlap / (1 + overlap)}
    if rest := [name for name in wanted if name in _OF_MAPS]:
        mask = truth.cpu().numpy().astype(bool)
        greys = (255 * logits.double().sigmoid()).round().byte().cpu().numpy()
        maps = [camouflage.normalised(grey) for grey in greys]
        for name in rest:
            values = np.stack([np.asarray(_OF_MAPS[name](p, mask), dtype=np.float64) for p in maps])
            found[name] = torch.from_numpy(values)
    return {name: found[name] for name in wanted}
