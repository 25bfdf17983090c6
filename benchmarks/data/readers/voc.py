"""Pascal VOC 2012: `VOCdevkit/VOC2012/{JPEGImages,SegmentationObject,SegmentationClass,ImageSets/Segmentation}`.

One object an image: the largest instance of SegmentationObject. Void pixels (255, the border drawn around objects) belong to no
instance: they are background in the mask, so a prediction that covers them is counted as too large.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from benchmarks.data import decode
from benchmarks.data.readers.base import Reader, is_note, unreadable, walk
from benchmarks.data.samples import Sample
from benchmarks.errors import MissingData

FOLDER = Path("VOCdevkit", "VOC2012")
LISTS = {"train": "train.txt", "test": "val.txt"}
VOID = 255
_NAME = re.compile(r"\w{1,64}")
IMAGES, OBJECTS = "JPEGImages", "SegmentationObject"
# What the official folders hold, the images of other challenges among it: paths within each.
_OFFICIAL = {
    IMAGES: re.compile(r"\d{4}_\d{6}\.jpg"),
    OBJECTS: re.compile(r"\d{4}_\d{6}\.png"),
    "SegmentationClass": re.compile(r"\d{4}_\d{6}\.png"),
    "Annotations": re.compile(r"\d{4}_\d{6}\.xml"),
    "ImageSets": re.compile(r"(Action|Layout|Main|Segmentation)/\w+\.txt"),
}


def make(name: str, sizes: dict[str, int]) -> Reader:
    return Voc(name, sizes)


class Voc(Reader):
    one_of_many = True

    def _list(self, root: Path, split: str) -> Path:
        return root / FOLDER / "ImageSets" / "Segmentation" / LISTS[split]

    def needed(self, root: Path) -> list[Path]:
        return [root / FOLDER / IMAGES, root / FOLDER / OBJECTS] + [self._list(root, s) for s in LISTS]

    def parts(self, root: Path) -> list[Path]:
        files = [f for s in LISTS for n in self._names(root, s) for f in self._files(root, n)] + self.needed(root)[2:]
        return [f for f in files if f.is_file()]

    def extras(self, root: Path) -> list[Path]:
        """Other years, and the challenge's code, lie beside VOC2012."""
        beside = [f for f in (root / FOLDER).parent.glob("*") if f != root / FOLDER]
        return [*super().extras(root), *(root / FOLDER / f for f in _OFFICIAL), *beside]

    def ids(self, root: Path, split: str) -> list[str]:
        if reason := self.lacking(root):
            raise MissingData(reason)
        return [f"{split}/{n}" for n in self._names(root, split)]

    def present(self, root: Path, split: str) -> list[str]:
        return [f"{split}/{n}" for n in self._names(root, split) if all(f.is_file() for f in self._files(root, n))]

    def sample(self, root: Path, split: str):
        def make(name: str) -> Sample:
            image, objects = self._files(root, name.removeprefix(f"{split}/"))
            picture, found = decode.image(image), decode.labels(objects)
            if found.shape != picture.shape[:2]:
                raise MissingData(
                    f"{objects}: mask of {found.shape[::-1]} for an image of {picture.shape[1::-1]} pixels, {image}; replace one of them"
                )
            areas = np.bincount(found.ravel(), minlength=VOID + 1)
            areas[[0, VOID]] = 0
            return Sample(name, picture, (found == areas.argmax()) if areas.any() else np.zeros(found.shape, bool))

        return make

    def causes(self, root: Path, split: str):
        return lambda name: unreadable(self._files(root, name.removeprefix(f"{split}/")))

    def structure(self, root: Path) -> list[str]:
        names = [n for s in LISTS for n in self._names(root, s)]
        halves = [pair for pair in (self._files(root, n) for n in names) if not all(f.is_file() for f in pair)]
        gone = [f for pair in halves for f in pair if f.parent.is_dir() and not f.is_file()]
        lone = [f for pair in halves for f in pair if f.is_file()]  # no sample will show that these are damaged
        if not all(self._list(root, s).is_file() for s in LISTS):
            lone += [f for f in walk(root / FOLDER / OBJECTS) if f.stem not in names]
        faults = [f"{f} is missing; replace it" for f in gone] + unreadable(lone)
        for path in (p for s in LISTS if (p := self._list(root, s)).is_file()):
            if odd := [n for n in _words(path) if not _NAME.fullmatch(n)]:
                faults.append(f"{path} holds {len(odd)} entries that are no image's name; replace it")
        return faults + [f"{f}: stray" for f in self._astray(root, set(names))]

    def _astray(self, root: Path, names: set[str]) -> list[Path]:
        """Files in the official folders that the official set does not have; masks of objects are those of the lists."""
        astray = []
        listed = all(self._list(root, s).is_file() for s in LISTS)
        for folder, pattern in _OFFICIAL.items():
            for file in walk(base := root / FOLDER / folder):
                known = pattern.fullmatch(file.relative_to(base).as_posix())
                if (not known and not is_note(file)) or (folder == OBJECTS and listed and file.stem not in names):
                    astray.append(file)
        return astray

    def _names(self, root: Path, split: str) -> list[str]:
        """The names in a list file, [] where there is none; of a damaged one those that can be names."""
        path = self._list(root, split)
        return [n for n in _words(path) if _NAME.fullmatch(n)] if path.is_file() else []

    def _files(self, root: Path, name: str) -> tuple[Path, Path]:
        return root / FOLDER / IMAGES / f"{name}.jpg", root / FOLDER / OBJECTS / f"{name}.png"


def _words(path: Path) -> list[str]:
    return path.read_text(errors="replace").split()
