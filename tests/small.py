"""A protocol small enough for tests: the same code paths as `mini-v1` on a few images."""

from __future__ import annotations

from benchmarks.protocols import PROTOCOLS
from benchmarks.small import small

__all__ = ["shrink", "small"]


def shrink() -> None:
    """Make `mini-v1` small for the rest of this process."""
    PROTOCOLS._entries["mini-v1"] = small()
