"""Who is at a piece of work: one process at a time, of this machine or of several. Imports no torch.

A lock of the operating system (flock) where there is one: a killed process lets go of it at once, and Linux passes it on to the
server of an NFS folder. Where the file system knows no locks, where it keeps them on one machine only (Lustre's `localflock`, NFS
with `local_lock`; nobody can tell, so $CHANSWAP_LOCKS=lease says it), and in an object store, a *lease*: a small file made by
whoever comes first and written again every few seconds; one that nobody has written for a while is taken over.

A lease is a matter of time alone. Should one be taken from a process that was only held up, the work is done twice and comes to
the same: what is kept is written whole, under the hash of what made it.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

log = logging.getLogger("benchmarks")
BEAT, STALE, LOOK = 15.0, 120.0, 2.0  # seconds between two writings, until a silent lease is taken over, between two looks


@contextmanager
def claimed(folder: Path, name: str, what: str, elsewhere: str | None = None) -> Iterator[None]:
    """Wait until nobody else is at `name`, and keep others waiting inside. `elsewhere`: URL of a folder for a lease beside the lock, in
    a store that other machines share. `what` is said in a line where one has to wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        locked = _locked(held.enter_context(open(folder / f"{name}.lock", "w")), what)
        if not locked or os.environ.get("CHANSWAP_LOCKS") == "lease":
            held.enter_context(lease(f"{folder.absolute().as_posix()}/{name}.lease", what))
        if elsewhere:
            held.enter_context(lease(f"{elsewhere}/{name}.lease", what))
        yield


def _locked(file, what: str) -> bool:
    """Whether the lock is held now; False where there are none. Closing the file lets go."""
    try:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(what)
            fcntl.flock(file, fcntl.LOCK_EX)
        return True
    except (ImportError, OSError):
        return False


def _say(what: str) -> None:
    log.info("another process is at %s; waiting for it, to read what it leaves", what)


@contextmanager
def lease(url: str, what: str) -> Iterator[None]:
    """Hold the lease at `url`, a path or any URL that fsspec knows. One is taken over when its content has not changed for STALE seconds of
    this process's own watching: no two clocks are compared. Where the store cannot be written, nobody waits."""
    from benchmarks.remote import opened

    fs, path = opened(url)
    mine, seen, since, said = f"{uuid.uuid4().hex} 0".encode(), None, time.monotonic(), False
    patience = STALE * random.uniform(1, 1.3)  # of two that watch, one comes first
    try:
        while not _made(fs, path, mine):
            now, there = time.monotonic(), _read(fs, path)
            if not said:
                _say(what)
                said = True
            if there != seen:
                seen, since = there, now
            elif now - since > patience:
                log.warning("whoever was at %s has been silent for %.0f s; it is taken over", what, now - since)
                _remove(fs, path)
                continue
            time.sleep(LOOK)
    except Exception as error:  # of whatever library is behind the URL
        log.warning("no lease at %s (%s); should others be at %s too, it is done twice", url, error, what)
        yield
        return
    stop = threading.Event()
    beats = threading.Thread(target=_beat, args=(fs, path, mine.split()[0], stop), daemon=True)
    beats.start()
    try:
        yield
    finally:
        stop.set()
        beats.join()
        if (_read(fs, path) or b"").split()[:1] == mine.split()[:1]:
            _remove(fs, path)


def _made(fs, path: str, content: bytes) -> bool:
    """Whether the lease is this process's now. Read back: not every file system minds "create"."""
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    try:
        fs.pipe_file(path, content, mode="create")
    except FileExistsError:
        return False
    return _read(fs, path) == content


def _beat(fs, path: str, token: bytes, stop: threading.Event) -> None:
    count = 0
    while not stop.wait(BEAT):
        count += 1
        try:
            if (_read(fs, path) or b"").split()[:1] != [token]:
                return  # taken over
            fs.pipe_file(path, token + f" {count}".encode())
        except Exception as error:
            log.debug("%s: %s", path, error)


def _read(fs, path: str) -> bytes | None:
    try:
        return fs.cat_file(path)
    except FileNotFoundError:
        return None


def _remove(fs, path: str) -> None:
    try:
        fs.rm_file(path)
    except FileNotFoundError:
        pass
