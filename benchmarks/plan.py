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
    DATASETS,
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
from benchmarks.jobs import jobs_of
from benchmarks.options import Decoding, Options
from benchmarks.outside import Origin
from benchmarks.plain import UNPRINTABLE
from benchmarks.protocol_choice import choose_protocol
from benchmarks.protocols import PROTOCOLS, STRATEGIES, Protocol
from benchmarks.record_name import file_name
from benchmarks.records import Spec
from benchmarks.rules import check_rules
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
    check_rules(task, protocol, backbone)
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
    resolved.jobs.update(jobs_of(resolved))
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
