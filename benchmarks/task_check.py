"""Every dataset with every backbone that fits it, run once at the models' true size: random weights, fixture data, two test images."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.catalog import BACKBONES, DATASETS, TASKS, Dataset, Weights, family_fits
from benchmarks.errors import BenchmarkError, UsageError
from benchmarks.protocols import PROTOCOLS, Protocol

if TYPE_CHECKING:
    from benchmarks.plan import Plan
    from benchmarks.stages.workbench import Workbench

LIMIT = 2
FIXTURE = "fixture data"
TIER = "community"
STAND_INS = ("sam-mini", "sam2-mini", "dino-mini")  # one a family


@dataclass(frozen=True)
class Cell:
    """A dataset with a backbone, which may be the small sibling that stands in for a family."""

    dataset: str
    backbone: str

    @property
    def name(self) -> str:
        return f"{self.dataset}:{self.backbone}"


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: `fault` is None where it left a valid record that no board takes. Memory in MiB of the process."""

    cell: Cell
    fault: str | None
    seconds: float
    peak_memory_mb: float | None


def cells(small: bool = False) -> list[Cell]:
    """Every cell, those of one backbone together, since they share its weights and its features of equal images."""
    found = []
    for name in STAND_INS if small else BACKBONES:
        backbone = BACKBONES.get(name)
        for of, dataset in DATASETS.items():
            fits = family_fits(TASKS.get(dataset.task), backbone)
            wanted = dataset.source == "official" if small else dataset.protocol == backbone.protocol
            if fits and wanted:
                found.append(Cell(of, name))
    return found


def chosen(names: list[str], small: bool = False) -> list[Cell]:
    """The cells of these datasets, backbones or DATASET:BACKBONE. Raises UsageError for a name that has none."""
    every, found = cells(small), []
    for name in names:
        of = [c for c in every if name in (c.dataset, c.backbone, c.name)]
        if not of:
            known = ", ".join(dict.fromkeys([c.dataset for c in every] + [c.backbone for c in every]))
            if small and (name in BACKBONES or name in DATASETS):
                raise UsageError(
                    f"{name} is not among the --small cells, which are the official datasets with {', '.join(STAND_INS)}; "
                    f"leave --small out, or choose from: {known}"
                )
            raise UsageError(f"no cell {name!r}; name a dataset, a backbone or DATASET:BACKBONE of these: {known}")
        found += [c for c in of if c not in found]
    return sorted(found, key=every.index)


def examine(wanted: list[Cell], threads: int, keep: Path | None = None) -> Iterator[Outcome]:
    """Run each cell in a temporary folder, one after the other. The user's cache is neither read nor written. Records are left in
    `keep` where it is given."""
    from benchmarks import records
    from benchmarks.board.collect import fault
    from benchmarks.runner import run
    from benchmarks.small import Place

    with tempfile.TemporaryDirectory(prefix="chanswap-") as folder:
        place, backbone, workbench = Place(Path(folder), {}), None, None
        for cell in wanted:
            begun, memory = time.perf_counter(), None
            if backbone != cell.backbone:
                backbone, workbench = cell.backbone, _sharing()
            try:
                with place.inside(), ExitStack() as stack:
                    p = _plan(cell, stack, Path(folder))
                    path = (keep or Path(folder) / "results") / TIER / p.file_name
                    record = run(p, path, threads, workbench)
                memory = max((s.peak_memory_mb or 0 for s in record.stages), default=None)
                wrong = record.error
                if wrong is None and not fault(records.read(path), TIER):  # read again, as a board does
                    wrong = f"a board takes the record; its marks are {record.marks}"
            except BenchmarkError as error:
                wrong = str(error)
            yield Outcome(cell, wrong, time.perf_counter() - begun, memory)


def _plan(cell: Cell, stack: ExitStack, home: Path) -> Plan:
    from benchmarks.plan import Request, plan

    dataset = DATASETS.get(cell.dataset)
    protocol, backbone = PROTOCOLS.get(dataset.protocol), BACKBONES.get(cell.backbone)
    marks: tuple[str, ...] = ()
    if dataset.source == "official":
        marks = (FIXTURE,)
        _write(dataset, home / "data" / dataset.name)
        if not backbone.weights.shipped:
            backbone = replace(backbone, weights=Weights("none", None, random=True))
        protocol = replace(protocol, image_size=backbone.size)
        backbone = replace(backbone, protocol=protocol.name)
    stack.enter_context(PROTOCOLS.temporarily(protocol.name, _short(protocol)))
    stack.enter_context(BACKBONES.temporarily(backbone.name, backbone))
    request = Request(dataset.task, "base+swap", protocol.name, dataset.name, backbone.name, LIMIT, device="cpu", marks=marks)
    return plan(request, 0)


def _short(protocol: Protocol) -> Protocol:
    """The protocol with a search that takes seconds; its hash is another, so its records join no others."""
    return replace(
        protocol,
        search_images=1,
        keep=2,
        strategy="random",
        random_draws=1,
        rules={"search_budget": 8, "head_epochs": 1},
    )


def _write(dataset: Dataset, root: Path) -> None:
    """A few drawn images in the dataset's own layout: the same for every dataset of a kind, so that features can be shared."""
    from benchmarks.data import fixtures

    if not root.exists():
        task = TASKS.get(dataset.task)
        train, test = fixtures.drawn(task.kind, 6, dataset.classes), fixtures.drawn(task.kind, LIMIT, dataset.classes, 6)
        fixtures.write(dataset.name, root, train, test)


def _sharing() -> type[Workbench]:
    """A workbench for the cells of one backbone: one network, and the features of each image that it has seen."""
    import torch

    from benchmarks.backbones.model import Encoded
    from benchmarks.stages.workbench import Workbench

    network: list[torch.nn.Module] = []
    seen: dict[tuple, Encoded] = {}

    class Sharing(Workbench):
        def build(self):
            if not network:
                network.append(super().build())
            return network[0]

        def encode(self, model, pixels):
            parts = []
            for one in pixels:
                key = self.plan.task.kind, one.shape, hashlib.sha256(one.cpu().numpy().tobytes()).digest()
                if key not in seen:
                    seen[key] = super().encode(model, [one])
                parts.append(seen[key])
            return Encoded.joined(parts)

    return Sharing
