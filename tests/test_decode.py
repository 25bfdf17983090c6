"""Images and masks as datasets really store them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import decode
from benchmarks.errors import MissingData

SHOWN = np.repeat(np.add.outer(np.arange(20) * 5, np.arange(30) * 4).astype(np.uint8)[..., None], 3, axis=2)
MASK = np.zeros((20, 30), bool)
MASK[3:9, 5:21] = True


def save(path, pixels, **how):
    Image.fromarray(pixels).save(path, **how)
    return path


# What undoes the rotation of each EXIF orientation that exchanges width and height.
@pytest.mark.parametrize(
    "turn,undo", [(6, lambda a: np.rot90(a)), (8, lambda a: np.rot90(a, -1)), (5, lambda a: a.swapaxes(0, 1))]
)
def test_a_mask_that_lacks_the_images_rotation_is_rotated(tmp_path, turn, undo):
    exif = Image.Exif()
    exif[0x0112] = turn
    image = save(tmp_path / "a.png", undo(SHOWN).copy(), exif=exif)
    for stored in (undo(MASK), MASK):
        found = decode.pair(image, [save(tmp_path / "m.png", stored.astype(np.uint8) * 255)])
        assert np.array_equal(found[0], SHOWN) and np.array_equal(found[1], MASK)


def test_grey_alpha_palette_and_deep_images(tmp_path):
    grey = SHOWN[..., 0]
    alpha = np.dstack([SHOWN, np.zeros_like(grey)])
    for pixels in (grey, alpha, grey.astype(np.uint16) * 257):
        assert np.array_equal(decode.image(save(tmp_path / "a.png", pixels)), SHOWN)
    Image.fromarray(grey).convert("P").save(tmp_path / "p.png")
    assert decode.image(tmp_path / "p.png").shape == SHOWN.shape


def test_masks_of_every_kind(tmp_path):
    assert np.array_equal(decode.mask(save(tmp_path / "m.jpg", MASK.astype(np.uint8) * 255, quality=95)), MASK)
    for pixels in (MASK, MASK.astype(np.uint8), MASK.astype(np.uint16) * 65535, MASK[..., None] * np.uint8([200, 0, 0])):
        assert np.array_equal(decode.mask(save(tmp_path / "m.png", pixels)), MASK)
    assert not decode.mask(save(tmp_path / "m.png", np.zeros((20, 30), np.uint8))).any()


def test_another_size_is_resized_or_refused(tmp_path):
    image = save(tmp_path / "a.png", SHOWN)
    double = save(tmp_path / "m.png", np.kron(MASK, np.ones((2, 2))).astype(np.uint8) * 255)
    assert np.array_equal(decode.pair(image, [double])[1], MASK)
    with pytest.raises(MissingData, match=r"m.png: mask of \(7, 5\) for an image of \(30, 20\).*a.png"):
        decode.pair(image, [save(tmp_path / "m.png", np.zeros((5, 7), np.uint8))])


def test_a_truncated_file_is_named(tmp_path):
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(MissingData, match="a.png cannot be read"):
        decode.image(path)
