"""Writing files whole or not at all, and clearing away what a killed writer left. Needs the standard library alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing of other writers is cleared away
    fcntl = None

UNFINISHED = (
    ".chanswap-unfinished"  # how the names of files end that are being written; they begin with a dot and the target's name
)


@contextmanager
def whole(path: str | Path) -> Iterator[IO[bytes]]:
    """A new file beside `path`, to be written in the block and renamed over it at the end: a reader sees the old file or the new one,
    never a part.

    Where the block raises, or the disk is full or read-only (OSError, which names `path`), the new file is removed and an earlier
    one is untouched. A writer that is killed leaves its file, which nobody reads and the next to write into this folder removes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path, always=True):
        handle, unfinished = _begin(path)
    file = os.fdopen(handle, "wb")
    try:
        with naming(path):
            yield file
        with naming(path, always=True):
            file.flush()
            os.fsync(handle)
            os.chmod(unfinished, 0o644)
            if fcntl:  # while it is locked; elsewhere no open file can be renamed
                os.replace(unfinished, path)
            file.close()
            if not fcntl:
                os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):  # a full disk, which is said already
            file.close()
        with suppress(OSError):
            os.unlink(unfinished)
        raise
    clear(path.parent)


@contextmanager
def naming(path: str | Path, always: bool = False) -> Iterator[None]:
    """Inside, an OSError that names no file (a write to a full disk does not), or `always`, names this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (always or error.filename is None):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def clear(folder: Path) -> None:
    """Remove what killed writers left in a folder. Files that somebody is still writing are locked, and stay."""
    for left in folder.glob(f".*{UNFINISHED}") if fcntl else ():
        with suppress(OSError), open(left, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(left)


def _begin(path: Path) -> tuple[int, str]:
    """A new file, locked. Its name may be as long as a name can be, so that of the target is cut."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=UNFINISHED)
        with suppress(OSError):  # a file system without locks: whoever clears cannot lock either, and lets it be
            if fcntl:
                fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink or not fcntl:
            return handle, name
        os.close(handle)  # cleared away by another process before it was locked
