"""CIFAR-10 and CIFAR-100: `cifar-10-batches-py/{data_batch_1..5,test_batch}` and `cifar-100-python/{train,test}`.

The files are pickles, and a pickle can name any function to be called. This one allows arrays and plain values alone.
"""

from __future__ import annotations

import codecs
import math
import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.data.readers.base import Reader
from benchmarks.data.samples import LabelSample
from benchmarks.errors import MissingData

FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
FILES = {
    "cifar10": {"train": tuple(f"data_batch_{k}" for k in range(1, 6)), "test": ("test_batch",)},
    "cifar100": {"train": ("train",), "test": ("test",)},
}
LABELS = {"cifar10": b"labels", "cifar100": b"fine_labels"}
SIDE = 32


def make(name: str, sizes: dict[str, int]) -> Reader:
    return Cifar(name, sizes)


class Cifar(Reader):
    def lacking(self, root: Path) -> str | None:
        gone = [f for f in self.parts(root) if not f.is_file()]
        return self.missing(gone[0]) if gone else None

    def parts(self, root: Path) -> list[Path]:
        return [root / FOLDER[self.name] / f for files in FILES[self.name].values() for f in files]

    def ids(self, root: Path, split: str) -> list[str]:
        return [f"{split}/{k:05d}" for k in range(len(self._split(root, split)[1]))]

    def sample(self, root: Path, split: str):
        rows, labels = self._split(root, split)
        side = math.isqrt(rows.shape[1] // 3)

        def make(name: str) -> LabelSample:
            k = int(name.rpartition("/")[2])
            image = np.ascontiguousarray(rows[k].reshape(3, side, side).transpose(1, 2, 0))
            return LabelSample(name, image, labels[k])

        return make

    def structure(self, root: Path) -> list[str]:
        try:
            widths = {s: self._split(root, s)[0].shape[1] for s in FILES[self.name]}
        except MissingData as error:
            return [str(error)]
        return [f"{self.name}/{s}: rows of {n} bytes, official are {3 * SIDE**2}" for s, n in widths.items() if n != 3 * SIDE**2]

    def _split(self, root: Path, split: str) -> tuple[np.ndarray, list[int]]:
        if reason := self.lacking(root):
            raise MissingData(reason)
        paths = [root / FOLDER[self.name] / f for f in FILES[self.name][split]]
        return _read(tuple(paths), tuple(p.stat().st_mtime_ns for p in paths), LABELS[self.name])


@lru_cache(maxsize=4)
def _read(paths: tuple[Path, ...], changed: tuple[int, ...], key: bytes) -> tuple[np.ndarray, list[int]]:
    """The rows (n, 3 x side x side) uint8 of these files in turn, and their labels."""
    rows, labels = [], []
    for path in paths:
        try:
            with open(path, "rb") as file:
                content = _Plain(file, encoding="bytes").load()
            data, own = np.asarray(content[b"data"], np.uint8), [int(k) for k in content[key]]
            if data.ndim != 2 or len(data) != len(own) or 3 * math.isqrt(data.shape[1] // 3) ** 2 != data.shape[1]:
                raise ValueError(f"{data.shape} pixels for {len(own)} labels")
        except Exception as error:  # a damaged pickle raises nearly anything
            raise MissingData(f"{path} cannot be read as a CIFAR file ({error}); replace the file") from None
        rows.append(data)
        labels += own
    return np.concatenate(rows), labels


class _Plain(pickle.Unpickler):
    """Rebuilds arrays, and what needs no function at all: containers, text, bytes, numbers."""

    def find_class(self, module: str, name: str):
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _reconstruct
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return _encode
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no data file needs")


def _reconstruct(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    """An empty array, filled by the pickle's next step. Never of another class."""
    return np.ndarray((0,), np.int8)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return codecs.encode(text, "latin1")
