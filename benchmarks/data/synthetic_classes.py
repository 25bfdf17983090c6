"""Generated images of one object each, named by its shape and its texture: the embedded classification task.

Integer arithmetic alone, by the building blocks of `benchmarks.data.synthetic`: the same bytes on every machine.
"""

from __future__ import annotations

import numpy as np

from benchmarks.data.synthetic import (
    _X,
    _Y,
    GENERATOR_VERSION,
    SIZE,
    SPLITS,
    _Bits,
    _bulge,
    _colour,
    _largest,
    _light,
    _palette,
    _sensor,
    _shape,
    _soften,
    _Texture,
)

SHAPES = ("blob", "creature", "stone")
TEXTURES = ("clouds", "stripes", "spots", "grain", "fur")
NAMES = tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES)
_DOMAIN = 4  # of the seed; the domains of `synthetic` are 0 to 2, depth is 3


def picture(split: str, index: int) -> tuple[np.ndarray, int]:
    """Picture number `index` (0-based) of a split: image (128, 128, 3) uint8 and its class, of NAMES, each as likely."""
    return with_mask(split, index)[:2]


def with_mask(split: str, index: int) -> tuple[np.ndarray, int, np.ndarray]:
    """`picture`, and where its object is: a mask (128, 128) bool."""
    label = _Bits(GENERATOR_VERSION, _DOMAIN, SPLITS.index(split), index).one(0, len(NAMES))
    shape, texture = SHAPES[label // len(TEXTURES)], TEXTURES[label % len(TEXTURES)]
    for attempt in range(64):
        bits = _Bits(GENERATOR_VERSION, _DOMAIN, SPLITS.index(split), index, attempt)
        grid = (_X << 8, _Y << 8)
        image = _colour(_Texture.draw(bits).at(*grid), _palette(bits, bits.one(10, 50)))
        field = _shape(bits, bits.one(40, SIZE - 40), bits.one(40, SIZE - 40), bits.one(26, 46), (shape,))
        mask = _largest(field > 0)
        if mask.sum() < 700:
            continue
        wear = _colour(_Texture.draw(bits, (texture,)).at(*grid), _palette(bits, bits.one(30, 70)))
        wear = wear + _bulge(field, bits.one(0, 30))[..., None]
        image = np.where(mask[..., None], wear, image)
        return _sensor(bits, _light(bits, _soften(np.clip(image, 0, 255)), 40), bits.one(2, 12)), label, mask
    raise AssertionError(f"no usable picture in 64 draws for classes/{split}/{index}")
