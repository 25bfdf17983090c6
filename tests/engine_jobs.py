"""Jobs for tests of the engines: functions of a module that a new interpreter finds. Imports nothing heavy."""

from __future__ import annotations

import os
import time
from pathlib import Path


def noted(path: str, value):
    """`value`, and a line in the file at `path` for each time that it was asked."""
    with open(path, "a") as file:
        file.write(f"{value}\n")
    return value


def total(start: int, found: dict[str, int]) -> int:
    return start + sum(found.values())


def fails() -> None:
    raise ValueError("no such channel\nand more")


def dies_at_first(path: str) -> int:
    noted(path, os.getpid())
    if len(Path(path).read_text().splitlines()) == 1:
        os._exit(9)  # as the kernel ends a process that took too much memory
    return 7


def dies(path: str) -> None:
    noted(path, os.getpid())
    os._exit(9)


def waits(path: str, seconds: float) -> int:
    noted(path, os.getpid())
    time.sleep(seconds)
    return 1


def setting(name: str) -> str | None:
    return os.environ.get(name)
