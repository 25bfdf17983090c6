"""The generated images, byte for byte; folders that a user has; prompts."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.metrics import jaccard_score

from benchmarks import data
from benchmarks.catalog import DATASETS
from benchmarks.data.samples import interior_point
from benchmarks.data.synthetic import DOMAINS, scene
from benchmarks.errors import MissingData
from benchmarks.metrics.iou import iou
from benchmarks.protocols import PROTOCOLS

# sha256 of the first four pictures and targets of each domain. They are the same on every machine; a change of the pictures
# is a new generator version, new manifests and a new protocol.
FIRST = {
    "natural": "70f5fd1266e6a7e65ee596330aa2808028eb6c6ec2a426d2217eb46dbe4578f5",
    "medical": "6986453e5a8152e794b8731d1ff6885c32a6b8f0c7887b46e14470c82b904eb7",
    "camo": "0b800470bbc1523a16b4a7e1f492c8bc4bbe2c964ccf725869f283fc6a03d746",
}


def first_bytes(domain: str) -> str:
    digest = hashlib.sha256()
    for k in range(4):
        made = scene(domain, "test", k)
        digest.update(made.image.tobytes())
        digest.update(np.packbits(made.target).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("domain", DOMAINS)
def test_pictures_are_the_same_bytes_everywhere(domain):
    assert first_bytes(domain) == FIRST[domain]


@pytest.mark.parametrize("domain", DOMAINS)
def test_pictures_have_one_sound_object(domain):
    for k in range(12):
        made = scene(domain, "train", k)
        assert made.image.shape == (128, 128, 3) and made.image.dtype == np.uint8
        assert made.target.shape == (128, 128) and made.target.dtype == bool
        assert ndimage.label(made.target)[1] == 1
        assert 100 < made.target.sum() < 128 * 128 * 0.8
        assert made.image.std() > 3


def test_splits_share_no_picture():
    seen = {scene("camo", split, k).image.tobytes() for split in ("train", "test", "pretrain") for k in range(10)}
    assert len(seen) == 30


def test_unknown_domain_or_split_is_refused():
    for wrong in (("camp", "test"), ("camo", "tset")):
        with pytest.raises(ValueError, match="no generated split"):
            scene(*wrong, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, d in DATASETS.items() if d.source == "generated"])
def test_whole_splits_are_as_their_manifest_states(name):
    from benchmarks.data.look import verify

    assert verify(DATASETS.get(name)) == []


def test_search_set_is_drawn_by_the_seed_from_training_alone():
    train = [f"train-{k:05d}" for k in range(200)]
    drawn = data.search_ids(train, 50, seed=0)
    assert len(set(drawn)) == 50 and set(drawn) <= set(train) and drawn == sorted(drawn)
    assert drawn == data.search_ids(train, 50, seed=0) != data.search_ids(train, 50, seed=1)
    assert data.search_ids(train[:7], 50, seed=0) == train[:7]


def test_interior_point_is_the_deepest():
    mask = np.zeros((20, 30), bool)
    mask[5:12, 10:27] = True
    x, y = interior_point(mask)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    assert mask[y, x] and depth[y, x] == depth.max()
    assert interior_point(np.ones((9, 9), bool)) == (4, 4)  # the image's edge counts as a border
    assert interior_point(np.zeros((10, 20), bool)) == (10, 5)


def test_iou_equals_scikit_learn():
    import torch

    rng = np.random.default_rng(0)
    truth = rng.random((13, 17)) < 0.4
    masks = rng.random((6, 13, 17)) < rng.random((6, 1, 1))
    found = iou(torch.as_tensor(masks), torch.as_tensor(truth))
    wanted = [jaccard_score(truth.ravel(), m.ravel()) for m in masks]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    empty = torch.zeros(1, 13, 17, dtype=torch.bool)
    assert iou(empty, empty[0]).item() == 1 and iou(empty, torch.as_tensor(truth)).item() == 0
    with pytest.raises(ValueError, match="truth of"):
        iou(empty, empty[0, :5])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """CAMO's layout, five images a split, JPEG images with PNG masks."""
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    root = tmp_path / "data" / "camo"
    for split in ("train", "test"):
        for part in ("Imgs", "GT"):
            (root / split / part).mkdir(parents=True)
        for k in range(5):
            made = scene("camo", split, k)
            Image.fromarray(made.image).save(root / split / "Imgs" / f"camourflage_{k:05d}.jpg", quality=95)
            Image.fromarray(made.target.astype(np.uint8) * 255).save(root / split / "GT" / f"camourflage_{k:05d}.png")
    return root


def camo(split="test"):
    dataset = DATASETS.get("camo")
    return data.load(dataset, split, data.ids(dataset, split, PROTOCOLS.get("paper-v1")))


def test_a_folder_is_read_in_its_layout(folder):
    found = camo()
    assert [s.id for s in found] == [f"test/camourflage_{k:05d}" for k in range(5)]
    for k, sample in enumerate(found):
        assert np.array_equal(sample.mask, scene("camo", "test", k).target)
        assert np.abs(sample.image.astype(int) - scene("camo", "test", k).image).mean() < 8


def test_an_unreadable_image_is_named(folder):
    broken = folder / "test" / "Imgs" / "camourflage_00002.jpg"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(MissingData, match="camourflage_00002.jpg cannot be read"):
        list(camo())


def test_missing_and_mismatched_masks_are_named(folder):
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(folder / "test" / "GT" / "camourflage_00001.png")
    with pytest.raises(MissingData, match=r"camourflage_00001.png: mask of \(7, 5\) for an image of \(128, 128\)"):
        list(camo())
    (folder / "train" / "GT" / "camourflage_00004.png").unlink()
    with pytest.raises(MissingData, match="no mask in GT: camourflage_00004"):
        camo("train")


def test_two_files_of_one_name_are_refused(folder):
    Image.fromarray(scene("camo", "test", 0).image).save(folder / "test" / "Imgs" / "camourflage_00000.png")
    with pytest.raises(MissingData, match="camourflage_00000.jpg and camourflage_00000.png have one name"):
        camo()


def test_orientation_and_colour_kinds_are_handled(folder):
    made = scene("camo", "test", 0)
    turned = Image.fromarray(np.rot90(made.image).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise when shown
    turned.save(folder / "test" / "Imgs" / "camourflage_00000.jpg", exif=exif, quality=95)
    Image.fromarray(made.image).convert("L").save(folder / "test" / "Imgs" / "camourflage_00001.jpg")
    (folder / "test" / "Imgs" / "camourflage_00002.jpg").unlink()
    Image.fromarray(made.image).convert("RGBA").save(folder / "test" / "Imgs" / "camourflage_00002.png")
    found = camo()
    assert np.abs(found[0].image.astype(int) - made.image).mean() < 8
    assert found[1].image.shape == found[2].image.shape == (128, 128, 3)


def test_export_opens_as_a_hugging_face_dataset(monkeypatch, tmp_path):
    from benchmarks.data.look import export
    from datasets import load_from_disk
    from tests.small import small

    monkeypatch.setitem(PROTOCOLS._entries, "mini-v1", small())
    export(DATASETS.get("camo-mini")).save_to_disk(str(tmp_path / "out"))
    table = load_from_disk(str(tmp_path / "out"))
    assert table["test"].num_rows == 10 and table["train"].num_rows == 12
    assert np.array_equal(np.asarray(table["test"][0]["image"]), scene("camo", "test", 0).image)
    assert np.array_equal(np.asarray(table["test"][0]["mask"]) > 127, scene("camo", "test", 0).target)
