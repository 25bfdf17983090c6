"""The dataset manifests under `datasets/`: what a dataset is, where it comes from, and the sha256 of its splits."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.errors import MissingData


def cards() -> Path:
    """The folder of dataset cards and manifests, `datasets/` beside the packages."""
    return Path(__file__).parents[2] / "datasets"


def manifest(dataset: str) -> dict:
    """The dataset's manifest. Raises MissingData where this checkout lacks it."""
    path = cards() / dataset / "manifest.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise MissingData(f"{path}: {error}; restore it from the repository") from None
