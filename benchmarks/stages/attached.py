"""The backbone of a run with a method attached, before anything of the method is trained."""

from __future__ import annotations

import torch

from benchmarks import heads
from benchmarks.backbones.anatomy import encoder_names
from benchmarks.backbones.model import Model
from benchmarks.catalog import METHODS, SEGMENTATION
from benchmarks.errors import RunFailed
from benchmarks.methods import Attachment, freeze, trainable
from benchmarks.stages import head
from benchmarks.stages.workbench import Workbench


def attached(bench: Workbench, method: str) -> tuple[Model, Attachment]:
    """The backbone with a method attached, frozen but for what the method trains; built once. Raises RunFailed where the method does
    not train what it says."""
    if method not in bench.models:
        network = _network(bench)
        torch.manual_seed(bench.plan.seed)  # the adapter's own random start belongs to the seed
        chosen = METHODS.get(method)()
        attachment = chosen.attach(network)
        freeze(network, attachment)
        if not chosen.trains_encoder and (lost := sorted(set(attachment.names) & set(encoder_names(network)))):
            raise RunFailed(f"method {method} says trains_encoder = False but declares {', '.join(lost)}; leave out one of both")
        own, _ = trainable(network, attachment)
        if own != chosen.count(network):
            raise RunFailed(f"method {method} trains {own:,} parameters of its own but declares {chosen.count(network):,}")
        bench.models[method] = bench.as_model(network), attachment
    return bench.models[method]


def _network(bench: Workbench) -> torch.nn.Module:
    """The backbone with its weights, and with its trained head where the task has one. Nothing is attached."""
    p = bench.plan
    network = bench.build()
    if p.task.kind != SEGMENTATION:
        from safetensors.torch import load_file

        heads.attach(network, p.task, p.protocol, p.dataset.classes)
        network.head.load_state_dict(load_file(head.fitted(bench).files[head.WEIGHTS]))
    return network
