"""Unpacking zip and tar archives of others: nothing is written outside the folder, no links, no devices, no bombs."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from benchmarks.errors import MissingData
from benchmarks.files import DISK_ERRORS
from benchmarks.plain import UNPRINTABLE
from benchmarks.progress import progress
from chanswap.writing import naming

CHUNK = 1 << 20  # bytes copied at once
RATIO, ALLOWANCE = (
    100,
    1 << 28,
)  # unpacked bytes per byte of archive, and a start: annotations in JSON shrink tenfold, bombs 1,000-fold
MEMBERS = 2_000_000  # files and folders, twenty times COCO's; more would use up a disk's inodes
DEEPEST, LONGEST = 32, 200  # folders in folders, and bytes of one name: every disk has room for these
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_DRIVE = re.compile(r"^[A-Za-z]:")
_ENCRYPTED = 0x1  # a zip member's flag
# What macOS adds to an archive beside the files themselves.
_LITTER = re.compile(r"(^|/)(__MACOSX(/|$)|\.DS_Store$|\._[^/]*$)")


def unpack(archive: Path, folder: Path, limit: int | None = None) -> list[str]:
    """Unpack a zip, tar, tar.gz, tar.bz2 or tar.xz into `folder`, beside what is there; files of one name are replaced.

    Everything is first written to a folder beside it, so a refused or broken archive leaves `folder` as it was. Only plain files
    and folders are taken, with this user's default rights; what macOS adds (__MACOSX, .DS_Store) is left out. `limit` bounds the
    bytes written (default: RATIO times the archive's own). Returns the paths of the files within `folder`.

    Raises MissingData: no such archive, a damaged one, a member that would leave the folder, a link, a device, a password, a name
    that does not print or that some system takes for another's, more bytes than the limit, more than the members' own sizes say,
    or than the disk has room for. Raises OSError where the disk itself fails. An archive in an archive stays a file.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise MissingData(f"{archive} is not a file; name an archive")
    limit = limit if limit is not None else archive.stat().st_size * RATIO + ALLOWANCE
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".unpacking"))
    beside.chmod(0o755)
    try:
        names = _write(archive, beside, limit)
        if folder.exists():
            _merge(beside, folder)
        else:
            os.replace(beside, folder)
        return names
    except MissingData:
        raise
    except Exception as error:  # a damaged archive makes the libraries raise nearly anything
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        why = " ".join(str(error).split()) or type(error).__name__
        raise MissingData(f"{archive} cannot be unpacked ({why}); delete it and download it again") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(archive: Path, folder: Path, limit: int) -> list[str]:
    with open(archive, "rb") as file:
        reader = _zip if file.read(4) in _ZIP else _tar
    written, names, seen = 0, [], {}
    with progress(f"unpacking {archive.name}", 0, "files") as shown:
        for name, size, source in reader(archive, folder, limit):
            if _LITTER.search(name):
                continue
            parts = _parts(archive, name)
            _alone(archive, name, parts, seen)
            target = folder.joinpath(*parts)
            if source is None:
                _folder(archive, target, name)
                continue
            if written + size > limit:
                raise MissingData(
                    f"{archive} unpacks to more than {limit:,} bytes; it is not what it should be, download it again"
                )
            _folder(archive, target.parent, name)
            try:
                written += _copy(archive, source, target, name, size)
            except FileExistsError:
                raise MissingData(f"{archive}: {name!r} is in it twice; download it again or unpack it by hand") from None
            names.append(target.relative_to(folder).as_posix())
            shown.step()
    if not names:
        raise MissingData(f"{archive} holds no files; download it again")
    return names


def _zip(archive: Path, folder: Path, limit: int) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """(name, bytes, content or None for a folder) of each member. The names are the archive's own, before zipfile mends them."""
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        if len(members) > MEMBERS:
            raise MissingData(f"{archive} holds more than {MEMBERS:,} files; it is not what it should be, download it again")
        whole = sum(m.file_size for m in members)
        if whole > limit:
            raise MissingData(
                f"{archive} unpacks to {whole:,} bytes, more than {limit:,}; it is not what it should be, download it again"
            )
        _room(archive, folder, whole)
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                _refuse(archive, member.filename, "is a link or a device")
            if member.flag_bits & _ENCRYPTED:
                _refuse(archive, member.filename, "wants a password")
            if member.is_dir() or kind == stat.S_IFDIR:
                yield member.orig_filename, 0, None
            else:
                with file.open(member) as source:
                    yield member.orig_filename, member.file_size, source


def _tar(archive: Path, folder: Path, limit: int) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """The same of a tar. Its sizes stand before each member, so they are held against the limit one by one."""
    try:
        file = tarfile.open(archive, "r:*")
    except tarfile.ReadError:
        raise MissingData(f"{archive} is neither a zip nor a tar archive; unpack it by hand and name the folder") from None
    _room(archive, folder, archive.stat().st_size)
    with file:
        for member in file:
            if member.isdir():
                yield member.name, 0, None
            elif member.isreg() and not member.issparse():
                yield member.name, member.size, file.extractfile(member)
            else:
                _refuse(archive, member.name, "is a link, a device or a sparse file")
            file.members = []  # it would keep every header it has read


def _parts(archive: Path, name: str) -> list[str]:
    """The path's parts, none of which leads out. Refused are also what other systems would read as such."""
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        _refuse(archive, name, "is an absolute path")
    if "\\" in name or UNPRINTABLE.search(name):
        _refuse(archive, name, "has a character that no path here may have")
    parts = [p for p in name.split("/") if p not in ("", ".")]
    if ".." in parts:
        _refuse(archive, name, "leads out of the folder")
    if len(parts) > DEEPEST or any(len(p.encode()) > LONGEST for p in parts):
        _refuse(archive, name[:LONGEST], "is too long a path")
    return parts


def _alone(archive: Path, name: str, parts: list[str], seen: dict[str, str]) -> None:
    """Refuse a path that differs from an earlier one only in capitals, or in how an accent is written: on some systems the two are
    one file, and the archive would unpack to other data there. `seen`: paths so far, folders among them, by what they are there."""
    for k in range(1, len(parts) + 1):
        path = "/".join(parts[:k])
        known = seen.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
        if known != path:
            _refuse(archive, name, f"and {known!r} are one file on some systems")
    if len(seen) > MEMBERS:
        raise MissingData(f"{archive} holds more than {MEMBERS:,} files; it is not what it should be, download it again")


def _folder(archive: Path, folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        _refuse(archive, name, "is a file and a folder at once")


def _copy(archive: Path, source: IO[bytes], target: Path, name: str, size: int) -> int:
    """Write one member, never more than its stated size. Returns the bytes written."""
    done = 0
    with naming(target), open(target, "xb") as file:
        while piece := source.read(CHUNK):
            done += len(piece)
            if done > size:
                _refuse(archive, name, f"is longer than the {size:,} bytes it states")
            file.write(piece)
    if done != size:
        raise MissingData(
            f"{archive}: {name!r} is cut short, {done:,} of {size:,} bytes; delete the archive and download it again"
        )
    return done


def _merge(source: Path, target: Path) -> None:
    """Move what is in `source` into `target`; folders of one name are joined, files replaced."""
    for entry in source.iterdir():
        there = target / entry.name
        if there.is_dir() and not there.is_symlink() and entry.is_dir():
            _merge(entry, there)
        elif (there.exists() or there.is_symlink()) and (there.is_symlink() or there.is_dir() or entry.is_dir()):
            raise MissingData(f"{there} is in the way of what the archive holds; move it away, then run the same command again")
        else:
            os.replace(entry, there)


def _room(archive: Path, folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise MissingData(f"{archive} unpacks to {wanted / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left; make room")


def _refuse(archive: Path, name: str, why: str) -> None:
    raise MissingData(
        f"{archive}: {name!r} {why}; nothing was unpacked. Get the archive from its publisher, or unpack it by hand"
    )
