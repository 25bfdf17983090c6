"""Timing an epoch of `decoder` with encoder features read from the cache against running the encoder in every step: both in
turn, in one process, by the suite's own loop on the same images."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks import backbones, data
from benchmarks.backbones.sam import Segmenter
from benchmarks.catalog import DATASETS, METHODS, Backbone
from benchmarks.device import synchronise
from benchmarks.encoded_cache import EncodedCache, Parts
from benchmarks.methods import freeze
from benchmarks.parallel import each
from benchmarks.protocols import PROTOCOLS
from benchmarks.train import train


@dataclass(frozen=True)
class EpochSpeed:
    """Seconds: medians over the rounds of one epoch each; the ratio without / with cache is taken round by round.
    `cache_seconds` for embedding the images and writing the file is paid once for all epochs of a training."""

    with_cache: float
    without: float
    ratio: float
    lowest: float
    highest: float
    cache_seconds: float
    batch: int
    images: int


def measure(backbone: Backbone, random_weights: bool, images: int, rounds: int, device: str, threads: int) -> EpochSpeed:
    """Time epochs on `images` camo-mini images, resized to what the encoder takes, in batches of the backbone's protocol.

    Each epoch is the first of a training of its own, so prompts and targets are made in it, on both sides.
    Raises MissingData where the weights are missing.
    """
    workers = threads if device == "cpu" else 1  # as a run does: whole images share nothing
    torch.set_num_threads(1 if device == "cpu" else threads)
    weights = None if random_weights else backbones.verified_checkpoint(backbone)[0]
    torch.manual_seed(0)
    sam = backbones.build(backbone, weights)
    freeze(sam, METHODS.get("decoder")().attach(sam))
    segmenter = Segmenter(sam, device)
    dataset = DATASETS.get("camo-mini")
    samples = list(data.load(dataset, "train", data.ids(dataset, "train", PROTOCOLS.get("mini-v1"))[:images]))
    training = replace(PROTOCOLS.get(backbone.protocol).training, epochs=1)

    def seconds(features: EncodedCache | None, count: int | None = None) -> float:
        begun = time.perf_counter()
        train(segmenter, samples[:count], training, 0, features, workers=workers)
        synchronise(device)
        return time.perf_counter() - begun

    with tempfile.TemporaryDirectory() as folder:
        seconds(None, min(images, training.batch))  # a first step pays for allocations and, on a GPU, for kernels
        begun = time.perf_counter()
        cache = EncodedCache.write(Path(folder) / "features", _features(segmenter, samples, workers))
        made = time.perf_counter() - begun
        seconds(cache, min(images, training.batch))
        times = [(seconds(None), seconds(cache)) for _ in range(rounds)]
        del cache  # its file is mapped, and Windows would not let it go
    without, cached = zip(*times)
    ratios = [a / b for a, b in times]
    middle = statistics.median
    return EpochSpeed(
        middle(cached), middle(without), middle(ratios), min(ratios), max(ratios), made, training.batch, len(samples)
    )


def _features(segmenter: Segmenter, samples: list, workers: int) -> Iterator[tuple[str, Parts]]:
    """(id, features) of each image, as the suite's `embed` stage makes them: one image at a time a worker."""

    def encode(sample) -> Parts:
        with torch.inference_mode():
            return segmenter.encode(segmenter.pixels(sample.image)[None]).of(0)

    for sample, feature in zip(samples, each(encode, samples, workers)):
        yield sample.id, feature
