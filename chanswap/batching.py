"""How many versions of one image to score at a time, found by trying."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from chanswap.scoring import Scorer, score

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
WORSE = 2  # sizes in a row that are no faster end the trial: beyond the best, larger ones only take memory
FASTER = 0.97  # of the time of a smaller size that a larger one must come below: it is not taken for a measuring error


def fastest_batch(
    scorer: Scorer,
    candidates: Tensor,
    sizes: Sequence[int] = SIZES,
    *,
    wait: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """The batch size with which the scorer takes least time a candidate, tried on its first image from the smallest up.

    Each size scores `candidates` (P, K, 2), at least as many as itself, once to warm up and once by the clock. `wait` returns once
    the device has done what it was given. A size that runs out of memory ends the trial; the scorer would halve it anyway. Raises
    torch.OutOfMemoryError where even the smallest does not fit.
    """
    best, least, worse = None, float("inf"), 0
    for size in sizes:
        if best is not None and size > len(candidates):
            break
        tried = replace(scorer, batch=size, workers=1)
        some = candidates[: max(size, min(len(candidates), 4 * size))]
        try:
            with torch.inference_mode():
                for _ in range(2):
                    wait()
                    begun = clock()
                    score(tried, some, images=[0], halve=False)
                    wait()
                    spent = (clock() - begun) / len(some)
        except torch.OutOfMemoryError:
            if best is None:
                raise
            break
        if spent < FASTER * least:
            best, least, worse = size, spent, 0
        else:
            worse += 1
            if worse == WORSE:
                break
    return best
