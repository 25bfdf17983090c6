"""Features of some images as one file, which a stage reads while it works or leaves when it ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.backbones.model import Model
from benchmarks.encoded_cache import EncodedCache
from benchmarks.parallel import each
from benchmarks.progress import progress
from benchmarks.stages.workbench import Workbench
from chanswap import CacheError

log = logging.getLogger("benchmarks")


def written(bench: Workbench, model: Model, samples: Sequence, path: Path, names: list[str], key: str) -> EncodedCache:
    """Features of samples in a file, one image at a time; `key` says of what weights and images they are."""

    def encode(k: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        with torch.inference_mode():
            return bench.encode(model, [model.pixels(samples[k].image)]).of(0)

    def features():
        for name, feature in zip(names, each(encode, range(len(names)), bench.workers)):
            yield name, feature
            bar.step()

    with progress("embed", len(names), "images") as bar:
        return EncodedCache.write(path, features(), key)


def read_or_written(bench: Workbench, model: Model, samples: Sequence, path: Path, names: list[str], key: str) -> EncodedCache:
    """The same in a file of a stage at work: one that was killed reads its own."""
    try:
        found = EncodedCache(path)
        if found.ids == names and found.key == key:
            return found
        log.warning("%s is of other images or weights; embedding again", path)
    except FileNotFoundError:
        pass
    except CacheError as error:
        log.warning("%s; embedding again", error)
    return written(bench, model, samples, path, names, key)
