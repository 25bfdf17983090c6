"""COCO 2017: `{train2017,val2017}/*.jpg` and `annotations/instances_{train,val}2017.json`.

One object an image: the instance with the largest `area` that is no crowd. Images without one are left out.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from benchmarks.data import decode, rle
from benchmarks.data.readers.base import Reader, is_note, unreadable, walk
from benchmarks.data.samples import Sample
from benchmarks.errors import MissingData

FOLDERS = {"train": "train2017", "test": "val2017"}
LISTED = {"train": 118_287, "test": 5_000}  # images in the published lists, with an object or without


def make(name: str, sizes: dict[str, int]) -> Reader:
    return Coco(name, sizes)


def annotations(root: Path, split: str) -> Path:
    return root / "annotations" / f"instances_{FOLDERS[split]}.json"


class Coco(Reader):
    one_of_many = True

    def needed(self, root: Path) -> list[Path]:
        return [p for s in FOLDERS for p in (root / FOLDERS[s], annotations(root, s))]

    def parts(self, root: Path) -> list[Path]:
        return self.needed(root)

    def extras(self, root: Path) -> list[Path]:
        """Captions and key points come in the annotations' archive; the other folders are published beside."""
        more = [root / f for f in ("test2017", "unlabeled2017")]
        return [*super().extras(root), *more, *(root / "annotations").glob("*2017.json")]

    def ids(self, root: Path, split: str) -> list[str]:
        if reason := self.lacking(root):
            raise MissingData(reason)
        return list(self._index(root, split)[1])

    def present(self, root: Path, split: str) -> list[str]:
        there = {f.name for f in walk(root / FOLDERS[split])}
        try:
            return [name for name, entry in self._index(root, split)[1].items() if entry[0] in there]
        except MissingData:
            return []

    def sample(self, root: Path, split: str):
        try:
            index = self._index(root, split)[1]
        except MissingData:
            index = {}

        def make(name: str) -> Sample:
            if name not in index:
                raise MissingData(f"coco: no image {name} in {root}; {self.remedy()}")
            file, segmentation, height, width = index[name]
            picture = decode.image(root / FOLDERS[split] / file)
            if (height, width) != picture.shape[:2]:
                raise MissingData(
                    f"{root / FOLDERS[split] / file}: mask of {(width, height)} for an image of {picture.shape[1::-1]} pixels; replace it"
                )
            try:
                return Sample(name, picture, rle.decode(segmentation, height, width))
            except ValueError as error:
                raise MissingData(f"{annotations(root, split)}: {name}: {error}; {self.remedy()}") from None

        return make

    def structure(self, root: Path) -> list[str]:
        faults = []
        for split, folder in FOLDERS.items():
            files = {f.relative_to(root / folder).as_posix(): f for f in walk(root / folder)}
            if not annotations(root, split).is_file():
                faults += unreadable(files.values())  # no sample will show that these are damaged
                continue
            try:
                listed, index = self._index(root, split)
            except MissingData as error:
                faults += [str(error), *unreadable(files.values())]
                continue
            if files:
                faults += [f"{root / folder / name} is missing; replace it" for name in sorted(listed - files.keys())]
            faults += [f"{files[name]}: stray" for name in sorted(files.keys() - listed) if not is_note(files[name])]
            used = {entry[0] for entry in index.values()}
            faults += unreadable(files[name] for name in sorted((listed & files.keys()) - used))  # images without an object
            if len(listed) != LISTED[split]:
                faults.append(f"coco/{split}: {len(listed)} images listed, the official list has {LISTED[split]}")
        return faults

    def _index(self, root: Path, split: str) -> tuple[set[str], dict[str, tuple]]:
        path = annotations(root, split)
        try:
            return _read(path, path.stat().st_mtime_ns, FOLDERS[split])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = " ".join(repr(error).split())[:200]
            raise MissingData(f"{path} cannot be read ({why}); {self.remedy()}") from None


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, folder: str) -> tuple[set[str], dict[str, tuple]]:
    """All file names listed, and by id, sorted, (file name, segmentation, height, width) of the largest object."""
    content = json.loads(path.read_text())
    images = {i["id"]: i for i in content["images"]}
    for image in images.values():
        if Path(image["file_name"]).name != image["file_name"] or not all(type(image[k]) is int for k in ("height", "width")):
            raise ValueError(f"no image file of whole numbers of pixels: {str(image)[:80]}")
    largest: dict[int, dict] = {}
    for entry in content["annotations"]:
        known = largest.get(entry["image_id"])
        if not isinstance(entry["area"], int | float):
            raise ValueError(f"an area that is no number: {entry['area']!r}")
        if not entry.get("iscrowd") and entry["image_id"] in images and (known is None or entry["area"] > known["area"]):
            largest[entry["image_id"]] = entry
    index = {}
    for key in sorted(largest, key=lambda k: images[k]["file_name"]):
        image = images[key]
        name = f"{folder}/{Path(image['file_name']).stem}"
        index[name] = image["file_name"], largest[key]["segmentation"], image["height"], image["width"]
    return {i["file_name"] for i in content["images"]}, index
