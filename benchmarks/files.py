"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from benchmarks.errors import UsageError

# Numbers of errors that a disk or its owner makes; a wild offset in a damaged file is an OSError too, of another number.
_NAMES = ("ENOENT", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENFILE", "EISDIR")
DISK_ERRORS = {getattr(errno, name) for name in _NAMES if hasattr(errno, name)}
# Names of devices, which Windows opens whatever ending follows.
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.I)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write beside the target, then rename over it: a reader sees the old file or the new one, never a part.

    Raises OSError when the disk is full or read-only; the unfinished file is removed and an earlier target is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, path)
    except BaseException:
        try:
            os.unlink(unfinished)
        except OSError:
            pass
        raise


def link_or_copy(source: Path, target: Path) -> bool:
    """Make `target`, which is not there yet, a hard link to the file behind `source`, or else a copy. Returns whether it is a copy."""
    try:
        os.link(source.resolve(), target)
        return False
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
        return True


def sha256(path: Path) -> str:
    """The sha256, in hex, of a file's bytes. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def home() -> Path:
    """Where stages, weights and data are kept: $CHANSWAP_HOME, else the user's cache folder."""
    if "CHANSWAP_HOME" in os.environ:
        return Path(os.environ["CHANSWAP_HOME"]).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "chanswap"
    except RuntimeError:
        raise UsageError("this user has no home folder; set CHANSWAP_HOME to a folder that can be written") from None


def make_home() -> Path:
    """The home, made where it is not there and tried by writing. Raises UsageError for one that cannot be used."""
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be used to keep stages, weights and data ({error.strerror}); "
            "set CHANSWAP_HOME to a folder that can be written"
        ) from None
    return folder
