"""Files that were made to do harm: code in checkpoints and tables, bombs, weights of another model."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmarks import backbones, weights
from benchmarks.backbones import sam_mini
from benchmarks.catalog import BACKBONES
from benchmarks.data import generated, manifests, rle
from benchmarks.data.readers import matlab, reader
from benchmarks.errors import MissingData, UsageError

ROOT = Path(__file__).parents[1]
MINI = BACKBONES.get("sam-mini")


class Runs:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def refused(path: Path) -> str:
    with pytest.raises(MissingData) as caught:
        backbones.build(MINI, path)
    text = str(caught.value)
    assert "\n" not in text and path.name in text and len(text) < 600
    return text


# Code


def _as_torch(payload, buffer):
    torch.save({"w": torch.ones(2), "x": payload}, buffer)


def _as_torch_of_old(payload, buffer):
    torch.save({"w": torch.ones(2), "x": payload}, buffer, _use_new_zipfile_serialization=False)


def _as_pickle(payload, buffer):
    pickle.dump(payload, buffer)


def _behind_a_checkpoint(payload, buffer):
    """A zip whose data.pkl is the payload alone, beside the parts that torch looks for."""
    _as_torch(torch.ones(1), whole := io.BytesIO())
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            target.writestr(name, pickle.dumps(payload, 2) if name.endswith("data.pkl") else source.read(name))


def _twice(payload, buffer):
    """A pickle, and a zip of a checkpoint after it: which of them is read depends on the reader."""
    buffer.write(pickle.dumps(payload, 2))
    _as_torch(torch.ones(1), rest := io.BytesIO())
    buffer.write(rest.getvalue())


def _in_an_array(payload, buffer):
    np.save(buffer, np.array([payload], dtype=object), allow_pickle=True)


MAKERS = [_as_torch, _as_torch_of_old, _as_pickle, _behind_a_checkpoint, _twice, _in_an_array]


@pytest.mark.parametrize("make", MAKERS, ids=lambda f: f.__name__.strip("_"))
@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors"])
def test_no_checkpoint_runs_code(tmp_path, make, ending):
    buffer = io.BytesIO()
    make(Runs(tmp_path / "ran"), buffer)
    path = tmp_path / f"w.{ending}"
    path.write_bytes(buffer.getvalue())
    assert "no code in it is run" in refused(path) and not (tmp_path / "ran").exists()


def test_a_compiled_model_is_no_checkpoint(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), str(tmp_path / "w.pt"))
    assert "no code in it is run" in refused(tmp_path / "w.pt")


@pytest.mark.parametrize(
    "payload",
    [
        b"cos\nmkdir\n(S'{}'\ntR.",  # the oldest way, by text
        b"\x80\x02cbuiltins\neval\n(X\x1a\x00\x00\x00__import__('os').mkdir('{}')tR.",
        b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c\x01x\x85R.",
        b"(S'{}'\nios\nmkdir\n.",
        b"\x80\x02cnumpy\nndarray\n(K\x04K\x30\x86\x8c\x02u1tR.",  # an array of memory that nobody filled
        b"\x80\x05\x96\x04\x00\x00\x00\x00\x00\x00\x00abcd.",
    ],
    ids=["global", "eval", "stack", "inst", "empty array", "bytearray"],
)
def test_no_cifar_file_runs_code(tmp_path, payload):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / name).write_bytes(payload.replace(b"{}", str(tmp_path / "ran").encode()))
    with pytest.raises(MissingData, match="cannot be read as a CIFAR file .*; replace the file") as caught:
        reader("cifar100").ids(tmp_path, "test")
    assert "\n" not in str(caught.value) and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content, why",
    [
        ({b"data": np.zeros((2, 48)), b"fine_labels": [0, 1]}, "no array of bytes"),  # 300.5 would become 44
        ({b"data": np.zeros((2, 48), np.uint8), b"fine_labels": [0, 1.7]}, "no whole numbers"),
        ({b"data": np.zeros((2, 48), np.uint8), b"fine_labels": [0, -1]}, "no whole numbers"),  # -1 would be the last class
        ({b"data": np.zeros((2, 48), np.uint8), b"fine_labels": [0]}, "pixels for 1 labels"),
        ({b"data": np.zeros((2, 48), object), b"fine_labels": [0, 1]}, "no array of bytes"),
    ],
)
def test_a_cifar_file_of_other_numbers_is_refused(tmp_path, content, why):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(MissingData, match=why):
        reader("cifar100").ids(tmp_path, "test")


def test_a_label_beyond_the_classes_is_named(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test"):
        content = {b"data": np.zeros((2, 3072), np.uint8), b"fine_labels": [0, 100]}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(MissingData, match="test/00001 has label 100, none of 0 to 99"):
        list(reader("cifar100").load(tmp_path, "test", reader("cifar100").ids(tmp_path, "test")))


def test_nothing_in_the_code_unpickles_or_runs_what_it_reads():
    """Every reader that could run code, and the one way in which each may be called."""
    allowed = {
        r"torch\.load\(": r"torch\.load\([^\n]*weights_only=True\)",
        r"np\.load\(": r"np\.load\(path\)",  # whose allow_pickle is False
        r"pickle\.loads?\(|[^_]Unpickler\(|joblib|dill|shelve|marshal|read_pickle": r"class _Plain\(pickle\.Unpickler\):",
        r"yaml\.\w*load": r"yaml\.(safe_load\(|load\(text, Loader=_Loader\)  # a subclass of the safe loader)",
        r"loadmat|trust_remote_code|allow_pickle=True|\beval\(|\bexec\(|os\.system|shell=True": r"$^",
    }
    for path in [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "chanswap").rglob("*.py")]:
        for line in path.read_text().splitlines():
            for danger, way in allowed.items():
                if (
                    re.search(danger, line)
                    and not line.lstrip().startswith("#")
                    and "model.eval(" not in line
                    and ".eval()" not in line
                ):
                    assert re.search(way, line), f"{path}: {line}"


def test_the_library_of_tables_is_one_that_runs_no_scripts():
    """From version 4 on `datasets` has no loading scripts; before, an environment variable could allow them."""
    import tomllib

    from datasets import __version__

    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "datasets>=4.0" in wanted and int(__version__.split(".")[0]) >= 4


def test_a_folder_of_parquet_files_with_a_script_runs_nothing(tmp_path, monkeypatch):
    import pyarrow
    import pyarrow.parquet

    from benchmarks.data import obtain

    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_DATASETS_TRUST_REMOTE_CODE", "1")
    folder = tmp_path / "mine"
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), folder / "train.parquet")
    (folder / "mine.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    with pytest.raises(MissingData):
        obtain.add_folder("kvasir", folder)
    assert not (tmp_path / "ran").exists()


# Weights that are none, or another model's


def test_weights_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "w.safetensors"
    whole = sam_mini.build().state_dict()
    name = "mask_decoder.iou_token.weight"
    broken = whole[name].clone()
    broken[0, 3] = float("nan")
    for state, why in (
        ({n: t for n, t in whole.items() if n != name}, f"it lacks {name}; get the file again"),
        ({**whole, "besides": torch.ones(1)}, "it has besides besides"),
        ({**whole, name: whole[name][:, :-1].contiguous()}, f"another shape of {name}"),
        ({**whole, name: broken}, f"it has NaN or infinity in {name}"),
        ({**whole, name: torch.full_like(broken, float("inf"))}, f"it has NaN or infinity in {name}"),
        ({**whole, name: whole[name].long()}, f"another kind of number in {name}"),
        ({}, "it lacks .* and .* more"),
    ):
        save_file({n: t.clone() for n, t in state.items()}, path)
        assert re.search(why, refused(path)), why
    path.write_bytes(path.read_bytes()[:-1])
    assert "cannot be read as weights" in refused(path)
    for value in ([1, 2], {"w": 3}, {1: torch.ones(1)}, torch.ones(2), {"x": torch.ones(2).to_sparse()}):
        torch.save(value, tmp_path / "w.pt")
        assert "holds no weights by name" in refused(tmp_path / "w.pt")


def test_a_damaged_card_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "SHIPPED", tmp_path)
    for text in ("", "{", "[]", "{}", '{"sha256": 5}', '{"sha256": "abc"}', "[" * 100_000):
        (tmp_path / "sam-mini.json").write_text(text)
        with pytest.raises(MissingData, match="sam-mini.json is damaged .*; install the package again"):
            backbones.pinned_sha256(MINI)


def test_a_file_that_is_not_the_pinned_one_is_not_even_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    with pytest.raises(MissingData, match="is not sam_vit_b_01ec64.pth"):
        weights.add(BACKBONES.get("sam-vit-b"), tmp_path)
    with pytest.raises(UsageError):
        weights.add(MINI, tmp_path)
    assert not (tmp_path / "ran").exists()


# Small files that ask for much


@pytest.mark.parametrize(
    "segmentation, why",
    [
        ({"size": [10**6, 10**6], "counts": [10**12]}, "of size"),
        ({"size": [20, 30], "counts": [10**12]}, "runs of"),
        ({"size": [20, 30], "counts": "o" * 10_000}, "no number of a mask"),
        ({"size": [20, 30], "counts": "\x00"}, "no number of a mask"),
        ({"size": [30, 20], "counts": [600]}, "of size"),  # columns for rows: as many pixels, another mask
        ({"size": [20, 30], "counts": [599.5, 0.5]}, "whole numbers"),
        ({"size": [20, 30], "counts": [True, 599]}, "whole numbers"),
        ({"size": [20, 30], "counts": [-1, 601]}, "runs of"),
        ({"size": [20, 30]}, "a list or a text"),
        ({}, "of size"),
        ([[0, 0, 1e12, 0, 1e12, 1e12]], "far outside"),
        ([[0, 0, float("nan"), 0, 5, 5]], "far outside"),
        ([[0, 0, float("inf"), 0, 5, 5]], "far outside"),
        ([[0, 0, 29, 19] * 200_000], "longer than any"),
        ([[0, 0, 5]], "x, y"),
        ([["0", "0", "5", "5", "0", "5"]], "x, y"),
        ([5], "x, y"),
        ("x", "polygons or a run-length code"),
        (None, "polygons or a run-length code"),
    ],
)
def test_masks_that_are_none_or_endless_are_refused(segmentation, why):
    with pytest.raises(ValueError, match=why):
        rle.decode(segmentation, 20, 30)


def test_a_list_that_unpacks_to_gigabytes_is_refused(tmp_path):
    """Lists of MATLAB are compressed: a few kilobytes can stand for any number of zeros."""
    import struct
    import zlib

    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    (tmp_path / "splits.mat").write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(ValueError, match="unpacks to too much"):
        matlab.read(tmp_path / "splits.mat")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "i8", "f4", "f8"])
def test_lists_of_matlab_are_read_as_scipy_writes_them(tmp_path, kind, compressed):
    from scipy.io import loadmat, savemat

    lists = {"trainNdxs": np.arange(1, 120, dtype=kind)[:, None], "testNdxs": np.array([[120], [121]], kind)}
    savemat(tmp_path / "splits.mat", {**lists, "note": "text", "cells": np.array(["a", 1], object)}, do_compression=compressed)
    found = matlab.read(tmp_path / "splits.mat")
    for name, values in loadmat(tmp_path / "splits.mat", variable_names=list(lists)).items():
        if name in lists:
            assert found[name].tolist() == values.ravel().tolist() == lists[name].ravel().tolist()


@pytest.mark.parametrize("numbers", [[0, 1], [1.5, 2.0], [-1.0, 2.0], [float("nan"), 1.0], [2, 2], [float("inf")]])
def test_a_list_of_no_images_is_refused(tmp_path, numbers):
    """0 would read the last image: MATLAB counts from 1."""
    from scipy.io import savemat

    from benchmarks.data.readers import nyuv2

    savemat(tmp_path / nyuv2.LISTS, {"trainNdxs": np.array(numbers)[:, None]})
    with pytest.raises(MissingData, match=r"splits.mat cannot be read \(.*\)"):
        nyuv2.make("nyuv2", {})._numbers(tmp_path, "train")


def test_arrays_of_hdf5_that_do_not_fit_are_refused_before_they_are_read(tmp_path):
    import h5py

    from benchmarks.data.readers import nyuv2

    of = nyuv2.make("nyuv2", {})
    for images, depths, why in (
        (((2, 3, 10**6, 10**6), "u1"), ((2, 10**6, 10**6), "f4"), "more than the"),
        (((2, 3, 6, 4), "f4"), ((2, 6, 4), "f4"), "images of float32"),
        (((2, 3, 6, 4), "u1"), ((2, 6, 4), "u2"), "depths of uint16"),  # millimetres would be read as metres
        (((2, 3, 6, 4), "u1"), ((2, 4, 6), "f4"), "depths of"),
        (((2, 6, 4), "u1"), ((2, 6, 4), "f4"), "depths of"),
    ):
        with h5py.File(tmp_path / nyuv2.DATA, "w") as file:
            for name, (shape, kind) in (("images", images), ("depths", depths)):
                file.create_dataset(name, shape, kind, chunks=tuple(min(n, 64) for n in shape))
        with pytest.raises(MissingData, match=why):
            of.sample(tmp_path, "train")("train/0001")
        assert len(of._data_faults(tmp_path)) == 1


def test_an_array_file_that_declares_terabytes_is_made_again(tmp_path):
    head = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    head += b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,)}".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name in ("images.npy", "masks.npy"):
            file.writestr(name, head)
    assert generated._read(tmp_path / "a.npz", "0" * 64, generated._forms("depth", 10)) is None


def test_an_array_file_of_the_right_bytes_in_another_form_is_made_again(tmp_path):
    """NumPy gives bytes for an array whose first letter is damaged, and a digest of bytes knows neither shape nor type."""
    from benchmarks.catalog import SEGMENTATION

    forms = generated._forms(SEGMENTATION, 2)
    images, truths = (np.zeros(*form) for form in forms)
    expected, path = generated.digest(images, truths), tmp_path / "a.npz"
    for changed in ({}, {"images": images.swapaxes(0, 3)}, {"images": images.view("i1")}, {"masks": truths.view("u2")}):
        np.savez(path, **({"images": images, "masks": truths} | changed))
        assert (generated._read(path, expected, forms) is None) == bool(changed)
    np.savez(path, images=images, masks=truths)
    path.write_bytes(path.read_bytes().replace(b"\x93NUMPY", b"\x92NUMPY"))
    assert generated._read(path, expected, forms) is None
    with zipfile.ZipFile(path, "w") as file:
        for name in ("images.npy", "masks.npy"):
            file.writestr(name, b"no array")
    assert generated._read(path, expected, forms) is None


def test_a_record_nested_a_hundred_thousand_deep_is_refused(tmp_path):
    from benchmarks import records
    from benchmarks.data.readers import coco, hub
    from benchmarks.errors import InvalidRecord
    from chanswap.swap import Swap, SwapError

    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    with pytest.raises(InvalidRecord):
        records.read(deep)
    with pytest.raises(MissingData):
        manifests.read(deep)
    with pytest.raises(SwapError):
        Swap.load(deep)
    (tmp_path / "annotations").mkdir()
    coco.annotations(tmp_path, "test").write_text("[" * 100_000)
    with pytest.raises(MissingData):
        coco.make("coco", {})._index(tmp_path, "test")
    assert hub._json(deep) == {}


# Manifests


@pytest.mark.parametrize(
    "key, value",
    [
        ("file", "../evil.zip"),
        ("file", "/tmp/evil.zip"),
        ("file", ".."),
        ("file", None),
        ("into", "../.."),
        ("into", "/tmp"),
        ("kind", "ftp"),
        ("url", None),
        ("bytes", -1),
        ("bytes", "5"),
        ("bytes", True),
        ("sha256", "abc"),
        ("md5", "z" * 32),
        ("unpacked_bytes", 1.5),
    ],
)
def test_a_manifest_that_would_write_elsewhere_or_pins_nothing_is_refused(tmp_path, key, value):
    stated = json.loads((ROOT / "datasets" / "kvasir" / "manifest.json").read_text())
    stated["sources"][0][key] = value
    (tmp_path / "manifest.json").write_text(json.dumps(stated))
    with pytest.raises(MissingData, match="restore it from the repository"):
        manifests.read(tmp_path / "manifest.json")


def test_a_manifest_bounds_what_its_archive_unpacks_to(tmp_path, monkeypatch):
    from benchmarks.data import obtain

    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a", bytes(1000))
    source = {"file": "a.zip", "unpack": True}
    with pytest.raises(MissingData, match="unpacks to 1,000 bytes, more than 999"):
        obtain._take("kvasir", tmp_path / "a.zip", {**source, "unpacked_bytes": 999})
    obtain._take("kvasir", tmp_path / "a.zip", {**source, "unpacked_bytes": 1000})
