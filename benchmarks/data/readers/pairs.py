"""Readers of datasets that are images and masks paired by their file names; each layout says which folders those are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.data import decode
from benchmarks.data.readers.base import SPLITS, Reader, is_note, unreadable, walk
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
    """What a look at the folders found: by split and id the image and its masks, and what is wrong.

    `unmasked` and `imageless` are files by what should be beside them, a path without its ending. `doubled` are sentences about files of one name; `lone` are images and masks whose partner's whole folder is missing.
    """

    items: dict[str, dict[str, tuple[Path, tuple[Path, ...]]]] = field(default_factory=lambda: {s: {} for s in SPLITS})
    unmasked: dict[str, dict[Path, Path]] = field(default_factory=lambda: {s: {} for s in SPLITS})
    imageless: dict[Path, Path] = field(default_factory=dict)
    lone: list[Path] = field(default_factory=list)
    stray: list[Path] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    def add(self, pairing: Pairing) -> None:
        images, masks = self.by_stem(pairing.images), self.by_stem(pairing.masks)
        if not (pairing.images.is_dir() and pairing.masks.is_dir()):  # the folder is named, not each of its files
            self.lone += [*images.values(), *masks.values()]
            return
        for stem, image in images.items():
            split, mask = pairing.split(stem), masks.pop(stem + pairing.ending, None)
            if split is None:
                continue
            if mask is None:
                self.unmasked[split][pairing.masks / (stem + pairing.ending)] = image
            else:
                self.items[split][f"{split}/{pairing.prefix}{stem}"] = image, (mask,)
        for stem, mask in masks.items():
            if pairing.split(alone := stem.removesuffix(pairing.ending)) is not None:
                self.imageless[pairing.images / alone] = mask

    def by_stem(self, folder: Path) -> dict[str, Path]:
        """The image files directly in a folder by stem, sorted; of two with one stem the first. Others in it are astray."""
        found: dict[str, Path] = {}
        for file in walk(folder):
            if file.suffix.lower() not in ENDINGS or file.parent != folder:
                self.stray += [] if is_note(file) else [file]
            elif file.stem in found:
                self.doubled.append(f"{folder}: {found[file.stem].name} and {file.name} have one name; remove one of them")
            else:
                found[file.stem] = file
        return found


class PairReader(Reader):
    """Images and masks as files. `threshold` is that of `benchmarks.data.decode.mask`."""

    threshold = decode.THRESHOLD

    @abstractmethod
    def folders(self, root: Path) -> list[Path]:
        """The folders that hold the files."""

    @abstractmethod
    def pairings(self, root: Path) -> list[Pairing]: ...

    def needed(self, root: Path) -> list[Path]:
        return self.folders(root)

    def parts(self, root: Path) -> list[Path]:
        return self.folders(root)

    def scan(self, root: Path) -> Scan:
        scan = Scan()
        for pairing in self.pairings(root):
            scan.add(pairing)
        return scan

    def ids(self, root: Path, split: str) -> list[str]:
        if reason := self.lacking(root):
            raise MissingData(reason)
        scan = self.scan(root)
        if scan.doubled:
            raise MissingData(scan.doubled[0])
        if alone := scan.unmasked[split]:
            names = some([f.stem for f in alone.values()], 10)
            raise MissingData(f"{len(alone)} images of {self.name}/{split} have no mask{self.place()}: {names}; {self.remedy()}")
        if not scan.items[split]:
            raise MissingData(f"{self.name}/{split}: no images in {root}; {self.remedy()}")
        return sorted(scan.items[split])

    def present(self, root: Path, split: str) -> list[str]:
        return sorted(self.scan(root).items[split])

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

    def causes(self, root: Path, split: str) -> Callable[[str], list[str]]:
        items = self.scan(root).items[split]

        def find(name: str) -> list[str]:
            image, masks = items[name]
            if faults := unreadable([image, *masks]):
                return faults
            for mask in masks:
                try:
                    decode.pair(image, [mask], threshold=self.threshold)
                except MissingData as error:
                    faults.append(str(error))
            return faults

        return find

    def structure(self, root: Path) -> list[str]:
        scan = self.scan(root)
        unmasked = {wanted: f for s in SPLITS for wanted, f in scan.unmasked[s].items()}
        faults = scan.doubled + [f"{f}: image without mask, {wanted}.* is missing" for wanted, f in unmasked.items()]
        faults += [f"{f}: mask without image, {wanted}.* is missing" for wanted, f in scan.imageless.items()]
        faults += [f"{f}: stray" for f in scan.stray]
        alone = [*unmasked.values(), *scan.imageless.values(), *scan.lone]
        return faults + unreadable(alone)  # no sample will show that these are damaged
