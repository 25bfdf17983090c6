"""Bringing a backbone's weights to their place: downloaded, or taken from a file that the user has. Nothing is unpickled."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from benchmarks import backbones
from benchmarks.catalog import Backbone
from benchmarks.errors import MissingData, UsageError
from benchmarks.fetch import download
from benchmarks.files import link_or_copy
from benchmarks.pins import Pin, faults


def pin(backbone: Backbone) -> Pin:
    return Pin(backbone.weights.bytes, backbones.pinned_sha256(backbone))


def fetch(backbone: Backbone) -> Path:
    """Download the weights to their place, held against the catalog's sha256. Raises MissingData, UsageError for shipped ones."""
    _refuse_others(backbone)
    by_hand = f"python -m benchmarks weights add {backbone.name} FILE"
    return download(backbone.weights.url, backbones.checkpoint(backbone), pin(backbone), by_hand)


def add(backbone: Backbone, path: Path) -> Path:
    """Put a file that the user has, or the one of the right name in a folder, in the weights' place: a hard link, else a copy.

    Raises MissingData where it is not there or not the pinned file, UsageError for weights that come with the package.
    """
    _refuse_others(backbone)
    source = _find(backbone, Path(path).expanduser())
    if reason := faults(source, pin(backbone)):
        raise MissingData(f"{source} is not {backbone.weights.file}: {reason}; run: {backbones.command(backbone)}")
    target = backbones.checkpoint(backbone)
    if target.exists() and os.path.samefile(source, target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target first: a reader sees the old file or the new one, never a part.
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        new = beside / target.name
        if link_or_copy(source, new) and (reason := faults(new, pin(backbone))):
            raise MissingData(f"{source} changed while it was copied: {reason}; run it again")
        os.replace(new, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def _find(backbone: Backbone, path: Path) -> Path:
    """The file itself, behind links."""
    name = backbone.weights.file
    if path.is_file():
        return path.resolve()
    if not path.is_dir():
        raise MissingData(f"{path} does not exist; name {name} or a folder that holds it")
    found = sorted(f for f in path.rglob(name) if f.is_file())
    if not found:
        raise MissingData(f"no {name} in {path}; name the file itself")
    return found[0].resolve()


def _refuse_others(backbone: Backbone) -> None:
    """Weights that come with the package, or that are random on purpose, have no file to bring here."""
    if backbone.weights.shipped:
        raise UsageError(
            f"the weights of {backbone.name} come with the package; check them: python -m benchmarks weights verify {backbone.name}"
        )
    if backbone.weights.random or not backbone.weights.url:
        raise UsageError(f"{backbone.name} has no published weights; see: python -m benchmarks weights list")
