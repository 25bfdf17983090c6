"""Generated images with exact masks: the embedded suite's three domains.

Drawn in whole numbers, see `benchmarks.data.drawing` (the manifests under ``datasets/`` hold the pictures' sha256).

natural  several coloured, textured objects, many with a part of another colour; the target is one whole object
medical  one lesion in an ultrasound, a skin or an endoscopy picture: low contrast, speckle, blurred border
camo     one object that wears its background's texture and colours, shifted a little
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.data.drawing import (
    DIRECTIONS,
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
    octaves,
    palette,
    sensor,
    soften,
    turn,
)

DOMAINS = ("natural", "medical", "camo")
SPLITS = ("train", "test", "pretrain")
GENERATOR_VERSION = 1  # part of every seed: a change of the pictures is a change of this number


@dataclass(frozen=True)
class Scene:
    """One picture. `image` is (128, 128, 3) uint8; masks are (128, 128) bool; `parts` pairs an object's index and a mask."""

    image: np.ndarray
    target: np.ndarray
    objects: tuple[np.ndarray, ...]
    parts: tuple[tuple[int, np.ndarray], ...]


def _shape(bits: Bits, cx: int, cy: int, radius: int, kinds=("blob", "blob", "creature", "creature", "stone")) -> np.ndarray:
    """An implicit object of about `radius` pixels: a lobed blob, an animal-like union of ellipses, or a cut stone."""
    kind = bits.choice(kinds)
    direction = bits.one(0, 64)
    narrow = bits.one(55, 100)
    field = ellipse(cx, cy, radius, max(3, radius * narrow // 100), direction)
    if kind == "creature":
        for _ in range(bits.one(2, 5)):  # limbs and a head, set on the body's rim
            c, s = DIRECTIONS[bits.one(0, 64)]
            sign = bits.choice((-1, 1))
            x, y = cx + sign * c * radius * 8 // 10240, cy + sign * s * radius * 8 // 10240
            limb = ellipse(
                x, y, max(3, radius * bits.one(35, 75) // 100), max(3, radius * bits.one(15, 40) // 100), bits.one(0, 64)
            )
            field = np.maximum(field, limb)
    if kind == "stone":
        for _ in range(bits.one(3, 6)):
            c, s = DIRECTIONS[bits.one(0, 64)]
            sign = bits.choice((-1, 1))
            reach = radius * bits.one(50, 85) // 100
            side = (sign * (c * (X - cx) + s * (Y - cy)) << 6) // radius
            field = np.minimum(field, (reach << 16) // radius - side)
    ripple = noise(bits, X << 8, Y << 8, max(4, radius // 2)) - ONE // 2
    return field + ripple * bits.one(15, 80) // 100


def _natural(bits: Bits) -> Scene | None:
    grid = (X << 8, Y << 8)
    image = colour(Texture.draw(bits).at(*grid), palette(bits, bits.one(10, 50)))
    placed: list[np.ndarray] = []
    parts: list[tuple[int, np.ndarray]] = []
    for _ in range(bits.one(1, 5)):
        radius = bits.one(14, 42)
        cx, cy = bits.one(16, SIZE - 16), bits.one(16, SIZE - 16)
        field = _shape(bits, cx, cy, radius)
        mask = largest(field > 0)
        shadow = np.roll(mask, (bits.one(1, 5), bits.one(-4, 5)), (0, 1)) & ~mask
        if bits.chance(50):
            image = np.where(shadow[..., None], image * 3 >> 2, image)
        wear = colour(Texture.draw(bits).at(*grid), palette(bits, bits.one(5, 60)))
        wear = wear + bulge(field, bits.one(0, 50))[..., None]
        image = np.where(mask[..., None], wear, image)
        placed = [p & ~mask for p in placed]
        parts = [(o, p & ~mask) for o, p in parts]
        placed.append(mask)
        if bits.chance(60):  # a part of another colour: what makes one click ambiguous
            angle, sign = bits.one(0, 64), bits.choice((-1, 1))
            c, s = DIRECTIONS[angle]
            reach = bits.one(0, 60)
            part = _shape(
                bits,
                cx + sign * c * radius * reach // 102400,
                cy + sign * s * radius * reach // 102400,
                max(6, radius * bits.one(35, 70) // 100),
            )
            part = largest(part > 0) & mask
            wear = colour(Texture.draw(bits).at(*grid), palette(bits, bits.one(5, 60)))
            image = np.where(part[..., None], wear + bulge(field, 20)[..., None], image)
            parts.append((len(placed) - 1, part))
    visible = [k for k, p in enumerate(placed) if p.sum() >= 160]
    if not visible:
        return None
    chosen = bits.choice(visible)
    objects = tuple(largest(placed[k]) for k in visible)
    kept = tuple((visible.index(o), largest(p)) for o, p in parts if o in visible and p.sum() >= 60)
    image = sensor(bits, light(bits, soften(np.clip(image, 0, 255)), 40), bits.one(1, 10))
    return Scene(image, objects[visible.index(chosen)], objects, kept)


def _medical(bits: Bits) -> Scene | None:
    grid = (X << 8, Y << 8)
    kind = bits.choice(("ultrasound", "skin", "endoscopy"))
    radius = bits.one(14, 38)
    field = _shape(bits, bits.one(34, SIZE - 34), bits.one(34, SIZE - 34), radius, ("blob",))
    mask = largest(field > 0)
    if mask.sum() < 200:
        return None
    field = np.where(mask, np.maximum(field, 1), np.minimum(field, 0))
    width = bits.one(12, 40)  # of the blurred border, percent of the radius
    alpha = np.clip(field * 100 // width + ONE // 2, 0, ONE) >> 8  # 0..256
    if kind == "ultrasound":
        tissue = (octaves(bits, grid[0], grid[1] * 3, 40, 3) + octaves(bits, *grid, 50, 2)) // 2
        grey = 45 + (tissue * 130 >> 16)
        lesion = grey * bits.one(35, 68) // 100 + (octaves(bits, *grid, 14, 2) * 26 >> 16)
        grey = (grey * (256 - alpha) + lesion * alpha) >> 8
        below = np.cumsum(mask, axis=0)  # the acoustic shadow that a dense body throws downwards
        grey = grey * (1024 - np.minimum(below * bits.one(0, 9), 400)) >> 10
        speckle = (noise(bits, *grid, 2) + noise(bits, *grid, 3)) // 2
        grey = grey * (256 + (((speckle - ONE // 2) * bits.one(200, 420)) >> 16)) >> 8
        image = np.repeat(soften(np.clip(grey, 0, 255))[..., None], 3, axis=2)
    else:
        if kind == "skin":
            tones = np.array([[206, 150, 122], [228, 178, 150], [240, 200, 178]]) + bits.many(-22, 16, (1, 3))
            mark = np.array([[96, 58, 44], [150, 98, 76]]) + bits.many(-24, 34, (1, 3))
        else:
            tones = np.array([[150, 52, 44], [196, 88, 74], [224, 130, 108]]) + bits.many(-20, 22, (1, 3))
            mark = np.array([[176, 70, 62], [226, 128, 112]]) + bits.many(-26, 27, (1, 3))
        image = colour(octaves(bits, *grid, 44, 4), tones)
        spot = colour(octaves(bits, *grid, 20, 3), mark)
        share = bits.one(45, 80)  # never the full colour: the contrast stays low
        weight = (alpha * share // 100)[..., None]
        image = (image * (256 - weight) + spot * weight) >> 8
        if kind == "skin":
            for _ in range(bits.one(0, 9)):  # hairs
                u, v = turn(X - bits.one(0, SIZE), Y - bits.one(0, SIZE), bits.one(0, 64))
                line = np.abs(v * 256 + u * u * bits.one(-2, 3)) < bits.one(100, 260)
                image = np.where(line[..., None], image * 2 // 5, image)
        else:
            image = image + (bulge(field, 60) * (alpha > 128))[..., None]
            for _ in range(bits.one(0, 7)):  # wet highlights
                glint = ellipse(bits.one(0, SIZE), bits.one(0, SIZE), bits.one(2, 6), bits.one(2, 4), bits.one(0, 64)) > 0
                image = np.where(glint[..., None], np.minimum(image + 90, 250), image)
            far = (X - SIZE // 2) ** 2 + (Y - SIZE // 2) ** 2  # the lamp's vignette
            image = image * (1100 - far * 460 // (64 * 64))[..., None] >> 10
        image = soften(np.clip(image, 0, 255))
    return Scene(sensor(bits, light(bits, image, 25), bits.one(4, 14)), mask, (mask,), ())


def _camo(bits: Bits) -> Scene | None:
    grid = (X << 8, Y << 8)
    texture, colours = Texture.draw(bits), palette(bits, bits.one(25, 60), 34)
    slow = octaves(bits, *grid, 60, 2)  # the ground's own slow drift of brightness
    ground = colour(texture.at(*grid), colours)
    radius = bits.one(16, 40)
    field = _shape(bits, bits.one(26, SIZE - 26), bits.one(26, SIZE - 26), radius)
    mask = largest(field > 0)
    if mask.sum() < 250:
        return None
    # The object wears the same texture from elsewhere, scaled and turned a little, its colours a little off.
    scale = bits.one(72, 128)
    u, v = turn(grid[0] * scale // 100, grid[1] * scale // 100, bits.choice((0, 2, 4, 60, 62)))
    wear = colour(texture.at(u + bits.one(2000, 9000), v + bits.one(2000, 9000)), colours)
    wear = wear + bits.many(-16, 17, (1, 1, 3)) + bits.choice((-1, 1)) * bits.one(0, 14)
    wear = wear + bulge(field, bits.one(0, 30))[..., None]
    soft = soften(soften(np.where(mask, 256, 0)))[..., None]
    image = (ground * (256 - soft) + wear * soft) >> 8
    for _ in range(bits.one(0, 4)):  # decoys: patches of ground with another tint, and no object
        decoy = _shape(bits, bits.one(0, SIZE), bits.one(0, SIZE), bits.one(8, 24))
        fade = (np.clip(decoy, 0, ONE) >> 8)[..., None]
        image = np.where(mask[..., None], image, image + (fade * bits.many(-16, 17, (1, 1, 3)) >> 8))
    image = image + ((slow - ONE // 2) * 40 >> 16)[..., None]
    image = sensor(bits, light(bits, soften(np.clip(image, 0, 255)), 40), bits.one(2, 10))
    return Scene(image, mask, (mask,), ())


_RENDER = {"natural": _natural, "medical": _medical, "camo": _camo}


def scene(domain: str, split: str, index: int) -> Scene:
    """Picture number `index` (0-based) of a domain's split, always the same.

    Raises ValueError for an unknown domain or split. A draw whose target came out too small is drawn again with the next
    attempt number, so every index has a picture.
    """
    if domain not in DOMAINS or split not in SPLITS:
        raise ValueError(f"no generated split {domain}/{split}; domains: {', '.join(DOMAINS)}; splits: {', '.join(SPLITS)}")
    key = (GENERATOR_VERSION, DOMAINS.index(domain), SPLITS.index(split), index)
    for attempt in range(64):
        made = _RENDER[domain](Bits(*key, attempt))
        if made is not None:
            return made
    raise AssertionError(f"no usable picture in 64 draws for {domain}/{split}/{index}")
