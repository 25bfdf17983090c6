"""Image folders that the user has: `<home>/data/<name>/{train,test}/{Imgs,GT}`, read through Hugging Face datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.data import decode
from benchmarks.data.samples import Sample
from benchmarks.errors import MissingData
from benchmarks.files import home

IMAGES, MASKS = "Imgs", "GT"  # the folder names of the camouflage sets' own archives
_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp"}


def root(name: str) -> Path:
    """Where the folder of a dataset is, or belongs; of an official one too."""
    return home() / "data" / name


def lacking(name: str) -> str | None:
    """None where both splits have images and masks, else what to do."""
    for split in ("train", "test"):
        for part in (IMAGES, MASKS):
            folder = root(name) / split / part
            if not folder.is_dir():
                return f"images of {name}: put them into {root(name)}/{{train,test}}/{{{IMAGES},{MASKS}}} ({folder} is missing)"
    return None


def ids(name: str, split: str) -> list[str]:
    """The file stems of a split, sorted. Raises MissingData naming every image without a mask."""
    if reason := lacking(name):
        raise MissingData(reason)
    images, masks = _files(name, split, IMAGES), _files(name, split, MASKS)
    if not images:
        raise MissingData(f"no images in {root(name) / split / IMAGES}")
    if alone := sorted(images.keys() - masks.keys()):
        raise MissingData(f"{len(alone)} images of {name}/{split} have no mask in {MASKS}: {', '.join(alone[:10])}")
    return [f"{split}/{stem}" for stem in sorted(images)]


def load(name: str, split: str, wanted: list[str]) -> Folder:
    """The samples of these ids; files are decoded when they are looked at."""
    from datasets import Dataset, Image  # the Hugging Face library; its namesake folder here holds no code

    images, masks = _files(name, split, IMAGES), _files(name, split, MASKS)
    stems = [i.removeprefix(f"{split}/") for i in wanted]
    table = Dataset.from_dict({"id": wanted, "image": [str(images[s]) for s in stems], "mask": [str(masks[s]) for s in stems]})
    return Folder(table.cast_column("image", Image(decode=False)).cast_column("mask", Image(decode=False)))


def sizes(name: str) -> dict[str, int]:
    """Bytes of every image and mask, by path within the dataset's folder."""
    folders = [root(name) / split / part for split in ("train", "test") for part in (IMAGES, MASKS)]
    return {str(f.relative_to(root(name))): f.stat().st_size for folder in folders for f in _images(folder)}


class Folder(Sequence):
    """Samples over a table of files. Looking at one raises MissingData naming the file that cannot be read."""

    def __init__(self, table):
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, k: int) -> Sample:
        row = self._table[k]
        image, mask = decode.pair(row["image"]["path"], [row["mask"]["path"]])
        return Sample(row["id"], image, mask)


def _files(name: str, split: str, part: str) -> dict[str, Path]:
    folder = root(name) / split / part
    found: dict[str, Path] = {}
    for file in _images(folder):
        if file.stem in found:
            raise MissingData(f"{folder}: {found[file.stem].name} and {file.name} have one name; remove one of them")
        found[file.stem] = file
    return found


def _images(folder: Path) -> list[Path]:
    return [f for f in sorted(folder.iterdir()) if f.suffix.lower() in _ENDINGS and not f.name.startswith(".")]
