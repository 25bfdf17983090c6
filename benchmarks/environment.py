"""Where a run happened: versions, commit, device. Nothing here may fail a run; what is not to be had is None."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from benchmarks import device as devices
from benchmarks.records import Environment

PACKAGES = (
    "torch",
    "torchvision",
    "segment-anything",
    "sam2",
    "timm",
    "datasets",
    "peft",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
)
# Changes of these make a tree dirty; results and pages, which runs themselves write, do not.
_CODE = ("chanswap", "benchmarks", "datasets", "pyproject.toml")


def project_root() -> Path:
    """The checkout that this code runs from, or the working folder where it is installed without one."""
    root = Path(__file__).parents[1]
    return root if (root / "results").is_dir() else Path.cwd()


def versions() -> dict[str, str | None]:
    """Installed versions, read from metadata without importing anything."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def git(*words: str) -> str | None:
    """What git says in the project's root, or None without git, without a repository, or after ten seconds."""
    try:
        done = subprocess.run(["git", "-C", str(Path(__file__).parents[1]), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def changes() -> str | None:
    """Uncommitted changes of the code, protocols and data cards, a line each; "" for none, None where git does not tell."""
    return git("status", "--porcelain", "--", *_CODE)


def device_name(device: str) -> str:
    """As `benchmarks.device.name` has it, or the kind alone: a driver that fails to answer must not cost the run."""
    try:
        return devices.name(device)
    except Exception:
        return device


def environment(device: str, precision: str, threads: int) -> Environment:
    changed = changes()
    return Environment(
        commit=git("rev-parse", "HEAD"),
        dirty=None if changed is None else bool(changed),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device_name(device),
        precision=precision,
        threads=threads,
        packages=versions(),
    )
