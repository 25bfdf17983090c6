"""Timing all pairs of a linear head on DINOv2's tokens against the literal loop: the features replaced, the head run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks import code
from benchmarks.backbones.dinov2 import Classifier, Labelled
from benchmarks.bench_scorer import SEARCH_IMAGES, Asked, whole
from benchmarks.device import synchronise
from benchmarks.environment import environment
from benchmarks.protocols import PROTOCOLS
from benchmarks.speed_records import LITERAL, SpeedRecord, Way
from chanswap import random_swap, score, score_one_by_one
from chanswap.scoring import as_pairs

CLASSES = 100  # CIFAR-100's


def measure(asked: Asked, said: Callable[[str], None] = lambda line: None) -> SpeedRecord:
    """Time a classification head of 100 classes: the sample in both ways, and all pairs on 50 images in the closed form.

    Tokens, labels and the head's weights are random: what is timed does not depend on them. Raises nothing of its own.
    """
    device, channels = asked.device, asked.backbone.channels
    workers = asked.threads if device == "cpu" else 1
    torch.set_num_threads(1 if device == "cpu" else asked.threads)
    torch.manual_seed(0)
    network = torch.nn.Module()
    network.head = torch.nn.Linear(channels, CLASSES).requires_grad_(False)
    network.patch_embed = torch.nn.Module()
    network.patch_embed.patch_size = (14, 14)
    model = Classifier(network, PROTOCOLS.get("mini-v1"), device)
    sites = list(torch.randn(SEARCH_IMAGES, channels, 1))
    items = [Labelled(str(k), k % CLASSES) for k in range(SEARCH_IMAGES)]
    many = model.scorer(sites, items, workers)
    one = replace(many, evaluate_pairs=None)
    swaps = [random_swap(channels, 1, seed) for seed in range(asked.pairs)]
    candidates, images = as_pairs(swaps), list(range(min(asked.images, SEARCH_IMAGES)))
    times: dict[str, list[float]] = {LITERAL: [], "closed form": []}
    tables: dict[str, Tensor] = {}
    score(many, candidates, images=images)  # a first call pays for allocations
    for _ in range(asked.rounds):
        for name, call in (
            (LITERAL, lambda: score_one_by_one(one, swaps, images)),
            ("closed form", lambda: score(many, candidates, images=images)),
        ):
            begun = time.perf_counter()
            tables[name] = call()
            synchronise(device)
            times[name].append(1000 * (time.perf_counter() - begun) / (len(swaps) * len(images)))
    apart = (tables[LITERAL] - tables["closed form"]).abs()
    ways = []
    for name, spent in times.items():
        ratios = [a / b for a, b in zip(times[LITERAL], spent)]
        same = name == LITERAL
        ways.append(
            Way(
                name=name,
                precision="float32",
                batch=1 if same else many.batch,
                milliseconds=statistics.median(spent),
                ratio=statistics.median(ratios),
                lowest=min(ratios),
                highest=max(ratios),
                difference=0 if same else float(apart.max()),
                differing=0 if same else int((apart > 1e-4).sum()),
            )
        )
    said(f"all {channels * (channels - 1):,} pairs on {SEARCH_IMAGES} images")
    return SpeedRecord(
        subject=f"linear head of {CLASSES} classes",
        backbone=asked.backbone.name,
        weights="random",
        channels=channels,
        code=code.digest(),
        candidates=len(swaps),
        images=len(images),
        rounds=asked.rounds,
        ways=ways,
        whole=whole("closed form", many, device, said),
        environment=environment(device, "float32", asked.threads),
        command=asked.command,
    )
