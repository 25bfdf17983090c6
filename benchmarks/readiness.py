"""Whether a dataset or a backbone can be used here, in a few words: cheap enough for a list of all. No file is hashed or decoded."""

from __future__ import annotations

from pathlib import Path

from benchmarks import backbones, data
from benchmarks.catalog import Backbone, Dataset
from benchmarks.data.folder import root
from benchmarks.data.manifests import manifest
from benchmarks.errors import MissingData

READY, MISSING = "ready", "not prepared"
_COUNTED = {"chameleon": ("test",)}  # its training images are those of other datasets, whichever are here


def of_backbone(backbone: Backbone) -> str:
    return MISSING if backbones.lacking(backbone) else READY


def of_dataset(dataset: Dataset) -> str:
    """READY, MISSING, or what a count of the files finds: "incomplete: 12 of 1,000 images". `data verify` finds more."""
    if data.lacking(dataset):
        return MISSING
    if dataset.source != "official":
        return READY
    try:
        found, wanted = _images(dataset), _stated(dataset)
    except (MissingData, OSError):  # a mask or a list that is not there: verify names each
        return f"faulty, see: data verify {dataset.name}"
    if found is None or wanted is None or found == wanted:
        return READY
    return f"{'incomplete' if found < wanted else 'not as published'}: {found:,} of {wanted:,} images"


def _stated(dataset: Dataset) -> int | None:
    """The images that the manifest states, None where it does not."""
    stated = manifest(dataset.name)
    splits = _COUNTED.get(dataset.name, ("train", "test"))
    counts = [stated["splits"][split]["images"] for split in splits]
    return stated.get("images") or (None if None in counts else sum(counts))


def _images(dataset: Dataset) -> int | None:
    """The images that are here, None where only reading a table would tell."""
    from benchmarks.data.readers import reader

    place = root(dataset.name)
    if (place / "dataset_dict.json").is_file():
        return None
    if dataset.name == "coco":  # the manifest counts files; which of them show an object is told by half a gigabyte of JSON
        return sum(_files(place / folder) for folder in ("train2017", "val2017"))
    reads = reader(dataset.name)
    return sum(len(reads.ids(place, split)) for split in _COUNTED.get(dataset.name, ("train", "test")))


def _files(folder: Path) -> int:
    return sum(1 for f in folder.iterdir() if f.suffix == ".jpg")
