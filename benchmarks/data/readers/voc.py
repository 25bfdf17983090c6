"""Pascal VOC 2012: `VOCdevkit/VOC2012/{JPEGImages,SegmentationObject,SegmentationClass,ImageSets/Segmentation}`.

One object an image: the largest instance of SegmentationObject. Void pixels (255, the border drawn around objects) belong to no
instance: they are background in the mask, so a prediction that covers them is counted as too large.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data import decode
from benchmarks.data.readers.base import Reader
from benchmarks.data.samples import Sample
from benchmarks.errors import MissingData

FOLDER = Path("VOCdevkit", "VOC2012")
LISTS = {"train": "train.txt", "test": "val.txt"}
VOID = 255


def make(name: str, sizes: dict[str, int]) -> Reader:
    return Voc(name, sizes)


class Voc(Reader):
    def _list(self, root: Path, split: str) -> Path:
        return root / FOLDER / "ImageSets" / "Segmentation" / LISTS[split]

    def lacking(self, root: Path) -> str | None:
        wanted = [root / FOLDER / "JPEGImages", root / FOLDER / "SegmentationObject"] + [self._list(root, s) for s in LISTS]
        gone = [p for p in wanted if not p.exists()]
        return self.missing(gone[0]) if gone else None

    def parts(self, root: Path) -> list[Path]:
        names = [n for s in LISTS for n in self._names(root, s)]
        files = [f for n in names for f in self._files(root, n) if f.is_file()]
        return files + [self._list(root, s) for s in LISTS]

    def ids(self, root: Path, split: str) -> list[str]:
        return [f"{split}/{n}" for n in self._names(root, split)]

    def sample(self, root: Path, split: str):
        def make(name: str) -> Sample:
            image, objects = self._files(root, name.removeprefix(f"{split}/"))
            picture, found = decode.image(image), decode.labels(objects)
            if found.shape != picture.shape[:2]:
                raise MissingData(
                    f"{objects}: mask of {found.shape[::-1]} for an image of {picture.shape[1::-1]} pixels, {image}"
                )
            areas = np.bincount(found.ravel(), minlength=VOID + 1)
            areas[[0, VOID]] = 0
            return Sample(name, picture, (found == areas.argmax()) if areas.any() else np.zeros(found.shape, bool))

        return make

    def structure(self, root: Path) -> list[str]:
        names = [n for s in LISTS for n in self._names(root, s)]
        return [f"{f} is missing" for n in names for f in self._files(root, n) if not f.is_file()]

    def _names(self, root: Path, split: str) -> list[str]:
        if reason := self.lacking(root):
            raise MissingData(reason)
        return self._list(root, split).read_text().split()

    def _files(self, root: Path, name: str) -> tuple[Path, Path]:
        return root / FOLDER / "JPEGImages" / f"{name}.jpg", root / FOLDER / "SegmentationObject" / f"{name}.png"
