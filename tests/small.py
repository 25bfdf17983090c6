"""A protocol small enough for tests: the same code paths as `mini-v1` on a few images."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.protocols import PROTOCOLS


def small():
    """`mini-v1` with a few images of each kind and one epoch."""
    protocol = PROTOCOLS.get("mini-v1")
    training = replace(protocol.training, epochs=1, batch=4)
    return replace(protocol, training=training, train_images=12, test_images=10, search_images=2, keep=4, random_draws=2)


def shrink() -> None:
    """Make `mini-v1` small for the rest of this process."""
    PROTOCOLS._entries["mini-v1"] = small()
