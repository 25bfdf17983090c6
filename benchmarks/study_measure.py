"""The numbers of a study: every channel set to zero, a constant in the place of a map, the gain over the number of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from benchmarks import data
from benchmarks.metrics.intervals import Estimate, paired
from benchmarks.progress import progress_by_stage
from benchmarks.stages import embed, feature_file
from benchmarks.stages.search import found, screened
from benchmarks.stages.train import adapted
from benchmarks.stages.workbench import Workbench
from benchmarks.store import Job
from benchmarks.study_records import Curve, Effect, Size, Zeroed
from chanswap import (
    Effects,
    Journal,
    Scorer,
    Swap,
    altered,
    constant,
    effects,
    growth,
    levels,
    one_a_channel,
    score,
    zeroing,
)


def measure(bench: Workbench, job: Job) -> dict:
    """Zeroing and growth on both sets, as parts of the record. A killed call leaves its features and journals in the job's folder."""
    p, model = bench.plan, adapted(bench)
    cache, samples = embed.features(bench)
    screen, of_run = screened(bench), found(bench)
    search = model.scorer(cache.sites, [model.item(s, cache[k][1]) for k, s in enumerate(samples)], bench.workers)
    tested = data.load(p.dataset, "test", p.test_ids)
    path, journals = job.folder / "test.features", []
    job.folder.mkdir(parents=True, exist_ok=True)
    features = feature_file.read_or_written(bench, model, tested, path, p.test_ids, job.key)
    test = model.scorer(features.sites, [model.item(s, features[k][1]) for k, s in enumerate(tested)], bench.workers)
    with progress_by_stage("study", "passes") as show:

        def options(stage: str, detail: str = "") -> dict:
            journals.append(Journal(job.folder / f"journal.{stage}", f"{job.key}|{stage}|{detail}"))
            return {"journal": journals[-1], "progress": lambda done, total: show(stage, done, total)}

        without = {"search": zeroing(search, **options("zeroing-search")), "test": zeroing(test, **options("zeroing-test"))}
        candidates = {
            "best_pairs": [(pair.redundant, pair.effective) for pair in of_run.kept],
            "one_a_channel": [pair for pair, _ in one_a_channel(screen, p.protocol.keep)],
        }
        curves = {}
        for name, pairs in candidates.items():
            grown = growth(search, pairs, **options(f"growth-{name}", str(pairs)))
            tests = _gains(test, [size.swap for size in grown.sizes], options(f"growth-test-{name}", str(pairs)))
            sizes = [
                Size(pairs=list(s.swap.pairs), search_gain=s.gain, test=effect_of(gain), tried=s.tried, conflicts=s.conflicts)
                for s, gain in zip(grown.sizes, tests)
            ]
            curves[name] = Curve(candidates=pairs, sizes=sizes).model_dump(mode="json")
        level, spread = levels(cache.sites)
        swap = Swap(of_run.pairs, channels=search.channels)
        changes = [partial(swap, axis=0), constant(swap, level), constant(swap, torch.zeros_like(level))]
        table = altered(test, changes, **options("instead")).double().numpy()
    best = {pair[0]: (pair[1], gain) for pair, gain in reversed(one_a_channel(screen, search.channels))}
    zeroed = {part: effects(z.gains) for part, z in without.items()}
    channels = [
        Zeroed(
            **{part: _of_channel(e, c) for part, e in zeroed.items()},
            **{f"{part}_label": e.labels[c] for part, e in zeroed.items()},
            best_replacement=best[c][0],
            replacement_gain=best[c][1],
            level=float(level[c]),
            spread=float(spread[c]),
        ).model_dump(mode="json")
        for c in range(search.channels)
    ]
    for file in journals:
        file.discard()
    bases = {f"{part}_base": float(z.base.double().mean()) for part, z in without.items()}
    features = test = None  # some systems remove no file that is mapped
    path.unlink(missing_ok=True)
    plain, swapped, level_instead, zero_instead = table.T
    instead = {
        "constant_test": (level_instead, plain),
        "zeroed_test": (zero_instead, plain),
        "map_test": (swapped, level_instead),
    }
    compared = {name: effect_of(paired(*both)).model_dump(mode="json") for name, both in instead.items()}
    return {"channels": channels, **curves, **bases, **compared}


def _gains(scorer: Scorer, swaps: Sequence[Swap], options: dict) -> list[Estimate]:
    """What each swap gains over none, paired by image."""
    table = score(scorer, [Swap(channels=scorer.channels), *swaps], **options).double().numpy()
    return [paired(table[:, k], table[:, 0]) for k in range(1, table.shape[1])]


def _of_channel(e: Effects, c: int) -> Effect:
    return Effect(value=float(e.mean[c]), low=float(e.low[c]), high=float(e.high[c]), p=float(e.p[c]))


def effect_of(e: Estimate) -> Effect:
    """An estimate as a record holds it."""
    return Effect(value=e.value, low=e.low, high=e.high, p=e.p)
