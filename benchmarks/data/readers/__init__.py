"""Readers of the datasets' official layouts: `reader(name)` gives the one of a dataset, see `base.Reader`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.data.readers.base import BOTH, AnySample, Lazy, Reader
from benchmarks.errors import UsageError

if TYPE_CHECKING:
    from benchmarks.data.readers.hub import Hub

__all__ = ["AnySample", "Either", "Lazy", "Reader", "reader"]

# Dataset, its module (imported when asked for) and the images of its official splits, or BOTH where this package splits it.
_READERS: dict[str, tuple[str, dict[str, int]]] = {
    "coco": ("coco", {}),  # images without an object are left out: the lists' sizes are checked by the module
    "voc": ("voc", {"train": 1464, "test": 1449}),
    "perseg": ("perseg", {}),
    "isic16": ("isic16", {"train": 900, "test": 379}),
    "busi": ("busi", {BOTH: 647}),
    "kvasir": ("kvasir", {BOTH: 1000}),
    "camo": ("camouflage", {"train": 1000, "test": 250}),
    "cod10k": ("camouflage", {"train": 3040, "test": 2026}),
    "chameleon": ("camouflage", {"test": 76}),
    "nyuv2": ("nyuv2", {"train": 795, "test": 654}),
    "cifar100": ("cifar", {"train": 50_000, "test": 10_000}),
    "cifar10": ("cifar", {"train": 50_000, "test": 10_000}),
}


def reader(name: str) -> Either:
    """The reader of a dataset, which also accepts a folder of Hugging Face's `save_to_disk` in the layout's place.

    Raises UsageError for a dataset that has none.
    """
    if name not in _READERS:
        raise UsageError(f"no official layout is known for {name}; known: {', '.join(_READERS)}")
    from benchmarks.data.readers.hub import Hub

    module, sizes = _READERS[name]
    layout = import_module(f"benchmarks.data.readers.{module}").make(name, sizes)
    return Either(layout, Hub(layout))


class Either:
    """The official layout, or a saved Hugging Face dataset where one lies at the root; the methods are those of `base.Reader`."""

    def __init__(self, layout: Reader, hub: Hub):
        self.layout, self.hub = layout, hub

    def at(self, root: Path) -> Reader:
        """The reader of what lies at a root."""
        return self.hub if self.hub.lies(root) else self.layout

    def lacking(self, root: Path) -> str | None:
        return self.at(root).lacking(root)

    def ids(self, root: Path, split: str) -> list[str]:
        return self.at(root).ids(root, split)

    def present(self, root: Path, split: str) -> list[str]:
        return self.at(root).present(root, split)

    def load(self, root: Path, split: str, ids: list[str]) -> Lazy:
        return self.at(root).load(root, split, ids)

    def checks(self, root: Path, split: str) -> Callable[[str], list[str]]:
        return self.at(root).checks(root, split)

    def files(self, root: Path) -> dict[str, int]:
        return self.at(root).files(root)

    def faults(self, root: Path) -> list[str]:
        return self.at(root).faults(root)
