"""Strategies of the search beside each other: evaluations and seconds spent, gain on the search set, gain on the test set.

Every strategy sees the same features; the literal loop over the library's own decoder is timed in the same call, on a sample.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks import backbones, code, data
from benchmarks.backbones.model import Model
from benchmarks.bench_scorer import literal_score
from benchmarks.catalog import BACKBONES, DATASETS, TASKS, Dataset, Task
from benchmarks.device import synchronise
from benchmarks.environment import environment
from benchmarks.errors import UsageError
from benchmarks.parallel import each
from benchmarks.protocols import Protocol, rules_of
from benchmarks.search_records import SearchRecord, Trial
from chanswap import Scorer, Swap, random_swap, score, score_one_by_one, search

LITERAL = 32  # swaps of the literal loop's sample, on each of four images: half a second on a small model
WIDE, SHARE = 4, 0.025  # times the search images, and the share of pairs looked at: about as many evaluations as without
BUDGET = 20  # `random` draws one pair in so many: what the cheap strategies spend


@dataclass(frozen=True)
class Variant:
    """A strategy on the protocol's search images, or (`wide`) on `WIDE` times as many."""

    strategy: str
    wide: bool = False

    @property
    def name(self) -> str:
        return self.strategy + ("-wide" if self.wide else "")


VARIANTS = {
    v.name: v
    for v in (
        Variant("exhaustive"), Variant("random"), Variant("halving"), Variant("taylor"), Variant("greedy"), Variant("greedy", True),
    )
}  # fmt: skip


@dataclass(frozen=True)
class _Bench:
    """One task's model and images."""

    model: Model
    dataset: Dataset
    workers: int

    def scorer(self, split: str, names: list[str]) -> tuple[Scorer, Sequence]:
        """The scorer of some images, and their items."""
        samples = data.load(self.dataset, split, names)

        def encode(sample) -> tuple[Tensor, object]:
            with torch.inference_mode():
                site, rest = self.model.encode(self.model.pixels(sample.image)[None]).of(0)
                return site.cpu(), self.model.item(sample, rest)

        sites, items = zip(*each(encode, list(samples), self.workers))
        return self.model.scorer(sites, items, self.workers), items


def measure(
    task: Task, variants: Sequence[Variant], seeds: Sequence[int], device: str, threads: int, said: Callable[[str], None]
) -> SearchRecord:
    """Every variant with every seed on the embedded dataset of a segmentation task. `said` hears a line for each.

    Raises MissingData where weights are missing.
    """
    torch.set_num_threads(1 if device == "cpu" else threads)  # the scorer uses workers
    dataset, backbone = DATASETS.get(task.datasets["mini-v1"][0]), BACKBONES.get(task.backbones["mini-v1"])
    protocol, (path, weights) = rules_of(dataset), backbones.verified_checkpoint(backbone)
    network = backbones.build(backbone, path).requires_grad_(False)
    model = backbones.as_model(backbone, network, task, protocol, device, "float32")
    bench = _Bench(model, dataset, threads if device == "cpu" else 1)
    split, test = data.ids(dataset, "train", protocol), data.ids(dataset, "test", protocol)
    found, literal = [], None
    for seed in seeds:
        names = data.search_ids(split, protocol.search_images, seed)
        scorer, items = bench.scorer("train", names)
        if literal is None:
            literal = _literal(bench, scorer, items)
        for variant in variants:
            used = scorer
            if variant.wide:
                used = bench.scorer("train", data.search_ids(split, WIDE * protocol.search_images, seed))[0]
            result, seconds = _timed(used, variant, protocol, seed, model.device)
            found.append((variant, seed, len(used.features), result, seconds))
            said(
                f"{dataset.name}, seed {seed}, {variant.name}: {result.swap}, search gain {100 * result.gain:+.2f}, "
                f"{result.evaluations:,} evaluations in {seconds:.1f} s"
            )
    swaps = [Swap(channels=backbone.channels), *(result.swap for _, _, _, result, _ in found)]
    unique = list(dict.fromkeys(swaps))
    table = score(bench.scorer("test", test)[0], unique)
    columns = {swap: [round(float(x), 6) for x in table[:, k]] for k, swap in enumerate(unique)}
    trials = [
        Trial(
            strategy=variant.name,
            seed=seed,
            images=images,
            pairs=list(result.swap.pairs),
            evaluations=result.evaluations,
            gradients=result.gradients,
            seconds=round(seconds, 3),
            base_score=result.base,
            search_gain=result.gain,
            scores=columns[result.swap],
        )
        for variant, seed, images, result, seconds in found
    ]
    milliseconds, passes = literal
    return SearchRecord(
        task=task.name,
        dataset=dataset.name,
        backbone=backbone.name,
        protocol=protocol.name,
        protocol_hash=protocol.hash,
        metric=protocol.metric,
        search_images=protocol.search_images,
        code=code.digest(),
        weights=weights,
        test_images=test,
        base=columns[swaps[0]],
        literal_ms=round(milliseconds, 4),
        literal_passes=passes,
        trials=trials,
        environment=environment(device, "float32", threads),
    )


def _timed(scorer: Scorer, variant: Variant, protocol: Protocol, seed: int, device: torch.device):
    pairs = scorer.channels * (scorer.channels - 1)
    begun = time.perf_counter()
    result = search(
        scorer,
        keep=protocol.keep,
        strategy=variant.strategy,
        budget=max(1, pairs // BUDGET),
        seed=seed,
        share=SHARE if variant.wide else None,
    )
    synchronise(str(device))
    return result, time.perf_counter() - begun


def _literal(bench: _Bench, scorer: Scorer, items: Sequence) -> tuple[float, int]:
    """Milliseconds of a pass of the literal loop, the median over four images, and how many passes that were."""
    one = Scorer(scorer.features, lambda x, k: literal_score(bench.model, x, items[k]), device=scorer.device)
    swaps = [random_swap(scorer.channels, 1, seed) for seed in range(LITERAL)]
    score_one_by_one(one, swaps[:2], images=[0])  # a first call pays for allocations
    times = []
    for image in range(min(4, len(items))):
        begun = time.perf_counter()
        score_one_by_one(one, swaps, images=[image])
        synchronise(str(bench.model.device))
        times.append(1000 * (time.perf_counter() - begun) / len(swaps))
    return statistics.median(times), len(times) * len(swaps)


def tasks(named: str) -> Iterator[Task]:
    """The tasks that `bench search` knows: those whose embedded model is a SAM, since the literal loop is the library's."""
    known = [t for _, t in TASKS.items() if BACKBONES.get(t.backbones["mini-v1"]).family == "sam"]
    wanted = [t.name for t in known] if named == "all" else named.split(",")
    for name in wanted:
        if name not in {t.name for t in known}:
            raise UsageError(f"bench search has no task {name!r}; choose from: {', '.join(t.name for t in known)}")
        yield TASKS.get(name)
