"""What a reader of a dataset's official layout can be asked, and the sequence of samples that it gives."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.data.samples import DepthSample, LabelSample, Sample
from benchmarks.errors import MissingData

AnySample = Sample | DepthSample | LabelSample
SPLITS = ("train", "test")


class Reader(ABC):
    """Reads one dataset in one layout. `sizes` are the images of the official splits, {} where they are not published."""

    def __init__(self, name: str, sizes: dict[str, int] | None = None):
        self.name, self.sizes = name, sizes or {}

    @abstractmethod
    def lacking(self, root: Path) -> str | None:
        """None where the layout is in place, else one line: what is missing, and how to get it."""

    @abstractmethod
    def ids(self, root: Path, split: str) -> list[str]:
        """The ids of a split ("train" or "test") in their fixed order; no image is decoded. Raises MissingData."""

    @abstractmethod
    def sample(self, root: Path, split: str) -> Callable[[str], AnySample]:
        """A function from an id of the split to its decoded sample; it raises MissingData naming an unreadable file."""

    @abstractmethod
    def parts(self, root: Path) -> list[Path]:
        """The files, and folders with all that is in them, that belong to the dataset."""

    def load(self, root: Path, split: str, ids: list[str]) -> Lazy:
        """The samples of these ids, in this order, each decoded when it is looked at. Raises MissingData."""
        return Lazy(ids, self.sample(root, split))

    def files(self, root: Path) -> dict[str, int]:
        """Bytes of every file that belongs to the dataset, by posix path relative to `root`."""
        found = [f for part in self.parts(root) for f in ([part] if part.is_file() else walk(part))]
        return {Path(os.path.relpath(f, root)).as_posix(): f.stat().st_size for f in sorted(set(found))}

    def faults(self, root: Path) -> list[str]:
        """All structural faults, one line each; [] where the dataset is complete and nothing else lies in it."""
        if reason := self.lacking(root):
            return [reason]
        faults = self.structure(root)
        for split in SPLITS:
            try:
                found = len(self.ids(root, split))
            except MissingData as error:
                if not faults:
                    faults.append(str(error))
                continue
            if split in self.sizes and found != self.sizes[split]:
                faults.append(f"{self.name}/{split}: {found} images, the official split has {self.sizes[split]}")
        return faults

    def structure(self, root: Path) -> list[str]:
        """Faults of the layout other than wrong counts."""
        return []

    def missing(self, path: Path) -> str:
        return f"{self.name}: {path} is missing; {self.remedy()}"

    def remedy(self) -> str:
        """How a sentence about missing data ends."""
        return f"get it: `python -m benchmarks data fetch {self.name}`, or `python -m benchmarks data add {self.name} PATH`"


class Lazy(Sequence):
    """Samples by position, made by a function of their id when they are looked at; a slice is again lazy."""

    def __init__(self, ids: Sequence[str], make: Callable[[str], AnySample]):
        self._ids, self._make = list(ids), make

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, k):
        return Lazy(self._ids[k], self._make) if isinstance(k, slice) else self._make(self._ids[k])


def walk(folder: Path) -> list[Path]:
    """Every file below a folder, sorted, hidden ones left out; [] where there is no such folder."""
    return sorted(f for f in folder.rglob("*") if f.is_file() and not f.name.startswith(".")) if folder.is_dir() else []
