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
from chanswap.writing import naming, whole

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a spent quota, a file longer than the system or a limit allows
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)

# Numbers of errors that a disk or its owner makes; a wild offset in a damaged file is an OSError too, of another number.
_NAMES = ("ENOENT", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENFILE", "EISDIR", "EFBIG")
DISK_ERRORS = {getattr(errno, name) for name in _NAMES if hasattr(errno, name)}
# Names of devices, which Windows opens whatever ending follows.
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.I)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write beside the target, then rename over it: a reader sees the old file or the new one, never a part.

    Raises OSError, which names `path`, when the disk is full or read-only; the unfinished file is removed and an earlier target is
    untouched. What a killed writer left in this folder is removed, see `chanswap.writing`.
    """
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def said(error: OSError) -> str:
    """What went wrong with a file, in one line that ends with what to do."""
    what, file = error.strerror or " ".join(str(error).split()), error.filename
    kept = _inside_home(file)
    if error.errno in NO_ROOM:
        cure = (
            f"delete what you can spare in {kept}, or set CHANSWAP_HOME to a folder on another disk"
            if kept
            else "make room there"
        )
        where = f"{file} is not written" if file else "a file is not written"
        return f"no room ({what}): {where}. What was finished is kept; {cure}, then run the same command again."
    where = f" ({file})" if file else ""
    cure = "set CHANSWAP_HOME to a folder that can be written" if kept and error.errno in REFUSED else "mend that"
    return f"cannot read or write{where}: {what}. What was finished is kept; {cure}, then run it again."


def _inside_home(file: str | None) -> Path | None:
    """The home, where the file lies in it."""
    try:
        kept = home()
        return kept if file and Path(file).resolve().is_relative_to(kept.resolve()) else None
    except (UsageError, OSError, TypeError):
        return None


def link_or_copy(source: Path, target: Path) -> bool:
    """Make `target`, which is not there yet, a hard link to the file behind `source`, or else a copy. Returns whether it is a copy."""
    try:
        os.link(source.resolve(), target)
        return False
    except OSError:  # another disk, or one without links
        with naming(target):
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


def try_to_write(folder: Path, cure: str) -> None:
    """Raises UsageError, which ends with the `cure`, for a folder that cannot be written or made. Nothing is left there."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); {cure}") from None


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
