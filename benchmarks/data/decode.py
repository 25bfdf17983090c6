"""Decoding an image and its mask from whatever a dataset stores: rotated, grey, with a palette, 16 bits deep, JPEG masks.

One function a need: `image`, `mask`, `pair`, `labels`, `depth`, `colours`. A source is the path of a file, or its bytes with a name for
errors. All raise MissingData naming the file that cannot be read, that is moving (an animation, a file of several pages: which frame
would be the image?), whose pixels are floats (of which scale?), or that would fill the memory.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from benchmarks.errors import MissingData

log = logging.getLogger("benchmarks")
# By content, whatever the file is named. No others: Pillow hands PostScript to an interpreter, for one.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM")
MOST_PIXELS = (
    2**26
)  # 8192 x 8192: twice the largest of any dataset here, 200 MB as RGB; a few kilobytes can declare a thousandfold
THRESHOLD = 127  # JPEG masks are grey at the border; the benchmark's own code thresholds at half
THINNEST = 200  # times as long as wide: the short side would vanish where the long one is resized to a model's 128 pixels
ASPECT = 0.01  # a mask of another size is the same picture, resized, where the aspect ratios agree within this share
RESIZED = 8  # and where neither is more than so many times the other's size: a thumbnail is no mask
_LOSSY = ("JPEG", "MPO", "WEBP")
_NOISE = 16  # of 255, how bright compression makes black
_ORIENTATION = 0x0112  # the EXIF tag


def image(source: Path | str | bytes, name: str = "") -> np.ndarray:
    """(H, W, 3) uint8 as it is meant to be shown: the EXIF rotation is applied.

    Grey is repeated, a palette looked up, CMYK converted without a profile, transparency dropped (the stored colours stay), 16 bits
    cut to the upper 8.
    """
    return _image(source, name)[0]


def mask(source: Path | str | bytes, name: str = "", threshold: int = THRESHOLD) -> np.ndarray:
    """(H, W) bool: where the brightest of a pixel's stored colours is above `threshold` of 255.

    The brightest channel, not the luminance: a mask drawn in dark red is a mask. Where a lossless file holds only 0 and 1, as
    masks of class indices do, 1 is the object. Raises MissingData also for a mask that would come out empty though it is not blank:
    of other values than these, or drawn in its transparency alone.
    """
    picture = _open(source, name)
    return _mask(_upright(picture, source, name), picture.format, threshold, _named(source, name))


def pair(
    image_source: Path | str | bytes, mask_sources: Sequence[Path | str | bytes], name: str = "", threshold: int = THRESHOLD
) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) uint8 and the union of its masks (H, W) bool, at the image's resolution.

    A mask that lacks the image's EXIF rotation, seen by its size being that of the image before rotation, is rotated likewise; a
    half turn, a mirror or a square does not show by size, and the mask is taken as it is, with a warning unless it says its own
    rotation. A mask of another size is resized (nearest pixel) where the aspect ratios agree within 1 % and the sizes within a
    factor of 8. Raises MissingData naming both sizes where they do not.
    """
    shown, turn = _image(image_source, name)
    union = np.zeros(shown.shape[:2], bool)
    for source in mask_sources:
        if turn in _UNSEEN or (turn in _TURNS and shown.shape[0] == shown.shape[1]):
            _warn_of_turn(image_source, source, name)
        union |= _fit(mask(source, name, threshold), shown, turn, image_source, source, name)
    return shown, union


def labels(source: Path | str | bytes, name: str = "") -> np.ndarray:
    """(H, W) integers as stored: of a palette image the indices, not the colours. Raises MissingData for a coloured file."""
    picture = _upright(_open(source, name), source, name)
    if picture.mode in ("P", "L", "1"):
        return np.array(picture)
    if picture.mode.startswith("I"):
        return _deep(picture, _named(source, name))
    raise MissingData(f"{_named(source, name)} holds colours ({picture.mode}) where indices are expected; replace the file")


def depth(source: Path | str | bytes, name: str = "") -> np.ndarray:
    """(H, W) float32 in metres from a 16-bit image of millimetres; 0 stays 0, unknown."""
    picture = _open(source, name)
    if not picture.mode.startswith("I"):
        raise MissingData(f"{_named(source, name)} is not a 16-bit image of millimetres ({picture.mode}); replace the file")
    return (_deep(picture, _named(source, name)).astype(np.float64) / 1000).astype(np.float32)


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

    named = _named(source, name)
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as file:
            width, height = file.size
            if width * height > MOST_PIXELS:  # before anything is decoded
                raise MissingData(
                    f"{named} declares {width:,} x {height:,} pixels, more than the {MOST_PIXELS:,} that are read; replace the file"
                )
            if max(width, height) > THINNEST * min(width, height):
                raise MissingData(
                    f"{named} is {width:,} x {height:,} pixels, more than {THINNEST} times as long as wide; replace or remove it"
                )
            # The second image of an MPO, as cameras write it, is a preview or the other eye's: the first is the photograph.
            if file.format != "MPO" and getattr(file, "is_animated", False):
                raise MissingData(f"{named} holds more than one image, and nothing says which counts; replace it by a still one")
            file.load()  # a truncated file fails here, not later
            return file
    except MissingData:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, of an image three times as large
        raise MissingData(f"{named} declares more pixels than the {MOST_PIXELS:,} that are read; replace the file") from None
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise _unreadable(named, error) from None


def _unreadable(named: str, error: Exception) -> MissingData:
    why = " ".join(str(error).split()) or type(error).__name__
    return MissingData(f"{named} cannot be read as an image ({why[:200]}); replace the file")


def _upright(picture, source, name: str):
    """The image as its EXIF rotation says it is shown."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception as error:  # damaged EXIF data raises as damaged pixels do
        raise _unreadable(_named(source, name), error) from None


def _image(source, name: str) -> tuple[np.ndarray, int]:
    """The image as shown, and its EXIF orientation (1 is none)."""
    picture, named = _open(source, name), _named(source, name)
    shown = _upright(picture, source, name)
    turn = picture.getexif().get(_ORIENTATION, 1)
    if shown.mode == "F" or shown.mode.startswith("I"):
        grey = _eight_bits(_deep(shown, named))
        return np.repeat(grey[..., None], 3, axis=2), turn
    return _rgb(shown, named), turn


def _rgb(picture, named: str) -> np.ndarray:
    try:
        return np.array(picture.convert("RGB"))
    except ValueError as error:  # Lab, and others that no conversion leads from
        raise _unreadable(named, error) from None


def _deep(picture, named: str) -> np.ndarray:
    """The whole numbers of an image with more than 8 bits a pixel. Raises MissingData for floats, and for more than 16 bits."""
    if picture.mode == "F":
        raise MissingData(f"{named} holds floats, and nothing says on which scale; replace it by an image of 8 or 16 bits")
    values = np.array(picture)
    if values.size and not 0 <= values.min() <= values.max() <= 65535:
        raise MissingData(f"{named} holds values from {values.min()} to {values.max()}, more than 16 bits; replace the file")
    return values


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """uint8 of a deep image: the upper 8 of 16 bits; values that fit into 8 bits stay, a 16-bit file of 8-bit data."""
    values = values.astype(np.uint16)
    return (values if values.size and values.max() <= 255 else values >> 8).astype(np.uint8)


def _mask(picture, kind: str | None, threshold: int, named: str) -> np.ndarray:
    if picture.mode == "P":
        indices = np.array(picture)
        if indices.size and indices.max() == 1:
            return indices > 0
    if picture.mode == "F" or picture.mode.startswith("I"):
        values = _eight_bits(_deep(picture, named))
    elif picture.mode in ("1", "L"):
        values = np.array(picture.convert("L"))
    else:
        values = _rgb(picture, named).max(axis=2)
    if kind not in _LOSSY and values.max() == 1:
        return values > 0
    if values.min() == values.max() and picture.has_transparency_data:
        alpha = np.array(picture.convert("RGBA"))[..., 3]
        if alpha.min() != alpha.max():
            raise MissingData(
                f"{named} is a mask of one colour, drawn in its transparency alone; replace it by one of black and white"
            )
    if values.max() <= threshold and values.max() > (_NOISE if kind in _LOSSY else 0):
        raise MissingData(
            f"{named} is a mask whose brightest value is {values.max()} of 255: its values are neither 0 and 1 nor 0 and 255; replace it"
        )
    return values > threshold


def _fit(found: np.ndarray, shown: np.ndarray, turn: int, image_source, source, name: str) -> np.ndarray:
    from PIL import Image

    height, width = shown.shape[:2]
    if found.shape == (height, width):
        return found
    if turn in _TURNS and found.shape == (width, height):
        return _TURNS[turn](found)
    h, w = found.shape
    if abs(w * height / (h * width) - 1) <= ASPECT and max(w, width) <= RESIZED * min(w, width):
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
_UNSEEN = (2, 3, 4)  # those that keep them


def _warn_of_turn(image_source, source, name: str) -> None:
    if _open(source, name).getexif().get(_ORIENTATION, 1) == 1:
        log.warning(
            "%s is stored turned or mirrored, and its mask %s does not say whether it is too; it is taken to be as shown",
            _named(image_source, name),
            _named(source, name),
        )
