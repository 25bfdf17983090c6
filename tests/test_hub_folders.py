"""Hugging Face datasets in the place of an official layout: saved tables and parquet files, made here by their own library."""

from __future__ import annotations

import io
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Picture

from benchmarks.catalog import DATASETS
from benchmarks.cli import main
from benchmarks.data import ids, load
from benchmarks.data.fixtures import write
from benchmarks.data.look import verify
from benchmarks.data.obtain import add_folder, fetch, place
from benchmarks.data.readers import reader
from benchmarks.data.readers.kvasir import split_of
from benchmarks.errors import MissingData
from benchmarks.protocols import rules_of
from datasets import Array3D, ClassLabel, Dataset, DatasetDict, Features, Image, Value
from tests.test_readers import made
from tests.test_verify_contract import COUNTED, cut


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))


def encoded(pixels: np.ndarray) -> dict:
    held = io.BytesIO()
    Picture.fromarray(pixels).save(held, "PNG")
    return {"bytes": held.getvalue(), "path": None}


def table(samples: list, truth: str, image: str = "image", ids: tuple[str, list] | None = None) -> Dataset:
    """A table of these samples, in columns of these names."""
    rows, kinds = {image: [encoded(s.image) for s in samples]}, {image: Image()}
    if hasattr(samples[0], "mask"):
        rows[truth], kinds[truth] = [encoded(s.mask.astype(np.uint8) * 255) for s in samples], Image()
    elif hasattr(samples[0], "depth"):
        rows[truth], kinds[truth] = [encoded(np.rint(s.depth * 1000).astype(np.uint16)) for s in samples], Image()
    else:
        rows[truth], kinds[truth] = [s.label for s in samples], ClassLabel(num_classes=10)
    if ids:
        rows[ids[0]], kinds[ids[0]] = ids[1], Value("string")
    return Dataset.from_dict(rows, features=Features(kinds))


def arrays(samples: list) -> Dataset:
    """As `tanganke/nyuv2` has depth: channels first, an image of 0 to 1 and metres."""
    kinds = Features({"image": Array3D((3, 48, 56), "float32"), "depth": Array3D((1, 48, 56), "float32")})
    images = [(s.image.transpose(2, 0, 1) / 255).astype(np.float32) for s in samples]
    return Dataset.from_dict({"image": images, "depth": [s.depth[None] for s in samples]}, features=kinds)


def read(name: str, split: str) -> list:
    dataset = DATASETS.get(name)
    return list(load(dataset, split, ids(dataset, split, rules_of(dataset))))


def equal(one, other) -> bool:
    truth = next(t for t in ("mask", "depth", "label") if hasattr(one, t))
    return np.array_equal(one.image, other.image) and np.array_equal(getattr(one, truth), getattr(other, truth))


KINDS = {
    "camo": lambda samples: table(samples, "mask"),
    "coco": lambda samples: table(samples, "mask"),
    "voc": lambda samples: table(samples, "mask"),
    "nyuv2": lambda samples: table(samples, "depth"),
    "nyuv2 rgb": lambda samples: table(samples, "depth", "rgb"),
    "nyuv2 arrays": arrays,
    "cifar10": lambda samples: table(samples, "label", "img"),
    "cifar100": lambda samples: table(samples, "fine_label", "img"),
}


@pytest.mark.parametrize("form", ["saved", "parquet"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_library_wrote_is_read(kind, form, tmp_path):
    name, test = kind.split()[0], "validation" if kind == "camo" else "test"
    wanted = {"train": made(name, 4, 0), "test": made(name, 3, 1)}
    held = DatasetDict({"train": KINDS[kind](wanted["train"]), test: KINDS[kind](wanted["test"])})
    if form == "saved":
        held.save_to_disk(str(tmp_path / "mine"))
    else:
        for split, rows in held.items():
            (tmp_path / "mine" / "data").mkdir(parents=True, exist_ok=True)
            rows.to_parquet(str(tmp_path / "mine" / "data" / f"{split}-00000-of-00001.parquet"))
    assert main(["data", "add", name, str(tmp_path / "mine"), "--force"]) == 0  # in spite of the number of images
    assert place(name).is_symlink() == (form == "saved")
    assert not [f for f in verify(DATASETS.get(name)) if not COUNTED.search(f)]
    for split, samples in wanted.items():
        found = read(name, split)
        assert len(found) == len(samples) and all(equal(a, b) for a, b in zip(found, samples))
        assert len({s.id for s in found}) == len(found) and all(s.id.startswith(f"{split}/") for s in found)
    assert reader(name).files(place(name))
    assert [f.name for f in place(name).parent.iterdir()] == [name]


def test_an_exported_dataset_can_be_added(tmp_path):
    """The depth of `data export` is a 16-bit file, as the reader of saved tables takes it."""
    from benchmarks.data.look import export

    wanted = made("nyuv2", 3, 0)
    write("nyuv2", place("nyuv2"), wanted, made("nyuv2", 2, 1))
    export(DATASETS.get("nyuv2")).save_to_disk(str(tmp_path / "mine"))
    shutil.rmtree(place("nyuv2"))
    add_folder("nyuv2", tmp_path / "mine", force=True)
    assert all(equal(a, b) for a, b in zip(read("nyuv2", "train"), wanted))


@pytest.mark.parametrize("name,columns", [("busi", ("image", "mask", "image_id")), ("kvasir", ("image", "annotation", "name"))])
def test_a_copy_with_names_is_split_as_the_official_files(name, columns, tmp_path, monkeypatch):
    """Whatever splits the copy has; images with an empty mask are left out of busi in both."""
    image, truth, stem = columns
    write(name, place(name), made(name, 6, 0), made(name, 4, 1))
    if name == "busi":
        blank = place(name) / "Dataset_BUSI_with_GT" / "benign" / "benign (1)_mask.png"
        Picture.fromarray(np.zeros((48, 56), np.uint8)).save(blank)
        assert "benign (1)" not in {i.partition("/")[2] for s in ("train", "test") for i in reader(name).ids(place(name), s)}
    official = {s: reader(name).ids(place(name), s) for s in ("train", "test")}
    masks, stems = {}, []
    for path in sorted(place(name).rglob("*_mask.png" if name == "busi" else "masks/*.jpg")):
        stems.append(path.stem.removesuffix("_mask"))
        masks[stems[-1]] = np.asarray(Picture.open(path))
    shutil.rmtree(place(name))
    samples = made(name, 10, 2)
    held = table(samples, truth, image, (stem, stems))
    held = held.map(lambda row: {truth: encoded(masks[row[stem]])}, features=held.features)
    if name == "busi":
        held.save_to_disk(str(tmp_path / "mine"))  # one table, without splits
    else:
        parts = {"train": held.select(range(7)), "validation": held.select(range(7, 10))}
        DatasetDict(parts).save_to_disk(str(tmp_path / "mine"))
    add_folder(name, tmp_path / "mine", force=True)
    assert {s: reader(name).ids(place(name), s) for s in ("train", "test")} == official
    assert sum(len(official[s]) for s in official) == (9 if name == "busi" else 10)
    assert all(split_of(i.partition("/")[2]) == s for s in official for i in official[s])
    if name == "busi":
        assert all(s.mask.any() for split in official for s in read(name, split))


def test_a_copy_of_busi_without_names_drops_empty_masks_too(tmp_path):
    samples = made("busi", 4, 0)
    samples[1].mask[:] = False
    DatasetDict({"train": table(samples, "mask"), "test": table(made("busi", 2, 1), "mask")}).save_to_disk(str(tmp_path / "mine"))
    add_folder("busi", tmp_path / "mine", force=True)
    assert reader("busi").ids(place("busi"), "train") == ["train/00000", "train/00002", "train/00003"]
    add = table(samples, "mask")
    DatasetDict({"train": add, "test": add}).save_to_disk(str(tmp_path / "camo"))
    add_folder("camo", tmp_path / "camo", force=True)
    assert len(reader("camo").ids(place("camo"), "train")) == 4  # elsewhere an empty mask is a sample


@pytest.mark.parametrize("form", ["saved", "parquet"])
def test_columns_that_do_not_fit_are_named_with_those_needed(form, tmp_path, capsys):
    held = table(made("kvasir", 3, 0), "polyp", "picture")
    if form == "saved":
        DatasetDict({"train": held, "test": held}).save_to_disk(str(tmp_path / "mine"))
    else:
        (tmp_path / "mine").mkdir()
        held.to_parquet(str(tmp_path / "mine" / "train.parquet"))
    assert main(["data", "add", "kvasir", str(tmp_path / "mine")]) == 3
    said = capsys.readouterr().err
    assert "has the columns picture, polyp; needed are image, annotation, name; or image, mask" in said
    assert not place("kvasir").exists()


def test_masks_of_classes_are_no_object(tmp_path, capsys):
    """As copies of VOC have them: to take them whole would count other objects, and the border, as the one."""
    samples = made("voc", 2, 0)
    held = table(samples, "mask")
    classes = samples[0].mask.astype(np.uint8) + np.uint8(2) * (np.arange(56) > 50)
    held = held.map(lambda row: {"mask": encoded(classes * 100)}, features=held.features)
    DatasetDict({"train": held, "test": held}).save_to_disk(str(tmp_path / "mine"))
    assert main(["data", "add", "voc", str(tmp_path / "mine")]) == 3
    assert "its mask has more than two colours" in capsys.readouterr().out and not place("voc").exists()


@pytest.mark.parametrize("wrong", [{"depth": 5000.0}, {"image": 255.0}])
def test_arrays_of_other_units_are_refused(wrong, tmp_path):
    held = arrays(made("nyuv2", 2, 0))
    held = held.map(lambda row: {c: np.full((1 if c == "depth" else 3, 48, 56), v) for c, v in wrong.items()})
    DatasetDict({"train": held, "test": held}).save_to_disk(str(tmp_path / "mine"))
    found = add_folder("nyuv2", tmp_path / "mine")
    assert any("are needed" in f and "row 0" in f for f in found) and not place("nyuv2").exists()


def test_verify_names_all_that_is_wrong_with_a_saved_table():
    held = {s: table(made("camo", 3, k), "mask") for k, s in enumerate(("train", "test"))}
    bad = held["test"].map(
        lambda row, k: {"mask": encoded(np.zeros((4, 90), np.uint8)) if k else {"bytes": b"x", "path": None}},
        with_indices=True,
        features=held["test"].features,
    )
    root = place("camo")
    DatasetDict({**held, "test": bad}).save_to_disk(str(root))
    (root / "stray.txt").write_text("x")
    cut(next((root / "train").glob("*.arrow")))
    found = [f for f in verify(DATASETS.get("camo")) if not COUNTED.search(f)]
    assert any(f"{root / 'stray.txt'}: stray" in f for f in found)
    assert any(f"{root / 'train'} cannot be read" in f for f in found)
    assert any("test: row 0 cannot be read as an image" in f for f in found)
    assert sum("mask of (90, 4) for an image of (56, 48)" in f for f in found) == 2 and len(found) == 5
    next((root / "train").glob("*.arrow")).unlink()
    (root / "test" / "state.json").unlink()
    found = "\n".join(verify(DATASETS.get("camo")))
    assert "arrow is missing" in found and f"{root / 'test' / 'state.json'} is missing" in found


def test_a_split_that_is_not_there_is_told(tmp_path):
    DatasetDict({"train": table(made("camo", 2, 0), "mask")}).save_to_disk(str(tmp_path / "mine"))
    with pytest.raises(MissingData, match="no split test among train; name the folder that holds .*, or get it"):
        add_folder("camo", tmp_path / "mine")


@pytest.mark.parametrize(
    "mask,said", [("mask", None), ("polyp", "has the columns image, polyp, image_id; needed are image, mask")]
)
def test_a_mirror_is_taken_by_the_columns_of_the_manifest(mask, said, monkeypatch):
    held = DatasetDict({"train": table(made("busi", 3, 0), mask, ids=("image_id", ["benign (1)", "benign (2)", "benign (3)"]))})
    monkeypatch.setattr("datasets.load_dataset", lambda repo, config, revision: held)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, repo: SimpleNamespace(sha="abc"))
    if said:
        with pytest.raises(MissingData, match=said):
            fetch("busi", "MedOtter/BUSI")
        return
    fetch("busi", "MedOtter/BUSI")
    found = {i for s in ("train", "test") for i in reader("busi").ids(place("busi"), s)}
    assert found == {f"{split_of(n)}/{n}" for n in ("benign (1)", "benign (2)", "benign (3)")}
