"""The stages of a run as jobs: what decides the result of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.catalog import SEGMENTATION, SWAP
from benchmarks.hashes import hash_of
from benchmarks.store import Job

if TYPE_CHECKING:
    from benchmarks.plan import Plan


def jobs_of(p: Plan) -> dict[str, Job]:
    """By name, in their order. A job names the jobs before it by key, so a change at the front changes every key behind."""
    versions = p.protocol.stage_versions
    rules = {"prompt": p.protocol.prompt, "mask": p.protocol.mask, "size": p.protocol.image_size, **p.protocol.rules}
    rules |= {"metrics": list(p.task.metrics)}
    machine = {"device": p.device.split(":")[0], "precision": p.precision}
    machine |= {"deterministic": True} if p.deterministic else {}  # nothing is read that was made without
    common = {"weights": p.weights, "data": p.data, "code": p.code, **machine}
    jobs: dict[str, Job] = {}
    if p.task.kind != SEGMENTATION:
        about = {k: v for k, v in rules.items() if k not in ("metrics", "prompt", "mask")}
        jobs["head"] = Job("head", {**common, **about, "version": versions["train"], "images": hash_of(p.train_ids)})
        common["head_weights"] = jobs["head"].key  # the rules hold a "head" of their own, its kind
    adapted = None
    if p.method != "base":
        training = {**p.protocol.resolved()["training"], "prompt": p.protocol.prompt}
        jobs["train"] = Job(
            "train",
            {
                **common,
                "version": versions["train"],
                "method": p.method,
                "training": training,
                "seed": p.seed,
                "images": hash_of(p.train_ids),
                **p.options.arithmetic,
                **({"source": p.origin.sha256} if p.origin else {}),
            },
        )
        adapted = jobs["train"].key
    rules |= p.decoding.altered
    test = {**common, **rules, "version": versions["evaluate"], "images": hash_of(p.test_ids)}
    if p.swap:
        jobs["embed"] = Job(
            "embed", {**common, "version": versions["embed"], "adapted": adapted, "images": hash_of(p.search_ids)}
        )
        jobs["search"] = Job(
            "search",
            {
                **rules,
                **machine,
                "code": p.code,
                "version": versions["search"],
                "features": jobs["embed"].key,
                "strategy": p.protocol.strategy,
                "keep": p.protocol.keep,
                "seed": p.seed if p.protocol.strategy == "random" else None,
            },
        )
    jobs["evaluate base"] = Job("evaluate", {**test, "adapted": None, "variants": "plain and controls"})
    if adapted:
        jobs[f"evaluate {p.method}"] = Job("evaluate", {**test, "adapted": adapted, "variants": "plain"})
    if p.swap:
        control = {"draws": p.protocol.random_draws, "seed": p.seed}
        jobs[f"evaluate {p.method}{SWAP}"] = Job(
            "evaluate", {**test, "adapted": adapted, "search": jobs["search"].key, "random": control}
        )
    return jobs
