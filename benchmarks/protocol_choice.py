"""Which protocol a run is under, by what is named and what is prepared on this machine."""

from __future__ import annotations

from benchmarks import backbones, data
from benchmarks.catalog import BACKBONES, DATASETS, Task
from benchmarks.errors import UsageError
from benchmarks.protocols import PROTOCOLS, Protocol, choose


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
