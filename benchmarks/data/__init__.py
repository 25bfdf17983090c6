"""Data: one interface to the samples of a dataset's splits, whatever they come from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from benchmarks.catalog import Dataset
from benchmarks.data.samples import DepthSample, LabelSample, Sample
from benchmarks.hashes import hash_of
from benchmarks.protocols import Protocol


def lacking(dataset: Dataset) -> str | None:
    """None where the dataset is on this machine, else what to do."""
    if dataset.source == "generated":
        return None
    if dataset.source == "official":
        return _reader(dataset).lacking(_root(dataset))
    from benchmarks.data.folder import lacking as folder_lacking

    return folder_lacking(dataset.name)


def ids(dataset: Dataset, split: str, protocol: Protocol) -> list[str]:
    """The ids of a split ("train" or "test") in their fixed order, no image read. Raises MissingData."""
    if dataset.source == "generated":
        count = protocol.train_images if split == "train" else protocol.test_images
        return [f"{split}-{k:05d}" for k in range(count)]
    if dataset.source == "official":
        found = _reader(dataset).ids(_root(dataset), split)
    else:
        from benchmarks.data.folder import ids as folder_ids

        found = folder_ids(dataset.name, split)
    return found[: protocol.train_images if split == "train" else protocol.test_images]


def load(dataset: Dataset, split: str, wanted: list[str]) -> Sequence[Sample | DepthSample | LabelSample]:
    """The samples of these ids, in this order; images are decoded when they are looked at. Raises MissingData."""
    if dataset.source == "generated":
        from benchmarks.data.generated import load as generated_load

        return generated_load(dataset.name, split, wanted)
    if dataset.source == "official":
        return _reader(dataset).load(_root(dataset), split, wanted)
    from benchmarks.data.folder import load as folder_load

    return folder_load(dataset.name, split, wanted)


def prepare(dataset: Dataset, split: str) -> None:
    """Draw the images of an embedded dataset where they are not kept yet. Raises MissingData."""
    if dataset.source == "generated":
        from benchmarks.data.generated import prepare as generated_prepare

        generated_prepare(dataset.name, split)


def search_ids(train: list[str], count: int, seed: int) -> list[str]:
    """The search set: `count` ids drawn from the training split by the run's seed, in the split's order."""
    drawn = random.Random(seed).sample(range(len(train)), min(count, len(train)))
    return [train[k] for k in sorted(drawn)]


def identity(dataset: Dataset) -> str:
    """A hash that changes when the dataset's images do: of the manifest's checksums, or of the files' names and sizes."""
    if dataset.source == "generated":
        from benchmarks.data.manifests import manifest

        return hash_of({name: split["sha256"] for name, split in manifest(dataset.name)["splits"].items()})
    if dataset.source == "official":
        return hash_of(_reader(dataset).files(_root(dataset)))
    from benchmarks.data.folder import sizes

    return hash_of(sizes(dataset.name))


def _root(dataset: Dataset) -> Path:
    from benchmarks.data.folder import root

    return root(dataset.name)


def _reader(dataset: Dataset):
    from benchmarks.data.readers import reader

    return reader(dataset.name)
