"""The part of a download that has arrived, and the server's name for the version that it began with."""

from __future__ import annotations

import logging
from pathlib import Path

from benchmarks.errors import MissingData
from chanswap.writing import naming

log = logging.getLogger("benchmarks")


def lock(file, part: Path) -> None:
    """Two processes must not write one part. Where the system has no such locks, nothing is locked."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MissingData(f"{part} is being downloaded by another process; wait for it, then run this again") from None
    except OSError:  # a network disk without locks
        log.debug("%s cannot be locked", part)


def append(file, piece: bytes, part: Path) -> None:
    """Write all of a piece. Raises OSError, which names the part; what is written of it stays, as after a connection that ended."""
    with naming(part):
        while piece:
            piece = piece[file.write(piece) :]


def begin(part: Path, file) -> int:
    """Empty the part. Returns 0, the bytes it holds."""
    file.truncate(0)
    tag_of(part).unlink(missing_ok=True)
    return 0


def forget(part: Path) -> None:
    for file in (part, tag_of(part)):
        file.unlink(missing_ok=True)


def tag_of(part: Path) -> Path:
    """Where the server's name for the version that the part began with is kept."""
    return part.with_name(f"{part.name}.tag")


def kept_tag(part: Path) -> str:
    """The tag that the part was begun with, "" where there is none, or what is there can be no header's text."""
    try:
        tag = tag_of(part).read_bytes().decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
    return tag if tag.isprintable() else ""
