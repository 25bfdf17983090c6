"""`Workbench`: what the stages of one run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from benchmarks import backbones, data, store
from benchmarks.backbones.model import Encoded, Model
from benchmarks.cost import measured
from benchmarks.environment import device_name
from benchmarks.memory import halving
from benchmarks.methods import Attachment
from benchmarks.options import LEANER
from benchmarks.plan import Plan
from benchmarks.records import Stage
from chanswap.writing import clear

PIXELS = 3 * 1024 * 1024  # numbers that go through the encoder together: one image of SAM's size, all eight small ones
T = TypeVar("T")


@dataclass
class Workbench:
    """The plan, the threads, the file of the backbone's weights (None: random ones), and what the stages have left so far: the cost
    of each, models by method, and features of test images by method and first of a batch."""

    plan: Plan
    threads: int
    weights: Path | None
    costs: list[Stage] = field(default_factory=list)
    models: dict[str, tuple[Model, Attachment]] = field(default_factory=dict)
    encoded: dict[tuple[str, int], Encoded] = field(default_factory=dict)
    _most: dict[str, int] = field(default_factory=dict)  # the largest batches that a GPU's memory held, where it ran out

    @property
    def workers(self) -> int:
        """Images that are worked on at once: one a thread on the CPU, one on any other device."""
        return self.threads if self.plan.device == "cpu" else 1

    def stage(self, name: str, job: store.Job, work: Callable[[], dict], files: tuple[str, ...] = ()) -> store.Kept:
        """Do a stage or read the kept one; note its cost either way."""
        with store.alone(job):  # another process that is at it is waited for, and its result read
            if found := store.kept(job):
                self._note(name, found.cost, cached=True)
                return found
            data.prepare(self.plan.dataset, "test" if job.stage == "evaluate" else "train")  # before the clock runs
            clear(job.folder)  # what a killed call was writing
            with measured(self.plan.device) as cost:
                result = work()
            spent = {
                "seconds": round(cost.seconds + result.pop("seconds_before", 0.0), 3),
                "threads": self.threads,
                "peak_memory_mb": cost.peak_memory_mb,
                "peak_gpu_mb": cost.peak_gpu_mb,
                "device": device_name(self.plan.device),
            }
            self._note(name, spent, cached=False)
            return store.keep(job, result, spent, files)

    def _note(self, name: str, cost: dict, cached: bool) -> None:
        if name not in {c.name for c in self.costs}:
            device = cost.get("device")  # a home may be shared by machines, whose times are never compared
            other = device if device != device_name(self.plan.device) else None
            self.costs.append(Stage(**cost | {"name": name, "cached": cached, "device": other}))

    def build(self) -> torch.nn.Module:
        """The backbone with its weights, new. Random ones are the same each time."""
        if self.weights is None:
            torch.manual_seed(0)
        return backbones.build(self.plan.backbone, self.weights)

    def as_model(self, network: torch.nn.Module) -> Model:
        """A network as the stages use it: on the plan's device, in its precision, with the task's prompts or head."""
        p = self.plan
        return backbones.as_model(p.backbone, network, p.task, p.protocol, p.device, p.precision, p.decoding)

    def encode(self, model: Model, pixels: list[Tensor]) -> Encoded:
        """The encoder on images of one batch, smaller ones where they are large (a batch of eight at 1024 takes gigabytes) or where
        memory runs out."""
        parts = self.fitting(
            "encoder",
            lambda some: [model.encode(torch.stack(pixels[k : k + some])) for k in range(0, len(pixels), some)],
            max(1, min(len(pixels), PIXELS // pixels[0].numel())),
            "images in the encoder",
        )
        return Encoded.joined(parts)

    def fitting(self, name: str, work: Callable[[int], T], size: int, what: str) -> T:
        """`work` of the largest batch that a GPU's memory holds, `size` or less, see `halving`; what does not fit once is not tried
        again under this `name`."""
        size = min(size, self._most.get(name, size))
        made, fits = halving(work, size, what, f"{LEANER}, or end what else runs on the GPU", self.plan.deterministic)
        if fits < size:
            self._most[name] = fits
            self.encoded.clear()  # kept to save time, where there is room
        return made
