"""CIFAR-10 and CIFAR-100: `cifar-10-batches-py/{data_batch_1..5,test_batch}` and `cifar-100-python/{train,test}`.

The files are pickles, and a pickle can name any function to be called. This one allows arrays and plain values alone.
"""

from __future__ import annotations

import codecs
import io
import math
import pickle
import pickletools
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.catalog import DATASETS
from benchmarks.data.readers.base import Reader
from benchmarks.data.samples import LabelSample
from benchmarks.errors import MissingData

FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
FILES = {
    "cifar10": {"train": tuple(f"data_batch_{k}" for k in range(1, 6)), "test": ("test_batch",)},
    "cifar100": {"train": ("train",), "test": ("test",)},
}
_BESIDE = {"cifar10": ("batches.meta", "readme.html"), "cifar100": ("meta", "file.txt~")}  # in the archives, not read
LABELS = {"cifar10": b"labels", "cifar100": b"fine_labels"}
SIDE = 32
# Ways of a pickle to make objects that neither Python 2 nor 3 uses for arrays and plain values.
_FORBIDDEN = {"BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}
_FORBIDDEN |= {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"}


def make(name: str, sizes: dict[str, int]) -> Reader:
    return Cifar(name, sizes)


class Cifar(Reader):
    def needed(self, root: Path) -> list[Path]:
        return [f for split in FILES[self.name] for f in self._files(root, split)]

    def parts(self, root: Path) -> list[Path]:
        return self.needed(root)

    def extras(self, root: Path) -> list[Path]:
        return [*super().extras(root), *(root / FOLDER[self.name] / f for f in _BESIDE[self.name])]

    def ids(self, root: Path, split: str) -> list[str]:
        if reason := self.lacking(root):
            raise MissingData(reason)
        return [f"{split}/{k:05d}" for k in range(len(self._split(root, split)[1]))]

    def present(self, root: Path, split: str) -> list[str]:
        """All of a split or none: a row's number counts over all of its files. `structure` reads each file by itself."""
        try:
            return self.ids(root, split)
        except MissingData:
            return []

    def sample(self, root: Path, split: str):
        try:
            rows, labels = self._split(root, split)
        except MissingData:
            rows, labels = np.zeros((0, 3 * SIDE**2), np.uint8), []
        side, classes = math.isqrt(rows.shape[1] // 3), DATASETS.get(self.name).classes

        def make(name: str) -> LabelSample:
            k = int(name.rpartition("/")[2])
            if k >= len(labels):
                raise MissingData(f"{self.name}: no image {name} in {root}; {self.remedy()}")
            if labels[k] >= classes:
                raise MissingData(f"{self.name}: {name} has label {labels[k]}, none of 0 to {classes - 1}; {self.remedy()}")
            image = np.ascontiguousarray(rows[k].reshape(3, side, side).transpose(1, 2, 0))
            return LabelSample(name, image, labels[k])

        return make

    def structure(self, root: Path) -> list[str]:
        faults, classes = [], DATASETS.get(self.name).classes
        for path in (p for p in self.needed(root) if p.is_file()):
            try:
                rows, labels = _file(path, LABELS[self.name])
            except MissingData as error:
                faults.append(str(error))
                continue
            if rows.shape[1] != 3 * SIDE**2:
                faults.append(f"{path}: rows of {rows.shape[1]} bytes, official are {3 * SIDE**2}; replace the file")
            if odd := sum(not 0 <= k < classes for k in labels):
                faults.append(f"{path}: {odd} labels are not in 0 to {classes - 1}; replace the file")
        return faults

    def _files(self, root: Path, split: str) -> list[Path]:
        return [root / FOLDER[self.name] / f for f in FILES[self.name][split]]

    def _split(self, root: Path, split: str) -> tuple[np.ndarray, list[int]]:
        """Raises MissingData for a missing or damaged file."""
        paths = self._files(root, split)
        if gone := [p for p in paths if not p.is_file()]:
            raise MissingData(self.missing(gone[0]))
        return _read(tuple(paths), tuple(p.stat().st_mtime_ns for p in paths), LABELS[self.name])


@lru_cache(maxsize=4)
def _read(paths: tuple[Path, ...], changed: tuple[int, ...], key: bytes) -> tuple[np.ndarray, list[int]]:
    """The rows (n, 3 x side x side) uint8 of these files in turn, and their labels."""
    found = [_file(path, key) for path in paths]
    if len({rows.shape[1] for rows, _ in found}) > 1:
        raise MissingData(f"{paths[0].parent}: the files' images differ in size; replace the one that is not official")
    return np.concatenate([rows for rows, _ in found]), [k for _, labels in found for k in labels]


def _file(path: Path, key: bytes) -> tuple[np.ndarray, list[int]]:
    """The rows and labels of one file. Raises MissingData."""
    try:
        data = path.read_bytes()
        _look(data)
        content = _Plain(io.BytesIO(data), encoding="bytes").load()
        rows, labels = _array(content[b"data"]), list(content[key])
        if not all(type(k) is int and k >= 0 for k in labels):
            raise ValueError("its labels are no whole numbers from 0")
        if len(rows) != len(labels) or 3 * math.isqrt(rows.shape[1] // 3) ** 2 != rows.shape[1]:
            raise ValueError(f"{rows.shape} pixels for {len(labels)} labels")
    except Exception as error:  # a damaged pickle raises nearly anything
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise MissingData(f"{path} cannot be read as a CIFAR file ({why}); replace the file") from None
    return rows, labels


def _look(data: bytes) -> None:
    """Raise UnpicklingError for an instruction that no data file needs, before any is followed."""
    for op, value, _ in pickletools.genops(data):
        if op.name in _FORBIDDEN:
            raise pickle.UnpicklingError(f"it asks for {op.name}, which no data file needs")
        if op.name.endswith("PUT") and int(value) > len(data):  # the table of remembered things would grow to that number
            raise pickle.UnpicklingError("it remembers more things than it has bytes")


class _Plain(pickle.Unpickler):
    """Rebuilds what needs no function at all: containers, text, bytes, numbers; and notes of arrays, which NumPy never sees: it can
    end the process on a damaged one."""

    def find_class(self, module: str, name: str):
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _Noted
        if (module, name) == ("numpy", "dtype"):
            return _Noted
        if (module, name) == ("numpy", "ndarray"):
            return None  # only ever named, as the kind of what is noted
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return _encode
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no data file needs")


class _Noted:
    """What a pickle says of an array or of its kind: how it is made, and its state."""

    def __init__(self, *made):
        self.made, self.state = made, None

    def __setstate__(self, state):
        self.state = state


def _array(noted: object) -> np.ndarray:
    """The array (n, m) of bytes that was noted. Raises ValueError for another."""
    if not isinstance(noted, _Noted) or not isinstance(noted.state, tuple) or len(noted.state) != 5:
        raise ValueError("its data are no array")
    _, shape, kind, columns_first, data = noted.state
    if not isinstance(kind, _Noted) or kind.made[:1] not in (("u1",), (b"u1",)) or not isinstance(data, bytes):
        raise ValueError("its data are no array of bytes")
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("its data are no array of two axes")
    if math.prod(shape) != len(data):
        raise ValueError(f"an array of {shape} in {len(data)} bytes")
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if columns_first else "C")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return codecs.encode(text, "latin1")
