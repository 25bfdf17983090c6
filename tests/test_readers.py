"""Every dataset's official layout: written as a small fixture, read back, and what is wrong with it named."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest

from benchmarks.data import rle
from benchmarks.data.fixtures import write
from benchmarks.data.readers import reader
from benchmarks.data.samples import DepthSample, LabelSample, Sample
from benchmarks.errors import MissingData

MASKED = ("coco", "voc", "perseg", "isic16", "busi", "kvasir", "camo", "cod10k", "chameleon")
ALL = (*MASKED, "nyuv2", "cifar100", "cifar10")
EXACT = ("busi", "nyuv2", "cifar100", "cifar10")


def made(name: str, count: int, seed: int) -> list:
    rng = np.random.default_rng(seed)
    side = 32 if name.startswith("cifar") else 48
    found = []
    for k in range(count):
        ramp = np.linspace(0, 200, side)[:, None, None] + np.linspace(0, 40, side + 8 * (side == 48))[None, :, None]
        image = np.clip(ramp + rng.integers(0, 15, (1, 1, 3)), 0, 255).astype(np.uint8)
        mask = np.zeros(image.shape[:2], bool)
        y, x = rng.integers(2, 20, 2)
        mask[y : y + 16, x : x + 8] = True
        if name == "nyuv2":
            depth = (np.rint(rng.uniform(0.5, 9, mask.shape) * 1000) / 1000).astype(np.float32)
            depth[mask] = 0
            found.append(DepthSample(str(k), image, depth))
        else:
            found.append(LabelSample(str(k), image, k % 10) if name.startswith("cifar") else Sample(str(k), image, mask))
    return found


@pytest.mark.parametrize("name", ALL)
def test_what_was_written_is_read(name, tmp_path):
    root, wanted = tmp_path / name, {"train": made(name, 7, 0), "test": made(name, 6, 1)}
    write(name, root, wanted["train"], wanted["test"])
    read = reader(name)
    assert read.lacking(root) is None
    ids = {s: read.ids(root, s) for s in wanted}
    assert len({*ids["train"], *ids["test"]}) == 13
    for split, samples in wanted.items():
        found = read.load(root, split, ids[split])
        assert len(found) == len(samples) and [s.id for s in found] == ids[split]
        for one, other in zip(found, samples):
            assert one.image.shape == other.image.shape and one.image.dtype == np.uint8
            assert np.abs(one.image.astype(int) - other.image).max() <= (0 if name in EXACT else 12)
            if name in MASKED:
                assert one.mask.dtype == bool and np.array_equal(one.mask, other.mask)
            elif name == "nyuv2":
                assert one.depth.dtype == np.float32 and np.array_equal(one.depth, other.depth)
            else:
                assert one.label == other.label
    assert read.files(root) and all(read.files(root).values())
    assert any("official" in f for f in read.faults(root))


@pytest.mark.parametrize("name", ALL)
def test_what_is_lacking_ends_with_the_command(name, tmp_path):
    says = reader(name).lacking(tmp_path / name)
    assert "data fetch" in says and "\n" not in says
    with pytest.raises(MissingData):
        reader(name).ids(tmp_path / name, "test")


def test_a_pickle_that_calls_something_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    write("cifar100", tmp_path / "c", made("cifar100", 3, 0), made("cifar100", 3, 1))
    (tmp_path / "c" / "cifar-100-python" / "test").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(MissingData, match="system, which no data file needs"):
        reader("cifar100").ids(tmp_path / "c", "test")
    assert not (tmp_path / "ran").exists()


def test_run_lengths_and_polygons():
    assert rle.uncompress("05") == [0, 5]
    mask = np.zeros((6, 9), bool)
    mask[1:4, 2:7] = True
    assert np.array_equal(rle.from_runs(rle.to_runs(mask), 6, 9), mask)
    assert np.array_equal(rle.decode([[2, 1, 7, 1, 7, 4, 2, 4]], 6, 9), mask)


def test_coco_takes_the_largest_that_is_no_crowd(tmp_path):
    write("coco", tmp_path, made("coco", 2, 0), made("coco", 2, 1))
    path = tmp_path / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    crowd = {
        **content["annotations"][0],
        "iscrowd": 1,
        "area": 10_000,
        "segmentation": {"size": [48, 56], "counts": [0, 48 * 56]},
    }
    del content["annotations"][1]
    content["annotations"].append(crowd)
    path.write_text(json.dumps(content))
    os.utime(path, (1, 1))
    ids = reader("coco").ids(tmp_path, "test")
    assert ids == ["val2017/000000000001"]
    assert reader("coco").load(tmp_path, "test", ids)[0].mask.sum() == 128


def test_busi_unites_masks_and_leaves_out_empty_ones(tmp_path):
    from PIL import Image

    write("busi", tmp_path, made("busi", 3, 0), made("busi", 2, 1))
    first, second = reader("busi").ids(tmp_path, "train")[:2]
    folder = tmp_path / "Dataset_BUSI_with_GT" / "benign"
    extra, empty = np.zeros((48, 56), np.uint8), np.zeros((48, 56), np.uint8)
    extra[40:44, 40:44] = 255
    Image.fromarray(extra).save(folder / f"{first[6:]}_mask_1.png")
    Image.fromarray(empty).save(folder / f"{second[6:]}_mask.png")
    ids = reader("busi").ids(tmp_path, "train")
    assert len(ids) == 2 and second not in ids
    assert reader("busi").load(tmp_path, "train", [first])[0].mask.sum() == 128 + 16


def test_voc_takes_the_largest_instance_and_void_is_background(tmp_path):
    from PIL import Image

    write("voc", tmp_path, made("voc", 1, 0), made("voc", 1, 1))
    objects = np.full((48, 56), 255, np.uint8)
    objects[:, :30], objects[:5, :5], objects[10:20, 10:20] = 0, 1, 2
    picture = Image.fromarray(objects)
    picture.putpalette(list(range(256)) * 3)
    picture.save(tmp_path / "VOCdevkit" / "VOC2012" / "SegmentationObject" / "2008_000000.png")
    mask = reader("voc").load(tmp_path, "test", ["test/2008_000000"])[0].mask
    assert np.array_equal(mask, objects == 2)


def test_a_compressed_code_is_read():
    # 6 zeros, 1 one, 5 zeros, then the difference +2 from one: 3 ones; and a number of two characters, 40 = 8 + 32.
    assert rle.uncompress("6152") == [6, 1, 5, 3]
    assert rle.uncompress("X1") == [40]


def test_nyuv2_is_read_from_its_own_mat_files(tmp_path):
    """As MATLAB stores it: HDF5, columns first, images (n, 3, W, H), depths (n, W, H), and lists that count from 1."""
    import h5py
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 3, 64, 48), dtype=np.uint8)
    depths = rng.uniform(0.7, 9, (4, 64, 48)).astype(np.float32)
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["depths"] = images, depths
    savemat(tmp_path / "splits.mat", {"trainNdxs": np.array([[1], [3]]), "testNdxs": np.array([[2], [4]])})
    of = reader("nyuv2")
    assert of.lacking(tmp_path) is None and of.ids(tmp_path, "test") == ["test/0002", "test/0004"]
    for split, rows in (("train", (0, 2)), ("test", (1, 3))):
        for sample, k in zip(of.load(tmp_path, split, of.ids(tmp_path, split)), rows):
            assert sample.image.shape == (48, 64, 3) and sample.depth.dtype == np.float32
            assert np.array_equal(sample.image[5, 7], images[k, :, 7, 5]) and sample.depth[5, 7] == depths[k, 7, 5]
    assert set(of.files(tmp_path)) == {"nyu_depth_v2_labeled.mat", "splits.mat"}


def test_a_mask_of_another_size_is_fitted_to_its_image(tmp_path):
    """Of the same shape, twice as large: as some copies of ISIC have them; one of another shape is refused."""
    from PIL import Image

    write("isic16", tmp_path, made("isic16", 1, 0), made("isic16", 1, 1))
    path = tmp_path / "ISBI2016_ISIC_Part1_Test_GroundTruth" / "ISIC_0010000_Segmentation.png"
    with Image.open(path) as picture:
        large = picture.resize((112, 96), Image.Resampling.NEAREST)
    large.save(path)
    assert np.array_equal(reader("isic16").load(tmp_path, "test", ["test/ISIC_0010000"])[0].mask, made("isic16", 1, 1)[0].mask)
    large.resize((96, 112)).save(path)
    with pytest.raises(MissingData, match="replace one of them"):
        reader("isic16").load(tmp_path, "test", ["test/ISIC_0010000"])[0]


@pytest.mark.parametrize("name,folder", [("voc", "VOCdevkit/VOC2012/SegmentationObject"), ("nyuv2", "test/depth")])
def test_a_truth_of_another_size_ends_with_what_to_do(name, folder, tmp_path):
    from PIL import Image

    write(name, tmp_path, made(name, 1, 0), made(name, 1, 1))
    path = sorted((tmp_path / folder).iterdir())[-1]
    with Image.open(path) as picture:
        turned = picture.transpose(Image.Transpose.ROTATE_90)
    turned.save(path)
    with pytest.raises(MissingData, match=rf"{path.name}: .* of \(48, 56\) for an image of \(56, 48\) pixels, .*; replace one"):
        reader(name).load(tmp_path, "test", reader(name).ids(tmp_path, "test"))[0]
