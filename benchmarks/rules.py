"""The rules of a protocol that are implemented: a label in a record must be what was done."""

from __future__ import annotations

from benchmarks.catalog import CLASSIFICATION, DEPTH, SEGMENTATION, Backbone, Task
from benchmarks.errors import UsageError
from benchmarks.protocols import LOSSES, SINGLE_MASK, STRATEGIES, Protocol

# What a linear head can be, of each rule every value that is implemented.
_HEADS = {
    DEPTH: {
        "head": ("lin.1",),
        "head_loss": ("silog",),
        "head_optimiser": ("adamw",),
        "input": ("as it is", "as it is, padded around to a multiple of 14"),
        "crop": ("none", "eigen"),
    },
    CLASSIFICATION: {
        "head": ("linear on CLS",),
        "head_loss": ("cross-entropy + l2 of the weights",),
        "head_optimiser": ("lbfgs",),
        "input": ("as it is", "resized, bicubic"),
    },
}


def check_rules(task: Task, protocol: Protocol, backbone: Backbone) -> None:
    """Raise UsageError for a rule of a protocol that nothing here implements."""
    known = {"strategy": STRATEGIES, "held_out": (True,), "epoch": ("last",), "metric": task.metrics[:1]}
    if task.kind == SEGMENTATION:
        mask = SINGLE_MASK[backbone.family]
        known |= {"prompt": ("interior",), "mask": (mask,), "empty_union": (1.0,), "image_size": (backbone.size,)}
    heads = _HEADS.get(task.kind, {})
    rules = {
        **{name: getattr(protocol, name) for name in known},
        **{name: protocol.rules.get(name) for name in heads},
        "loss": protocol.training.loss,
        "optimiser": protocol.training.optimiser,
    }
    for name, options in {**known, **heads, "loss": (LOSSES[task.kind],), "optimiser": ("adam",)}.items():
        if rules[name] not in options:
            only = " or ".join(map(repr, options))
            raise UsageError(f"protocol {protocol.name} asks for {name} {rules[name]!r}; here is only {only}")
