"""How long a search has taken over all the calls that worked at it, in a small file beside its journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.files import write_atomically

EVERY = 1.0  # seconds between two writes; what a killed call loses of its time
Shown = Callable[[str, int, int], None]  # of progress: the stage, how much is done, of how much


def clocked(path: Path, show: Shown) -> Shown:
    """`show`, which also keeps in the file how many seconds have passed since now, on top of those that are there."""
    before, begun, last = seconds(path), time.perf_counter(), 0.0

    def told(stage: str, done: int, total: int) -> None:
        nonlocal last
        show(stage, done, total)
        now = time.perf_counter()
        if done >= total or now - last >= EVERY:
            write_atomically(path, f"{before + now - begun:.3f}\n")
            last = now

    return told


def seconds(path: Path) -> float:
    """What a file says; none where it is missing or damaged."""
    try:
        return max(0.0, float(path.read_text()))
    except (OSError, ValueError):
        return 0.0
