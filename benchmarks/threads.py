"""How many threads torch gets, and how they wait. Must be called before torch is imported.

OpenMP's threads meet at a barrier after every operation. By default they wait there in a busy loop; beside another process
that wants the same core, each barrier then costs a scheduler's slice, and a 9 ms step takes 800. Waiting passively costs
microseconds instead. A search has no barriers at all: its workers are threads with one intra-op thread each.
"""

from __future__ import annotations

import os
import time


def usable_cores() -> int:
    """Processors that this process may run on: its affinity, and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or the quota is "max"
        return cores


def busy_cores(window: float = 0.1) -> float:
    """Processors kept busy by others over `window` seconds, as a fraction; 0 where the system does not tell."""

    def reading() -> tuple[int, int]:
        with open("/proc/stat") as file:
            rows = [line.split() for line in file if line.startswith("cpu") and line[3].isdigit()]
        mine = os.sched_getaffinity(0)
        numbers = [[int(x) for x in row[1:9]] for row in rows if int(row[0][3:]) in mine]
        return sum(map(sum, numbers)), sum(row[3] + row[4] for row in numbers)  # all, idle + waiting for a disk

    try:
        total, idle = reading()
        time.sleep(window)
        total2, idle2 = reading()
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    span = total2 - total
    return (1 - (idle2 - idle) / span) * len(os.sched_getaffinity(0)) if span > 0 else 0.0


def wait_passively() -> None:
    """Tell OpenMP not to spin at its barriers. Before torch is imported, by whoever may import it first."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")  # the same for Intel's OpenMP


def choose(asked: int | None = None) -> int:
    """Threads for this process, and OpenMP told to wait passively.

    `asked` (--threads) or OMP_NUM_THREADS is taken as it is; otherwise the cores that nobody else keeps busy, at least one.
    """
    wait_passively()
    given = asked or os.environ.get("OMP_NUM_THREADS", "")
    if str(given).isdigit() and int(given) > 0:
        threads = int(given)
    else:
        threads = max(1, usable_cores() - round(busy_cores()))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    return threads
