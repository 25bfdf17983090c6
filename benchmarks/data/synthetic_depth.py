"""Rendered rooms with bodies in them and the exact depth of each pixel: the embedded depth task.

A camera at eye height looks straight ahead into a room: floor, back wall, side walls, and up to six bodies (spheres and boxes) that
stand on the floor. Depths are whole millimetres. Integer arithmetic, and square roots of whole numbers, which every machine rounds
alike: the same bytes everywhere.
"""

from __future__ import annotations

import numpy as np

from benchmarks.data.drawing import (
    SIZE,
    Bits,
    Texture,
    X,
    Y,
    colour,
    palette,
    sensor,
    soften,
)
from benchmarks.data.synthetic import GENERATOR_VERSION, SPLITS

NEAREST, FARTHEST = 500, 9_500  # millimetres
_FOCAL = 120  # pixels
_DOMAIN = 3  # of the seed; the domains of `synthetic` are 0 to 2, classes are 4


def picture(split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture number `index` (0-based) of a split: image (128, 128, 3) uint8 and depth (128, 128) uint16 in millimetres."""
    bits = Bits(GENERATOR_VERSION, _DOMAIN, SPLITS.index(split), index)
    horizon, middle = SIZE // 2 + bits.one(-14, 10), SIZE // 2 + bits.one(-20, 21)
    eye, wall = bits.one(1100, 1800), bits.one(3200, FARTHEST)
    sides = bits.one(1200, 3200), bits.one(1200, 3200)
    surfaces = [  # depth of the plane that each pixel's ray meets, of each surface of the room
        np.full((SIZE, SIZE), wall),
        _plane(eye, Y - horizon),
        _plane(sides[0], middle - X),
        _plane(sides[1], X - middle),
    ]
    depth, image = np.full((SIZE, SIZE), FARTHEST * 2), np.zeros((SIZE, SIZE, 3), np.int64)
    for surface, bright in zip(surfaces, (220, 256, 190, 205)):
        depth, image = _in_front(depth, image, surface, _wear(bits, surface, bright))
    for _ in range(bits.one(2, 7)):
        z = bits.one(900, min(wall - 300, 6500))
        radius = bits.one(150, 520) * _FOCAL // z
        radius = max(4, min(radius, 44))
        foot = horizon + eye * _FOCAL // z
        cx, cy = bits.one(0, SIZE), foot - radius
        if bits.chance(50):
            far = (X - cx) ** 2 + (Y - cy) ** 2
            bulge = np.floor(np.sqrt(np.maximum(radius * radius - far, 0).astype(np.float64))).astype(np.int64)
            body = np.where(far <= radius * radius, z - bulge * z // _FOCAL, FARTHEST * 2)
            shade = 130 + bulge * 126 // radius
        else:
            tall = radius * bits.one(70, 220) // 100
            inside = (np.abs(X - cx) <= radius) & (Y <= foot) & (Y >= foot - 2 * tall)
            slope = bits.one(-6, 7)  # millimetres of depth a pixel, of a front that is turned a little
            body = np.where(inside, z + slope * (X - cx), FARTHEST * 2)
            shade = np.full((SIZE, SIZE), 200 + 8 * slope)
        depth, image = _in_front(depth, image, np.maximum(body, NEAREST), _wear(bits, body, shade))
    depth = np.clip(depth, NEAREST, FARTHEST)
    light = 1150 - depth * 700 // FARTHEST  # a lamp at the camera
    image = np.clip(image * light[..., None] >> 10, 0, 255)
    return sensor(bits, soften(image), bits.one(1, 8)), depth.astype(np.uint16)


def _plane(distance: int, offset: np.ndarray) -> np.ndarray:
    """Depth at which rays `offset` pixels off the axis meet a plane parallel to it, `distance` millimetres away."""
    return np.where(offset > 0, distance * _FOCAL // np.maximum(offset, 1), FARTHEST * 2)


def _wear(bits: Bits, depth: np.ndarray, bright) -> np.ndarray:
    """A texture in the surface's own coordinates, which shrink with depth as what one sees does."""
    scale = np.clip(depth, NEAREST, FARTHEST)
    u, v = (X - SIZE // 2) * scale // 8, (Y - SIZE // 2) * scale // 8
    image = colour(Texture.draw(bits, ("clouds", "grain", "spots")).at(u, v), palette(bits, bits.one(8, 40)))
    return image * np.asarray(bright)[..., None] >> 8


def _in_front(depth, image, surface, wear):
    nearer = surface < depth
    return np.where(nearer, surface, depth), np.where(nearer[..., None], wear, image)
