"""Generated images with exact masks: the embedded suite's three domains.

Everything between the seed and the pixels is integer arithmetic on ``PCG64``'s raw stream, which NumPy promises never to
change. No floating-point sum, no ``sin`` of an array, no convolution whose order of operations depends on the processor:
the same call gives the same bytes on every machine (the manifests under ``datasets/`` hold their sha256).

natural  several coloured, textured objects, many with a part of another colour; the target is one whole object
medical  one lesion in an ultrasound, a skin or an endoscopy picture: low contrast, speckle, blurred border
camo     one object that wears its background's texture and colours, shifted a little
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SIZE = 128  # pixels, both sides: a 16 x 16 grid of 8-pixel patches
DOMAINS = ("natural", "medical", "camo")
SPLITS = ("train", "test", "pretrain")
GENERATOR_VERSION = 1  # part of every seed: a change of the pictures is a change of this number

ONE = 1 << 16  # fixed-point one of fields and noise
_LATTICE = 64  # period of the noise lattice, in cells; a power of two
Y, X = np.mgrid[0:SIZE, 0:SIZE].astype(np.int64)
# Fixed-point directions. Rounding to 1/1024 leaves no room for a last-bit difference between maths libraries.
_DIRECTIONS = [(round(1024 * math.cos(math.pi * k / 32)), round(1024 * math.sin(math.pi * k / 32))) for k in range(64)]


@dataclass(frozen=True)
class Scene:
    """One picture. `image` is (128, 128, 3) uint8; masks are (128, 128) bool; `parts` pairs an object's index and a mask."""

    image: np.ndarray
    target: np.ndarray
    objects: tuple[np.ndarray, ...]
    parts: tuple[tuple[int, np.ndarray], ...]


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


def _octaves(bits: Bits, u, v, cell: int, count: int) -> np.ndarray:
    """A sum of `count` octaves of noise, halving in cell size and in weight, scaled back to [0, 65536)."""
    total, weight, norm = 0, 1 << count, 0
    for _ in range(count):
        total, norm = total + weight * noise(bits, u, v, max(cell, 2)), norm + weight
        cell, weight = cell // 2, weight // 2
    return total // norm


def turn(u, v, direction: int):
    """Coordinates turned by `direction` 64ths of a full turn."""
    c, s = _DIRECTIONS[direction % 64]
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
            return _octaves(bits, u, v, self.cell * 2, 4)
        if self.kind == "grain":
            return _octaves(bits, u, v, max(3, self.cell // 3), 2)
        if self.kind == "fur":
            return (2 * _octaves(bits, u, v * 4, self.cell * 2, 3) + _octaves(bits, u, v, self.cell * 2, 2)) // 3
        if self.kind == "stripes":
            warp = noise(bits, u, v, self.cell * 3) >> 5
            return (3 * triangle((v + warp) * 200 // self.cell) + _octaves(bits, u, v, self.cell, 2)) // 4
        spots = _octaves(bits, u, v, self.cell, 2) - 36000
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


def _shape(bits: Bits, cx: int, cy: int, radius: int, kinds=("blob", "blob", "creature", "creature", "stone")) -> np.ndarray:
    """An implicit object of about `radius` pixels: a lobed blob, an animal-like union of ellipses, or a cut stone."""
    kind = bits.choice(kinds)
    direction = bits.one(0, 64)
    narrow = bits.one(55, 100)
    field = ellipse(cx, cy, radius, max(3, radius * narrow // 100), direction)
    if kind == "creature":
        for _ in range(bits.one(2, 5)):  # limbs and a head, set on the body's rim
            c, s = _DIRECTIONS[bits.one(0, 64)]
            sign = bits.choice((-1, 1))
            x, y = cx + sign * c * radius * 8 // 10240, cy + sign * s * radius * 8 // 10240
            limb = ellipse(
                x, y, max(3, radius * bits.one(35, 75) // 100), max(3, radius * bits.one(15, 40) // 100), bits.one(0, 64)
            )
            field = np.maximum(field, limb)
    if kind == "stone":
        for _ in range(bits.one(3, 6)):
            c, s = _DIRECTIONS[bits.one(0, 64)]
            sign = bits.choice((-1, 1))
            reach = radius * bits.one(50, 85) // 100
            side = (sign * (c * (X - cx) + s * (Y - cy)) << 6) // radius
            field = np.minimum(field, (reach << 16) // radius - side)
    ripple = noise(bits, X << 8, Y << 8, max(4, radius // 2)) - ONE // 2
    return field + ripple * bits.one(15, 80) // 100


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
    c, s = _DIRECTIONS[bits.one(0, 64)]
    slope = (c * (X - SIZE // 2) + s * (Y - SIZE // 2)) * bits.one(0, strength + 1) // (100 * SIZE // 2)
    return image * (1024 + slope[..., None]) >> 10


def sensor(bits: Bits, image: np.ndarray, amount: int) -> np.ndarray:
    """A camera's noise, up to `amount` levels, on an image (H, W, 3); uint8."""
    grain = bits.many(-amount, amount + 1, image.shape) + bits.many(-amount, amount + 1, image.shape)
    return np.clip(image + grain // 2, 0, 255).astype(np.uint8)


def bulge(field: np.ndarray, strength: int) -> np.ndarray:
    """Shading of a rounded body, in levels: brighter towards the middle, darker at the rim."""
    return (np.clip(field, 0, ONE) * strength >> 16) - strength // 2


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
            c, s = _DIRECTIONS[angle]
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
        tissue = (_octaves(bits, grid[0], grid[1] * 3, 40, 3) + _octaves(bits, *grid, 50, 2)) // 2
        grey = 45 + (tissue * 130 >> 16)
        lesion = grey * bits.one(35, 68) // 100 + (_octaves(bits, *grid, 14, 2) * 26 >> 16)
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
        image = colour(_octaves(bits, *grid, 44, 4), tones)
        spot = colour(_octaves(bits, *grid, 20, 3), mark)
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
    slow = _octaves(bits, *grid, 60, 2)  # the ground's own slow drift of brightness
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
