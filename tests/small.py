"""A protocol and datasets small enough for tests: the same code paths as `mini-v1` on a few images."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from benchmarks.protocols import PROTOCOLS
from benchmarks.small import small

__all__ = ["few", "home", "shrink", "small"]


def shrink() -> None:
    """Make `mini-v1` small for the rest of this process."""
    PROTOCOLS._entries["mini-v1"] = small()


@lru_cache
def few(dataset: str) -> dict:
    """A manifest of the first images of an embedded dataset, as many as `small` asks for: a whole split takes ten seconds to draw."""
    from benchmarks.data.generated import digest, generate

    counts = {"train": small().train_images, "test": small().test_images}
    return {"splits": {split: {"images": n, "sha256": digest(*generate(dataset, split, n))} for split, n in counts.items()}}


def home(folder: Path, images: Path | None = None) -> dict[str, str]:
    """The environment of a process whose home is `folder`, but for the generated images: they are those of the folder `images`, or
    of the session's home, so that a split is drawn once and not once a test."""
    images, own = images or Path(os.environ["CHANSWAP_HOME"]) / "data", folder / "data"
    images.mkdir(exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not own.exists():
        own.symlink_to(images)
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "CHANSWAP_HOME": str(folder)}
