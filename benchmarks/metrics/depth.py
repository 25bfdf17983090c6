"""Depth metrics of maps against one truth, by the field's definitions (Eigen et al. 2014, arXiv 1406.2283)."""

from __future__ import annotations

import torch
from torch import Tensor

EIGEN = (slice(45, 471), slice(41, 601))  # rows and columns of NYU's 480 x 640 images, as BTS and DINOv2 crop them


def valid(truth: Tensor, low: float, high: float, crop: str) -> Tensor:
    """Which pixels (H, W) count: depth known, above `low` and below `high`, inside the crop ("eigen" or "none").

    Raises ValueError for another crop, or for the Eigen crop of an image that is not 480 x 640.
    """
    counts = (truth > low) & (truth < high)
    if crop == "none":
        return counts
    if crop != "eigen" or truth.shape != (480, 640):
        raise ValueError(f"crop {crop!r} of a depth map of {tuple(truth.shape)}: the Eigen crop is for 480 x 640")
    inside = torch.zeros_like(counts)
    inside[EIGEN] = True
    return counts & inside


def measures(predicted: Tensor, truth: Tensor, counts: Tensor) -> dict[str, Tensor]:
    """Each metric (B,) of maps (B, H, W) in metres, over the pixels that count (H, W). Where none counts, a map is perfect."""
    p, t = predicted[:, counts], truth[counts]
    if not t.numel():
        one, nought = torch.ones(len(predicted), device=p.device), torch.zeros(len(predicted), device=p.device)
        errors = dict.fromkeys(("mse", "rmse", "abs_rel"), nought)
        return {**errors, **dict.fromkeys(("delta1", "delta2", "delta3"), one)}
    mse = (p - t).square().mean(1)
    ratio = torch.maximum(p / t, t / p)
    shares = {f"delta{k}": (ratio < 1.25**k).float().mean(1) for k in (1, 2, 3)}
    return {"mse": mse, "rmse": mse.sqrt(), "abs_rel": ((p - t).abs() / t).mean(1), **shares}
