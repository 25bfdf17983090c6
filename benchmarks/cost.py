"""What a stage cost: wall-clock seconds and peak memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.device import synchronise


class Cost:
    """Filled when the block ends. Memory in MB of 2^20 bytes, None where the system does not tell."""

    seconds: float = 0.0
    peak_memory_mb: float | None = None
    peak_gpu_mb: float | None = None


@contextmanager
def measured(device: str) -> Iterator[Cost]:
    """Measure a block. On Linux the process's peak is reset first, so that it is the block's own."""
    cost, gpu = Cost(), device.startswith("cuda")
    _reset_peak()
    if gpu:
        import torch

        synchronise(device)
        torch.cuda.reset_peak_memory_stats(device)
    begun = time.perf_counter()
    try:
        yield cost
    finally:
        if gpu:
            synchronise(device)
            cost.peak_gpu_mb = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
        cost.seconds = round(time.perf_counter() - begun, 3)
        cost.peak_memory_mb = _peak()


def _reset_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # resets the high-water mark of resident memory, see proc(5)
    except OSError:
        pass


def _peak() -> float | None:
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
