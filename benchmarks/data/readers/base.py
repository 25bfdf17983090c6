"""What a reader of a dataset's official layout can be asked, and the sequence of samples that it gives."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.data import decode
from benchmarks.data.manifests import manifest
from benchmarks.data.samples import DepthSample, LabelSample, Sample
from benchmarks.errors import MissingData

AnySample = Sample | DepthSample | LabelSample
SPLITS = ("train", "test")
BOTH = "both"  # in `Reader.sizes`: the sum of the splits
_NOTE = re.compile(r"(readme|licen[cs]e|attribution|citation)(\.\w+)?$", re.I)  # papers that come with data are no strays


class Reader(ABC):
    """Reads one dataset in one layout. `sizes` are the images of the official splits, or of BOTH; {} where none is published.

    `own_split` is this package's rule from an image's stem to its split, where there is no official one. `keeps_empty` is False
    where samples with an empty mask are left out. `one_of_many` says that the layout's masks hold several objects, one of which
    is taken.
    """

    own_split: Callable[[str], str] | None = None
    keeps_empty = True
    one_of_many = False

    def __init__(self, name: str, sizes: dict[str, int] | None = None):
        self.name, self.sizes = name, sizes or {}

    @abstractmethod
    def needed(self, root: Path) -> list[Path]:
        """The files and folders that must be there."""

    @abstractmethod
    def ids(self, root: Path, split: str) -> list[str]:
        """The ids of a split ("train" or "test") in their fixed order; no image is decoded. Raises MissingData."""

    @abstractmethod
    def present(self, root: Path, split: str) -> list[str]:
        """The ids of a split whose files are there, whatever else is wrong. Raises nothing."""

    @abstractmethod
    def sample(self, root: Path, split: str) -> Callable[[str], AnySample]:
        """A function from an id of the split to its decoded sample; it raises MissingData naming an unreadable file."""

    @abstractmethod
    def parts(self, root: Path) -> list[Path]:
        """The files, and folders with all that is in them, that belong to the dataset."""

    def absent(self, root: Path) -> list[str]:
        """A line for each thing without which the dataset cannot be read."""
        return [self.missing(p) for p in self.needed(root) if not p.exists()]

    def lacking(self, root: Path) -> str | None:
        """None where the layout is in place, else one line: what is missing, and how to get it."""
        return next(iter(self.absent(root)), None)

    def load(self, root: Path, split: str, ids: list[str]) -> Lazy:
        """The samples of these ids, in this order, each decoded when it is looked at. Raises MissingData."""
        return Lazy(ids, self.sample(root, split))

    def files(self, root: Path) -> dict[str, int]:
        """Bytes of every file that belongs to the dataset, by posix path relative to `root`."""
        found = [f for part in self.parts(root) for f in ([part] if part.is_file() else walk(part))]
        return {Path(os.path.relpath(f, root)).as_posix(): f.stat().st_size for f in sorted(set(found))}

    def faults(self, root: Path) -> list[str]:
        """All structural faults, one line each; [] where the dataset is complete and nothing else lies in it. Raises nothing."""
        absent = self.absent(root)
        if not root.is_dir():
            return absent[:1]
        faults = absent + self.structure(root)
        whole = not faults
        faults += [f"{f}: stray" for f in self.strays(root)]
        found = {s: len(self.present(root, s)) for s in SPLITS}
        if whole:
            faults += [f"{self.name}/{s}: no images in {root}; {self.remedy()}" for s in SPLITS if not found[s]]
        for split, wanted in self.sizes.items():
            if split == BOTH and (count := sum(found.values())) != wanted:
                faults.append(f"{self.name}: {count} images, the official set has {wanted}")
            elif split != BOTH and found[split] != wanted:
                faults.append(f"{self.name}/{split}: {found[split]} images, the official split has {wanted}")
        return faults

    def structure(self, root: Path) -> list[str]:
        """Faults of the layout other than what is absent, strays beside the parts, and counts. Raises nothing."""
        return []

    def extras(self, root: Path) -> list[Path]:
        """What official archives hold beside the parts, and the archives themselves: neither read nor a fault."""
        return [root / s["file"] for s in manifest(self.name)["sources"]]

    def strays(self, root: Path) -> list[Path]:
        """Files, and topmost folders, in the dataset's folder that the layout does not know. Hidden ones and notes are left out."""
        known = {*self.parts(root), *self.needed(root), *self.extras(root)}
        above = {p for k in known for p in k.parents}

        def look(folder: Path) -> Iterator[Path]:
            for entry in sorted(folder.iterdir()):
                if entry in known or entry.name.startswith(".") or is_note(entry):
                    continue
                if entry in above and entry.is_dir():
                    yield from look(entry)
                else:
                    yield entry

        return list(look(root))

    def checks(self, root: Path, split: str) -> Callable[[str], list[str]]:
        """A function from an id to all that is wrong with its sample, [] where it can be read."""
        make, causes = self.sample(root, split), self.causes(root, split)

        def check(name: str) -> list[str]:
            try:
                make(name)
            except MissingData as error:
                return causes(name) or [str(error)]
            return []

        return check

    def causes(self, root: Path, split: str) -> Callable[[str], list[str]]:
        """A function from the id of a sample that cannot be read to all its faults, [] where there is but the one known."""
        return lambda name: []

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


def is_note(path: Path) -> bool:
    """Whether a file is a licence or the like."""
    return bool(_NOTE.match(path.name)) and path.is_file()


def unreadable(paths: Iterable[Path]) -> list[str]:
    """A line for each of these image files that cannot be decoded."""
    faults = []
    for path in paths:
        try:
            decode.image(path)
        except MissingData as error:
            faults.append(str(error))
    return faults
