"""A Hugging Face dataset saved by `save_to_disk`: columns image and mask, depth or label, or those that the manifest names.

A mirror's "columns" in the manifest give its name for each of ours: {"image": "rgb", "depth": "depth"}; "id" is the column of
the images' names. Splits are train and test (or validation, or val). Where this package splits the dataset and there is an id,
all splits are joined and divided by the same rule as the official files, so that ids and splits are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePath

import numpy as np

from benchmarks.catalog import CLASSIFICATION, DATASETS, DEPTH, TASKS
from benchmarks.data import decode
from benchmarks.data.manifests import manifest
from benchmarks.data.readers.base import SPLITS, AnySample, Reader, walk
from benchmarks.data.readers.pairs import ENDINGS
from benchmarks.data.samples import DepthSample, LabelSample, Sample
from benchmarks.errors import MissingData, some
from benchmarks.plain import UNPRINTABLE

LIST, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
_NAMES = {"train": ("train",), "test": ("test", "validation", "val")}
_FARTHEST = 100.0  # metres; no room is as deep, so a larger value is of another unit


class Hub(Reader):
    """Reads in the place of a layout's reader, by that layout's rules. Ids are "SPLIT/" and the row's number, or its name."""

    def __init__(self, layout: Reader):
        super().__init__(layout.name, layout.sizes)
        self.own_split, self.keeps_empty, self.one_of_many = layout.own_split, layout.keeps_empty, layout.one_of_many
        self.dataset = DATASETS.get(layout.name)
        self.truth = {DEPTH: "depth", CLASSIFICATION: "label"}.get(TASKS.get(self.dataset.task).kind, "mask")

    def lies(self, root: Path) -> bool:
        """Whether a saved dataset, or one split of one, lies at the root."""
        return (root / LIST).is_file() or (root / STATE).is_file()

    def needed(self, root: Path) -> list[Path]:
        folders = self._folders(root)
        listed = [f / n for f in folders.values() for n in _listed(f)]
        return [p for f in folders.values() for p in (f / STATE, f / INFO)] + listed

    def absent(self, root: Path) -> list[str]:
        absent = super().absent(root)
        if absent:
            return absent
        folders = self._folders(root)
        if not folders:
            return [f"{root / LIST} names no split; {self.remedy()}"]
        odd = {n: found for n, f in folders.items() if _mapping(self.name, self.truth, found := _columns(f)) is None}
        for name, found in odd.items():
            wanted = "; or ".join(", ".join(m.values()) for m in _mappings(self.name, self.truth))
            absent.append(f"{root}: {name} has the columns {some(found, 20)}; needed are {wanted}; {self.remedy()}")
        for split in () if odd else SPLITS:
            if not self._of(root, split):
                absent.append(f"{root}: no split {split} among {', '.join(folders)}; {self.remedy()}")
        return absent

    def parts(self, root: Path) -> list[Path]:
        return walk(root)

    def strays(self, root: Path) -> list[Path]:
        known = {root / LIST, *self.needed(root)}
        return [f for f in walk(root) if f not in known]

    def ids(self, root: Path, split: str) -> list[str]:
        if reason := self.lacking(root):
            raise MissingData(reason)
        return list(self._rows(root, split))

    def present(self, root: Path, split: str) -> list[str]:
        try:
            return self.ids(root, split)
        except MissingData:
            return []

    def structure(self, root: Path) -> list[str]:
        """Each split's table by itself, and its first row, which shows whether the columns hold what they should."""
        if self.absent(root):
            return []
        faults = []
        for folder in self._folders(root).values():
            try:
                _table(folder, _changed(folder))
            except MissingData as error:
                faults.append(f"{error}; {self.remedy()}")
        for split in () if faults else SPLITS:
            try:
                faults += [e for name in self.ids(root, split)[:1] for e in self.checks(root, split)(name)]
            except MissingData as error:
                faults.append(str(error))
        return faults

    def sample(self, root: Path, split: str) -> Callable[[str], AnySample]:
        rows = self._rows(root, split)
        held = {f: (_table(f, _changed(f)), _mapping(self.name, self.truth, _columns(f))) for f in self._of(root, split)}

        def make(name: str) -> AnySample:
            if name not in rows:
                raise MissingData(f"{self.name}: no image {name} in {root}; {self.remedy()}")
            folder, k = rows[name]
            where, (table, columns) = f"{folder}: row {k}", held[folder]
            try:
                row = table[k]
                image, truth = row[columns["image"]], row[columns[self.truth]]
                if image is None or truth is None:
                    raise ValueError("it is empty")
                return self._made(name, where, image, truth)
            except MissingData:
                raise
            except Exception as error:  # arrow, numpy and the file system each raise their own
                raise MissingData(f"{where} cannot be read ({str(error)[:200]}); {self.remedy()}") from None

        return make

    def _made(self, name: str, where: str, image, truth) -> AnySample:
        """A sample of a row's image and truth, as `datasets` gives them undecoded: files in dicts, or arrays."""
        if self.truth == "label":
            if not 0 <= int(truth) < self.dataset.classes:
                raise ValueError(f"label {truth} is not in 0 to {self.dataset.classes - 1}")
            return LabelSample(name, _image(image, where), int(truth))
        if self.truth == "depth":
            pixels, depth = _image(image, where), _depth(truth, where)
            if depth.shape != pixels.shape[:2]:
                raise ValueError(f"depth of {depth.shape[::-1]} for an image of {pixels.shape[1::-1]} pixels")
            return DepthSample(name, pixels, depth)
        mask = _source(truth)
        if self.one_of_many and decode.colours(mask, where) > 2:
            raise ValueError("its mask has more than two colours, so it is of many objects or of classes; needed is one object's")
        return Sample(name, *decode.pair(_source(image), [mask], where))

    def _folders(self, root: Path) -> dict[str, Path]:
        """The folder of each split that the saved dataset names; a table without splits is its training split."""
        if (root / LIST).is_file():
            return {n: root / n for n in _list(_json(root / LIST), "splits") if _plain(n)}
        return {"train": root}

    def _of(self, root: Path, split: str) -> list[Path]:
        """The folders that hold rows of a split."""
        folders = self._folders(root)
        if self._joined(root):
            return list(folders.values())
        return [folders[n] for n in _NAMES[split] if n in folders][:1]

    def _joined(self, root: Path) -> bool:
        """Whether the rows are divided by this package's rule, because their names are known."""
        mappings = [_mapping(self.name, self.truth, _columns(f)) or {} for f in self._folders(root).values()]
        return self.own_split is not None and all("id" in m for m in mappings)

    def _rows(self, root: Path, split: str) -> dict[str, tuple[Path, int]]:
        """By id, in order, a split's rows: folder and number. Raises MissingData for tables that cannot be read."""
        joined, rows = self._joined(root), {}
        for folder in self._of(root, split):
            columns = _mapping(self.name, self.truth, _columns(folder))
            table = _table(folder, _changed(folder))
            names = [_stem(str(n)) for n in table[columns["id"]]] if joined else [f"{k:05d}" for k in range(len(table))]
            empty = frozenset() if self.keeps_empty else _empty(folder, _changed(folder), columns["mask"])
            for k, name in enumerate(names):
                if k in empty or (joined and self.own_split(name) != split):
                    continue
                if f"{split}/{name}" in rows:
                    raise MissingData(f"{root}: two rows are named {name} in {columns['id']}; {self.remedy()}")
                rows[f"{split}/{name}"] = folder, k
        return dict(sorted(rows.items())) if joined else rows


def _mappings(name: str, truth: str) -> list[dict[str, str]]:
    """Our names of columns and theirs: of each mirror that states them, and our own."""
    return [m["columns"] for m in manifest(name)["mirrors"] if "columns" in m] + [{"image": "image", truth: truth}]


def _mapping(name: str, truth: str, found: list[str]) -> dict[str, str] | None:
    return next((m for m in _mappings(name, truth) if {*m.values()} <= {*found}), None)


def _columns(folder: Path) -> list[str]:
    """The names of a split's columns, read without the Hugging Face library, whose import takes a second."""
    found = _json(folder / INFO).get("features")
    return list(found) if isinstance(found, dict) else []


def _listed(folder: Path) -> list[str]:
    """The names of a split's data files. Those that lead out of its folder are none."""
    named = [e.get("filename") for e in _list(_json(folder / STATE), "_data_files") if isinstance(e, dict)]
    return [n for n in named if _plain(n)]


def _plain(name: object) -> bool:
    """Whether it is the name of a file or folder, and not a path."""
    if not isinstance(name, str) or name != PurePath(name).name or UNPRINTABLE.search(name):
        return False
    return name not in ("", "..") and len(name.encode()) < 256


def _list(value: dict, key: str) -> list:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _json(path: Path) -> dict:
    """The object in a JSON file, {} where it cannot be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _changed(folder: Path) -> tuple[int, ...]:
    return tuple(f.stat().st_mtime_ns for f in walk(folder))


@lru_cache(maxsize=8)
def _table(folder: Path, changed: tuple[int, ...]):
    """A split's table; images stay encoded, arrays become numpy's. Raises MissingData."""
    try:
        from datasets import Dataset, Image
    except ImportError:
        raise MissingData("reading a saved Hugging Face dataset needs its library: pip install datasets") from None
    try:
        table = Dataset.load_from_disk(str(folder))
        arrays = [c for c, kind in table.features.items() if type(kind).__name__.startswith("Array")]
        for column, kind in table.features.items():
            if isinstance(kind, Image):
                table = table.cast_column(column, Image(decode=False))
        return table.with_format("numpy", columns=arrays, output_all_columns=True) if arrays else table
    except Exception as error:  # arrow, json and the file system each raise their own
        raise MissingData(f"{folder} cannot be read as a saved dataset ({str(error)[:200]})") from None


@lru_cache(maxsize=8)
def _empty(folder: Path, changed: tuple[int, ...], column: str) -> frozenset[int]:
    """The rows whose mask shows nothing. One that cannot be read is not among them: whoever reads its sample is told."""
    table, empty = _table(folder, changed), set()
    for k in range(len(table)):
        try:
            if not decode.mask(_source(table[k][column]), f"{folder}: row {k}").any():
                empty.add(k)
        except Exception:  # as above
            continue
    return frozenset(empty)


def _stem(name: str) -> str:
    path = PurePath(name)
    return path.stem if path.suffix.lower() in ENDINGS else path.name


def _source(cell: dict) -> bytes | str:
    return cell["bytes"] or cell["path"]


def _image(cell, where: str) -> np.ndarray:
    """(H, W, 3) uint8 of a file, or of an array (3, H, W) of values from 0 to 1."""
    if isinstance(cell, dict):
        return decode.image(_source(cell), where)
    values = np.asarray(cell, np.float64)
    if values.ndim != 3 or values.shape[0] != 3 or not (values.min() >= -1e-3 and values.max() <= 1.001):
        raise ValueError(f"an image of shape {values.shape}, where three channels of values from 0 to 1 are needed")
    return np.ascontiguousarray(np.rint(values.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def _depth(cell, where: str) -> np.ndarray:
    """(H, W) float32 in metres of a 16-bit file of millimetres, or of an array (H, W) or (1, H, W) of metres."""
    if isinstance(cell, dict):
        return decode.depth(_source(cell), where)
    values = np.asarray(cell, np.float32)
    values = values[0] if values.ndim == 3 and len(values) == 1 else values
    if values.ndim != 2 or not (values.min() >= 0 and values.max() <= _FARTHEST):
        raise ValueError(f"a depth of shape {values.shape}, where metres from 0 to {_FARTHEST:.0f} of one channel are needed")
    return np.ascontiguousarray(values)
