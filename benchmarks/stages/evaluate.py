"""Stage evaluate: the test set by every variant of a run, one row per image."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from benchmarks import data
from benchmarks.backbones.model import Model
from benchmarks.catalog import SWAP
from benchmarks.metrics.names import finish
from benchmarks.parallel import each
from benchmarks.progress import progress
from benchmarks.stages import search, train
from benchmarks.stages.attached import attached
from benchmarks.stages.known_content import content, known, report
from benchmarks.stages.workbench import Workbench
from chanswap import Swap, random_swap

BATCH = 8  # images that are evaluated together
REMEMBERED = 2**30  # bytes of test features held between the evaluations of one run; a larger test set is encoded again
Scores = dict[str, dict[str, list[float]]]  # by variant, then by metric: one an image


def evaluated(bench: Workbench) -> Scores:
    """Per-image scores of every variant of the run, in the order of the plan's test images."""
    p = bench.plan
    wanted: dict[str, tuple[str, list[Swap]]] = {"evaluate base": ("base", []), f"evaluate {p.method}": (p.method, [])}
    if p.swap:
        chosen = Swap(search.found(bench).pairs, channels=p.backbone.channels)
        drawn = [random_swap(p.backbone.channels, len(chosen), 1000 * p.seed + k) for k in range(p.protocol.random_draws)]
        wanted[f"evaluate {p.method}{SWAP}"] = (p.method, [chosen, *drawn])
    seen = cache(lambda: known(bench))  # once for all evaluations, not at all where they are kept
    scores: Scores = {}
    for name, (method, swaps) in wanted.items():
        kept = bench.stage(name, p.jobs[name], lambda n=name, m=method, s=swaps: _evaluate(bench, n, m, s, seen()))
        scores.update(kept.result)
    return scores


def _evaluate(bench: Workbench, name: str, method: str, swaps: list[Swap], seen: set[bytes]) -> Scores:
    """One pass over the test set. Without swaps, the plain model (and the controls for base); else the first of them is the chosen
    one, and the others are random controls of the same size."""
    p = bench.plan
    model = attached(bench, "base")[0] if method == "base" else train.adapted(bench)
    samples = data.load(p.dataset, "test", p.test_ids)
    columns: dict[str, dict[str, list]] = {}

    def scores(start: int) -> list[dict[str, dict[str, Tensor]]]:
        batch = [samples[k] for k in range(start, min(start + BATCH, len(samples)))]
        for sample in batch:
            if content(sample) in seen:
                report(p.dataset, sample.id)
        with torch.inference_mode():
            encoded = bench.encoded.get((method, start))
            if encoded is None:
                encoded = bench.encode(model, [model.pixels(s.image) for s in batch])
                if len(samples) * sum(part[0].nbytes for part in (encoded.site, *encoded.rest)) <= REMEMBERED:
                    bench.encoded[method, start] = encoded
            return [_variants(bench, model, sample, encoded.of(k), method, swaps) for k, sample in enumerate(batch)]

    with progress(name, len(samples), "images") as bar:
        for batch in each(scores, range(0, len(samples), BATCH), bench.workers):
            for image in batch:
                for variant, values in image.items():
                    for metric, value in values.items():
                        columns.setdefault(variant, {}).setdefault(metric, []).append(value.tolist())
            bar.step(len(batch))
    finished = {variant: finish(values) for variant, values in columns.items()}
    # float32 knows no more than six digits
    return {
        variant: {metric: [round(float(x), 6) for x in column] for metric, column in values.items()}
        for variant, values in finished.items()
    }


def _variants(
    bench: Workbench, model: Model, sample, features: tuple[Tensor, tuple[Tensor, ...]], method: str, swaps: list[Swap]
) -> dict[str, dict[str, Tensor]]:
    """By variant and metric, what one test image scores."""
    site, rest = features
    item = model.item(sample, rest)
    if not swaps:
        found = {method: model.measures(site[None], item)}
        found |= model.controls(site[None], item) if method == "base" else {}
    else:
        chosen, *drawn = (swap(site, axis=0) for swap in swaps)
        found = {f"{method}{SWAP}": model.measures(chosen[None], item)}
        if drawn:
            random = _measured(bench, model, torch.stack(drawn), item)
            mean = {metric: values.double().mean(0, keepdim=True) for metric, values in random.items()}
            found[f"{method}+random-swap"] = mean
    return {variant: {metric: v[0].double().cpu() for metric, v in values.items()} for variant, values in found.items()}


def _measured(bench: Workbench, model: Model, versions: Tensor, item) -> dict[str, Tensor]:
    """The first metrics of versions (B, C, ...) of one image, in smaller batches where memory runs out."""
    parts = bench.fitting(
        "decoder",
        lambda some: [model.measures(part, item, all_metrics=False) for part in versions.split(some)],
        len(versions),
        "versions of an image's features",
    )
    return {metric: torch.cat([part[metric] for part in parts]) for metric in parts[0]}
