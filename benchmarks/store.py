"""The store of finished stages: each under the hash of what made it, checked when it is read."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.claims import claimed
from benchmarks.files import home, sha256, write_atomically
from benchmarks.hashes import hash_of
from benchmarks.remote import remote

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One stage to be done: its name, what decides its result, and from these its key."""

    stage: str
    inputs: dict[str, Any]

    @property
    def key(self) -> str:
        return hash_of({"stage": self.stage, **self.inputs})

    @property
    def folder(self) -> Path:
        return home() / "stages" / self.stage / self.key[:24]


@dataclass(frozen=True)
class Kept:
    """A finished stage: its result, what it cost, and the files it left."""

    result: dict[str, Any]
    cost: dict[str, Any]
    files: dict[str, Path] = field(default_factory=dict)


def kept(job: Job) -> Kept | None:
    """The finished stage, from here or else from the shared store, or None. A damaged one is reported and removed, so that it is
    done again."""
    found = _kept(job)
    if found is None and (shared := remote()) and shared.pull(job):
        found = _kept(job)
    return found


def there(job: Job) -> bool:
    """Whether a finished stage seems to be kept, here or in the shared store: for a plan of thousands. No file is read whole."""
    shared = remote()
    return (job.folder / "stage.json").is_file() or bool(shared and shared.has(job))


def _kept(job: Job) -> Kept | None:
    path = job.folder / "stage.json"
    try:
        value = json.loads(path.read_bytes())
        whole = value["key"] == job.key and value.pop("check") == _check(value)  # first: the names of files are then ours
        if whole and all(sha256(job.folder / n) == digest for n, digest in value["files"].items()):
            return Kept(value["result"], value["cost"], {n: job.folder / n for n in value["files"]})
    except (FileNotFoundError, NotADirectoryError):
        if not path.exists():
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    log.warning("the kept stage %s in %s is damaged; it is done again", job.stage, job.folder)
    shutil.rmtree(job.folder, ignore_errors=True)
    return None


def keep(job: Job, result: dict[str, Any], cost: dict[str, Any], files: tuple[str, ...] = ()) -> Kept:
    """Keep a finished stage. `files` name what the stage wrote into `job.folder`; stage.json comes last and makes it count."""
    digests = {name: sha256(job.folder / name) for name in files}
    value = {"stage": job.stage, "key": job.key, "inputs": job.inputs, "result": result, "cost": cost, "files": digests}
    value = json.loads(json.dumps(value))  # as it will be read: the check is over tuples as lists
    value["check"] = _check(value)
    write_atomically(job.folder / "stage.json", json.dumps(value, indent=1) + "\n")
    if shared := remote():
        shared.push(job, files)
    return Kept(result, cost, {name: job.folder / name for name in files})


def _check(value: dict[str, Any]) -> str:
    """Over all that stage.json says: a flipped digit of a score reads as well as the score."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def alone(job: Job) -> Iterator[None]:
    """Wait until no other process is at this stage, of this machine or of those that share the home or the store, and keep others
    waiting inside. A killed one lets go. See `benchmarks.claims`."""
    shared = remote()
    place = f"{shared.url.rstrip('/')}/claims/{job.stage}" if shared else None
    with claimed(job.folder.parent, job.folder.name, f"the stage {job.stage}", place):
        yield


@contextmanager
def alone_with(record: str) -> Iterator[None]:
    """The same for a whole run, by the name of its record's file: whoever comes second finds the record."""
    name, shared = hash_of(record)[:24], remote()
    with claimed(home() / "running", name, f"the run {record}", f"{shared.url.rstrip('/')}/claims/running" if shared else None):
        yield


def discard(job: Job) -> None:
    """Remove a stage, its journals included, here and from the shared store, once no other process is at it: what it is writing must not
    go from under it. Not to be called inside `alone`."""
    with alone(job):
        shutil.rmtree(job.folder, ignore_errors=True)
        if shared := remote():
            shared.discard(job)
