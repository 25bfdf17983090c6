"""The dataset manifests under `datasets/`: what a dataset is, where it comes from, and the sha256 of its splits."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from benchmarks.errors import MissingData
from benchmarks.plain import printable


def cards() -> Path:
    """The folder of dataset cards and manifests, `datasets/` beside the packages."""
    return Path(__file__).parents[2] / "datasets"


def manifest(dataset: str) -> dict:
    """The dataset's manifest. Raises MissingData where this checkout lacks it."""
    return read(cards() / dataset / "manifest.json")


def read(path: Path) -> dict:
    """A manifest's file, of the form that everything here relies on. Raises MissingData as `manifest` does."""
    try:
        stated = json.loads(path.read_bytes())
        if not isinstance(stated, dict):
            raise ValueError("it is no object")
        _hold(stated)
        return stated
    except (OSError, ValueError, RecursionError) as error:
        raise MissingData(printable(f"{path}: {str(error)[:200]}; restore it from the repository")) from None


def _hold(stated: dict) -> None:
    """Raise ValueError for the first thing that is not as a manifest has it."""
    splits = stated.get("splits")
    if not isinstance(stated.get("name"), str) or not isinstance(splits, dict) or not splits:
        raise ValueError("it states no name or no splits")
    for key in ("licence", "layout"):
        if not isinstance(stated.get(key), str):
            raise ValueError(f"it states no {key}")
    if "images" in stated and not _count(stated["images"]):
        raise ValueError("its number of images is no whole number")
    for name, split in splits.items():
        if not isinstance(split, dict) or not (split.get("images") is None or _count(split["images"])):
            raise ValueError(f"its split {name} states no number of images")
        if not _digest(split.get("sha256"), 64) or ("source" in stated and None in (split.get("sha256"), split.get("images"))):
            raise ValueError(f"the sha256 of its split {name} is none")
    for key in () if isinstance(stated.get("source"), str) else ("sources", "mirrors"):  # drawn by this package, or of others
        found = stated.get(key)
        if not isinstance(found, list) or not all(isinstance(source, dict) for source in found):
            raise ValueError(f"its {key} are no list of objects")
        for source in found:
            _hold_source(source)


def _hold_source(source: dict) -> None:
    kind, file, into = source.get("kind"), source.get("file"), source.get("into", "")
    if kind not in ("url", "drive", "hub") or not isinstance(source.get("url" if kind == "url" else "id"), str):
        raise ValueError(f"a source is of kind url, drive or hub and says where it is; found {kind!r}")
    if kind != "hub" and not (isinstance(file, str) and file not in ("", ".", "..") and PurePath(file).name == file):
        raise ValueError(f"a source's file is a plain name; found {file!r}")
    if not isinstance(into, str) or PurePath(into).is_absolute() or ".." in PurePath(into).parts:
        raise ValueError(f"a source goes into a folder of the dataset; found {into!r}")
    for key in ("bytes", "bytes_unconfirmed", "unpacked_bytes"):
        if not (source.get(key) is None or _count(source[key])):
            raise ValueError(f"{key} of {file or source['id']} is no whole number")
    if not (_digest(source.get("sha256"), 64) and _digest(source.get("md5"), 32)):
        raise ValueError(f"a checksum of {file or source['id']} is none")
    columns = source.get("columns", {"image": ""})
    if not isinstance(columns, dict) or not all(isinstance(c, str) for c in columns.values()):
        raise ValueError(f"the columns of {file or source['id']} are no names")


def _count(value: object) -> bool:
    return type(value) is int and value >= 1


def _digest(value: object, length: int) -> bool:
    return value is None or (isinstance(value, str) and len(value) == length and not set(value.lower()) - set("0123456789abcdef"))
