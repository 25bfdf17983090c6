"""Timing the batched scorer against the literal loop: all ways in turn, in one process, on the same swaps and images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import backbones, code, data
from benchmarks.backbones.model import Model
from benchmarks.catalog import DATASETS, TASKS, Backbone
from benchmarks.cost import measured
from benchmarks.data.samples import Sample
from benchmarks.device import synchronise
from benchmarks.environment import environment
from benchmarks.metrics.iou import iou
from benchmarks.options import Decoding
from benchmarks.protocols import PROTOCOLS
from benchmarks.speed_records import LITERAL, SpeedRecord, Way, Whole
from chanswap import Scorer, exhaustive, fastest_batch, random_swap, score, score_one_by_one
from chanswap.scoring import as_pairs

# Ways of the batched scorer: precision, and whether it is compiled. All take the shorter way of replaced channels.
WAYS = {
    "float32": ("float32", False),
    "float32 compiled": ("float32", True),
    "bfloat16": ("bfloat16", False),
    "bfloat16 compiled": ("bfloat16", True),
}
SQUARE = {"cuda": 8192, "cpu": 1024}  # side of the matrix product whose rate arithmetic is compared with
SEARCH_IMAGES = 50  # the paper's


@dataclass(frozen=True)
class Asked:
    """What to measure. batch None is found by trying on a GPU, and is the model's own on a CPU. whole: time all pairs on 50 images
    with the fastest way, too."""

    backbone: Backbone
    random_weights: bool
    pairs: int
    images: int
    rounds: int
    batch: int | None
    device: str
    threads: int
    ways: tuple[str, ...]
    whole: bool
    command: str


def literal_score(model: Model, features: Tensor, item) -> Tensor:
    """IoU (1,) by the library's own decoder and postprocessing, as anyone would write it first."""
    if not hasattr(model.network, "mask_decoder"):  # a SAM 2, whose own decoder scores where no pairs are given
        return model.score(features, item)
    sam = model.network
    with model.autocast():
        logits, _ = sam.mask_decoder(
            image_embeddings=features,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=item.sparse,
            dense_prompt_embeddings=item.dense,
            multimask_output=False,
        )
    masks = sam.postprocess_masks(logits.float(), item.input_size, tuple(item.truth.shape)) > sam.mask_threshold
    return iou(masks[:, 0], item.truth)


def measure(asked: Asked, said: Callable[[str], None] = lambda line: None) -> SpeedRecord:
    """Time single-pair swaps on camo-mini images, every way in every round. `said` hears what is going on.

    Raises MissingData where the weights are missing.
    """
    backbone, device = asked.backbone, asked.device
    gpu = device.startswith("cuda")
    # The literal loop gets what suits it best: one thread, on small tensors faster than two; the scorer uses workers.
    torch.set_num_threads(1 if backbone.grid < 32 and not gpu else asked.threads)
    path, weights = (None, "random") if asked.random_weights else backbones.verified_checkpoint(backbone)
    torch.manual_seed(0)
    network = backbones.build(backbone, path).requires_grad_(False)
    workers = asked.threads if device == "cpu" else 1
    count = SEARCH_IMAGES if asked.whole else asked.images
    bench = _Bench(network, backbone, device, count, asked.random_weights)
    swaps = [random_swap(backbone.channels, 1, seed) for seed in range(asked.pairs)]
    candidates, images = as_pairs(swaps), list(range(asked.images))
    exact = bench.model("float32")
    one = Scorer(bench.features, lambda x, k: literal_score(exact, x, bench.items[k]), device=device)
    calls: dict[str, Callable[[], Tensor]] = {
        LITERAL: lambda: score_one_by_one(one, swaps, images),
        "own loop": lambda: score_one_by_one(bench.scorer(exact, 1), swaps, images),
    }
    scorers: dict[str, Scorer] = {}
    for name in asked.ways:
        precision, compiled = WAYS[name]
        scorer = bench.scorer(bench.model(precision, compiled), workers)
        size = asked.batch or (fastest_batch(scorer, candidates, wait=lambda: synchronise(device)) if gpu else scorer.batch)
        scorers[name] = replace(scorer, batch=size)
        said(f"{name}: {size} versions at a time")
        calls[name] = lambda s=scorers[name]: score(s, candidates, images=images)
    times: dict[str, list[float]] = {name: [] for name in calls}
    tables, peaks = {}, {}
    for name, call in calls.items():  # a first call pays for allocations and, on a GPU, for kernels
        with measured(device) as cost:
            score_one_by_one(one, swaps[:2], [0]) if name in (LITERAL, "own loop") else call()
        peaks[name] = cost.peak_gpu_mb
    for number in range(asked.rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            tables[name] = call()
            synchronise(device)
            times[name].append(1000 * (time.perf_counter() - begun) / (len(swaps) * len(images)))
        said(f"round {number + 1} of {asked.rounds}: " + ", ".join(f"{n} {t[-1]:.3f} ms" for n, t in times.items()))
    precisions = dict.fromkeys(WAYS[name][0] for name in asked.ways)
    rates = {precision: _rate(precision, device, 1 if not gpu else None) for precision in precisions}
    ways = []
    for name, spent in times.items():
        ratios = [a / b for a, b in zip(times[LITERAL], spent)]
        apart, mflop = (tables[name] - tables[LITERAL]).abs(), None
        precision, compiled = WAYS.get(name, ("float32", False))
        if name in scorers:
            mflop = _mflop(bench.scorer(bench.model(precision), 1), candidates[: scorers[name].batch])
        milliseconds = statistics.median(spent)
        ways.append(
            Way(
                name=name,
                precision=precision,
                compiled=compiled,
                batch=scorers[name].batch if name in scorers else 1,
                milliseconds=milliseconds,
                ratio=statistics.median(ratios),
                lowest=min(ratios),
                highest=max(ratios),
                mflop=mflop,
                share=mflop / milliseconds / rates[precision] / workers if mflop else None,
                peak_gpu_mb=peaks[name],
                difference=float(apart.max()),
                differing=int((apart > 1e-4).sum()),
                best_kept=_kept(tables[LITERAL], tables[name]) if name in scorers else None,
            )
        )
    every = None
    if asked.whole and scorers:
        fastest = min(scorers, key=lambda name: statistics.median(times[name]))
        every = whole(fastest, scorers[fastest], device, said)
    return SpeedRecord(
        subject="mask decoder",
        backbone=backbone.name,
        weights=weights,
        channels=backbone.channels,
        code=code.digest(),
        candidates=len(swaps),
        images=asked.images,
        rounds=asked.rounds,
        rates=rates,
        ways=ways,
        whole=every,
        environment=environment(device, "float32", asked.threads),
        command=asked.command,
    )


class _Bench:
    """A network with the features and the items of some images."""

    def __init__(self, network, backbone: Backbone, device: str, count: int, random: bool):
        self.network, self.backbone, self.device = network, backbone, device
        self._models: dict[tuple[str, bool], Model] = {}
        dataset = DATASETS.get("camo-mini")
        samples = list(data.load(dataset, "test", data.ids(dataset, "test", PROTOCOLS.get("mini-v1"))[:count]))
        if random:  # masks of the size that the backbone is made for
            samples = [_enlarged(sample, max(1, backbone.size // len(sample.mask))) for sample in samples]
        model = self.model("float32")
        with torch.inference_mode():
            if random:  # the encoder's time is not what is measured, and ViT-B's is ten seconds an image on a CPU
                self.features = list(torch.randn(count, backbone.channels, backbone.grid, backbone.grid))
                others = () if backbone.family == "sam" else model.encode(model.pixels(samples[0].image)[None]).of(0)[1]
                rest = [others] * count  # a SAM 2's high-resolution maps have shapes of their own
            else:
                parts = [model.encode(model.pixels(s.image)[None]).of(0) for s in samples]
                self.features, rest = [site.cpu() for site, _ in parts], [others for _, others in parts]
        self.items = [model.item(sample, others) for sample, others in zip(samples, rest)]

    def model(self, precision: str, compiled: bool = False) -> Model:
        if (precision, compiled) not in self._models:
            task = TASKS.get("camo")
            protocol = PROTOCOLS.get("mini-v1").for_task(task)
            how = Decoding(compiled=compiled)
            made = backbones.as_model(self.backbone, self.network, task, protocol, self.device, precision, how)
            self._models[precision, compiled] = made
        return self._models[precision, compiled]

    def scorer(self, model: Model, workers: int) -> Scorer:
        return model.scorer(self.features, self.items, workers)


def _enlarged(sample: Sample, times: int) -> Sample:
    """A sample `times` as large in both directions."""
    image, mask = (part.repeat(times, 0).repeat(times, 1) for part in (sample.image, sample.mask))
    return replace(sample, image=image, mask=mask)


def _kept(exact: Tensor, found: Tensor, count: int = 10) -> int:
    """How many of the best candidates by mean over the images are among the best of both; near ties may change places."""
    best = [set(table.double().mean(0).argsort(descending=True, stable=True)[:count].tolist()) for table in (exact, found)]
    return len(best[0] & best[1])


def _mflop(scorer: Scorer, candidates: Tensor) -> float:
    """Matrix arithmetic of one pass, as the batched scorer executes it, in MFLOP."""
    image = candidates.to(scorer.device)
    with torch.inference_mode():
        scorer.evaluate_pairs(image, 0)  # what all candidates of an image share is done once, and not counted
        with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.baddbmm_: _in_place}) as counter:
            scorer.evaluate_pairs(image, 0)
    return counter.get_total_flops() / len(candidates) / 1e6


def _in_place(x: tuple, a: tuple, b: tuple, **_) -> int:
    """Arithmetic of `baddbmm_`, which torch's counter knows only by its other name; arguments are shapes."""
    return 2 * a[0] * a[1] * a[2] * b[2]


def _rate(precision: str, device: str, threads: int | None) -> float:
    """GFLOP/s of a large matrix product, the best of several; on a CPU of one thread, as a worker has."""
    side = SQUARE[device.split(":")[0]] if device.split(":")[0] in SQUARE else SQUARE["cpu"]
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    a = torch.randn(side, side, device=device, dtype=getattr(torch, precision))
    best = float("inf")
    for _ in range(8):
        synchronise(device)
        begun = time.perf_counter()
        a @ a
        synchronise(device)
        best = min(best, time.perf_counter() - begun)
    torch.set_num_threads(before)
    return 2 * side**3 / best / 1e9


def whole(name: str, scorer: Scorer, device: str, said: Callable[[str], None]) -> Whole:
    """Time all pairs on all of a scorer's images."""
    last = [time.monotonic()]

    def options(stage: str, detail: str) -> dict:
        def progress(done: int, total: int) -> None:
            if time.monotonic() - last[0] > 10:
                last[0] = time.monotonic()
                said(f"all pairs, {name}: {done:,} of {total:,} passes")

        return {"progress": progress}

    with measured(device) as cost:
        exhaustive(scorer, most=10, options=options)
    return Whole(
        way=name,
        pairs=scorer.channels * (scorer.channels - 1),
        images=len(scorer.features),
        seconds=cost.seconds,
        peak_memory_mb=cost.peak_memory_mb,
        peak_gpu_mb=cost.peak_gpu_mb,
    )
