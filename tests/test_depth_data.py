"""The embedded depth and classification pictures: the same bytes everywhere, and sound."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from benchmarks.catalog import DATASETS
from benchmarks.data import synthetic_classes, synthetic_depth
from benchmarks.data.generated import digest, generate, load
from benchmarks.data.samples import DepthSample, LabelSample

# sha256 of the first four pictures and truths; a change of the pictures is a new manifest.
FIRST = {
    "depth-mini": "77e2e271ebcdccd9f0d23823ba1c6b5c7377834cf71f43745f0e08936293cd05",
    "classes-mini": "562f945e9c9d062dc9814a56a2fad94a1d9c9545f26b26ab8b04e3f9061bbdf8",
}


@pytest.mark.parametrize("name", FIRST)
def test_pictures_are_the_same_bytes_everywhere(name):
    assert digest(*generate(name, "test", 4)) == FIRST[name]


def test_rooms_are_sound():
    for k in range(8):
        image, depth = synthetic_depth.picture("train", k)
        assert image.shape == (128, 128, 3) and image.dtype == np.uint8 and image.std() > 3
        assert depth.shape == (128, 128) and depth.dtype == np.uint16
        assert 500 <= depth.min() < depth.max() <= 9500


def test_every_class_is_drawn_and_its_object_is_seen():
    drawn = [synthetic_classes.with_mask("train", k) for k in range(120)]
    assert {label for _, label, _ in drawn} == set(range(15)) == set(range(DATASETS.get("classes-mini").classes))
    assert len(synthetic_classes.NAMES) == len(set(synthetic_classes.NAMES)) == 15
    for image, label, mask in drawn[:20]:
        assert image.shape == (128, 128, 3) and image.dtype == np.uint8
        assert 700 <= mask.sum() < 128 * 128 * 0.5
        inside = mask[mask.any(1)][:, mask.any(0)]
        if synthetic_classes.NAMES[label].endswith("ring"):
            middle = np.argwhere(mask).mean(0).round().astype(int)
            assert not mask[tuple(middle)] and not inside.all()


@pytest.mark.parametrize("picture", [synthetic_depth.picture, synthetic_classes.picture])
def test_splits_share_no_picture(picture):
    seen = {hashlib.sha256(picture(split, k)[0].tobytes()).digest() for split in ("train", "test", "pretrain") for k in range(5)}
    assert len(seen) == 15
    with pytest.raises(ValueError):
        picture("tset", 0)


def test_samples_carry_metres_and_classes(monkeypatch):
    small = {"splits": {"test": {"images": 3}}}
    for name in FIRST:
        small["splits"]["test"]["sha256"] = digest(*generate(name, "test", 3))
        monkeypatch.setattr("benchmarks.data.generated.manifest", lambda _: small)
        found = load(name, "test", ["test-00002", "test-00000"])
        assert [s.id for s in found] == ["test-00002", "test-00000"]
        if name == "depth-mini":
            depth = synthetic_depth.picture("test", 2)[1]
            assert isinstance(found[0], DepthSample) and found[0].depth.dtype == np.float32
            assert np.array_equal(np.round(found[0].depth * 1000), depth)
        else:
            assert isinstance(found[0], LabelSample) and found[0].label == synthetic_classes.picture("test", 2)[1]
