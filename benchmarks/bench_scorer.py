"""Timing the batched scorer against the literal loop: both sides in turn, in one process, on the same swaps and images."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from benchmarks import backbones, data
from benchmarks.backbones.sam import Item, Segmenter
from benchmarks.catalog import DATASETS, Backbone
from benchmarks.device import synchronise
from benchmarks.metrics.iou import iou
from benchmarks.protocols import PROTOCOLS
from chanswap import Scorer, random_swap, score, score_one_by_one


@dataclass(frozen=True)
class Speed:
    """Medians over the rounds, milliseconds for one candidate on one image; the ratio is taken round by round."""

    literal_ms: float
    own_loop_ms: float
    batched_ms: float
    ratio: float
    lowest: float
    highest: float
    difference: float
    differing: int


def literal_score(segmenter: Segmenter, features: Tensor, item: Item) -> Tensor:
    """IoU (1,) by the library's own `MaskDecoder.forward` and `Sam.postprocess_masks`, as anyone would write it first."""
    sam = segmenter.network
    with segmenter.autocast():
        logits, _ = sam.mask_decoder(
            image_embeddings=features,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=item.sparse,
            dense_prompt_embeddings=item.dense,
            multimask_output=False,
        )
    masks = sam.postprocess_masks(logits.float(), item.input_size, tuple(item.truth.shape)) > sam.mask_threshold
    return iou(masks[:, 0], item.truth)


def measure(
    backbone: Backbone, random_weights: bool, pairs: int, images: int, rounds: int, batch: int | None, device: str, threads: int
) -> Speed:
    """Time `pairs` random single-pair swaps on `images` camo-mini images. Raises MissingData where the weights are missing."""
    # The literal loop gets what suits it best: one thread, on small tensors faster than two; the scorer uses workers.
    torch.set_num_threads(1 if backbone.grid < 32 else threads)
    weights = None if random_weights else backbones.verified_checkpoint(backbone)[0]
    segmenter = Segmenter(backbones.build(backbone, weights), device)
    dataset = DATASETS.get("camo-mini")
    samples = data.load(dataset, "test", data.ids(dataset, "test", PROTOCOLS.get("mini-v1"))[:images])
    items = [segmenter.item(s) for s in samples]
    if random_weights:  # the encoder's time is not what is measured, and ViT-B's is ten seconds an image
        features = list(torch.randn(images, backbone.channels, backbone.grid, backbone.grid))
    else:
        with torch.inference_mode():
            features = [segmenter.encode(segmenter.pixels(s.image)[None]).site[0].cpu() for s in samples]
    one = Scorer(features, lambda x, k: literal_score(segmenter, x, items[k]), device=device)
    own = replace(one, evaluate=lambda x, k: segmenter.score(x, items[k]))
    many = replace(
        own,
        evaluate_pairs=segmenter.pair_scorer(features, items),
        batch=batch or segmenter.search_batch,
        workers=threads if device == "cpu" else 1,
    )
    swaps = [random_swap(backbone.channels, 1, seed) for seed in range(pairs)]
    times: dict[str, list[float]] = {"literal": [], "own": [], "many": []}
    tables = {}
    score(many, islice(swaps, 8))  # a first call pays for allocations and, on a GPU, for kernels
    score_one_by_one(one, islice(swaps, 2))
    for _ in range(rounds):
        for name, call in (
            ("literal", lambda: score_one_by_one(one, swaps)),
            ("own", lambda: score_one_by_one(own, swaps)),
            ("many", lambda: score(many, swaps)),
        ):
            begun = time.perf_counter()
            tables[name] = call()
            synchronise(device)
            times[name].append(1000 * (time.perf_counter() - begun) / (pairs * images))
    ratios = [a / b for a, b in zip(times["literal"], times["many"])]
    apart = (tables["literal"] - tables["many"]).abs()
    return Speed(
        statistics.median(times["literal"]),
        statistics.median(times["own"]),
        statistics.median(times["many"]),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        float(apart.max()),
        int((apart > 1e-4).sum()),
    )
