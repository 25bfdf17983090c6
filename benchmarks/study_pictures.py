"""Pictures of a study, drawn with Pillow: masks with their errors outlined (the paper's figure 3), feature maps (its figure 5)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

TILE = 192  # pixels of an image's longer side
GAP, LINE, EDGE = 8, 18, 10
MAP = 84
LARGEST = 150_000  # bytes of a file: pictures are committed
# Orange and blue are told apart by people who see few colours; bright ones stand out from the dark rim drawn around them.
FALSE_POSITIVE, FALSE_NEGATIVE, TRUTH, RIM = (255, 160, 0), (60, 190, 255), (255, 255, 255), (20, 20, 20)
NEGATIVE, ZERO, POSITIVE = np.array([0, 90, 170]), np.array([247, 247, 247]), np.array([213, 94, 0])
INK, PALE = (30, 30, 30), (110, 110, 110)


@dataclass(frozen=True)
class Column:
    """An answer: its name, its mask (H, W) bool, and what is written below it."""

    name: str
    mask: np.ndarray
    text: str


@dataclass(frozen=True)
class Row:
    """An image (H, W, 3) uint8 with its truth (H, W) bool, its click (x, y) in pixels, and the answers to it."""

    title: str
    image: np.ndarray
    truth: np.ndarray
    click: tuple[int, int]
    columns: tuple[Column, ...]


def examples(rows: Sequence[Row]) -> Image.Image:
    """Input, truth and answers of some images, a row each; errors of an answer are outlined, not filled."""
    count = 2 + len(rows[0].columns)
    width, step = 2 * EDGE + count * TILE + (count - 1) * GAP, 2 * LINE + TILE + GAP
    legend = [
        (FALSE_POSITIVE, "answered, but not the object (false positive)"),
        (FALSE_NEGATIVE, "of the object, but not answered (false negative)"),
        (TRUTH, "the object's true border; the dot is the click"),
    ]
    per_row = max(1, (width - 2 * EDGE) // 320)
    sheet = Image.new("RGB", (width, 2 * EDGE + len(rows) * step + LINE * -(-len(legend) // per_row)), "white")
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        top = EDGE + r * step
        draw.text((EDGE, top), row.title, fill=INK, font=_font(13))
        truth, image = _mask(row.truth), _tile(row.image)
        tiles = [("input", image, ""), ("truth", _outlined(image, [(truth, TRUTH)]), "")]
        for column in row.columns:
            found = _mask(column.mask)
            errors = [(found & ~truth, FALSE_POSITIVE), (truth & ~found, FALSE_NEGATIVE)]
            tiles.append((column.name, _outlined(image, errors), column.text))
        for c, (name, tile, text) in enumerate(tiles):
            left = EDGE + c * (TILE + GAP)
            sheet.paste(Image.fromarray(tile), (left, top + LINE))
            if c:
                scale = max(tile.shape[:2]) / max(row.image.shape[:2])
                _dot(draw, left + (row.click[0] + 0.5) * scale, top + LINE + (row.click[1] + 0.5) * scale)
            draw.text((left, top + LINE + tile.shape[0] + 1), f"{name}{'  ' if text else ''}{text}", fill=PALE, font=_font(12))
    for k, (colour, text) in enumerate(legend):
        left, top = EDGE + 320 * (k % per_row), EDGE + len(rows) * step + LINE * (k // per_row)
        draw.rectangle((left, top + 1, left + 13, top + 13), outline=RIM, fill=(150, 150, 150))
        draw.rectangle((left + 2, top + 3, left + 11, top + 11), outline=colour, width=2)
        draw.text((left + 19, top), text, fill=INK, font=_font(12))
    return sheet


@dataclass(frozen=True)
class Shown:
    """An image (H, W, 3) uint8 with its truth (H, W) bool, and maps (K, h, w) from -1 to 1 of the sheet's channels."""

    title: str
    image: np.ndarray
    truth: np.ndarray
    maps: np.ndarray


def maps(rows: Sequence[Shown], groups: Sequence[tuple[str, Sequence[int]]]) -> Image.Image:
    """Each image beside its maps of the channels of some named groups; the maps of a row have one colour scale."""
    space = 3 * GAP
    lefts, left = [], EDGE + MAP + space
    for _, channels in groups:
        lefts.append([left + k * (MAP + 2) for k in range(len(channels))])
        left += len(channels) * (MAP + 2) + space
    head, step = 2 * LINE + 4, LINE + MAP + GAP
    sheet = Image.new("RGB", (left - space + EDGE, 2 * EDGE + head + len(rows) * step + LINE), "white")
    draw = ImageDraw.Draw(sheet)
    for (name, channels), places in zip(groups, lefts):
        if places:
            draw.text((places[0], EDGE), name, fill=INK, font=_font(13))
        for channel, place in zip(channels, places):
            draw.text((place, EDGE + LINE), f"channel {channel}", fill=PALE, font=_font(12))
    for r, row in enumerate(rows):
        top, flat = EDGE + head + r * step, iter(row.maps)
        image = Image.fromarray(_outlined(_tile(row.image), [(_mask(row.truth), TRUTH)]))
        draw.text((EDGE, top), row.title, fill=INK, font=_font(12))
        sheet.paste(
            image.resize([max(1, round(n * MAP / TILE)) for n in image.size], Image.Resampling.LANCZOS), (EDGE, top + LINE)
        )
        for place in (place for places in lefts for place in places):
            sheet.paste(Image.fromarray(_coloured(next(flat))).resize((MAP, MAP), Image.Resampling.NEAREST), (place, top + LINE))
    top, bar = EDGE + head + len(rows) * step, np.linspace(-1, 1, 160)[None].repeat(12, 0)
    sheet.paste(Image.fromarray(_coloured(bar)), (EDGE, top + 2))
    text = "from the most negative over zero (white) to the most positive; one scale for all maps of a row"
    draw.text((EDGE + 168, top), text, fill=INK, font=_font(12))
    return sheet


def encoded(picture: Image.Image, largest: int = LARGEST) -> tuple[bytes, tuple[int, int]]:
    """A PNG file of at most `largest` bytes and its (width, height): in fewer colours, then smaller, where it must be."""
    while True:
        for made in (picture, picture.quantize(256, dither=Image.Dither.NONE), picture.quantize(96, dither=Image.Dither.NONE)):
            file = io.BytesIO()
            made.save(file, "PNG", optimize=True)
            if len(file.getvalue()) <= largest or max(picture.size) <= 16:
                return file.getvalue(), made.size
        picture = picture.resize([round(0.85 * n) for n in picture.size], Image.Resampling.LANCZOS)


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    """(width, height) of a tile of an image of that shape."""
    scale = TILE / max(shape[:2])
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _tile(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(_size(image.shape), Image.Resampling.BICUBIC))


def _mask(mask: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(_size(mask.shape), Image.Resampling.NEAREST)).astype(bool)


def _outlined(tile: np.ndarray, regions: list[tuple[np.ndarray, tuple[int, int, int]]]) -> np.ndarray:
    """A tile with the inner border of each region in its colour, and a dark rim around all borders."""
    drawn, lines = tile.copy(), np.zeros(tile.shape[:2], bool)
    for region, colour in regions:
        border = region & ~ndimage.binary_erosion(region, iterations=2, border_value=0)
        drawn[border] = colour
        lines |= border
    drawn[ndimage.binary_dilation(lines) & ~lines] = RIM
    return drawn


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=RIM)
    draw.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=(255, 255, 255))


def _coloured(values: np.ndarray) -> np.ndarray:
    """Values (h, w) from -1 to 1 as colours: blue below zero, white at it, orange above."""
    strength = np.abs(values)[..., None]
    end = np.where(values[..., None] < 0, NEGATIVE, POSITIVE)
    return np.round(ZERO + strength * (end - ZERO)).astype(np.uint8)


def _font(size: int):
    return ImageFont.load_default(size)
