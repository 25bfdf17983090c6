"""Readers of the datasets' official layouts: `reader(name)` gives the one of a dataset, see `base.Reader`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from benchmarks.data.readers.base import AnySample, Lazy, Reader
from benchmarks.errors import UsageError

__all__ = ["AnySample", "Lazy", "Reader", "reader"]

# Dataset, its module (imported when asked for) and the images of its official splits.
_READERS: dict[str, tuple[str, dict[str, int]]] = {
    "coco": ("coco", {}),  # images without an object are left out: the lists' sizes are checked by the module
    "voc": ("voc", {"train": 1464, "test": 1449}),
    "perseg": ("perseg", {}),
    "isic16": ("isic16", {"train": 900, "test": 379}),
    "busi": ("busi", {}),
    "kvasir": ("kvasir", {}),
    "camo": ("camouflage", {"train": 1000, "test": 250}),
    "cod10k": ("camouflage", {"train": 3040, "test": 2026}),
    "chameleon": ("camouflage", {"test": 76}),
    "nyuv2": ("nyuv2", {"train": 795, "test": 654}),
    "cifar100": ("cifar", {"train": 50_000, "test": 10_000}),
    "cifar10": ("cifar", {"train": 50_000, "test": 10_000}),
}
_TOTALS = {"busi": 647, "kvasir": 1000}  # split by this package, so only the sum is published


def reader(name: str) -> Reader:
    """The reader of a dataset, which also accepts a folder of Hugging Face's `save_to_disk` in the layout's place.

    Raises UsageError for a dataset that has none.
    """
    if name not in _READERS:
        raise UsageError(f"no official layout is known for {name}; known: {', '.join(_READERS)}")
    from benchmarks.data.readers.hub import Hub

    module, sizes = _READERS[name]
    made = import_module(f"benchmarks.data.readers.{module}").make(name, sizes)
    return Either(made, Hub(name, sizes), _TOTALS.get(name))


class Either(Reader):
    """The official layout, or a saved Hugging Face dataset where one lies at the root."""

    def __init__(self, layout: Reader, hub: Reader, total: int | None):
        super().__init__(layout.name, layout.sizes)
        self.layout, self.hub, self.total = layout, hub, total

    def _at(self, root: Path) -> Reader:
        return self.hub if (root / "dataset_dict.json").is_file() else self.layout

    def lacking(self, root: Path) -> str | None:
        return self._at(root).lacking(root)

    def ids(self, root: Path, split: str) -> list[str]:
        return self._at(root).ids(root, split)

    def sample(self, root: Path, split: str):
        return self._at(root).sample(root, split)

    def parts(self, root: Path) -> list[Path]:
        return self._at(root).parts(root)

    def faults(self, root: Path) -> list[str]:
        faults = self._at(root).faults(root)
        if self.total and not faults:
            found = sum(len(self.ids(root, split)) for split in ("train", "test"))
            if found != self.total:
                faults = [f"{self.name}: {found} images, the official set has {self.total}"]
        return faults
