"""What the channels of a backbone do on one dataset: the paper's table 1 and figures 3 to 5, as one record with its pictures.

Builds on the stages of a run of METHOD+swap; what that run left is read and what it needs is done. The zeroing and the growth are a
stage of their own, kept and resumed as the others are.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import backbones, data, study_pictures
from benchmarks.catalog import SWAP
from benchmarks.data.samples import interior_point
from benchmarks.environment import environment
from benchmarks.files import write_atomically
from benchmarks.metrics.intervals import Estimate, paired
from benchmarks.plan import Plan
from benchmarks.progress import progress_by_stage
from benchmarks.stages import Workbench
from benchmarks.store import Job
from benchmarks.study_plan import check, job_of
from benchmarks.study_records import EXAMPLES, MAPS, Curve, Effect, Example, Mapped, Picture, Size, StudyRecord, Zeroed, write
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
    maps,
    one_a_channel,
    score,
    zeroing,
)

log = logging.getLogger("benchmarks")
SHOWN = 3  # channels of a kind in the picture of maps


def study(p: Plan, threads: int, folder: Path) -> tuple[StudyRecord, Path]:
    """Do a study and leave its record and pictures in a folder; the record comes last. Returns it and its path.

    KeyboardInterrupt leaves what was finished, and the same call goes on from there. Raises what the stages of a run raise.
    """
    check(p)
    torch.set_num_threads(1 if p.device == "cpu" else threads)  # the workers are the threads, see benchmarks.parallel
    where = environment(p.device, p.precision, threads)  # before the work: of the code that did it
    bench = Workbench(p, threads, backbones.verified_checkpoint(p.backbone)[0])
    if p.method != "base":
        bench.trained()
    bench.features()
    found, scores = bench.found(), bench.evaluated()
    metric = p.protocol.metric
    columns = {name: scores[name][metric] for name in dict.fromkeys(("base", p.method, f"{p.method}{SWAP}"))}
    job = job_of(p)
    result = bench.stage("study", job, lambda: _measure(bench, job)).result
    swap = Swap(found.pairs, channels=p.backbone.channels)
    chosen, useful = _examples(p, columns), sorted(range(swap.channels), key=lambda c: result["channels"][c]["search"]["value"])
    mapped = Mapped(
        images=[e.image for e in chosen],
        replaced=[r for r, _ in result["one_a_channel"]["candidates"]][:SHOWN],
        shown=list(dict.fromkeys(pair.effective for pair in found.kept))[:SHOWN],
        useful=useful[:SHOWN],
    )
    gained = paired(columns[f"{p.method}{SWAP}"], columns[p.method])
    values = dict(
        task=p.task.name, dataset=p.dataset.name, backbone=p.backbone.name, method=p.method, protocol=p.protocol.name,
        protocol_hash=p.protocol.hash, metric=metric, seed=p.seed, limit=p.limit, code=p.code, weights=p.weights, data=p.data,
        search_images=p.search_ids, test_images=p.test_ids, swap=found.pairs, swap_search_gain=found.search_gain,
        swap_test=_effect(gained), examples=chosen, maps=mapped, stages=bench.costs, environment=where,
        place=p.origin.shown if p.origin else None, **result,
    )  # fmt: skip
    record = StudyRecord(pictures=[], **values)
    drawn = {EXAMPLES: _draw_examples(bench, swap, chosen), MAPS: _draw_maps(bench, mapped, chosen)}
    pictures = [_save(folder, record.file_name, kind, picture) for kind, picture in drawn.items()]
    record = StudyRecord(pictures=pictures, **values)
    path = folder / record.file_name
    write(record, path)
    return record, path


def _measure(bench: Workbench, job: Job) -> dict:
    """Zeroing and growth on both sets, as parts of the record."""
    p, model = bench.plan, bench.adapted()
    cache, samples = bench.features()
    screen, kept = bench.screened(), bench.found().kept
    search = model.scorer(cache.sites, [model.item(s, cache[k][1]) for k, s in enumerate(samples)], bench.workers)
    tested = data.load(p.dataset, "test", p.test_ids)
    path, journals = job.folder / "test.features", []
    job.folder.mkdir(parents=True, exist_ok=True)
    features = bench.embedded(model, tested, path, p.test_ids)
    test = model.scorer(features.sites, [model.item(s, features[k][1]) for k, s in enumerate(tested)], bench.workers)
    with progress_by_stage("study", "passes") as show:

        def options(stage: str, detail: str = "") -> dict:
            journals.append(Journal(job.folder / f"journal.{stage}", f"{job.key}|{stage}|{detail}"))
            return {"journal": journals[-1], "progress": lambda done, total: show(stage, done, total)}

        without = {"search": zeroing(search, **options("zeroing-search")), "test": zeroing(test, **options("zeroing-test"))}
        candidates = {
            "best_pairs": [(pair.redundant, pair.effective) for pair in kept],
            "one_a_channel": [pair for pair, _ in one_a_channel(screen, p.protocol.keep)],
        }
        curves = {}
        for name, pairs in candidates.items():
            grown = growth(search, pairs, **options(f"growth-{name}", str(pairs)))
            tests = _gains(test, [size.swap for size in grown.sizes], options(f"growth-test-{name}", str(pairs)))
            sizes = [
                Size(pairs=list(s.swap.pairs), search_gain=s.gain, test=_effect(gain), tried=s.tried, conflicts=s.conflicts)
                for s, gain in zip(grown.sizes, tests)
            ]
            curves[name] = Curve(candidates=pairs, sizes=sizes).model_dump(mode="json")
        level, spread = levels(cache.sites)
        found = Swap(bench.found().pairs, channels=search.channels)
        table = altered(test, [constant(found, level)], **options("constant")).double().numpy()
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
    level_gain = _effect(paired(table[:, 1], table[:, 0])).model_dump(mode="json")
    return {"channels": channels, **curves, **bases, "constant_test": level_gain}


def _gains(scorer: Scorer, swaps: Sequence[Swap], options: dict) -> list[Estimate]:
    """What each swap gains over none, paired by image."""
    table = score(scorer, [Swap(channels=scorer.channels), *swaps], **options).double().numpy()
    return [paired(table[:, k], table[:, 0]) for k in range(1, table.shape[1])]


def _of_channel(e: Effects, c: int) -> Effect:
    return Effect(value=float(e.mean[c]), low=float(e.low[c]), high=float(e.high[c]), p=float(e.p[c]))


def _effect(e: Estimate) -> Effect:
    return Effect(value=e.value, low=e.low, high=e.high, p=e.p)


def _examples(p: Plan, columns: dict[str, list[float]]) -> list[Example]:
    """The test images with the best, the median and the worst difference that the swap makes; fewer where there are fewer."""
    swapped, plain = columns[f"{p.method}{SWAP}"], columns[p.method]
    order = sorted(range(len(plain)), key=lambda k: (swapped[k] - plain[k], p.test_ids[k]))
    places = {"best": order[-1], "median": order[(len(order) - 1) // 2], "worst": order[0]}
    kept = {k: place for place, k in reversed(places.items())}  # of one image alone, "best"
    return [
        Example(place=place, image=p.test_ids[k], scores={name: values[k] for name, values in columns.items()})
        for place, k in places.items()
        if kept[k] == place
    ]


def _draw_examples(bench: Workbench, swap: Swap, chosen: list[Example]):
    p = bench.plan
    samples = data.load(p.dataset, "test", [e.image for e in chosen])
    models = {"base": bench.model("base")[0], p.method: bench.adapted()}
    rows = []
    for example, sample in zip(chosen, samples):
        masks = {}
        for name, model in models.items():
            with torch.inference_mode():
                site, rest = bench.encode(model, [model.pixels(sample.image)]).of(0)
                item = model.item(sample, rest)
                masks[name] = model.answer(site[None], item)[0].cpu().numpy()
                if name == p.method:
                    masks[f"{name}{SWAP}"] = model.answer(swap(site, axis=0)[None], item)[0].cpu().numpy()
        answers = tuple(
            study_pictures.Column(name, masks[name], f"IoU {100 * value:.1f}") for name, value in example.scores.items()
        )
        gain = 100 * (example.scores[f"{p.method}{SWAP}"] - example.scores[p.method])
        title = f"{example.place}: image {sample.id}, swap {swap}: {gain:+.1f} points"
        rows.append(study_pictures.Row(title, sample.image, sample.mask, interior_point(sample.mask), answers))
    return study_pictures.examples(rows)


def _draw_maps(bench: Workbench, mapped: Mapped, chosen: list[Example]):
    p, model = bench.plan, bench.adapted()
    wanted, rows = [*mapped.replaced, *mapped.shown, *mapped.useful], []
    for example, sample in zip(chosen, data.load(p.dataset, "test", mapped.images)):
        with torch.inference_mode():
            site, _ = bench.encode(model, [model.pixels(sample.image)]).of(0)
        shown = maps(site, wanted).numpy()
        rows.append(study_pictures.Shown(f"{example.place}: {sample.id}", sample.image, sample.mask, shown))
    groups = [("replaced (redundant)", mapped.replaced), ("shown in their place (effective)", mapped.shown)]
    return study_pictures.maps(rows, [*groups, ("missed most when zeroed", mapped.useful)])


def _save(folder: Path, record: str, kind: str, picture) -> Picture:
    content, (width, height) = study_pictures.encoded(picture)
    file = f"{record.removesuffix('.json')}-{kind}.png"
    write_atomically(folder / file, content)
    return Picture(kind=kind, file=file, sha256=hashlib.sha256(content).hexdigest(), width=width, height=height)
