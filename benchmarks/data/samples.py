"""A sample: one image and its truth. Of an object to segment also where the click stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """`image` (H, W, 3) uint8, `mask` (H, W) bool at the image's own resolution, `id` unique within its dataset."""

    id: str
    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class DepthSample:
    """`image` (H, W, 3) uint8, `depth` (H, W) float32 in metres, 0 where it is unknown, `id` unique within its dataset."""

    id: str
    image: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class LabelSample:
    """`image` (H, W, 3) uint8, `label` the class from 0, `id` unique within its dataset."""

    id: str
    image: np.ndarray
    label: int


def interior_point(mask: np.ndarray) -> tuple[int, int]:
    """(x, y) of the mask's pixel farthest from its border, the first in reading order among equals.

    The image's edge counts as a border. An empty mask has no inside: the middle of the image is clicked then.
    """
    if not mask.any():
        return mask.shape[1] // 2, mask.shape[0] // 2
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)
