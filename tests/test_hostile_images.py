"""Images at the edge of what an image is, through decoding, folders and metrics: a sound array, or a line that names the file."""

from __future__ import annotations

import io
import logging
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import data
from benchmarks.catalog import DATASETS, TASKS
from benchmarks.data import decode
from benchmarks.data.samples import Sample, interior_point
from benchmarks.errors import MissingData
from benchmarks.metrics import camouflage, masks
from benchmarks.metrics.names import METRICS, finish
from benchmarks.protocols import PROTOCOLS

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
TRUTH = np.zeros((20, 30), bool)
TRUTH[3:9, 5:21] = True


def kept(pixels, form="PNG", mode=None, **how) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(buffer, form, **how)
    return buffer.getvalue()


def says(call, *args) -> str:
    with pytest.raises(MissingData) as caught:
        call(*args)
    text = str(caught.value)
    assert (
        "x.png" in text
        and "\n" not in text
        and text.endswith(("replace the file", "replace it", "one", "remove it", "bits", "white"))
    )
    return text


def declared(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is so large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts
    )


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")

# Size


@pytest.mark.parametrize("read", [decode.image, decode.mask, decode.labels, decode.colours, decode.depth])
def test_a_bomb_is_refused_before_it_is_unpacked(read):
    tracemalloc.start()
    assert "declares more pixels than the 67,108,864 that are read" in says(read, declared(20_000, 20_000), "x.png")
    assert "declares 9,000 x 9,000 pixels, more than" in says(read, declared(9_000, 9_000), "x.png")
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_the_largest_that_is_read_is_larger_than_any_of_the_datasets():
    assert decode.MOST_PIXELS > 2 * 6748 * 4499  # ISIC's


def test_long_strips_are_read_up_to_a_limit():
    strip = np.zeros((100, 20_000, 3), np.uint8)
    assert decode.image(kept(strip), "x.png").shape == strip.shape
    assert "more than 200 times as long as wide" in says(decode.image, kept(strip[:50]), "x.png")
    assert decode.image(kept(RGB[:1, :1]), "x.png").shape == (1, 1, 3)


@pytest.mark.parametrize("shape", [(1, 1), (100, 20_000), (200, 1)])
def test_every_size_that_is_read_goes_through_the_model(shape):
    """No side vanishes where the other is resized to the model's, and every metric is a number."""
    from benchmarks.backbones import sam_mini
    from benchmarks.backbones.sam import Segmenter

    torch.manual_seed(0)
    model = Segmenter(sam_mini.build(), metrics=TASKS.get("camo").metrics)
    image = decode.image(kept(np.full((*shape, 3), 90, np.uint8)), "x.png")
    with torch.inference_mode():
        site = model.encode(model.pixels(image)[None]).site
        for mask in (np.zeros(shape, bool), np.ones(shape, bool)):
            found = model.measures(site, model.item(Sample("x", image, mask)))
            values = finish({name: v.tolist() for name, v in found.items()})
            assert all(METRICS[name].fits(v) for name, v in values.items()), values


# What is no image, or more than one


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 1000,
        b"<!DOCTYPE html><html><body>quota exceeded</body></html>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        b"GIF89a",
        b"\xff\xd8\xff\xe0",
        b"P6 999999999 999999999 255\n",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    ],
    ids=["nothing", "zeros", "html", "postscript", "gif head", "jpeg head", "ppm bomb", "lfs pointer"],
)
@pytest.mark.parametrize("read", [decode.image, decode.mask, decode.labels, decode.depth, decode.colours])
def test_what_is_no_image_is_named(content, read):
    says(read, content, "x.png")


def test_postscript_reaches_no_interpreter(monkeypatch, tmp_path):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: pytest.fail("it was run"))
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(MissingData):
        decode.image(tmp_path / "x.png")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_a_moving_image_is_refused_and_a_still_one_read(form):
    frames = [Image.fromarray(np.roll(RGB, k, 1)) for k in range(3)]
    still, moving = io.BytesIO(), io.BytesIO()
    frames[0].save(still, form)
    frames[0].save(moving, form, save_all=True, append_images=frames[1:])
    assert decode.image(still.getvalue(), "x.png").shape == RGB.shape
    assert "holds more than one image, and nothing says which counts" in says(decode.image, moving.getvalue(), "x.png")


def test_a_cameras_file_of_several_pictures_gives_the_first():
    frames, buffer = [Image.fromarray(np.full((16, 16, 3), c, np.uint8)) for c in (200, 20)], io.BytesIO()
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:])
    assert abs(int(decode.image(buffer.getvalue(), "x.png").mean()) - 200) < 3


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_every_cut_is_named(form):
    whole = kept(RGB, form)
    for length in (10, len(whole) // 4, len(whole) // 2, len(whole) - len(whole) // 5):
        says(decode.image, whole[:length], "x.png")


# Kinds of pixels


def test_kinds_of_pixels_are_what_the_docstring_says():
    grey = RGB[..., 0]
    assert np.array_equal(decode.image(kept(grey, mode="LA"), "x.png")[..., 0], grey)
    assert np.array_equal(decode.image(kept(grey.astype(np.uint16) * 257, "TIFF"), "x.png")[..., 1], grey)
    palette = decode.image(kept(RGB, mode="P", transparency=3), "x.png")
    assert np.array_equal(palette, np.array(Image.fromarray(RGB).convert("P").convert("RGB")))
    smooth = np.repeat(np.add.outer(np.arange(32) * 4, np.arange(32) * 3).astype(np.uint8)[..., None], 3, 2)
    cmyk = decode.image(kept(smooth, "JPEG", "CMYK", quality=95), "x.png")
    assert np.abs(cmyk.astype(int) - smooth).mean() < 4  # and not its negative


@pytest.mark.parametrize("read", [decode.image, decode.mask])
def test_floats_are_refused(read):
    """0.4 and 0.6 would both be 0: nothing says on which scale they are."""
    assert "holds floats" in says(read, kept(RGB[..., 0].astype(np.float32) / 255, "TIFF"), "x.png")
    says(read, kept(np.full((4, 4), np.nan, np.float32), "TIFF"), "x.png")


@pytest.mark.parametrize("values", [[-1, 5], [0, 70_000]])
@pytest.mark.parametrize("read", [decode.image, decode.mask, decode.labels, decode.depth])
def test_more_than_sixteen_bits_are_refused(read, values):
    assert "more than 16 bits" in says(read, kept(np.array([values] * 2, np.int32), "TIFF"), "x.png")


def test_lab_is_converted():
    from PIL import ImageCms

    lab = ImageCms.profileToProfile(
        Image.fromarray(RGB), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    buffer = io.BytesIO()
    lab.save(buffer, "TIFF")
    assert np.abs(decode.image(buffer.getvalue(), "x.png").astype(int) - RGB).mean() < 6


# Masks


@pytest.mark.parametrize("value", [1, 255, 128, 200])
def test_masks_of_every_object_value_are_read(value):
    assert np.array_equal(decode.mask(kept(TRUTH.astype(np.uint8) * value), "x.png"), TRUTH)
    assert decode.mask(kept(np.full((5, 7), value, np.uint8)), "x.png").all()


@pytest.mark.parametrize("value", [2, 38, 100, 127])
def test_a_mask_of_other_values_is_not_taken_for_an_empty_one(value):
    assert f"brightest value is {value} of 255" in says(decode.mask, kept(TRUTH.astype(np.uint8) * value), "x.png")
    if value in (38, 100):  # what compression leaves of black is no object
        assert "brightest value" in says(decode.mask, kept(TRUTH.astype(np.uint8) * value, "JPEG", quality=95), "x.png")


def test_compression_noise_is_an_empty_mask():
    noisy = np.random.default_rng(1).integers(0, 6, (32, 32), np.uint8)
    assert not decode.mask(kept(noisy, "JPEG"), "x.png").any()


def test_a_mask_in_the_transparency_alone_is_refused():
    white = np.full((20, 30, 3), 255, np.uint8)
    drawn = np.dstack([white, TRUTH.astype(np.uint8) * 255])
    assert "in its transparency alone" in says(decode.mask, kept(drawn), "x.png")
    assert decode.mask(kept(np.dstack([white, np.full((20, 30), 255, np.uint8)])), "x.png").all()


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 0, 200), (128, 128, 0), (255, 255, 255)])
def test_masks_in_colour_are_read(colour):
    assert np.array_equal(decode.mask(kept(TRUTH[..., None] * np.uint8(colour)), "x.png"), TRUTH)


def test_a_thumbnail_is_no_mask():
    image = kept(np.zeros((90, 90, 3), np.uint8))
    assert decode.pair(image, [kept(np.full((12, 12), 255, np.uint8))], "x.png")[1].all()
    with pytest.raises(MissingData, match=r"mask of \(1, 1\) for an image of \(90, 90\)"):
        decode.pair(image, [kept(np.full((1, 1), 255, np.uint8))], "x.png")


# Rotation


def undone(turn: int, pixels: np.ndarray) -> np.ndarray:
    """What is stored where `pixels` are shown under an orientation of EXIF."""
    rotated = {2: lambda a: a[:, ::-1], 3: lambda a: np.rot90(a, 2), 4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1)}
    rotated |= {6: lambda a: np.rot90(a), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: lambda a: np.rot90(a, -1)}
    return np.ascontiguousarray(rotated[turn](pixels))


def turned(pixels: np.ndarray, turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return kept(pixels, exif=exif)


@pytest.mark.parametrize("turn", range(2, 9))
def test_image_and_mask_stay_aligned(turn, caplog):
    """Where both carry the rotation, and where the mask is of the image as shown. Where neither size nor file tells, it is said."""
    image = turned(undone(turn, RGB), turn)
    for mask in (turned(undone(turn, TRUTH.astype(np.uint8) * 255), turn), kept(TRUTH.astype(np.uint8) * 255)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "benchmarks"):
            shown, found = decode.pair(image, [mask], "x.png")
        assert np.array_equal(shown, RGB) and np.array_equal(found, TRUTH)
        told = "does not say whether it is too" in caplog.text
        assert told == (turn in (2, 3, 4) and mask == kept(TRUTH.astype(np.uint8) * 255))


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_a_mask_as_the_image_is_stored_is_turned_with_it(turn):
    shown, found = decode.pair(turned(undone(turn, RGB), turn), [kept(undone(turn, TRUTH).astype(np.uint8) * 255)], "x.png")
    assert np.array_equal(shown, RGB) and np.array_equal(found, TRUTH)


def test_damaged_exif_is_one_line_or_no_rotation():
    whole = turned(RGB, 6)
    place = whole.index(b"eXIf") + 4
    for k in range(place, place + 30):
        for value in (0, 0xFF):
            data = bytearray(whole)
            data[k] = value
            end = place + struct.unpack(">I", whole[place - 8 : place - 4])[0]
            data[end : end + 4] = struct.pack(">I", zlib.crc32(data[place - 4 : end]))
            try:
                assert decode.image(bytes(data), "x.png").ndim == 3
            except MissingData as error:
                assert "\n" not in str(error)


# Folders


@pytest.fixture
def camo(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    root = tmp_path / "data" / "camo"
    for split in ("train", "test"):
        for part in ("Imgs", "GT"):
            (root / split / part).mkdir(parents=True)
        (root / split / "Imgs" / "a.jpg").write_bytes(kept(RGB, "JPEG"))
        (root / split / "GT" / "a.png").write_bytes(kept(TRUTH.astype(np.uint8) * 255))
    return root


@pytest.mark.parametrize("part, ending", [("Imgs", "jpg"), ("GT", "png")])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", declared(20_000, 20_000), kept(RGB, "PNG")[:200]])
def test_a_folder_names_its_bad_file_and_verify_does_too(camo, part, ending, content):
    from benchmarks.data.look import verify

    bad = camo / "test" / part / f"a.{ending}"
    bad.write_bytes(content)
    dataset = DATASETS.get("camo")
    with pytest.raises(MissingData, match=f"{part}/a.{ending}"):
        list(data.load(dataset, "test", data.ids(dataset, "test", PROTOCOLS.get("paper-v1"))))
    faults = verify(dataset)
    assert any(str(bad) in fault for fault in faults) and all("\n" not in fault for fault in faults)


# Metrics


EXTREMES = [(1, 1), (1, 2), (1, 7), (2, 2), (3, 5)]


@pytest.mark.parametrize("shape", EXTREMES)
@pytest.mark.parametrize("truth", ["none", "all", "one"])
@pytest.mark.parametrize("logit", [-1e30, -1.0, 0.0, 1.0, 1e30])
def test_no_metric_is_ever_nan_or_out_of_its_range(shape, truth, logit):
    mask = torch.full(shape, truth == "all")
    if truth == "one":
        mask[0, 0] = True
    found = masks.measures(torch.full((2, *shape), logit), mask, TASKS.get("camo").metrics)
    values = finish({name: v.tolist() for name, v in found.items()})
    assert set(values) == set(TASKS.get("camo").metrics)
    assert all(METRICS[name].fits(v) for name, v in values.items()), values
    empty = not mask.any() and logit <= 0
    assert values["miou"] == [1.0, 1.0] if empty or (mask.all() and logit > 0) else values["miou"][0] < 1


def test_a_pixel_has_an_e_measure():
    """It divides by one pixel less than there are, which of one was 4.5e15."""
    for grey, truth in ((255, True), (0, False)):
        p, mask = camouflage.normalised(np.full((1, 1), grey, np.uint8)), np.full((1, 1), truth)
        assert camouflage.e_adaptive(p, mask) <= 1 and camouflage.e_curve(p, mask).max() == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_no_empty_mask(bad):
    logits = torch.zeros(1, 4, 4)
    logits[0, 1, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        masks.measures(logits, torch.zeros(4, 4, dtype=torch.bool), ("miou",))


@pytest.mark.parametrize("shape", [*EXTREMES, (200, 1)])
def test_a_click_stands_in_every_mask(shape):
    for mask in (np.zeros(shape, bool), np.ones(shape, bool), np.eye(*shape, dtype=bool)):
        x, y = interior_point(mask)
        assert 0 <= y < shape[0] and 0 <= x < shape[1] and (mask[y, x] or not mask.any())
