"""Which device a run uses."""

from __future__ import annotations

import glob
import sys

from benchmarks.errors import UsageError


def resolve(asked: str) -> str:
    """ "cpu", "cuda:N" or "mps" for --device auto|cpu|cuda[:N]|mps. Imports torch only where a GPU may be there.

    Raises UsageError for a device that this machine does not have.
    """
    if asked == "cpu" or (asked == "auto" and sys.platform == "linux" and not glob.glob("/dev/nvidia[0-9]*")):
        return "cpu"
    kind, _, number = asked.partition(":")
    if kind not in ("auto", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise UsageError(f"unknown device {asked!r}; choose auto, cpu, cuda, cuda:N or mps")
    import torch

    if kind in ("auto", "cuda") and torch.cuda.is_available():
        index = int(number or 0)
        if index < torch.cuda.device_count():
            return f"cuda:{index}"
        raise UsageError(f"there is no {asked}; this machine has {torch.cuda.device_count()} GPUs, cuda:0 the first")
    if kind in ("auto", "mps") and torch.backends.mps.is_available():
        return "mps"
    if kind == "auto":
        return "cpu"
    raise UsageError(f"torch finds no {kind} device here; use --device cpu, or see: python -m benchmarks doctor")


def synchronise(device: str) -> None:
    """Wait until a GPU has done what it was given: before a clock is read."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def name(device: str) -> str:
    """The device's own name, for records: times of different devices never share a column."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    if device == "mps":
        return "Apple GPU (mps)"
    import platform

    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"CPU {model}"
