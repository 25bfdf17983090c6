"""Activation checkpointing: a training step in less memory, for the time of a second forward pass of the encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks.backbones.anatomy import anatomy


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Inside, the encoder's transformer blocks keep their inputs alone and are computed again in the backward pass.

    Gradients are the same up to rounding. Nothing here draws random numbers (models are trained in eval mode), so none are
    saved. On leaving, also by an exception, the blocks are as before.
    """
    blocks = [model.get_submodule(name) for name in anatomy(model).blocks]
    before = [vars(block).get("forward") for block in blocks]  # a method may have put one there
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        for block, forward in zip(blocks, before):
            del block.forward
            if forward is not None:
                block.forward = forward
