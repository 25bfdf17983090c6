"""A digest of the code that makes numbers: what is kept under one is never taken for the work of another."""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from importlib import metadata
from pathlib import Path

# Everything between the pixels and the scores. The command line, records and pages change no score.
PARTS = (
    "chanswap",
    "benchmarks/backbones",
    "benchmarks/data",
    "benchmarks/methods",
    "benchmarks/metrics",
    "benchmarks/encoded_cache.py",
    "benchmarks/heads.py",
    "benchmarks/losses.py",
    "benchmarks/stages",
    "benchmarks/train.py",
    "benchmarks/train_state.py",
    "benchmarks/memory.py",
    "benchmarks/parallel.py",
)
LIBRARIES = ("torch", "segment-anything", "sam2", "timm", "peft", "numpy", "scipy")


@lru_cache(maxsize=4)
def digest(*besides: str) -> str:
    """Hex digest of the parsed code (comments, docstrings and layout do not count) and of the libraries' versions; of the files
    `besides` too, relative to the checkout."""
    root = Path(__file__).parents[1]
    total = hashlib.sha256()
    for part in (*PARTS, *besides):
        place = root / part
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            tree = ast.parse(file.read_bytes())
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
                    node.body = node.body[1:]
            total.update(f"{file.relative_to(root).as_posix()} {ast.dump(tree)}\n".encode())
    for library in LIBRARIES:
        try:
            version = metadata.version(library)
        except metadata.PackageNotFoundError:
            version = None
        total.update(f"{library} {version}\n".encode())
    return total.hexdigest()[:16]
