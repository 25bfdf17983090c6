"""What the channels of a backbone do on one dataset: the paper's table 1 and figures 3 to 5, as one record with its pictures.

Builds on the stages of a run of METHOD+swap; what that run left is read and what it needs is done. The zeroing and the growth are a
stage of their own, kept and resumed as the others are.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch

from benchmarks import backbones, data, study_pictures
from benchmarks.catalog import SWAP
from benchmarks.data.samples import interior_point
from benchmarks.environment import environment
from benchmarks.files import write_atomically
from benchmarks.metrics.intervals import paired
from benchmarks.plan import Plan
from benchmarks.stages import embed, search, train
from benchmarks.stages.attached import attached
from benchmarks.stages.evaluate import evaluated
from benchmarks.stages.workbench import Workbench
from benchmarks.study_measure import effect_of, measure
from benchmarks.study_plan import check, job_of
from benchmarks.study_records import EXAMPLES, MAPS, Example, Mapped, Picture, StudyRecord, write
from chanswap import Swap, maps

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
        train.trained(bench)
    embed.features(bench)
    found, scores = search.found(bench), evaluated(bench)
    metric = p.protocol.metric
    columns = {name: scores[name][metric] for name in dict.fromkeys(("base", p.method, f"{p.method}{SWAP}"))}
    job = job_of(p)
    result = bench.stage("study", job, lambda: measure(bench, job)).result
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
        swap_test=effect_of(gained), examples=chosen, maps=mapped, stages=bench.costs, environment=where,
        place=p.origin.shown if p.origin else None, **result,
    )  # fmt: skip
    record = StudyRecord(pictures=[], **values)
    drawn = {EXAMPLES: _draw_examples(bench, swap, chosen), MAPS: _draw_maps(bench, mapped, chosen)}
    pictures = [_save(folder, record.file_name, kind, picture) for kind, picture in drawn.items()]
    record = StudyRecord(pictures=pictures, **values)
    path = folder / record.file_name
    write(record, path)
    return record, path


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
    models = {"base": attached(bench, "base")[0], p.method: train.adapted(bench)}
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
    p, model = bench.plan, train.adapted(bench)
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
