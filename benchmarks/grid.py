"""A grid: tasks x datasets x backbones x methods x protocols x seeds, as its cells by name. Imports no torch.

Whatever goes together is a cell; a combination that cannot be meant (a dataset of another task or protocol, a backbone without what
the task needs) is none. Whether a cell can be run here is another matter, see `benchmarks.sweep.plans_of`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from benchmarks.catalog import BACKBONES, DATASETS, METHODS, SWAP, TASKS, Task, family_fits, split_method
from benchmarks.errors import UsageError, some
from benchmarks.protocol_choice import lacking
from benchmarks.protocols import PROTOCOLS, choose

ALL = "all"


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


Names = Annotated[list[Annotated[str, Field(strict=True, min_length=1)]], BeforeValidator(_listed), Field(min_length=1)]
Seeds = Annotated[
    list[Annotated[int, Field(strict=True, ge=0)] | Annotated[str, Field(pattern="^all$")]], BeforeValidator(_listed)
]
Seeds = Annotated[Seeds, Field(min_length=1)]


class Axes(BaseModel):
    """What is asked for along each axis; None is the default of `expand`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: Names | None = None
    datasets: Names | None = None
    backbones: Names | None = None
    methods: Names | None = None
    protocols: Names | None = None
    seeds: Seeds | None = None


class Grid(Axes):
    """Axes, further cells (`include`, whose missing axes are the grid's own) and cells to leave out (`exclude`: those that every axis
    named there matches, with * and ? as in file names). `strategy` of every search, in the place of the protocol's."""

    include: list[Axes] = []
    exclude: list[Axes] = []
    strategy: str | None = None


@dataclass(frozen=True, order=True)
class Cell:
    """A run by name. Ordered by protocol, task, dataset, backbone, method, seed."""

    protocol: str
    task: str
    dataset: str
    backbone: str
    method: str
    seed: int

    @property
    def model(self) -> tuple[str, ...]:
        """What runs with and without swap share."""
        return (self.protocol, self.dataset, self.backbone, self.method.removesuffix(SWAP), str(self.seed))


def expand(grid: Grid) -> list[Cell]:
    """The cells, each once. Defaults: all tasks, a task's first dataset and own backbone under its protocol, all methods without and with
    swap, protocol auto, the protocol's seeds. Raises UsageError for an unknown name, a name that is in no cell, an empty grid."""
    cells: dict[Cell, None] = dict.fromkeys(_cells(grid))
    for more in grid.include:
        given = {k: v for k, v in more if v is not None}
        axes = Axes(**{name: given.get(name, getattr(grid, name)) for name in Axes.model_fields})
        narrowed = {"datasets", "backbones", "tasks"} & given.keys()
        if narrowed:  # "datasets: kvasir" beside "tasks: camo" above means kvasir's own task
            others = {name: None for name in ("tasks", "datasets", "backbones", "protocols") if name not in given}
            axes = axes.model_copy(update=others)
        cells |= dict.fromkeys(_cells(axes))
    for k, less in enumerate(grid.exclude, 1):
        if not any(v is not None for _, v in less):
            raise UsageError(f"entry {k} of exclude names no axis and would leave nothing; name one, such as methods: encoder")
        left = {c: None for c in cells if not _matches(less, c)}
        if len(left) == len(cells):
            raise UsageError(f"entry {k} of exclude matches no cell; mend it or take it out")
        cells = left
    if not cells:
        raise UsageError("the grid is empty; leave out an exclude")
    return list(cells)


def _matches(axes: Axes, cell: Cell) -> bool:
    for name, wanted in axes:
        value = str(getattr(cell, name.removesuffix("s")))
        if wanted is not None and not any(w == ALL or fnmatchcase(value, str(w)) for w in wanted):
            return False
    return True


def _cells(axes: Axes) -> Iterable[Cell]:
    for registry, names in ((TASKS, axes.tasks), (DATASETS, axes.datasets), (BACKBONES, axes.backbones)):
        for name in names or ():
            if name != ALL:
                registry.get(name)
    for name in axes.protocols or ():
        if name not in (ALL, "auto"):
            PROTOCOLS.get(name)
    methods = _methods(axes.methods)
    tasks = _tasks(axes)
    found = [cell for task in tasks for cell in _of_task(TASKS.get(task), axes, methods)]
    for name in ("tasks", "datasets", "backbones", "protocols"):
        in_cells = {getattr(cell, name.removesuffix("s")) for cell in found}
        if lost := [v for v in getattr(axes, name) or () if v not in (ALL, "auto") and v not in in_cells]:
            own = f" (it belongs to {_belongs(name, lost[0])})" if name != "tasks" else ""
            raise UsageError(
                f"{some(lost)} of {name} goes with nothing else that is asked for{own}; see: python -m benchmarks list"
            )
    return found


def _belongs(axis: str, name: str) -> str:
    if axis == "datasets":
        return f"task {DATASETS.get(name).task} and protocol {DATASETS.get(name).protocol}"
    if axis == "backbones":
        return f"protocol {BACKBONES.get(name).protocol}, family {BACKBONES.get(name).family}"
    return f"tasks {', '.join(t for t, task in TASKS.items() if name in task.datasets)}"


def _methods(names: list[str] | None) -> list[str]:
    if names is None or ALL in names:
        return [m + s for m in METHODS for s in ("", SWAP)]
    for name in names:
        split_method(name)
    return list(dict.fromkeys(names))


def _tasks(axes: Axes) -> list[str]:
    """Those named; else those of the datasets named; else those that a backbone named fits; else all."""
    if axes.tasks is not None and ALL not in axes.tasks:
        return list(dict.fromkeys(axes.tasks))
    if axes.datasets is not None and ALL not in axes.datasets:
        wanted = {DATASETS.get(name).task for name in axes.datasets}
        return [name for name in TASKS if name in wanted]
    if axes.backbones is not None and ALL not in axes.backbones:
        return [n for n, task in TASKS.items() if any(family_fits(task, BACKBONES.get(b)) for b in axes.backbones)]
    return list(TASKS)


def _of_task(task: Task, axes: Axes, methods: list[str]) -> Iterable[Cell]:
    for protocol in _protocols(task, axes):
        rules = PROTOCOLS.get(protocol)
        datasets, backbones = _datasets(task, protocol, axes.datasets), _backbones(task, protocol, axes.backbones)
        seeds = rules.seeds if axes.seeds is None or ALL in axes.seeds else axes.seeds
        for dataset, backbone, method, seed in product(datasets, backbones, methods, dict.fromkeys(seeds)):
            yield Cell(protocol, task.name, dataset, backbone, method, seed)


def _protocols(task: Task, axes: Axes) -> list[str]:
    """The protocols of a task. "auto" is that of the datasets and backbones named, else `choose`'s."""
    named = axes.protocols or ["auto"]
    found = [p for p in task.datasets if ALL in named or p in named]
    if "auto" in named:
        tied = []
        for registry, names in ((DATASETS, axes.datasets), (BACKBONES, axes.backbones)):
            if names is not None and ALL not in names:
                things = [registry.get(name) for name in names]
                fit = [t for t in things if (t.task == task.name if registry is DATASETS else family_fits(task, t))]
                tied.append({t.protocol for t in fit})
        if tied:
            found += [p for p in task.datasets if all(p in protocols for protocols in tied)]
        else:
            found.append(choose("auto", {p: lacking(task, p) for p in task.datasets})[0].name)
    return list(dict.fromkeys(found))


def _datasets(task: Task, protocol: str, names: list[str] | None) -> list[str]:
    if names is None:
        return [task.datasets[protocol][0]]
    own = [n for n, d in DATASETS.items() if d.task == task.name and d.protocol == protocol]
    return [n for n in own if ALL in names or n in names]


def _backbones(task: Task, protocol: str, names: list[str] | None) -> list[str]:
    if names is None:
        return [task.backbones[protocol]]
    own = [n for n, b in BACKBONES.items() if b.protocol == protocol and family_fits(task, b)]
    return [n for n in own if ALL in names or n in names]
