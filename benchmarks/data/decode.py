"""Decoding an image and its mask from whatever a dataset stores: rotated, grey, with a palette, 16 bits deep, JPEG masks.

One function a need: `image`, `mask`, `pair`, `labels`, `depth`, `colours`. A source is the path of a file, or its bytes with a name for
errors. All raise MissingData naming the file that cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from benchmarks.errors import MissingData

THRESHOLD = 127  # JPEG masks are grey at the border; the benchmark's own code thresholds at half
ASPECT = 0.01  # a mask of another size is the same picture, resized, where the aspect ratios agree within this share
_ORIENTATION = 0x0112  # the EXIF tag
_DEEP = ("I", "F")  # how the modes begin that hold more than 8 bits a pixel: I, I;16, I;16B, F


def image(source: Path | str | bytes, name: str = "") -> np.ndarray:
    """(H, W, 3) uint8 as it is meant to be shown: the EXIF rotation is applied.

    Grey is repeated, a palette looked up, transparency dropped (the stored colours stay), 16 bits cut to the upper 8.
    """
    return _image(source, name)[0]


def mask(source: Path | str | bytes, name: str = "", threshold: int = THRESHOLD) -> np.ndarray:
    """(H, W) bool: where the brightest of a pixel's stored colours is above `threshold` of 255.

    The brightest channel, not the luminance: a mask drawn in dark red is a mask. Where a lossless file holds only 0 and 1, as
    masks of class indices do, 1 is the object.
    """
    picture = _open(source, name)
    from PIL import ImageOps

    return _mask(ImageOps.exif_transpose(picture), picture.format, threshold)


def pair(
    image_source: Path | str | bytes, mask_sources: Sequence[Path | str | bytes], name: str = "", threshold: int = THRESHOLD
) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) uint8 and the union of its masks (H, W) bool, at the image's resolution.

    A mask that lacks the image's EXIF rotation, seen by its size being that of the image before rotation, is rotated likewise; a
    half turn, a mirror or a square does not show by size, and the mask is taken as it is. A mask of another size is resized
    (nearest pixel) where the aspect ratios agree within 1 %. Raises MissingData naming both sizes where they do not.
    """
    shown, turn = _image(image_source, name)
    union = np.zeros(shown.shape[:2], bool)
    for source in mask_sources:
        union |= _fit(mask(source, name, threshold), shown, turn, image_source, source, name)
    return shown, union


def labels(source: Path | str | bytes, name: str = "") -> np.ndarray:
    """(H, W) integers as stored: of a palette image the indices, not the colours. Raises MissingData for a coloured file."""
    picture = _open(source, name)
    if picture.mode in ("P", "L", "1", "I") or picture.mode.startswith("I;16"):
        return np.array(picture)
    raise MissingData(f"{_named(source, name)} holds colours ({picture.mode}) where indices are expected; replace the file")


def depth(source: Path | str | bytes, name: str = "") -> np.ndarray:
    """(H, W) float32 in metres from a 16-bit image of millimetres; 0 stays 0, unknown."""
    picture = _open(source, name)
    if not picture.mode.startswith("I"):
        raise MissingData(f"{_named(source, name)} is not a 16-bit image of millimetres ({picture.mode}); replace the file")
    return (np.array(picture).astype(np.float64) / 1000).astype(np.float32)


def colours(source: Path | str | bytes, name: str = "") -> int:
    """How many colours an image holds; of a palette the used ones."""
    picture = _open(source, name)
    values = np.array(picture)
    return len(np.unique(values.reshape(-1, values.shape[2]) if values.ndim == 3 else values.reshape(-1, 1), axis=0))


def _named(source, name: str) -> str:
    return name if isinstance(source, bytes) else str(source)


def _open(source, name: str):
    """The decoded PIL image, with its format."""
    from PIL import Image

    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as file:
            file.load()  # a truncated file fails here, not later
            return file
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise MissingData(f"{_named(source, name)} cannot be read as an image ({error}); replace the file") from None


def _image(source, name: str) -> tuple[np.ndarray, int]:
    """The image as shown, and its EXIF orientation (1 is none)."""
    from PIL import ImageOps

    picture = _open(source, name)
    turn = picture.getexif().get(_ORIENTATION, 1)
    shown = ImageOps.exif_transpose(picture)
    if shown.mode.startswith(_DEEP):
        grey = _eight_bits(np.array(shown))
        return np.repeat(grey[..., None], 3, axis=2), turn
    return np.array(shown.convert("RGB")), turn


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """uint8 of a deep image: the upper 8 of 16 bits; values that fit into 8 bits stay, a 16-bit file of 8-bit data."""
    values = np.clip(values, 0, 65535).astype(np.uint16)
    return (values if values.size and values.max() <= 255 else values >> 8).astype(np.uint8)


def _mask(picture, kind: str | None, threshold: int) -> np.ndarray:
    if picture.mode == "P":
        indices = np.array(picture)
        if indices.size and indices.max() == 1:
            return indices > 0
    if picture.mode.startswith(_DEEP):
        values = _eight_bits(np.array(picture))
    elif picture.mode in ("1", "L"):
        values = np.array(picture.convert("L"))
    else:
        values = np.array(picture.convert("RGB")).max(axis=2)
    if kind != "JPEG" and values.size and values.max() == 1:
        return values > 0
    return values > threshold


def _fit(found: np.ndarray, shown: np.ndarray, turn: int, image_source, source, name: str) -> np.ndarray:
    from PIL import Image

    height, width = shown.shape[:2]
    if found.shape == (height, width):
        return found
    if turn in _TURNS and found.shape == (width, height):
        return _TURNS[turn](found)
    h, w = found.shape
    if min(h, w) and abs(w * height / (h * width) - 1) <= ASPECT:
        picture = Image.fromarray(found.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
        return np.array(picture).astype(bool)
    raise MissingData(
        f"{_named(source, name)}: mask of {(w, h)} for an image of {(width, height)} pixels, "
        f"{_named(image_source, name)}; replace one of them"
    )


# The four orientations that exchange width and height.
_TURNS = {
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a),
}
