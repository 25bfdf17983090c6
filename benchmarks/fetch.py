"""Downloads that go on where they stopped, and that are what they should be or are not kept."""

from __future__ import annotations

import http.client
import logging
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from benchmarks.errors import MissingData
from benchmarks.files import write_atomically
from benchmarks.headers import Redirects, asked_to_wait, continues, number, whole
from benchmarks.part_file import append, begin, forget, kept_tag, lock, tag_of
from benchmarks.pins import UNKNOWN, Pin, faults, warn_of_size
from benchmarks.progress import progress
from benchmarks.trust import remembered, trust
from chanswap.writing import naming

log = logging.getLogger("benchmarks")

CHUNK = 1 << 20  # bytes read at once: a bar that moves, and few calls
TIMEOUT = 30.0  # seconds without a byte before a connection counts as stalled
TRIES = 5  # in a row that bring less than a chunk; a try that brings more starts the count again
WAIT = 1.0  # seconds before the second try; doubled for each further one
PATIENCE = 60.0  # seconds that a server may ask to wait between two tries; who asks for more is named, and the user decides when
ROOM = 1 << 28  # bytes left free on the disk: a full one breaks more than this download
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP states that a later try may not meet
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|script)\b", re.I | re.S)
_DRIVE = "https://drive.usercontent.google.com/download?id={}&confirm=t&export=download"


def drive_url(file_id: str) -> str:
    """Where Google Drive gives a shared file without its page about virus scans."""
    return _DRIVE.format(file_id)


def download(url: str, target: Path, pin: Pin = UNKNOWN, by_hand: str = "") -> Path:
    """The file of `url` at `target`, held against `pin`. A file that is there and right is not fetched again.

    What arrives goes to `target.part`, and the next call goes on from there; over `target` it is renamed when whole and right.
    Where the pin has no checksum, the first download is trusted: its sha256 is logged and kept in `target.sha256`, and a file
    beside it that differs later is refused. `by_hand` is a command that takes the file downloaded otherwise, for the messages.

    Raises MissingData: no such file, no connection, a page instead of data, wrong bytes, no room.
    """
    target = Path(target)
    if not url.startswith(("http://", "https://")):
        raise MissingData(f"{url} is no http address; mend the manifest or the catalog that names it")
    otherwise = f"download {url} in a browser, then run: {by_hand}" if by_hand else f"download {url} to {target} by other means"
    if target.is_file():
        if reason := faults(target, remembered(target, pin)):
            raise MissingData(f"{target}: {reason}; delete it, then run the same command again")
        warn_of_size(target, pin)
        log.info("%s is here already", target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with open(part, "ab", buffering=0) as file:  # what a full disk refuses is not tried again when it is closed
        lock(file, part)
        try:
            _fill(url, part, file, pin, otherwise)
        finally:
            if part.stat().st_size == 0:
                forget(part)
        with naming(part):
            os.fsync(file.fileno())
        if reason := faults(part, pin):
            forget(part)
            raise MissingData(f"{url} gave other bytes: {reason}. They were deleted; run it again, or {otherwise}")
        trust(part, target, pin)
        os.replace(part, target)
    warn_of_size(target, pin)
    tag_of(part).unlink(missing_ok=True)
    return target


class _Again(Exception):
    """A try failed in a way that a later one may not; the server may have said after how many seconds."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


def _fill(url: str, part: Path, file, pin: Pin, otherwise: str) -> None:
    """Append to the part until it is whole; try again, from where it stands, while the reasons may pass."""
    failed, target_name = 0, part.name.removesuffix(".part")
    with progress(target_name, _mb(pin.bytes or 0), "MB") as shown:
        while True:
            before = part.stat().st_size
            try:
                return _attempt(url, part, file, pin, otherwise, shown)
            except (_Again, TimeoutError, ConnectionError, http.client.HTTPException, urllib.error.URLError) as error:
                reason = getattr(error, "reason", None) or error
                said = " ".join(str(reason).split()) or type(reason).__name__
                if isinstance(reason, ssl.SSLCertVerificationError):
                    raise MissingData(
                        f"{url}: its certificate is not to be trusted ({reason.verify_message}); {otherwise}"
                    ) from None
                failed = 1 if part.stat().st_size - before >= CHUNK else failed + 1
                if failed >= TRIES:
                    have = f"{part.stat().st_size:,} bytes are kept and the same command goes on from there"
                    raise MissingData(f"{url}: {said}; {have}, or {otherwise}") from None
                wait = max(WAIT * 2 ** (failed - 1), getattr(error, "wait", 0.0))
                host = urllib.parse.urlsplit(url).netloc
                log.info("%s from %s: %s; trying again in %.0f s", target_name, host, said, wait)
                time.sleep(wait)


def _attempt(url: str, part: Path, file, pin: Pin, otherwise: str, shown) -> None:
    """One connection. Returns when the part is whole; raises _Again, MissingData or what the network raises."""
    have = part.stat().st_size
    if pin.bytes is not None and have > pin.bytes:
        have = begin(part, file)
    if have and have == pin.bytes:
        return
    headers = {"User-Agent": "chanswap-benchmarks", "Accept-Encoding": "identity"}
    tag = kept_tag(part)
    if have and not tag and not pin.known:
        have = begin(part, file)  # nothing would tell whether the rest belongs to this beginning
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
    try:
        opener = urllib.request.build_opener(Redirects)
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except ValueError as error:  # of a host that cannot be one, in the address or in a redirection
        raise MissingData(f"{url} cannot be reached ({error}); {otherwise}") from None
    except urllib.error.HTTPError as error:
        error.close()
        reason = " ".join(str(error.reason).split())
        if error.code == 416:  # the part is whole already, or is not this file's beginning
            if whole(error.headers.get("Content-Range")) == have and pin.known:
                return
            begin(part, file)
            raise _Again("the part kept did not fit") from None
        if error.code in _PASSING:
            wait = asked_to_wait(error.headers.get("Retry-After"))
            if wait > PATIENCE:
                raise MissingData(
                    f"{url}: HTTP {error.code} {reason}, and asks to wait {wait:,.0f} seconds; run the same command then, or {otherwise}"
                ) from None
            raise _Again(f"HTTP {error.code} {reason}", wait) from None
        raise MissingData(f"{url}: HTTP {error.code} {reason}; {otherwise}") from None
    with answer:
        if answer.headers.get_content_type() == "text/html":  # before anything kept is given up
            raise MissingData(_page(url, otherwise))
        goes_on = bool(have) and answer.status == 206
        if goes_on and not continues(answer.headers.get("Content-Range"), have):
            begin(part, file)
            raise _Again("the server gave another range than asked")
        begun = have if goes_on else 0
        length = number(answer.headers.get("Content-Length"))
        total = begun + length if length is not None else pin.bytes
        if pin.bytes is not None and total != pin.bytes:
            raise MissingData(f"{url} offers {total:,} bytes, expected {pin.bytes:,}; {otherwise}")
        _room(part.parent, (total or 0) - have)
        if not goes_on:  # the beginning, a server that ignores ranges, or a file that has changed
            have = begin(part, file)
            # A weak tag may stand for two files, so it is not kept: the bytes are then joined only where a checksum will tell.
            fresh = answer.headers.get("ETag", "")
            fresh = fresh if fresh.startswith('"') else answer.headers.get("Last-Modified", "")
            if fresh and fresh.isascii() and fresh.isprintable():
                write_atomically(tag_of(part), fresh)
        shown.to(_mb(have), _mb(total or 0))
        # As bytes arrive: read() would wait for a whole chunk, and lose it when the line drops.
        while piece := answer.read1(CHUNK):
            if have == 0 and _HTML.match(piece[:2048]):
                raise MissingData(_page(url, otherwise))
            append(file, piece, part)
            have += len(piece)
            shown.to(_mb(have))
            if total is not None and have > total:
                raise MissingData(f"{url} gives more than the {total:,} bytes expected; {otherwise}")
    if total is not None and have != total:
        raise _Again(f"the connection ended after {have:,} of {total:,} bytes")
    if have == 0:
        raise _Again("the server gave no bytes")


def _page(url: str, otherwise: str) -> str:
    why = " (its quota is spent, or the file is no longer shared)" if "google.com" in url else ""
    return f"{url} gave a web page instead of the file{why}; {otherwise}"


def _room(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if wanted + ROOM > free:
        raise MissingData(
            f"{folder} has room for {free / 1e9:.1f} GB, {wanted / 1e9:.1f} are to come; make room, or set CHANSWAP_HOME to another disk"
        )


def _mb(count: int) -> int:
    return -(-count // 1_000_000)
