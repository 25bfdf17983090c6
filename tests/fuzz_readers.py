"""What `tests.fuzz` damages: each reader of the suite with valid files, its documented error, and what a sound value is."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import InvalidRecord, MissingData
from tests.fuzz_mutate import header_mutated, json_mutated

ROOT = Path(__file__).parents[1]
READERS: dict[str, Callable[[Path], Reader]] = {}


@dataclass(frozen=True)
class Reader:
    """`read` takes the bytes of a file and gives a value or raises one of `refuses`; `unsound(value, bytes)` says what is wrong with
    a value, None where it is what it should be. `weight`: its share of the cases, more for quicker ones."""

    name: str
    seeds: list[bytes]
    read: Callable[[bytes], Any]
    refuses: tuple[type[Exception], ...]
    unsound: Callable[[Any, bytes], str | None]
    weight: int = 10
    mutate: Callable | None = None


def reader(make: Callable[[Path], Reader]) -> Callable[[Path], Reader]:
    READERS[make.__name__.strip("_")] = make
    return make


def placed(path: Path, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """`read` of a file, given its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def through(data: bytes) -> Any:
        path.write_bytes(data)
        return read(path)

    return through


@reader
def swap(home: Path) -> Reader:
    from chanswap.swap import Swap, SwapError

    seeds = [Swap([(3, 7), (100, 12)], channels=512).to_json(site="SAM", gain=0.03), Swap(channels=1).to_json()]

    def unsound(value: Swap, data: bytes) -> str | None:
        if Swap.from_json(value.to_json()) != value:
            return "it is not read back"
        pairs = dict(value.pairs)
        fits = all(0 <= c < value.channels and r != e for r, e in pairs.items() for c in (r, e))
        return None if fits and len(pairs) == len(value.pairs) else "no swap"

    return Reader("swap", [s.encode() for s in seeds], Swap.from_json, (SwapError,), unsound, 60, json_mutated)


def _record(name: str, home: Path, folder: str, module, smallest: int, weight: int) -> Reader:
    files = sorted((ROOT / folder).rglob("*.json"), key=lambda f: (f.stat().st_size, f.name))
    valid = [f.read_bytes() for f in files if b"schema_version" in f.read_bytes() and f.name != "cut-off.json"][:smallest]

    def unsound(value, data: bytes) -> str | None:
        text = value.model_dump_json().encode()
        return None if type(value).model_validate_json(text, strict=True) == value else "it is not read back"

    return Reader(name, valid, placed(home / f"{name}.json", module.read), (InvalidRecord,), unsound, weight, json_mutated)


@reader
def record(home: Path) -> Reader:
    from benchmarks import records

    return _record("record", home, "tests/example_results/verified", records, 12, 30)


@reader
def search_record(home: Path) -> Reader:
    from benchmarks import search_records as module

    value = json.loads(next((ROOT / "results" / "search").glob("*.json")).read_bytes())
    value["test_images"], value["base"] = value["test_images"][:6], value["base"][:6]
    value["trials"] = [{**t, "scores": t["scores"][:6]} for t in value["trials"][:4]]
    made = _record("search_record", home, "results/search", module, 0, 30)
    return Reader(made.name, [json.dumps(value).encode()], made.read, made.refuses, made.unsound, made.weight, made.mutate)


@reader
def cost_record(home: Path) -> Reader:
    from benchmarks import cost_records

    return _record("cost_record", home, "results/cost", cost_records, 3, 30)


@reader
def manifest(home: Path) -> Reader:
    from benchmarks.data import manifests, obtain
    from benchmarks.fetch import drive_url

    def unsound(value: dict, data: bytes) -> str | None:
        for source in [*value.get("sources", ()), *value.get("mirrors", ())]:
            obtain._pin(source), obtain._key(source), drive_url(source.get("id", ""))
            if "file" in source and source["kind"] != "hub" and (home / source["file"]).parent != home:
                return "a file of it lies elsewhere"
            if not (home / source.get("into", "")).resolve().is_relative_to(home.resolve()):
                return "it unpacks to elsewhere"
        return None

    seeds = [f.read_bytes() for f in sorted((ROOT / "datasets").glob("*/manifest.json"))]
    return Reader("manifest", seeds, placed(home / "manifest.json", manifests.read), (MissingData,), unsound, 40, json_mutated)


def _split_cache(data: bytes) -> tuple[dict, bytes]:
    size, _ = struct.unpack_from("<II", data, 20)
    return json.loads(data[28 : 28 + size]), data[28 + size :]


def _join_cache(header: Any, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return b"chanswap-features-2\n" + struct.pack("<II", len(text), zlib.crc32(text)) + text + body


@reader
def feature_cache(home: Path) -> Reader:
    import torch

    from chanswap import CacheError, FeatureCache

    def seed(dtype) -> bytes:
        path = home / "seed.features"
        FeatureCache.write(path, [(f"i{k}", torch.arange(12).reshape(3, 2, 2).to(dtype) + k) for k in range(3)], site="x")
        return path.read_bytes()

    def unsound(value: FeatureCache, data: bytes) -> str | None:
        header, body = _split_cache(data)
        for k in range(len(value)):
            part = value[k].contiguous().view(torch.uint8).numpy().tobytes()
            if zlib.crc32(part) != header["crc32"][k] or tuple(value[k].shape) != tuple(header["shape"]):
                return "features that nothing vouches for"
        return None if len(value) == len(value.ids) else "ids without features"

    change = header_mutated(_split_cache, _join_cache)
    seeds = [seed(torch.float32), seed(torch.float16)]
    return Reader("feature_cache", seeds, placed(home / "f", FeatureCache), (CacheError,), unsound, 40, change)


@reader
def encoded_cache(home: Path) -> Reader:
    import torch

    from benchmarks.encoded_cache import EncodedCache
    from chanswap import CacheError

    path = home / "seed.encoded"
    EncodedCache.write(path, [(f"i{k}", (torch.ones(4, 2, 2) * k, (torch.zeros(2, 3),))) for k in range(3)])

    def unsound(value: EncodedCache, data: bytes) -> str | None:
        shapes = _split_cache(data)[0]["about"]["shapes"]
        for k in range(len(value)):
            site, rest = value[k]
            if [list(t.shape) for t in (site, *rest)] != shapes or not torch.equal(value.sites[k], site):
                return "parts of other shapes than stated"
        return None

    change = header_mutated(_split_cache, _join_cache)
    return Reader("encoded_cache", [path.read_bytes()], placed(home / "e", EncodedCache), (CacheError,), unsound, 30, change)


@reader
def journal(home: Path) -> Reader:
    import torch

    from chanswap import Journal

    path, blocks = home / "journal", {(0, 0): [0.5, -1.0], (0, 2): [1e-8], (3, 0): [1.0, 2.0, 3.0]}
    one = Journal(path, "job")
    one.load()
    for (image, start), scores in blocks.items():
        one.append(image, start, torch.tensor(scores))
    one.close()
    seed = path.read_bytes()

    def read(file: Path) -> dict:
        journal = Journal(file, "job")
        try:
            return journal.load()
        finally:
            journal.close()

    def unsound(value: dict, data: bytes) -> str | None:
        known = all(name in blocks and torch.equal(s, torch.tensor(blocks[name])) for name, s in value.items())
        return None if known else "scores that were never written"

    return Reader("journal", [seed], placed(path, read), (), unsound, 40)


@reader
def stage(home: Path) -> Reader:
    from benchmarks import store

    job = store.Job("evaluate", {"weights": "w", "seed": 0})
    job.folder.mkdir(parents=True)
    (job.folder / "file").write_bytes(b"content")
    kept = store.keep(job, {"base": {"miou": [0.65, 0.7]}}, {"seconds": 1.5, "threads": 2}, ("file",))
    path = job.folder / "stage.json"
    seed = path.read_bytes()

    def read(data: bytes):
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "file").write_bytes(b"content")
        path.write_bytes(data)
        return store.kept(job)

    def unsound(value, data: bytes) -> str | None:
        if value is None:
            return "a damaged stage is still there" if path.exists() else None
        return None if value == kept else "another result than was kept"

    return Reader("stage", [seed], read, (), unsound, 30, json_mutated)


@reader
def train_state(home: Path) -> Reader:
    import torch

    from benchmarks.train_state import TrainState

    def fresh():
        layer = torch.nn.Linear(3, 2)
        with torch.no_grad():
            layer.weight.fill_(0.25), layer.bias.zero_()
        return dict(layer.named_parameters()), torch.optim.Adam(layer.parameters())

    path = home / "epoch.safetensors"
    parameters, optimiser = fresh()
    parameters["weight"].sum().backward()
    parameters["bias"].grad = torch.ones(2)
    optimiser.step()
    TrainState(path, "job").save(parameters, optimiser, [0.5, 0.25], 3.5)
    seed, wanted = path.read_bytes(), {n: p.detach().clone() for n, p in parameters.items()}

    def read(file: Path):
        state, (found, adam) = TrainState(file, "job"), fresh()
        return state.seconds(), state.load(found, adam), found, adam.state_dict()["state"]

    def unsound(value, data: bytes) -> str | None:
        seconds, losses, found, moments = value
        if not 0 <= seconds < float("inf"):
            return "seconds of no clock"
        if not losses:
            begun = bool(moments) or not torch.equal(found["weight"], torch.full((2, 3), 0.25))
            return "half of it was taken over" if begun else None
        same = losses == [0.5, 0.25] and all(torch.equal(found[n], p) for n, p in wanted.items())
        return None if same else "other weights than were saved"

    return Reader("train_state", [seed], placed(path, read), (), unsound, 20)


class _Weights:
    """A small network in the place of a large one: what matters is how the file is read."""

    @staticmethod
    def build():
        import torch

        return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


@reader
def weights(home: Path) -> Reader:
    import torch
    from safetensors.torch import save

    from benchmarks import backbones
    from benchmarks.catalog import BACKBONES

    state, buffer = _Weights.build().state_dict(), io.BytesIO()
    torch.save(state, buffer)
    older = io.BytesIO()
    torch.save(state, older, _use_new_zipfile_serialization=False)
    shape, backbone = {n: t.shape for n, t in state.items()}, BACKBONES.get("sam-vit-b")

    def read(data: bytes):
        path = home / ("w.pt" if data[:2] in (b"PK", b"\x80\x02") else "w.safetensors")
        path.write_bytes(data)
        model = _Weights.build()
        backbones._fit(model, backbones.read_weights(path), backbone, path, "get it again")
        return model

    def unsound(value, data: bytes) -> str | None:
        fits = all(t.shape == shape[n] and t.isfinite().all() for n, t in value.state_dict().items())
        return None if fits else "weights of another shape, or not finite"

    return Reader("weights", [save(state), buffer.getvalue(), older.getvalue()], read, (MissingData,), unsound, 15)


@reader
def masks(home: Path) -> Reader:
    from benchmarks.data import rle

    mask = np.zeros((12, 9), bool)
    mask[2:7, 3:8] = True
    seeds = [
        {"size": [12, 9], "counts": rle.to_runs(mask)},
        {"size": [12, 9], "counts": "0\\3"},  # 0 and 108, in COCO's own code
        [[3, 2, 8, 2, 8, 7, 3, 7], [1.5, 1.5, 4.25, 1.0, 2.0, 9.75]],
    ]

    def read(data: bytes) -> np.ndarray:
        try:
            value = json.loads(data)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        return rle.decode(value, 12, 9)

    def unsound(value: np.ndarray, data: bytes) -> str | None:
        if value.shape != (12, 9) or value.dtype != bool:
            return f"a mask {value.shape} of {value.dtype}"
        stated = json.loads(data)
        if isinstance(stated, dict) and isinstance(stated["counts"], list):
            return None if value.sum() == sum(stated["counts"][1::2]) else "another area than its runs say"
        return None

    return Reader("masks", [json.dumps(s).encode() for s in seeds], read, (ValueError,), unsound, 60, json_mutated)


def _samples(count: int) -> list:
    from benchmarks.data import fixtures

    return fixtures.drawn("segmentation", count, 0)


@reader
def coco(home: Path) -> Reader:
    from benchmarks.data import fixtures
    from benchmarks.data.readers import coco as module

    root = home / "coco"
    fixtures.write("coco", root, _samples(2), _samples(2))
    of, path = module.make("coco", {}), module.annotations(root, "test")
    seed = path.read_bytes()

    def read(data: bytes):
        path.write_bytes(data)
        module._read.cache_clear()
        return list(of.load(root, "test", of.ids(root, "test")))

    def unsound(value, data: bytes) -> str | None:
        fits = all(s.mask.shape == s.image.shape[:2] and s.mask.dtype == bool for s in value)
        return None if fits else "a mask of another size"

    return Reader("coco", [seed], read, (MissingData,), unsound, 3, json_mutated)


@reader
def voc_list(home: Path) -> Reader:
    from benchmarks.data.readers import voc

    of, root = voc.make("voc", {}), home / "voc"
    path = of._list(root, "train")

    def unsound(value: list[str], data: bytes) -> str | None:
        inside = all((root / f).resolve().is_relative_to(root.resolve()) for n in value for f in of._files(root, n))
        return None if inside else "a name that leads out"

    def read(_: Path) -> list[str]:
        return of._names(root, "train")

    return Reader("voc_list", [b"2007_000032\n2007_000039\n2007_000063\n"], placed(path, read), (MissingData,), unsound, 30)


@reader
def cifar(home: Path) -> Reader:
    from benchmarks.data.readers import cifar as module

    rows = np.arange(2 * 3 * 16, dtype=np.uint8).reshape(2, 48)
    value = {b"data": rows, b"fine_labels": [3, 7], b"filenames": [b"a.png", b"b.png"]}
    seeds = [pickle.dumps(value, protocol=p) for p in (2, 4)]

    def read(file: Path):
        return module._file(file, b"fine_labels")

    def unsound(value, data: bytes) -> str | None:
        found, labels = value
        whole = found.dtype == np.uint8 and len(found) == len(labels) and all(type(k) is int and k >= 0 for k in labels)
        return None if whole else "no images with labels"

    return Reader("cifar", seeds, placed(home / "cifar", read), (MissingData,), unsound, 40)


@reader
def nyu_lists(home: Path) -> Reader:
    from scipy.io import savemat

    from benchmarks.data.readers import nyuv2

    of, root = nyuv2.make("nyuv2", {}), home / "nyu"
    seeds = []
    for squeezed in (False, True):
        buffer = io.BytesIO()
        lists = {"trainNdxs": np.array([[1], [3]]), "testNdxs": np.array([[2], [4]])}
        savemat(buffer, lists, do_compression=squeezed)
        seeds.append(buffer.getvalue())

    def unsound(value: list[int], data: bytes) -> str | None:
        return None if value == sorted(set(value)) and all(n >= 1 for n in value) else "no numbers of images"

    return Reader(
        "nyu_lists", seeds, placed(root / nyuv2.LISTS, lambda _: of._numbers(root, "train")), (MissingData,), unsound, 15
    )


@reader
def archive(home: Path) -> Reader:
    from benchmarks.unpack import unpack

    names = {"set/images/a.jpg": b"a" * 300, "set/masks/a.png": b"b" * 10, "readme.txt": b"", "set/Ünicode.txt": b"c"}
    seeds = []
    for kind in ("zip", "zip stored"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if kind == "zip" else zipfile.ZIP_STORED) as file:
            for name, content in names.items():
                file.writestr(name, content)
        seeds.append(buffer.getvalue())
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as file:
            for name, content in names.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
        seeds.append(buffer.getvalue())
    place, limit = home / "archive", 100_000

    def read(path: Path):
        import shutil

        shutil.rmtree(place / "out", ignore_errors=True)
        return unpack(path, place / "out" / "here", limit)

    def unsound(value: list[str], data: bytes) -> str | None:
        found = list((place / "out").rglob("*"))
        if any(f.is_symlink() or not (f.is_file() or f.is_dir()) for f in found):
            return "a link or a device"
        files = {f.relative_to(place / "out" / "here").as_posix(): f.stat().st_size for f in found if f.is_file()}
        if sorted(files) != sorted(value) or sum(files.values()) > limit:
            return "other files than it says"
        return None if {f.name for f in place.iterdir()} == {"out", "file"} else "something outside the folder"

    return Reader("archive", seeds, placed(place / "file", read), (MissingData,), unsound, 10)


@cache
def _pictures() -> dict[str, list[bytes]]:
    from PIL import Image

    grey = (np.add.outer(np.arange(12) * 9, np.arange(17) * 5) % 256).astype(np.uint8)
    rgb, flat = np.dstack([grey, grey[::-1], 255 - grey]), (grey > 90).astype(np.uint8) * 255
    exif = Image.Exif()
    exif[0x0112] = 6

    def kept(pixels, form: str, mode: str | None = None, **how) -> bytes:
        buffer = io.BytesIO()
        picture = Image.fromarray(pixels)
        (picture.convert(mode) if mode else picture).save(buffer, form, **how)
        return buffer.getvalue()

    images = [
        kept(rgb, "PNG"), kept(rgb, "JPEG", exif=exif), kept(rgb, "JPEG", "CMYK"), kept(rgb, "BMP"), kept(rgb, "TIFF"), kept(rgb, "GIF"),
        kept(rgb, "PNG", "P", transparency=3), kept(grey, "PNG", "LA"), kept(grey.astype(np.uint16) * 257, "PNG"), kept(rgb, "WEBP"),
        kept(rgb, "TIFF", compression="tiff_lzw"), kept(rgb, "PPM"), kept(rgb, "JPEG", progressive=True),
    ]  # fmt: skip
    truths = [
        kept(flat, "PNG"), kept(flat // 255, "PNG"), kept(flat, "JPEG"), kept(flat, "PNG", "1"), kept(flat, "BMP"), kept(flat, "GIF"),
        kept(grey // 64, "PNG"), kept((grey.astype(np.uint16) + 1) * 30, "PNG"), kept(flat, "TIFF"), kept(flat, "PNG", "RGBA"),
    ]  # fmt: skip
    return {"images": images, "truths": truths}


def _picture(name: str, seeds: list[bytes], read: Callable[[bytes, str], np.ndarray], dtypes: tuple, ndim: int) -> Reader:
    def unsound(value: np.ndarray, data: bytes) -> str | None:
        from benchmarks.data.decode import MOST_PIXELS

        if value.dtype not in dtypes or value.ndim != ndim or not 0 < value.shape[0] * value.shape[1] <= MOST_PIXELS:
            return f"an array {value.shape} of {value.dtype}"
        return None if np.isfinite(value).all() else "values that are not finite"

    return Reader(name, seeds, lambda data: read(data, "x.png"), (MissingData,), unsound, 15)


@reader
def image(home: Path) -> Reader:
    from benchmarks.data import decode

    return _picture("image", _pictures()["images"], decode.image, (np.dtype(np.uint8),), 3)


@reader
def mask(home: Path) -> Reader:
    from benchmarks.data import decode

    return _picture("mask", _pictures()["truths"], decode.mask, (np.dtype(bool),), 2)


@reader
def labels(home: Path) -> Reader:
    from benchmarks.data import decode

    kinds = tuple(map(np.dtype, ("bool", "uint8", "uint16", "int32", ">u2", ">i4")))
    return _picture("labels", _pictures()["truths"], decode.labels, kinds, 2)


@reader
def depth(home: Path) -> Reader:
    from benchmarks.data import decode

    return _picture("depth", _pictures()["truths"][7:8], decode.depth, (np.dtype(np.float32),), 2)


@reader
def printed(home: Path) -> Reader:
    from benchmarks import printed as module

    rows = (ROOT / "results" / "reference" / "table4.csv").read_bytes().splitlines(keepends=True)[:9]

    def unsound(value: dict, data: bytes) -> str | None:
        text = data.decode(errors="replace")
        fits = all(v == module.DASH or (np.isfinite(float(v)) and v in text) for v in value.values())
        return None if fits else "a number that is not in the file"

    path = home / "reference" / "table4.csv"
    return Reader("printed", [b"".join(rows)], placed(path, lambda _: module.printed(home, "table4")), (), unsound, 30)


@reader
def saved_table(home: Path) -> Reader:
    """The JSON beside a saved Hugging Face dataset; its tables are arrow's to read."""
    from benchmarks.data.readers import reader as of

    root = home / "hub"
    valid = {
        root / "dataset_dict.json": {"splits": ["train", "test"]},
        root / "train" / "state.json": {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]},
        root / "train" / "dataset_info.json": {"features": {"image": {"_type": "Image"}, "mask": {"_type": "Image"}}},
    }
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        (root / split / "data-00000-of-00001.arrow").write_bytes(b"")
    text = {path: json.dumps(value).encode() for path, value in valid.items()}

    def read(data: bytes) -> str | None:
        place = list(valid)[len(data) % len(valid)]
        for path, content in text.items():
            path.write_bytes(content)
            (root / "test" / path.name).write_bytes(content)
        place.write_bytes(data)
        return of("kvasir").at(root).lacking(root)

    def unsound(value, data: bytes) -> str | None:
        return None if value is None or (isinstance(value, str) and value) else "no line of text"

    return Reader("saved_table", list(text.values()), read, (), unsound, 10, json_mutated)


@reader
def notes(home: Path) -> Reader:
    """What downloads leave beside a file: the server's tag, the first checksum, which sources are done."""
    from benchmarks import part_file, pins, trust
    from benchmarks.data import obtain

    target = home / "downloads" / "a.zip"
    target.parent.mkdir(parents=True)
    obtain._staged("kvasir").mkdir(parents=True)
    seeds = [b'"33a64df551425fcc55e"', b"0" * 64 + b"  a.zip\n", b'["kvasir-seg.zip"]', b"Wed, 21 Oct 2015 07:28:00 GMT"]

    def read(data: bytes):
        for path in (part_file.tag_of(target), target.with_name("a.zip.sha256"), obtain._list("kvasir")):
            path.write_bytes(data)
        return part_file.kept_tag(target), obtain._done("kvasir"), trust.remembered(target, pins.UNKNOWN)

    def unsound(value, data: bytes) -> str | None:
        tag, done, pin = value
        fits = tag.isprintable() and tag.isascii() and all(isinstance(k, str) for k in done) and len(pin.sha256) == 64
        return None if fits else "a header or a checksum that is none"

    return Reader("notes", seeds, read, (MissingData,), unsound, 20)


@reader
def headers(home: Path) -> Reader:
    from benchmarks import headers as module

    def read(data: bytes):
        text = data.decode("latin-1")
        return module.number(text), module.whole(text), module.asked_to_wait(text), module.continues(text, 100)

    def unsound(value, data: bytes) -> str | None:
        size, whole, wait, _ = value
        fits = all(n is None or 0 <= n < 10**18 for n in (size, whole)) and wait >= 0
        return None if fits else "no count and no time"

    seeds = [b"3072000", b"bytes 100-199/3072000", b"bytes */5", b"120", b"Wed, 21 Oct 2015 07:28:00 GMT"]
    return Reader("headers", seeds, read, (), unsound, 60)


@reader
def generated(home: Path) -> Reader:
    from benchmarks.data import generated as module

    images, truths = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3), np.arange(16, dtype=np.uint8).reshape(1, 16)
    buffer = io.BytesIO()
    np.savez(buffer, images=images, masks=truths)
    expected = module.digest(images, truths)

    def unsound(value, data: bytes) -> str | None:
        same = value is None or (np.array_equal(value[0], images) and np.array_equal(value[1], truths))
        return None if same else "other images than the manifest's"

    read = placed(home / "g.npz", lambda path: module._read(path, expected, [(a.shape, a.dtype) for a in (images, truths)]))
    return Reader("generated", [buffer.getvalue()], read, (), unsound, 15)


@reader
def pages(home: Path) -> Reader:
    """A results folder with one altered record among whole ones: pages are made whatever it holds."""
    import re

    from benchmarks.board.build import render
    from benchmarks.board.text import MARK

    results, path = home / "results", home / "results" / "community" / "mini-v1" / "camo" / "x.json"
    made = record(home)
    (results / "verified").mkdir(parents=True)
    (results / "verified" / "whole.json").write_bytes(made.seeds[0])

    def unsound(value: dict[str, str], data: bytes) -> str | None:
        if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.md", name) for name in value):
            return f"file names {list(value)}"
        for text in value.values():
            text.encode()
            if not text.startswith(MARK) or "\x1b" in text or "nan" in re.sub(r"```.*?```|`[^`]*`", "", text).split():
                return "a page with NaN, an escape or no mark"
        return None

    return Reader("pages", made.seeds[:4], placed(path, lambda _: render(results)), (), unsound, 1, json_mutated)


if os.environ.get("CHANSWAP_FUZZ_H5"):  # in C that was not written for it, as h5py's documentation says: it may end the process

    @reader
    def nyu_data(home: Path) -> Reader:
        import h5py

        from benchmarks.data.readers import nyuv2

        of, root = nyuv2.make("nyuv2", {}), home / "nyu"
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file["images"] = np.zeros((2, 3, 6, 4), np.uint8)
            file["depths"] = np.ones((2, 6, 4), np.float32)

        def unsound(value, data: bytes) -> str | None:
            return None if value.image.dtype == np.uint8 and value.depth.shape == value.image.shape[:2] else "no sample"

        read = placed(root / nyuv2.DATA, lambda _: of.sample(root, "train")("train/0001"))
        return Reader("nyu_data", [buffer.getvalue()], read, (MissingData,), unsound, 5)
