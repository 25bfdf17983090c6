"""Readers of datasets that are images and masks paired by their file names; each layout says which folders those are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.data import decode
from benchmarks.data.readers.base import SPLITS, Reader, walk
from benchmarks.data.samples import Sample
from benchmarks.errors import MissingData, some

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp"}


@dataclass(frozen=True)
class Pairing:
    """A folder of images and one of masks. `split` says of a stem where it belongs, None for nowhere; an id is
    "SPLIT/" + `prefix` + stem; a mask's stem is the image's + `ending`."""

    images: Path
    masks: Path
    split: Callable[[str], str | None]
    prefix: str = ""
    ending: str = ""


@dataclass
class Scan:
    """What a look at the folders found: by split and id the image and its masks, and what is wrong."""

    items: dict[str, dict[str, tuple[Path, tuple[Path, ...]]]] = field(default_factory=lambda: {s: {} for s in SPLITS})
    unmasked: dict[str, list[Path]] = field(default_factory=lambda: {s: [] for s in SPLITS})
    imageless: list[Path] = field(default_factory=list)
    stray: list[Path] = field(default_factory=list)

    def add(self, pairing: Pairing) -> None:
        """Raises MissingData where two images, or two masks, differ only in their ending."""
        images, masks = by_stem(pairing.images, self.stray), by_stem(pairing.masks, self.stray)
        for stem, image in images.items():
            split, mask = pairing.split(stem), masks.pop(stem + pairing.ending, None)
            if split is None:
                continue
            if mask is None:
                self.unmasked[split].append(image)
            else:
                self.items[split][f"{split}/{pairing.prefix}{stem}"] = image, (mask,)
        self.imageless += [m for s, m in masks.items() if pairing.split(s.removesuffix(pairing.ending)) is not None]


class PairReader(Reader):
    """Images and masks as files. `threshold` is that of `benchmarks.data.decode.mask`."""

    threshold = decode.THRESHOLD

    @abstractmethod
    def folders(self, root: Path) -> list[Path]:
        """The folders that must be there."""

    @abstractmethod
    def pairings(self, root: Path) -> list[Pairing]: ...

    def lacking(self, root: Path) -> str | None:
        gone = [f for f in self.folders(root) if not f.is_dir()]
        return self.missing(gone[0]) if gone else None

    def parts(self, root: Path) -> list[Path]:
        return self.folders(root)

    def scan(self, root: Path) -> Scan:
        """Raises MissingData where a folder is missing or two files have one name."""
        if reason := self.lacking(root):
            raise MissingData(reason)
        scan = Scan()
        for pairing in self.pairings(root):
            scan.add(pairing)
        return scan

    def ids(self, root: Path, split: str) -> list[str]:
        scan = self.scan(root)
        if alone := scan.unmasked[split]:
            names = some([f.stem for f in alone], 10)
            raise MissingData(f"{len(alone)} images of {self.name}/{split} have no mask{self.place()}: {names}; {self.remedy()}")
        if not scan.items[split]:
            raise MissingData(f"{self.name}/{split}: no images in {root}; {self.remedy()}")
        return sorted(scan.items[split])

    def place(self) -> str:
        return ""

    def sample(self, root: Path, split: str) -> Callable[[str], Sample]:
        items = self.scan(root).items[split]

        def make(name: str) -> Sample:
            if name not in items:
                raise MissingData(f"{self.name}: no image {name} in {root}; {self.remedy()}")
            image, masks = items[name]
            return Sample(name, *decode.pair(image, masks, threshold=self.threshold))

        return make

    def structure(self, root: Path) -> list[str]:
        try:
            scan = self.scan(root)
        except MissingData as error:
            return [str(error)]
        faults = [f"{f}: image without mask" for s in SPLITS for f in scan.unmasked[s]]
        faults += [f"{f}: mask without image" for f in scan.imageless]
        return faults + [f"{f}: stray file" for f in scan.stray]


def by_stem(folder: Path, stray: list[Path]) -> dict[str, Path]:
    """The image files directly in a folder by stem, sorted; other files and folders' contents are added to `stray`.

    Raises MissingData where two have one stem.
    """
    found: dict[str, Path] = {}
    for file in walk(folder):
        if file.suffix.lower() not in ENDINGS or file.parent != folder:
            stray.append(file)
        elif file.stem in found:
            raise MissingData(f"{folder}: {found[file.stem].name} and {file.name} have one name; remove one of them")
        else:
            found[file.stem] = file
    return found
