"""Generated images of one object each, named by its shape and its texture: the embedded classification task.

Integer arithmetic alone, by the building blocks of `benchmarks.data.drawing`: the same bytes on every machine. Place, size, turn,
proportions, colours, light, noise, ground and the scale and direction of the texture vary; none of them tells the class.
"""

from __future__ import annotations

import numpy as np

from benchmarks.data.drawing import (
    ONE,
    SIZE,
    Bits,
    Texture,
    X,
    Y,
    bulge,
    colour,
    ellipse,
    largest,
    light,
    noise,
    palette,
    sensor,
    soften,
    triangle,
    turn,
)
from benchmarks.data.synthetic import GENERATOR_VERSION, SPLITS

SHAPES = ("blob", "ring", "star")
TEXTURES = ("clouds", "stripes", "spots", "grain", "checks")
NAMES = tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES)
_DOMAIN = 4  # of the seed; the domains of `synthetic` are 0 to 2, depth is 3
_LEAST = 700  # pixels of an object; below, its texture cannot be seen


def picture(split: str, index: int) -> tuple[np.ndarray, int]:
    """Picture number `index` (0-based) of a split: image (128, 128, 3) uint8 and its class, of NAMES, each as likely."""
    return with_mask(split, index)[:2]


def with_mask(split: str, index: int) -> tuple[np.ndarray, int, np.ndarray]:
    """`picture`, and where its object is: a mask (128, 128) bool. Raises ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"no generated split {split!r}; splits: {', '.join(SPLITS)}")
    key = (GENERATOR_VERSION, _DOMAIN, SPLITS.index(split), index)
    label = Bits(*key).one(0, len(NAMES))
    shape, texture = SHAPES[label // len(TEXTURES)], TEXTURES[label % len(TEXTURES)]
    for attempt in range(64):
        bits = Bits(*key, attempt)
        image = colour(Texture.draw(bits).at(X << 8, Y << 8), palette(bits, bits.one(5, 40)))
        field = _form(bits, shape, bits.one(40, SIZE - 40), bits.one(40, SIZE - 40), bits.one(28, 46))
        mask = largest(field > 0) & (field > 0)  # the hole of a ring stays open
        if mask.sum() < _LEAST:
            continue
        wear = colour(_field(bits, texture), _stops(bits)) + bulge(field, bits.one(0, 30))[..., None]
        image = np.where(mask[..., None], wear, image)
        return sensor(bits, light(bits, soften(np.clip(image, 0, 255)), 40), bits.one(2, 12)), label, mask
    raise AssertionError(f"no usable picture in 64 draws for classes/{split}/{index}")


def _form(bits: Bits, shape: str, cx: int, cy: int, radius: int) -> np.ndarray:
    """An implicit object of about `radius` pixels, above 0 inside: a lobed blob, a ring, or a star of three or four long arms."""
    narrow, direction = bits.one(65, 100), bits.one(0, 64)
    field = ellipse(cx, cy, radius, radius * narrow // 100, direction)
    if shape == "ring":
        hole = bits.one(40, 62)
        field = np.minimum(field, -ellipse(cx, cy, radius * hole // 100, radius * narrow * hole // 10_000, direction))
    if shape == "star":
        arms = bits.one(3, 5)
        field = np.full((SIZE, SIZE), -ONE)
        for k in range(arms):
            limb = ellipse(cx, cy, radius, max(5, radius * bits.one(22, 34) // 100), direction + 32 * k // arms)
            field = np.maximum(field, limb)
    ripple = noise(bits, X << 8, Y << 8, max(4, radius // 2)) - ONE // 2
    return field + ripple * bits.one(10, 60 if shape == "blob" else 30) // 100


def _field(bits: Bits, texture: str) -> np.ndarray:
    """The object's texture as a field in [0, 65536), stretched so that it can be seen."""
    grid = (X << 8, Y << 8)
    if texture != "checks":
        field = Texture.draw(bits, (texture,)).at(*grid)
        return np.clip(2 * (field - ONE // 2) + ONE // 2, 0, ONE - 1)
    u, v = turn(*grid, bits.one(0, 64))
    cell = bits.one(6, 15)
    warp = noise(bits, u, v, cell * 3) >> 6
    # A triangle of 4 times the height, cut off: squares with soft edges, their signs multiplied.
    one, two = (np.clip(4 * (triangle((t + warp) * 128 // cell) - ONE // 2), -ONE // 2, ONE // 2 - 1) for t in (u, v))
    return (one * two >> 15) + ONE // 2 - 1


def _stops(bits: Bits) -> np.ndarray:
    """A dark, a middle and a light colour (3, 3), 30 to 80 levels apart in brightness, of one tint or turned a little."""
    step = bits.one(30, 80) * bits.choice((-1, 1))
    base = bits.many(88, 168, (1, 1)) + bits.many(-70, 71, (1, 3))
    return np.clip(base + np.array([[-step], [0], [step]]) + bits.many(-15, 16, (3, 3)), 4, 251)
