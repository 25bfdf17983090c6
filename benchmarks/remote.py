"""A store that several machines share, by a URL: stages and records go up and come down under their keys. Imports no torch.

`--store URL`, or $CHANSWAP_STORE, names a folder in anything that fsspec opens: s3://bucket/chanswap, gs://..., file:///shared. The
home folder stays the place where stages are made and read; the store is asked for what the home lacks. Nothing that comes from it
is believed: a stage's files are checked against the sha256 that it names, a record against its schema and its run.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import UsageError
from benchmarks.files import sha256

if TYPE_CHECKING:
    from benchmarks.store import Job

log = logging.getLogger("benchmarks")
NAMED = "CHANSWAP_STORE"


@lru_cache(maxsize=64)
def opened(url: str):
    """(file system, path) of a URL or path. Raises UsageError for one that nothing here opens."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{url} cannot be opened: {error}") from None


@dataclass(frozen=True)
class Remote:
    """The store at a URL. What cannot be read from it counts as not there, and what cannot be written is said and stays here."""

    url: str

    def usable(self) -> None:
        """Write and remove a small file. Raises UsageError where that fails."""
        opened(self.url)
        fs, path = self._at(f".tried-{os.getpid()}")
        try:
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(path, b"")
            fs.rm_file(path)
        except Exception as error:  # of whatever library is behind the URL
            raise UsageError(f"{self.url} cannot be written ({type(error).__name__}: {error}); name another --store") from None

    def has(self, job: Job) -> bool:
        return self._read(f"{_folder(job)}/stage.json") is not None

    def pull(self, job: Job) -> bool:
        """Bring a finished stage into the home, whole or not at all. Whether it is there now."""
        content = self._read(f"{_folder(job)}/stage.json")
        if content is None:
            return False
        try:
            value = json.loads(content)
            digests = dict(value["files"])
            if value["key"] != job.key or any(Path(name).name != name for name in digests):
                raise ValueError("it is another stage's")
            job.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=job.folder, prefix=".pull-") as place:
                for name, digest in digests.items():
                    fs, path = self._at(f"{_folder(job)}/{name}")
                    fs.get_file(path, str(Path(place) / name))
                    if sha256(Path(place) / name) != digest:
                        raise ValueError(f"{name} is damaged")
                (Path(place) / "stage.json").write_bytes(content)
                for name in (*digests, "stage.json"):  # the last makes it count
                    os.replace(Path(place) / name, job.folder / name)
            return True
        except Exception as error:  # of whatever library is behind the URL
            log.warning("the stage %s in %s cannot be used (%s); it is done here", job.stage, self.url, error)
            return False

    def push(self, job: Job, names: tuple[str, ...]) -> None:
        """Bring a finished stage into the store: its files, then stage.json, which makes it count."""
        for name in (*names, "stage.json"):
            if not self._write(f"{_folder(job)}/{name}", job.folder / name):
                return
        self._remove(f"{_folder(job)}/parts")

    def discard(self, job: Job) -> None:
        """Remove a stage, stage.json first, and the parts of its search."""
        for name in (f"{_folder(job)}/stage.json", _folder(job)):
            self._remove(name)

    def push_parts(self, job: Job) -> None:
        """Bring what the workers of a split search left here into the store."""
        for file in job.folder.glob("journal.*.part-*"):
            self._write(f"{_folder(job)}/parts/{file.name}", file)

    def pull_parts(self, job: Job) -> None:
        """Bring the parts of a split search here that are not. A damaged one is scored again: each block is checked as it is read."""
        fs, path = self._at(f"{_folder(job)}/parts")
        try:
            for name in (found.rpartition("/")[2] for found in fs.ls(path, detail=False)):
                if not (job.folder / name).exists() and name.startswith("journal."):
                    job.folder.mkdir(parents=True, exist_ok=True)
                    fs.get_file(f"{path}/{name}", str(job.folder / name))
        except FileNotFoundError:
            pass
        except Exception as error:
            log.warning("parts of a search in %s cannot be read (%s); they are scored again", self.url, error)

    def record(self, path: Path) -> bytes | None:
        """The record whose file is to be at `path`, None where the store has none."""
        return self._read(_record(path))

    def push_record(self, path: Path) -> None:
        self._write(_record(path), path)

    def _at(self, name: str):
        return opened(f"{self.url.rstrip('/')}/{name}")

    def _read(self, name: str) -> bytes | None:
        fs, path = self._at(name)
        try:
            return fs.cat_file(path)
        except FileNotFoundError:
            return None
        except Exception as error:
            log.warning("%s cannot be read: %s: %s", self.url, type(error).__name__, error)
            return None

    def _remove(self, name: str) -> None:
        fs, path = self._at(name)
        try:
            if fs.exists(path):
                fs.rm(path, recursive=True)
        except FileNotFoundError:
            pass
        except Exception as error:
            log.warning("%s: %s cannot be removed: %s: %s", self.url, name, type(error).__name__, error)

    def _write(self, name: str, file: Path) -> bool:
        fs, path = self._at(name)
        try:
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            fs.put_file(str(file), path)
            return True
        except Exception as error:
            log.warning("%s stays here, %s cannot be written: %s: %s", file.name, self.url, type(error).__name__, error)
            return False


def remote() -> Remote | None:
    """The store that $CHANSWAP_STORE names, None where it names none."""
    return Remote(os.environ[NAMED]) if os.environ.get(NAMED) else None


def _folder(job: Job) -> str:
    return f"stages/{job.stage}/{job.key[:24]}"


def _record(path: Path) -> str:
    """Its tier, protocol, dataset and file: what `results` holds it under."""
    return "/".join(("results", *path.absolute().parts[-4:]))
