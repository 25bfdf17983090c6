"""Backbones: finding a checkpoint, checking it, building the model."""

from __future__ import annotations

import importlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.catalog import CLASSIFICATION, Backbone, Task
from benchmarks.errors import MissingData, some
from benchmarks.files import DISK_ERRORS, home, sha256
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
    """The sha256 that the weights must have: from the catalog, or from the card beside a shipped file. Raises MissingData for a
    damaged card."""
    if backbone.weights.sha256:
        return backbone.weights.sha256
    card = checkpoint(backbone).with_suffix(".json")
    try:
        pinned = json.loads(card.read_bytes())["sha256"]
        if not isinstance(pinned, str) or not re.fullmatch("[0-9a-f]{64}", pinned):
            raise ValueError("it states no sha256")
        return pinned
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise MissingData(f"{card} is damaged ({error}); install the package again") from None


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

    No code in a checkpoint is run: see `read_weights`. Where the builder's module has a function `convert(state: dict) -> dict`,
    what the file holds goes through it before it is loaded: publishers wrap or name their weights in other ways than the classes
    do. Every weight must then fit. Raises MissingData, in one line, for a file that holds something else.
    """
    name, function = backbone.build.split(":")
    module = importlib.import_module(name)
    make = getattr(module, function)
    model = (make(backbone.config) if backbone.config else make()).eval()
    if weights is not None:
        state, cure = read_weights(weights), f"get the file again: {command(backbone)}"
        try:
            state = module.convert(state) if hasattr(module, "convert") else state
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise MissingData(f"{weights} is not laid out as weights of {backbone.name} are ({_brief(error)}); {cure}") from None
        _fit(model, state, backbone, weights, cure)
    return model


def read_weights(path: Path) -> dict:
    """What a file of weights holds: safetensors, or torch's format by its `weights_only` reader, which calls nothing that the file
    names. Raises MissingData for a file that is damaged, or that asks for more than tensors and plain values."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        import torch

        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged zip or pickle raises nearly anything
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        raise MissingData(
            f"{path} cannot be read as weights, and no code in it is run ({_brief(error)}); get it from its publisher"
        ) from None


def _fit(model, state: object, backbone: Backbone, path: Path, cure: str) -> None:
    """Load the weights. Raises MissingData where one is missing, is too many, has another shape, or is not finite."""
    import torch

    def plain(t: object) -> bool:
        return isinstance(t, torch.Tensor) and t.layout is torch.strided and t.device.type == "cpu" and not t.is_quantized

    wanted = model.state_dict()
    if not isinstance(state, dict) or not all(isinstance(n, str) and plain(t) for n, t in state.items()):
        raise MissingData(f"{path} holds no weights by name; {cure}")
    faults = {
        "lacks": sorted(wanted.keys() - state.keys()),
        "has besides": sorted(state.keys() - wanted.keys()),
        "has another shape of": sorted(n for n in wanted.keys() & state.keys() if wanted[n].shape != state[n].shape),
        "has another kind of number in": sorted(
            n for n in wanted.keys() & state.keys() if wanted[n].is_floating_point() != state[n].is_floating_point()
        ),
        "has NaN or infinity in": sorted(n for n, t in state.items() if t.is_floating_point() and not t.isfinite().all()),
    }
    for what, names in faults.items():
        if names:
            raise MissingData(f"{path} is no checkpoint of {backbone.name}: it {what} {some(names)}; {cure}")
    model.load_state_dict(state)


def _brief(error: Exception) -> str:
    """The first sentence of an error: torch's go on for a page."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


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
