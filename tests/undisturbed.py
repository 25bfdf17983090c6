"""What the tests of faults and the long script of kills share: a small run in a process of its own, and what it must leave."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import records
from benchmarks.board.build import check
from benchmarks.data import generated
from benchmarks.protocols import PROTOCOLS
from chanswap.writing import UNFINISHED
from tests.small import few, small

IMPORTED = (
    *("torch", "torch.distributed", "peft", "segment_anything", "scipy.ndimage", "safetensors.torch", "pandas", "tabulate"),
    *(
        "benchmarks.stages.evaluate",
        "benchmarks.runner",
        "benchmarks.board.build",
        "benchmarks.backbones.sam",
        "benchmarks.backbones.sam_mini",
    ),
    *("benchmarks.cli.run", "benchmarks.methods.low_rank", "benchmarks.methods.decoder"),
    *("PIL.Image", "benchmarks.data.generated", "benchmarks.threads", "benchmarks.methods.base"),
)
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Home:
    """A home, a results folder and a leaderboard of their own."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def files(self) -> list[Path]:
        return [p for p in self.folder.rglob("*") if p.is_file() and not p.is_symlink()]

    def record(self) -> records.Record:
        (path,) = self.results.rglob("*.json")
        return records.read(path)


def prepared(folder: Path, images: Path) -> Home:
    """An empty home whose generated images are those of `images`."""
    place = Home(folder)
    place.home.mkdir(parents=True)
    (place.home / "data").symlink_to(images)
    return place


def shrink() -> None:
    """Make `mini-v1` very small and its search short for the rest of this process, but with an epoch to go on from."""
    generated.manifest = few  # 22 images in the place of 750
    protocol = small()
    PROTOCOLS._entries["mini-v1"] = replace(
        protocol, training=replace(protocol.training, epochs=2), search_images=1, keep=3, strategy="taylor"
    )


def timeless(record: records.Record) -> dict:
    """A record without its times, and without the state of the checkout: somebody may be working on it."""
    value = record.model_dump(mode="json", exclude={"started": True, "digest": True, "environment": {"commit", "dirty"}})
    value["stages"] = [stage["name"] for stage in value["stages"]]
    return value


def words(place: Home, method: str, *more: str) -> list[str]:
    call = ["run", "--task", "camo", "--method", method, "--threads", "1", "--device", "cpu"]
    return [*call, "--results", str(place.results), *more]


def begin(place: Home, method: str, *more: str, meddle: Callable[[], None] = lambda: None) -> int:
    """A run in a fork of this process, which has everything imported and one thread. `meddle` is called in it before. Its pid."""
    for name in IMPORTED:
        importlib.import_module(name)  # here, once for all forks
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        with open(place.folder / "said", "w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.environ["CHANSWAP_HOME"] = str(place.home)
        shrink()
        meddle()
        from benchmarks.cli import main

        code = main(words(place, method, *more))
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def end(pid: int, after: float | None = None) -> int:
    """Wait for a fork, or kill it after so many seconds. Its exit code, KILLED where it was killed."""
    until = None if after is None else time.monotonic() + after
    while True:
        done, status = os.waitpid(pid, 0 if until is None else os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
            until = None
        else:
            time.sleep(0.002)


def halves(place: Home) -> list[str]:
    """What lies under its final name and is not whole: records, stages, pages, swaps, weights."""
    faults = []
    for path in place.files():
        if path.name.endswith(UNFINISHED):
            continue  # nobody reads it
        try:
            if place.results in path.parents:
                records.read(path)
            elif path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".safetensors":
                from safetensors import safe_open

                with safe_open(path, framework="pt") as file:
                    file.keys()
            elif path.suffix == ".features":
                from chanswap import FeatureCache

                FeatureCache(path)
        except Exception as error:
            faults.append(f"{path.relative_to(place.folder)}: {type(error).__name__}: {error}")
    return faults


def faults(place: Home, wanted: dict) -> list[str]:
    """What a finished run left that is not as an undisturbed one leaves it."""
    found = halves(place) + [f"{p.relative_to(place.folder)} is left" for p in place.files() if p.name.endswith(UNFINISHED)]
    for name in ("epoch.safetensors", "train.features", "head.features"):
        found += [f"{p.relative_to(place.folder)} is left" for p in place.home.rglob(name)]
    found += [f"{p.name} is left" for p in place.home.rglob("journal*")]
    try:
        found += [f"the record differs in {key}" for key, value in timeless(place.record()).items() if value != wanted[key]]
    except Exception as error:
        found.append(f"no record: {type(error).__name__}: {error}")
    return found + check(place.results, place.folder / "leaderboard")
