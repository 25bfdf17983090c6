"""Backbones: finding a checkpoint, checking it, building the model."""

from __future__ import annotations

import importlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.catalog import CLASSIFICATION, Backbone, Task
from benchmarks.errors import MissingData
from benchmarks.files import home, sha256
from benchmarks.options import Decoding

if TYPE_CHECKING:
    from benchmarks.backbones.model import Model
    from benchmarks.protocols import Protocol

RANDOM = "random weights, seed 0"
AS_USUAL = Decoding()
SHIPPED = Path(__file__).parent / "checkpoints"


def checkpoint(backbone: Backbone) -> Path:
    """Where the backbone's weights are, or belong."""
    return (SHIPPED if backbone.weights.shipped else home() / "weights") / backbone.weights.file


def pinned_sha256(backbone: Backbone) -> str:
    """The sha256 that the weights must have: from the catalog, or from the card beside a shipped file."""
    return backbone.weights.sha256 or json.loads(checkpoint(backbone).with_suffix(".json").read_text())["sha256"]


def command(backbone: Backbone) -> str:
    """The command that brings the weights here."""
    return f"python -m benchmarks weights fetch {backbone.name}"


def lacking(backbone: Backbone) -> str | None:
    """None where the weights' file is there, else what to do. The content is checked when it is loaded."""
    if backbone.weights.random:
        return None
    path = checkpoint(backbone)
    if path.is_file():
        return None
    if backbone.weights.shipped:
        return f"{path} is missing from this installation; install the package again"
    return f"the weights of {backbone.name} are missing; run: {command(backbone)} (downloads {backbone.weights.url} to {path})"


def verified_checkpoint(backbone: Backbone) -> tuple[Path | None, str]:
    """The weights' file and its sha256, checked; None and what they are for random ones. Raises MissingData for a missing or
    damaged file."""
    if backbone.weights.random:
        return None, f"{RANDOM}, {backbone.name}"  # two backbones' are not the same
    if reason := lacking(backbone):
        raise MissingData(reason)
    path = checkpoint(backbone)
    stat = path.stat()
    found, pinned = _sha256(path, stat.st_mtime_ns, stat.st_size), pinned_sha256(backbone)
    if found != pinned:
        cure = "install the package again" if backbone.weights.shipped else f"delete it, then run: {command(backbone)}"
        raise MissingData(f"{path} is damaged: sha256 {found[:12]}..., expected {pinned[:12]}...; {cure}")
    return path, found


def build(backbone: Backbone, weights: Path | None):
    """The backbone's model on the CPU in eval mode. `weights` None builds it with random weights, for tests alone.

    No checkpoint is unpickled: safetensors, or torch's `weights_only` reader. Where the builder's module has a function
    `convert(state: dict) -> dict`, what the file holds goes through it before it is loaded: publishers wrap or name their
    weights in other ways than the classes do. Every weight must then fit: load_state_dict's RuntimeError is not caught.
    """
    name, function = backbone.build.split(":")
    module = importlib.import_module(name)
    make = getattr(module, function)
    model = (make(backbone.config) if backbone.config else make()).eval()
    if weights is not None:
        if weights.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(weights)
        else:
            import torch

            state = torch.load(weights, map_location="cpu", weights_only=True)
        model.load_state_dict(module.convert(state) if hasattr(module, "convert") else state)
    return model


def as_model(
    backbone: Backbone,
    network,
    task: Task,
    protocol: Protocol,
    device: str = "cpu",
    precision: str = "float32",
    decoding: Decoding = AS_USUAL,
) -> Model:
    """The network, adapted or not, as a run of a task needs it."""
    model = _as_model(backbone, network, task, protocol, device, precision)
    model.decoding = decoding
    return model


def _as_model(backbone: Backbone, network, task: Task, protocol: Protocol, device: str, precision: str) -> Model:
    if backbone.family == "sam":
        from benchmarks.backbones.sam import Segmenter

        return Segmenter(network, device=device, precision=precision, metrics=task.metrics)
    if backbone.family == "sam2":
        from benchmarks.backbones.sam2 import Segmenter2

        return Segmenter2(network, device=device, precision=precision, metrics=task.metrics)
    from benchmarks.backbones.dinov2 import Classifier, DepthModel

    kind = Classifier if task.kind == CLASSIFICATION else DepthModel
    return kind(network, protocol, device, precision)


@lru_cache(maxsize=8)
def _sha256(path: Path, modified: int, size: int) -> str:
    """Read again only when the file has changed."""
    return sha256(path)
