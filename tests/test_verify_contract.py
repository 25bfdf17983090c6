"""`data verify` names everything that is wrong with a dataset in one go: of every official layout, and whatever is missing."""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.catalog import DATASETS
from benchmarks.cli import main
from benchmarks.data.fixtures import write
from benchmarks.data.look import verify
from benchmarks.data.obtain import place
from benchmarks.data.readers import reader
from benchmarks.data.readers.cifar import LABELS
from benchmarks.data.readers.kvasir import split_of
from tests.test_readers import ALL, made

ISIC = "ISBI2016_ISIC_Part1_"
VOC = "VOCdevkit/VOC2012/"
BUSI = [f"Dataset_BUSI_with_GT/benign/benign ({k})" for k in range(1, 20) if split_of(f"benign ({k})") == "train"]
KVASIR = [f"cju{k:06d}" for k in range(1, 20) if split_of(f"cju{k:06d}") == "train"]
COD10K = "COD10K-CAM-1-Aquatic-1-0000"
# Of each dataset a file to delete, one to cut short, one that the layout does not know, and one to make another size. CIFAR-100
# has two files, so it stands here twice.
CASES = [
    ("coco", "val2017/000000000002.jpg", "train2017/000000500002.jpg", "val2017/x.jpg", "val2017/000000000003.jpg"),
    (
        "voc",
        VOC + "JPEGImages/2007_000001.jpg",
        VOC + "SegmentationObject/2007_000002.png",
        VOC + "SegmentationObject/2012_000009.png",
        VOC + "SegmentationObject/2008_000001.png",
    ),
    (
        "perseg",
        "Annotations/object00/00.png",
        "Images/object01/00.jpg",
        "Images/object00/notes.xyz",
        "Annotations/object01/03.png",
    ),
    (
        "isic16",
        f"{ISIC}Training_GroundTruth/ISIC_0000001_Segmentation.png",
        f"{ISIC}Test_Data/ISIC_0010001.jpg",
        f"{ISIC}Test_Data/Thumbs.db",
        f"{ISIC}Test_GroundTruth/ISIC_0010002_Segmentation.png",
    ),
    ("busi", f"{BUSI[0]}_mask.png", f"{BUSI[1]}_mask.png", "Dataset_BUSI_with_GT/malignant/x.tmp", f"{BUSI[2]}_mask.png"),
    (
        "kvasir",
        f"Kvasir-SEG/masks/{KVASIR[0]}.jpg",
        f"Kvasir-SEG/images/{KVASIR[1]}.jpg",
        "Kvasir-SEG/more/x.jpg",
        f"Kvasir-SEG/masks/{KVASIR[2]}.jpg",
    ),
    (
        "camo",
        "train/GT/camourflage_00001.png",
        "train/Imgs/camourflage_00002.jpg",
        "test/GT/Thumbs.db",
        "test/GT/camourflage_00003.png",
    ),
    ("cod10k", f"train/Imgs/{COD10K}1.jpg", f"train/GT/{COD10K}2.png", "test/Edge/x.png", f"test/GT/{COD10K}3.png"),
    ("chameleon", "test/GT/animal-1.png", "test/Imgs/animal-2.jpg", "x.zip", "test/GT/animal-3.png"),
    ("nyuv2", "train/depth/0002.png", "train/rgb/0003.png", "test/rgb/0009.jpg", "test/depth/0010.png"),
    ("cifar10", *(f"cifar-10-batches-py/{f}" for f in ("data_batch_2", "data_batch_3", "data_batch_6", "test_batch"))),
    ("cifar100", *(f"cifar-100-python/{f}" for f in ("train", "test", "val")), None),
    ("cifar100", None, *(f"cifar-100-python/{f}" for f in ("train", "val", "test"))),
]
COUNTED = re.compile(r"the official (split|set|list) has")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))


def written(name: str) -> Path:
    write(name, place(name), made(name, 7, 0), made(name, 6, 1))
    return place(name)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def resize(name: str, path: Path) -> None:
    """The same kind of file, of another size and shape."""
    if name.startswith("cifar"):
        path.write_bytes(pickle.dumps({b"data": np.zeros((2, 3 * 16**2), np.uint8), LABELS[name]: [0, 1]}))
    else:
        with Image.open(path) as picture:
            turned = picture.resize((picture.width, picture.height * 2), Image.Resampling.NEAREST)
        turned.save(path)


@pytest.mark.parametrize("name,gone,short,stray,other", CASES, ids=[f"{c[0]}{'' if c[1] else '-2'}" for c in CASES])
def test_one_verify_names_all_that_is_wrong(name, gone, short, stray, other):
    root = written(name)
    assert not [f for f in verify(DATASETS.get(name)) if not COUNTED.search(f) and "perseg" not in f]
    (root / stray).parent.mkdir(exist_ok=True)
    (root / stray).write_bytes(b"x")
    cut(root / short)
    if gone:
        (root / gone).unlink()
    if other:
        resize(name, root / other)
    found = [f for f in verify(DATASETS.get(name)) if not COUNTED.search(f)]
    topmost = {"Kvasir-SEG/more/x.jpg": "Kvasir-SEG/more", "test/Edge/x.png": "test/Edge"}.get(stray, stray)
    wanted = [short, topmost, *filter(None, (gone, other))]
    for path in wanted:  # of a missing one of a pair the ending is not known
        name = str(root / (Path(path).with_suffix("") if path == gone else path))
        assert any(name in f for f in found), (name, found)
    assert len(found) == len(wanted), found


@pytest.mark.parametrize("name", ALL)
def test_missing_folders_do_not_hide_each_other_nor_the_rest(name):
    root = written(name)
    needed = [p for p in reader(name).layout.needed(root) if "object" not in p.name]  # not perseg's folders within folders
    away = needed[::2]
    (root / "stray.bin").write_bytes(b"x")
    for path in away:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    left = [f for n in needed[1::2] for f in ([n] if n.is_file() else sorted(n.rglob("*.*"))) if f.is_file()]
    damaged = left[0] if left else root / "none"  # busi's fixture has no malignant image
    if left:
        cut(damaged)
    found = "\n".join(verify(DATASETS.get(name)))
    for path in (*away, root / "stray.bin"):
        assert str(path) in found
    assert not left or str(damaged) in found


def test_folders_that_are_gone_are_named_together(capsys):
    root = written("isic16")
    for kind in ("Training_GroundTruth", "Test_Data"):
        shutil.rmtree(root / (ISIC + kind))
    assert main(["data", "verify", "isic16"]) == 3
    shown = capsys.readouterr().out
    assert shown.count("is missing; get it: ") == 2 and "without mask" not in shown
    assert "4 faults; mend what they name, then run this again" in shown


def test_an_image_and_its_mask_are_both_named(capsys):
    root = written("kvasir")
    both = [root / "Kvasir-SEG" / part / f"{KVASIR[0]}.jpg" for part in ("images", "masks")]
    for path in both:
        cut(path)
    found = verify(DATASETS.get("kvasir"))
    assert all(any(f.startswith(f"{path} cannot be read") for f in found) for path in both)


def test_nyuv2_as_published_is_looked_into():
    import h5py
    from scipy.io import savemat

    root = place("nyuv2")
    root.mkdir(parents=True)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["depths"] = np.zeros((4, 3, 64, 48), np.uint8), np.zeros((4, 64, 40), np.float32)
    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [3]]), "testNdxs": np.array([[3], [9]])})
    (root / "splits.txt").write_text("x")
    found = verify(DATASETS.get("nyuv2"))
    for said in ("splits.txt: stray", "depths of (4, 64, 40) for images of", "1 images stand in both splits", "cannot be read"):
        assert any(said in f for f in found), (said, found)
    cut(root / "nyu_depth_v2_labeled.mat")
    (root / "splits.mat").unlink()
    found = verify(DATASETS.get("nyuv2"))
    assert any("splits.mat is missing" in f for f in found) and any("labeled.mat cannot be read" in f for f in found)


def test_what_official_archives_also_hold_is_no_stray(tmp_path):
    """Other truths, other challenges' lists, the archive itself, licences: as unpacked from the publishers' files."""
    beside = {
        "voc": (
            "VOCtrainval_11-May-2012.tar",
            "VOCdevkit/VOC2007/JPEGImages/000001.jpg",
            *(VOC + f for f in ("Annotations/2007_000001.xml", "ImageSets/Main/cat_val.txt", "JPEGImages/2011_000009.jpg")),
        ),
        "busi": ("Dataset_BUSI_with_GT/normal/normal (1).png", "Dataset_BUSI.zip"),
        "kvasir": ("Kvasir-SEG/kavsir_bboxes.json",),
        "coco": ("annotations/captions_val2017.json", "annotations/person_keypoints_train2017.json"),
        "isic16": (f"{ISIC}Test_Data/LICENSE.txt", "README.md"),
        "camo": ("SHA256SUMS", ".DS_Store"),
        "cifar10": ("cifar-10-batches-py/batches.meta", "cifar-10-batches-py/readme.html"),
        "cifar100": ("cifar-100-python/meta", "cifar-100-python/file.txt~"),
    }
    for name, files in beside.items():
        root = written(name)
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(b"x")
        assert not [f for f in verify(DATASETS.get(name)) if not COUNTED.search(f)]


def test_the_bundle_of_the_camouflage_sets_holds_others(tmp_path):
    root = written("camo")
    (root / "Dataset" / "TestDataset").mkdir(parents=True)
    (root / "train").rename(root / "Dataset" / "TrainValDataset")
    (root / "test").rename(root / "Dataset" / "TestDataset" / "CAMO")
    for folder in ("TrainValDataset/Edge", "TestDataset/NC4K/Imgs", "TestDataset/CAMO/Edge"):
        (root / "Dataset" / folder).mkdir(parents=True)
        (root / "Dataset" / folder / "x.png").write_bytes(b"x")
    assert not [f for f in verify(DATASETS.get("camo")) if not COUNTED.search(f)]
    (root / "Dataset" / "TestDataset" / "CAMO" / "GT" / "x.tmp").write_bytes(b"x")
    (root / "Dataset" / "x.tmp").write_bytes(b"x")
    assert len([f for f in verify(DATASETS.get("camo")) if f.endswith("x.tmp: stray")]) == 2
