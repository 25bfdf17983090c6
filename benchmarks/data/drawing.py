"""Drawing in whole numbers: the same call gives the same bytes on every machine.

Everything between the seed and the pixels is integer arithmetic on ``PCG64``'s raw stream, which NumPy promises never to
change. No floating-point sum, no ``sin`` of an array, no convolution whose order of operations depends on the processor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SIZE = 128  # pixels, both sides: a 16 x 16 grid of 8-pixel patches
ONE = 1 << 16  # fixed-point one of fields and noise
_LATTICE = 64  # period of the noise lattice, in cells; a power of two
Y, X = np.mgrid[0:SIZE, 0:SIZE].astype(np.int64)
# Fixed-point directions. Rounding to 1/1024 leaves no room for a last-bit difference between maths libraries.
DIRECTIONS = [(round(1024 * math.cos(math.pi * k / 32)), round(1024 * math.sin(math.pi * k / 32))) for k in range(64)]


class Bits:
    """Integers from PCG64's raw 64-bit stream, which is stable over NumPy versions (its distributions are not)."""

    def __init__(self, *key: int):
        self._raw = np.random.PCG64(np.random.SeedSequence(list(key)))

    def many(self, low: int, high: int, shape) -> np.ndarray:
        raw = np.asarray(self._raw.random_raw(int(np.prod(shape))), dtype=np.uint64)
        scaled = ((raw >> np.uint64(32)) * np.uint64(high - low)) >> np.uint64(32)
        return scaled.astype(np.int64).reshape(shape) + low

    def one(self, low: int, high: int) -> int:
        return int(self.many(low, high, (1,))[0])

    def chance(self, percent: int) -> bool:
        return self.one(0, 100) < percent

    def choice(self, options):
        return options[self.one(0, len(options))]


def noise(bits: Bits, u: np.ndarray, v: np.ndarray, cell: int) -> np.ndarray:
    """Smooth value noise in [0, 65536) at fixed-point coordinates (1/256 pixel) for cells of `cell` pixels."""
    lattice = bits.many(0, ONE, (_LATTICE, _LATTICE)).astype(np.int32)
    x, y = (u // cell).astype(np.int32), (v // cell).astype(np.int32)
    x += bits.one(0, 1 << 14)
    y += bits.one(0, 1 << 14)
    fx, fy = x & 255, y & 255
    wx, wy = (fx * fx * (768 - 2 * fx)) >> 16, (fy * fy * (768 - 2 * fy)) >> 16
    ix, iy = (x >> 8) & (_LATTICE - 1), (y >> 8) & (_LATTICE - 1)
    jx, jy = (ix + 1) & (_LATTICE - 1), (iy + 1) & (_LATTICE - 1)
    flat, row, next_row = lattice.ravel(), iy * _LATTICE, jy * _LATTICE
    top = (flat[row + ix] * (256 - wx) + flat[row + jx] * wx) >> 8
    bottom = (flat[next_row + ix] * (256 - wx) + flat[next_row + jx] * wx) >> 8
    return ((top * (256 - wy) + bottom * wy) >> 8).astype(np.int64)


def octaves(bits: Bits, u, v, cell: int, count: int) -> np.ndarray:
    """A sum of `count` octaves of noise, halving in cell size and in weight, scaled back to [0, 65536)."""
    total, weight, norm = 0, 1 << count, 0
    for _ in range(count):
        total, norm = total + weight * noise(bits, u, v, max(cell, 2)), norm + weight
        cell, weight = cell // 2, weight // 2
    return total // norm


def turn(u, v, direction: int):
    """Coordinates turned by `direction` 64ths of a full turn."""
    c, s = DIRECTIONS[direction % 64]
    return (u * c + v * s) >> 10, (v * c - u * s) >> 10


def triangle(t: np.ndarray) -> np.ndarray:
    """A triangle wave of period 65536 with values in [0, 65536)."""
    t = t & (ONE - 1)
    return np.where(t < ONE // 2, 2 * t, 2 * (ONE - 1 - t))


@dataclass(frozen=True)
class Texture:
    """A surface that can be evaluated at any coordinates, so that a camouflaged object can wear its background's."""

    kind: str
    cell: int
    direction: int
    seed: int

    @classmethod
    def draw(cls, bits: Bits, kinds=("clouds", "stripes", "spots", "grain", "fur")) -> Texture:
        return cls(bits.choice(kinds), bits.one(6, 20), bits.one(0, 64), bits.one(0, 1 << 30))

    def at(self, u, v) -> np.ndarray:
        bits = Bits(self.seed)
        u, v = turn(u, v, self.direction)
        if self.kind == "clouds":
            return octaves(bits, u, v, self.cell * 2, 4)
        if self.kind == "grain":
            return octaves(bits, u, v, max(3, self.cell // 3), 2)
        if self.kind == "fur":
            return (2 * octaves(bits, u, v * 4, self.cell * 2, 3) + octaves(bits, u, v, self.cell * 2, 2)) // 3
        if self.kind == "stripes":
            warp = noise(bits, u, v, self.cell * 3) >> 5
            return (3 * triangle((v + warp) * 200 // self.cell) + octaves(bits, u, v, self.cell, 2)) // 4
        spots = octaves(bits, u, v, self.cell, 2) - 36000
        return np.clip(spots * 6 + ONE // 2, 0, ONE - 1)


def colour(field: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Map a field in [0, 65536) to colours (H, W, 3), 0..255, along a palette of (n, 3) stops."""
    position = field * (len(stops) - 1)
    stop = np.clip(position >> 16, 0, len(stops) - 2)
    weight = ((position - (stop << 16)) >> 8)[..., None]
    return (stops[stop] * (256 - weight) + stops[stop + 1] * weight) >> 8


def palette(bits: Bits, spread: int, chroma: int = 88) -> np.ndarray:
    """Three related colours: a grey, tinted by up to `chroma` levels, and its neighbours within `spread` levels."""
    base = bits.many(72, 184, (1, 1)) + bits.many(-chroma, chroma + 1, (1, 3))
    lights = bits.many(-spread, spread + 1, (3, 1))
    return np.clip(base + lights + bits.many(-spread // 2, spread // 2 + 1, (3, 3)), 8, 247)


def ellipse(cx: int, cy: int, a: int, b: int, direction: int) -> np.ndarray:
    """An implicit ellipse: 65536 at the centre, 0 on the border, negative outside. Centre and radii in pixels."""
    u, v = turn((X - cx) << 10, (Y - cy) << 10, direction)
    return ONE - (u * u << 6) // (a * a << 10) - (v * v << 6) // (b * b << 10)


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a mask, its holes filled."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == int(sizes.argmax()))


def soften(image: np.ndarray) -> np.ndarray:
    """A 3 x 3 binomial blur, as a lens would give: hides the stairs of hard edges."""
    p = np.pad(image, ((1, 1), (1, 1)) + ((0, 0),) * (image.ndim - 2), mode="edge")
    rows = p[:-2] + 2 * p[1:-1] + p[2:]
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:] + 8) >> 4


def light(bits: Bits, image: np.ndarray, strength: int) -> np.ndarray:
    """Slanted illumination over the whole picture, up to `strength` percent."""
    c, s = DIRECTIONS[bits.one(0, 64)]
    slope = (c * (X - SIZE // 2) + s * (Y - SIZE // 2)) * bits.one(0, strength + 1) // (100 * SIZE // 2)
    return image * (1024 + slope[..., None]) >> 10


def sensor(bits: Bits, image: np.ndarray, amount: int) -> np.ndarray:
    """A camera's noise, up to `amount` levels, on an image (H, W, 3); uint8."""
    grain = bits.many(-amount, amount + 1, image.shape) + bits.many(-amount, amount + 1, image.shape)
    return np.clip(image + grain // 2, 0, 255).astype(np.uint8)


def bulge(field: np.ndarray, strength: int) -> np.ndarray:
    """Shading of a rounded body, in levels: brighter towards the middle, darker at the rim."""
    return (np.clip(field, 0, ONE) * strength >> 16) - strength // 2
