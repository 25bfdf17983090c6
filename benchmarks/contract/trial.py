"""One method on trial: the models, the training and the small run that the clauses of its contract look at, each made once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import backbones, data
from benchmarks.backbones.sam import Segmenter
from benchmarks.backbones.sam_decode import decode
from benchmarks.catalog import METHODS, SWAP, Backbone
from benchmarks.data.samples import Sample
from benchmarks.errors import some
from benchmarks.methods import Attachment, Method, freeze
from benchmarks.plan import Plan
from benchmarks.records import Record
from benchmarks.runner import run
from benchmarks.small import Place
from benchmarks.stages.train import trained
from benchmarks.stages.workbench import Workbench
from benchmarks.train import train

ALL_MASKS = slice(0, 4)


class Broken(Exception):
    """A clause is broken. The text says how, and what to mend."""


@dataclass(frozen=True)
class Watched:
    """A training, looked at after every optimiser step.

    largest: of each declared parameter the largest entry of any gradient, 0 where it got none. changed: other tensors that are
    not what they were, or that came or went. in_training: modules that were in training mode. asking: parameters that asked for
    a gradient. weights: the declared parameters after the last step.
    """

    weights: dict[str, Tensor]
    largest: dict[str, float]
    changed: tuple[str, ...]
    in_training: tuple[str, ...]
    asking: tuple[str, ...]
    losses: tuple[float, ...]


class Trial:
    """A method in a place. What its code raises comes through; a property that raised is tried again when it is next asked."""

    def __init__(self, name: str, place: Place, backbone: Backbone, weights: Path):
        self.name, self.place, self.backbone, self.weights = name, place, backbone, weights

    @cached_property
    def method(self) -> Method:
        return METHODS.get(self.name)()

    def bare(self) -> nn.Module:
        """A new model that nothing is attached to: a copy, which costs half of building one."""
        return copy.deepcopy(self._built)

    @cached_property
    def _built(self) -> nn.Module:
        return backbones.build(self.backbone, self.weights)

    def attached(self, seed: int = 1, precision: str = "float32") -> tuple[Segmenter, Attachment]:
        """A new model with the method attached and frozen as a run does it; `seed` is of the method's own random start."""
        sam = self.bare()
        torch.manual_seed(seed)
        attachment = self.method.attach(sam)
        if not isinstance(attachment, Attachment):
            raise Broken(f"attach returns {type(attachment).__name__}; return an Attachment")
        has = {name for name, _ in sam.named_parameters()}
        if unknown := [name for name in attachment.names if name not in has]:
            raise Broken(f"declared, but the model has no parameter of that name: {some(unknown)}")
        freeze(sam, attachment)
        return Segmenter(sam, precision=precision), attachment

    @cached_property
    def sample(self) -> Sample:
        return self.place.images["test/00000"]

    def outputs(self, segmenter: Segmenter) -> dict[str, Tensor]:
        """All that the model says of one image: features (1, C, h, w), logits of the four masks (1, 4, 4h, 4w), IoU (1, 4)."""
        with torch.inference_mode():
            features = segmenter.encode(segmenter.pixels(self.sample.image)[None]).site
            logits, scores = segmenter.logits(features, segmenter.item(self.sample), ALL_MASKS, iou_scores=True)
        return {"features": features, "mask logits": logits, "predicted IoU": scores}

    def score(self, segmenter: Segmenter) -> Tensor:
        """The metric (1,) of that image, as an evaluation asks for it."""
        with torch.inference_mode():
            features = segmenter.encode(segmenter.pixels(self.sample.image)[None]).site
            return segmenter.score(features, segmenter.item(self.sample))

    @cached_property
    def base(self) -> dict[str, Tensor]:
        return self.outputs(Segmenter(self.bare()))

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """What the outputs' gradient would flow into: names, or for a tensor that the model has not registered its shape."""
        segmenter, _ = self.attached()
        item, name_of = segmenter.item(self.sample), {id(p): name for name, p in segmenter.network.named_parameters()}
        with torch.enable_grad():
            features = segmenter.encode(segmenter.pixels(self.sample.image)[None]).site
            ends = decode(segmenter.network, features, item.sparse, item.dense, ALL_MASKS, iou=True)
        found = [name_of.get(id(leaf), f"an unregistered tensor of shape {tuple(leaf.shape)}") for leaf in _leaves(ends)]
        return tuple(sorted(found))

    @cached_property
    def training(self) -> Watched:
        """The training of the small run, by the suite's own loop."""
        p, (segmenter, attachment) = self.plan, self.attached()
        names, sam = set(attachment.names), segmenter.network
        before = {name: tensor.clone() for name, tensor in _tensors(sam)}
        largest, in_training, asking = dict.fromkeys(attachment.names, 0.0), set(), set()

        def look(_done: int = 0) -> None:
            in_training.update(name or "the model itself" for name, module in sam.named_modules() if module.training)
            for name, parameter in sam.named_parameters():
                if parameter.requires_grad:
                    asking.add(name)
                if name in names and parameter.grad is not None:
                    largest[name] = max(largest[name], float(parameter.grad.abs().max()))

        losses = self.fit(segmenter, p.train_ids, look) if names else []
        self.outputs(segmenter)
        look()
        after = dict(_tensors(sam))
        moved = {n for n in before.keys() & after.keys() if n not in names and not torch.equal(before[n], after[n])}
        changed = tuple(sorted(moved | (before.keys() ^ after.keys())))
        weights = {name: parameter.detach().clone() for name, parameter in sam.named_parameters() if name in names}
        return Watched(weights, largest, changed, tuple(sorted(in_training)), tuple(sorted(asking)), tuple(losses))

    def fit(self, segmenter: Segmenter, ids: list[str], look=lambda done: None) -> list[float]:
        """Train on these images for an epoch, features read from memory where a run would read them. Returns the loss."""
        samples, features = data.load(self.plan.dataset, "train", ids), None
        if not self.method.trains_encoder:
            with torch.no_grad():
                features = [segmenter.encode(segmenter.pixels(sample.image)[None]).of(0) for sample in samples]
        return train(segmenter, samples, self.plan.protocol.training, self.plan.seed, features, look)

    @cached_property
    def plan(self) -> Plan:
        return self.place.plan(self.name + SWAP)

    @cached_property
    def workbench(self) -> Workbench:
        """That of the small run after its train stage, the model that was trained still in memory."""
        bench = Workbench(self.plan, 1, self.weights)
        trained(bench)
        return bench

    def restored(self, seed: int) -> Segmenter:
        """A new model with the artefact of the small run loaded; `seed` is of the method's own random start."""
        from safetensors.torch import load_file

        segmenter, attachment = self.attached(seed)
        saved = load_file(trained(self.workbench).files["weights.safetensors"]) if attachment.names else {}
        with torch.no_grad():
            for name, parameter in segmenter.network.named_parameters():
                if name in saved:
                    parameter.copy_(saved[name])
        return segmenter

    @cached_property
    def record(self) -> Record:
        """What the small run leaves. Raises Broken where it fails."""
        return self._run(self.plan)

    @cached_property
    def plain_record(self) -> Record:
        """What the small run without swap leaves, which shares its training and needs no search. Raises Broken where it fails."""
        return self._run(self.place.plan(self.name))

    @cached_property
    def scores(self) -> dict[str, list[tuple[float, int]]]:
        """See `benchmarks.contract.oracle`."""
        from benchmarks.contract.oracle import recomputed

        return recomputed(self)

    def _run(self, plan: Plan) -> Record:
        record = run(plan, self.place.folder / f"{'swapped' if plan.swap else 'plain'}.json", 1)
        if record.status == "failed":
            raise Broken(f"the run fails: {record.error}")
        return record


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and every buffer, also those that no checkpoint holds."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def _leaves(ends: tuple[Tensor, ...]) -> list[Tensor]:
    """The tensors that a backward pass from `ends` would reach."""
    waiting, seen, found = [end.grad_fn for end in ends if end.grad_fn is not None], set(), []
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        waiting += [before for before, _ in node.next_functions if before is not None]
    return found
