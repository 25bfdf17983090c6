"""Less memory: work in smaller parts where it runs out, and activation checkpointing, a training step in less memory for the time
of a second forward pass of the encoder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks.backbones.anatomy import anatomy
from benchmarks.errors import RunFailed

log = logging.getLogger("benchmarks")
T = TypeVar("T")


def halving(work: Callable[[int], T], size: int, what: str, cure: str, fixed: bool = False) -> tuple[T, int]:
    """`work(size)`, and with half the size for as long as a GPU's memory runs out; the size that did it beside the answer.

    `work` must be such that it can be called again, and come to the same whatever the size. `what` is done `size` at a time, for the
    log. Raises RunFailed, which ends with the `cure`, where a single one does not fit, or where the size is `fixed` and does not.
    """
    while True:
        try:
            return work(size), size
        except torch.OutOfMemoryError as error:
            if size == 1 or fixed:
                asked = str(error).partition(". ")[0]
                raise RunFailed(f"the GPU's memory does not hold {what}, {size} at a time ({asked}); {cure}") from None
        # Outside the clause: the error holds on to what was computed.
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        size = size // 2
        log.warning("the GPU's memory ran out in %s; it goes on with %d at a time", what, size)


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
