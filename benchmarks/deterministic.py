"""`--deterministic`: the same numbers to the bit from the same command on one machine, its libraries being the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def before_torch() -> None:
    """What a GPU's libraries read when they start: cuBLAS repeats itself with workspaces of a fixed size alone."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Inside, torch chooses among algorithms by no clock, and takes those that come to the same each time; it raises RuntimeError
    where an operation has none. Nothing changes where it is not `wanted`."""
    if not wanted:
        yield
        return
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    before_torch()
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before[1:]
