"""A function compiled by `torch.compile`, with a working way on where that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch.utils._pytree import tree_map_only

log = logging.getLogger(__name__)


def compiled(function: Callable, device: torch.device) -> Callable:
    """`function` compiled for fixed shapes, on a GPU with CUDA graphs; each new shape is compiled anew. Where compiling raises (no
    compiler on the machine, an operator it does not know), that is said once and the function is run as it is from there on.
    Out of memory is the caller's, who makes the batch smaller."""
    # A graph's outputs are overwritten by its next run: they are copied before anyone else sees them.
    graphs = device.type == "cuda"
    quick = torch.compile(function, dynamic=False, mode="reduce-overhead" if graphs else None)
    state = {"run": quick}

    def call(*arguments):
        if state["run"] is function:
            return function(*arguments)
        try:
            if graphs:
                torch.compiler.cudagraph_mark_step_begin()
            found = quick(*arguments)
            return tree_map_only(torch.Tensor, torch.clone, found) if graphs else found
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            log.warning("the decoder cannot be compiled here (%s); it is run as it is", str(error).splitlines()[0][:200])
            state["run"] = function
            return function(*arguments)

    return call
