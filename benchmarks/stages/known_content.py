"""Test images that a run has seen under another name: ids cannot tell a copy, contents can."""

from __future__ import annotations

import hashlib
import logging

from benchmarks import data
from benchmarks.catalog import SEGMENTATION, Dataset
from benchmarks.errors import MissingData
from benchmarks.parallel import each
from benchmarks.stages.workbench import Workbench

log = logging.getLogger("benchmarks")


def content(sample) -> bytes:
    """What tells an image from another one: the sha256 of its pixels."""
    return hashlib.sha256(sample.image.tobytes()).digest()


def known(bench: Workbench) -> set[bytes]:
    """Contents of the images that this run, or its linear head, was trained on or that it searched on."""
    p = bench.plan
    trains = p.method != "base" or p.task.kind != SEGMENTATION
    seen = (p.train_ids if trains else []) + (p.search_ids if p.swap else [])
    return set(each(content, data.load(p.dataset, "train", seen), bench.workers)) if seen else set()


def report(dataset: Dataset, name: str) -> None:
    """Of a test image whose pixels also stand in the training split. Raises MissingData for a folder, whose user can mend it;
    official datasets have some, which are named and left as they are."""
    if dataset.source != "official":
        raise MissingData(f"{dataset.name}: test image {name} also stands in the training split; remove it from one")
    log.warning("%s: test image %s also stands in the training split; it is left in, as the dataset has it", dataset.name, name)
