"""What a record speaks of, looked up in the catalog: the expectations that all further checks hold it against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from benchmarks.board.text import plain
from benchmarks.catalog import BACKBONES, DATASETS, METHODS, SWAP, TASKS, Backbone, Dataset, Task, family_fits
from benchmarks.errors import UsageError
from benchmarks.outside import NAME
from benchmarks.protocols import PROTOCOLS, STRATEGIES, Protocol, Training
from benchmarks.records import Record
from benchmarks.registry import Registry
from benchmarks.validation.findings import AGAIN, EDITED, Fault, Found, Note
from benchmarks.validation.history import EARLIER, EARLIER_SAM2


@dataclass(frozen=True)
class Known:
    """The entries that a record names. `protocol`: the version that it ran under, or the installed one where that is unknown;
    `current`: it is the installed one, perhaps with another search strategy."""

    task: Task
    dataset: Dataset
    backbone: Backbone
    method: str
    swap: bool
    protocol: Protocol
    current: bool


def known(record: Record) -> tuple[Known | None, list[Found]]:
    """What the record names, None where something has no meaning here; and the faults and notes of that."""
    spec, found = record.spec, list(_unknown(record))
    if any(isinstance(f, Fault) and f.check == "names" for f in found):
        return None, found
    task, dataset, backbone = TASKS.get(spec.task), DATASETS.get(spec.dataset), BACKBONES.get(spec.backbone)
    installed = PROTOCOLS.get(spec.protocol).for_task(task).for_family(backbone.family)
    protocol, current, said = _version(record, installed, backbone)
    method = spec.method.removesuffix(SWAP)
    return Known(task, dataset, backbone, method, method != spec.method, protocol, current), [*found, *said]


def own(method: str) -> bool:
    """Whether a method is one of the suite's, and comes from no file or installed package."""
    return Registry.__contains__(METHODS, method) and METHODS.origin(method) is None


def _unknown(record: Record) -> Iterator[Found]:
    spec, entries = record.spec, {}
    for field, registry in (("task", TASKS), ("dataset", DATASETS), ("backbone", BACKBONES), ("protocol", PROTOCOLS)):
        try:
            entries[field] = registry.get(getattr(spec, field))
        except UsageError as error:
            yield Fault("names", plain(str(error).split("; ")[0]), f"name one of: {', '.join(registry)}")
    method = spec.method.removesuffix(SWAP)
    if record.origin is None and not own(method):
        yield Fault("names", f"method {plain(method)} is none of the suite's, and no origin is stated", AGAIN)
    if record.origin is not None and (own(method) or not NAME.fullmatch(method)):
        yield Fault("names", f"a method from outside is named {plain(method)}", "give it another name, then run it again")
    if len(entries) < 4:
        return
    task, dataset, backbone = entries["task"], entries["dataset"], entries["backbone"]
    if dataset.task != task.name:
        yield Fault("names", f"dataset {dataset.name} is of task {dataset.task}, not {task.name}", EDITED)
    for thing in (dataset, backbone):
        if thing.protocol != spec.protocol:
            yield Fault("names", f"{thing.name} belongs to protocol {thing.protocol}, not {spec.protocol}", EDITED)
    if not family_fits(task, backbone):
        yield Fault("names", f"{backbone.name} does not fit task {task.name}", EDITED)
    if own(method) and (reason := METHODS.get(method).skips.get(backbone.family)):
        yield Fault("names", f"{method} is not for {backbone.name}: {reason}", EDITED)


def _version(record: Record, installed: Protocol, backbone: Backbone) -> tuple[Protocol, bool, list[Found]]:
    for strategy in STRATEGIES:
        variant = replace(installed, strategy=strategy)
        if record.protocol_hash == variant.hash:
            said = f"the version of {installed.name} whose search is {strategy}, on a board of its own"
            return variant, True, [] if strategy == installed.strategy else [Note("protocol", said)]
    name = EARLIER.get(record.protocol_hash)
    if name is None and backbone.family == "sam2" and record.protocol_hash == replace(installed, mask="single").hash:
        name = EARLIER_SAM2
    stated = _restored(record.protocol) if name else None
    if stated is not None:
        return stated, False, [Note("protocol", f"of an earlier version, {name}; it joins no board of the installed one")]
    differs = [k for k, v in installed.resolved().items() if record.protocol.get(k) != v]
    differs += [k for k in record.protocol if k not in installed.resolved()]
    about = f" (other than installed: {', '.join(map(plain, differs[:6]))})" if differs else ""
    what = f"version {plain(record.protocol_hash[:8])} of {installed.name} is none that was ever installed{about}"
    return installed, True, [Fault("protocol", what, "run it again under the installed protocol")]


def _restored(value: dict) -> Protocol | None:
    """The protocol of a record whose hash is known. It lacks what came later."""
    kept = {f.name: value[f.name] for f in fields(Protocol) if f.name in value}
    try:
        parts = {"training": Training(**kept["training"]), "seeds": tuple(kept["seeds"]), "held_out": kept.get("held_out", False)}
        return Protocol(**{**kept, **parts})
    except (KeyError, TypeError):
        return None
