"""A run as data: which stages it needs, under which keys, and which of them are already kept. Imports no torch."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from benchmarks import backbones, code, data, device, store
from benchmarks.catalog import (
    BACKBONES,
    CLASSIFICATION,
    DATASETS,
    DEPTH,
    METHODS,
    SEGMENTATION,
    SWAP,
    TASKS,
    Backbone,
    Dataset,
    Task,
    family_fits,
    split_method,
)
from benchmarks.errors import MissingData, UsageError
from benchmarks.options import Decoding, Options
from benchmarks.outside import Origin
from benchmarks.plain import UNPRINTABLE
from benchmarks.protocols import LOSSES, PROTOCOLS, SINGLE_MASK, STRATEGIES, Protocol, choose
from benchmarks.records import Spec, hash_of
from benchmarks.store import Job


@dataclass(frozen=True)
class Request:
    """What a run was asked to do, names only. `protocol` may be "auto", `dataset` and `backbone` None for the default."""

    task: str
    method: str
    protocol: str = "auto"
    dataset: str | None = None
    backbone: str | None = None
    limit: int | None = None
    device: str = "auto"
    precision: str = "float32"
    options: Options = Options()
    marks: tuple[str, ...] = ()  # reasons that keep the record off the boards
    strategy: str | None = None  # of the search, in the place of the protocol's: another version of the protocol
    decoding: Decoding = Decoding()
    elsewhere: bool = False  # on other machines than this one: the device is taken as it is named
    deterministic: bool = False


@dataclass(frozen=True)
class Plan:
    """A run of one seed, resolved. `jobs` in their order; evaluations are split so that runs share what they can."""

    task: Task
    dataset: Dataset
    backbone: Backbone
    method: str
    swap: bool
    protocol: Protocol
    why: str
    seed: int
    limit: int | None
    device: str
    precision: str
    options: Options
    train_ids: list[str]
    search_ids: list[str]
    test_ids: list[str]
    weights: str
    data: str
    code: str
    origin: Origin | None  # of a method from outside
    jobs: dict[str, Job]
    marks: tuple[str, ...] = ()
    decoding: Decoding = Decoding()
    deterministic: bool = False  # the same numbers to the bit each time, on one machine: see benchmarks.deterministic

    @property
    def method_name(self) -> str:
        return self.method + (SWAP if self.swap else "")

    @property
    def spec(self) -> Spec:
        return Spec(
            task=self.task.name,
            dataset=self.dataset.name,
            backbone=self.backbone.name,
            method=self.method_name,
            protocol=self.protocol.name,
            seed=self.seed,
            precision=self.precision,
            limit=self.limit,
        )

    @property
    def file_name(self) -> str:
        """Of the record: readable, and different for every spec, protocol version, kind of device and code of a method from outside."""
        kind = self.device.split(":")[0]
        made_of = self.protocol.hash, self.weights, self.data, kind
        origin = (self.origin.shown, self.origin.sha256) if self.origin else None
        return file_name(self.spec, *made_of, self.options, self.decoding, origin, self.deterministic)

    @property
    def command(self) -> str:
        method = (
            f"{self.origin.shown}{SWAP if self.swap else ''}" if self.origin and ".py:" in self.origin.shown else self.method_name
        )
        parts = [
            f"python -m benchmarks run --task {self.task.name} --method {shlex.quote(method)} --dataset {self.dataset.name}",
            f"--backbone {self.backbone.name} --protocol {self.protocol.name} --seeds {self.seed}",
            f"--strategy {chosen}" if (chosen := self.protocol.strategy) != PROTOCOLS.get(self.protocol.name).strategy else "",
            f"--limit {self.limit}" if self.limit else "",
            f"--precision {self.precision}" if self.precision != "float32" else "",
            self.options.flags,
            self.decoding.flags,
            "--deterministic" if self.deterministic else "",
        ]
        return " ".join(p for p in parts if p)

    def done(self, name: str) -> bool:
        return store.kept(self.jobs[name]) is not None


def file_name(
    spec: Spec,
    protocol_hash: str,
    weights: str,
    images: str,
    kind: str,
    options: Options,
    decoding: Decoding,
    origin: tuple[str, str] | None,
    deterministic: bool,
) -> str:
    """A record's place below its tier's folder; `kind` of device is cpu, cuda or mps, `origin` place and sha256 of a method from
    outside."""
    made_of = [spec.model_dump(), protocol_hash, weights, images, kind]
    altered = spec.method.removesuffix(SWAP) != "base" and options.arithmetic != Options().arithmetic
    made_of += [options.arithmetic] if altered else []
    made_of += [decoding.altered] if decoding.altered else []
    # Two files may name their methods alike, and one file changes: neither run replaces the other's record.
    made_of += [list(origin)] if origin else []
    made_of += ["deterministic"] if deterministic else []
    short = hash_of(made_of)[:8]
    return f"{spec.protocol}/{spec.dataset}/{spec.method}-{spec.backbone}-seed{spec.seed}-{short}.json"


def choose_protocol(task: Task, named: str, dataset: str | None, backbone: str | None) -> tuple[Protocol, str]:
    """The protocol for a task, and why. A dataset or backbone that belongs to one protocol decides it under "auto"."""
    chosen = [DATASETS.get(dataset)] if dataset else []
    chosen += [BACKBONES.get(backbone)] if backbone else []
    tied = {thing.protocol for thing in chosen}
    if len(tied) == 2:
        belong = ", ".join(f"{thing.name} to {thing.protocol}" for thing in chosen)
        raise UsageError(f"{dataset} and {backbone} belong to different protocols ({belong}); choose both from one")
    if named == "auto" and tied:
        return PROTOCOLS.get(tied.pop()), f"the one that {dataset or backbone} belongs to"
    return choose(named, {p: lacking(task, p) for p in task.datasets})


def lacking(task: Task, protocol: str) -> str | None:
    """None where the default data and weights of a task are prepared under a protocol, else what is missing, in a few words."""
    dataset, backbone = DATASETS.get(task.datasets[protocol][0]), BACKBONES.get(task.backbones[protocol])
    missing = [f"the images of {dataset.name}"] if data.lacking(dataset) else []
    missing += [f"the weights of {backbone.name}"] if backbones.lacking(backbone) else []
    return " and ".join(missing) or None


def plan(request: Request, seed: int) -> Plan:
    """Resolve a request. Raises UsageError for unknown or unfitting names, MissingData for missing data or weights."""
    task = TASKS.get(request.task)
    method, swap = split_method(request.method)
    protocol, why = choose_protocol(task, request.protocol, request.dataset, request.backbone)
    protocol = protocol.for_task(task)
    dataset = DATASETS.get(request.dataset or task.datasets[protocol.name][0])
    backbone = BACKBONES.get(request.backbone or task.backbones[protocol.name])
    if dataset.task != task.name:
        raise UsageError(f"dataset {dataset.name} is of task {dataset.task}, not {task.name}; add --task {dataset.task}")
    for thing in (dataset, backbone):
        if thing.protocol != protocol.name:
            raise UsageError(
                f"{thing.name} belongs to protocol {thing.protocol}, not {protocol.name}; leave it out or change --protocol"
            )
    if not family_fits(task, backbone):
        needed = "mask decoder" if task.kind == SEGMENTATION else "tokens of the kind that the linear head reads"
        fitting = [n for n, b in BACKBONES.items() if b.protocol == protocol.name and family_fits(task, b)]
        raise UsageError(f"{backbone.name} has no {needed} for task {task.name}; choose from: {', '.join(fitting)}")
    protocol = protocol.for_family(backbone.family)
    if request.strategy is not None:
        protocol = replace(protocol, strategy=request.strategy)
    _obeyed(task, protocol, backbone)
    if reason := METHODS.get(method).skips.get(backbone.family):
        raise UsageError(f"{method} is not for {backbone.name}: {reason}")
    if request.limit is not None and request.limit < 1:
        raise UsageError(f"--limit must be at least 1, got {request.limit}")
    for reason in (data.lacking(dataset), backbones.lacking(backbone)):
        if reason:
            raise MissingData(reason)
    split, test_ids, identity = _images(dataset, protocol)
    test_ids = test_ids[: request.limit]
    pool = split[:: protocol.rules["search_pool"]] if "search_pool" in protocol.rules else split
    search_ids = data.search_ids(pool, protocol.search_images, seed)
    held = set(search_ids if pool is split else pool)
    train_ids = [name for name in split if name not in held]
    if (method != "base" or task.kind != SEGMENTATION) and not train_ids:
        raise MissingData(
            f"{dataset.name}: its {len(split)} training images are all drawn for the search, none is left to train {method} on"
        )
    if odd := next((name for name in (*split, *test_ids) if UNPRINTABLE.search(name)), None):
        raise MissingData(f"{dataset.name}: the name {ascii(odd)} has characters that do not print; rename the file")
    if overlap := set(split) & set(test_ids):
        raise MissingData(
            f"{dataset.name}: {len(overlap)} ids stand in both splits, such as {min(overlap)}; mend the split lists"
        )
    _, weights = backbones.verified_checkpoint(backbone)
    where = request.device if request.elsewhere else device.resolve(request.device)
    resolved = Plan(
        task, dataset, backbone, method, swap, protocol, why, seed, request.limit, where, request.precision, request.options,
        train_ids, search_ids, test_ids, weights, identity, code.digest(), METHODS.origin(method), {}, _marks(request, backbone),
        request.decoding, request.deterministic,
    )  # fmt: skip
    resolved.jobs.update(_jobs(resolved))
    return resolved


_images_known: ContextVar[dict | None] = ContextVar("_images_known", default=None)


@contextmanager
def images_stay() -> Iterator[None]:
    """Inside, each dataset's folder is looked through once, however many runs are planned: COCO's has a hundred thousand files."""
    token = _images_known.set({})
    try:
        yield
    finally:
        _images_known.reset(token)


def _images(dataset: Dataset, protocol: Protocol) -> tuple[list[str], list[str], str]:
    """The ids of the training and the test split, and the dataset's identity."""
    known, key = _images_known.get(), (dataset, protocol.train_images, protocol.test_images)
    if known is not None and key in known:
        return known[key]
    found = data.ids(dataset, "train", protocol), data.ids(dataset, "test", protocol), data.identity(dataset)
    if known is not None:
        known[key] = found
    return found


def _marks(request: Request, backbone: Backbone) -> tuple[str, ...]:
    random = (backbones.RANDOM,) if backbone.weights.random else ()
    limited = (f"limited to {request.limit} test images",) if request.limit else ()
    return (*limited, *random, *request.marks)


# What a linear head can be, of each rule every value that is implemented.
_HEADS = {
    DEPTH: {
        "head": ("lin.1",),
        "head_loss": ("silog",),
        "head_optimiser": ("adamw",),
        "input": ("as it is", "as it is, padded around to a multiple of 14"),
        "crop": ("none", "eigen"),
    },
    CLASSIFICATION: {
        "head": ("linear on CLS",),
        "head_loss": ("cross-entropy + l2 of the weights",),
        "head_optimiser": ("lbfgs",),
        "input": ("as it is", "resized, bicubic"),
    },
}


def _obeyed(task: Task, protocol: Protocol, backbone: Backbone) -> None:
    """Raise UsageError for a rule that nothing here implements: a label in a record must be what was done."""
    known = {"strategy": STRATEGIES, "held_out": (True,), "epoch": ("last",), "metric": task.metrics[:1]}
    if task.kind == SEGMENTATION:
        mask = SINGLE_MASK[backbone.family]
        known |= {"prompt": ("interior",), "mask": (mask,), "empty_union": (1.0,), "image_size": (backbone.size,)}
    heads = _HEADS.get(task.kind, {})
    rules = {
        **{name: getattr(protocol, name) for name in known},
        **{name: protocol.rules.get(name) for name in heads},
        "loss": protocol.training.loss,
        "optimiser": protocol.training.optimiser,
    }
    for name, options in {**known, **heads, "loss": (LOSSES[task.kind],), "optimiser": ("adam",)}.items():
        if rules[name] not in options:
            only = " or ".join(map(repr, options))
            raise UsageError(f"protocol {protocol.name} asks for {name} {rules[name]!r}; here is only {only}")


def _jobs(p: Plan) -> dict[str, Job]:
    """Each stage's inputs. A job names the jobs before it by key, so a change at the front changes every key behind."""
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


def passes(p: Plan) -> int:
    """Decoder passes of the search at most: all pairs and the empty swap, then all subsets, on every search image."""
    c, n = p.backbone.channels, p.protocol.keep
    return (c * (c - 1) + 1 + 2**n) * len(p.search_ids)


def describe(p: Plan) -> str:
    """The plan in lines, for --dry-run: each stage, what it will do, whether it is kept already."""
    steps = math.ceil(len(p.train_ids) / p.protocol.training.batch) * p.protocol.training.epochs
    says = {
        "head": f"the linear head, once, on {len(p.train_ids):,} images",
        "train": f"{steps:,} steps of {p.protocol.training.batch} images",
        "embed": f"{len(p.search_ids)} search images",
        "search": p.protocol.strategy
        + (f", at most {passes(p):,} decoder passes" if p.protocol.strategy == STRATEGIES[0] else ""),
    }
    lines = [
        f"{p.method_name} on {p.dataset.name} with {p.backbone.name}, protocol {p.protocol.name} ({p.protocol.hash[:8]}), seed {p.seed}"
    ]
    for name, job in p.jobs.items():
        what = says.get(name) or f"{len(p.test_ids)} test images"
        state = "kept, will be read" if store.kept(job) else "to do"
        lines.append(f"  {name:<22} {what:<52} {state}")
    return "\n".join(lines)
