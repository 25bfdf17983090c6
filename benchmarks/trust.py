"""Trust on first use: where no checksum of a file is known, that of its first download is kept beside it."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path

from benchmarks.errors import MissingData
from benchmarks.files import write_atomically
from benchmarks.part_file import forget
from benchmarks.pins import Pin, digest

log = logging.getLogger("benchmarks")


def remembered(target: Path, pin: Pin) -> Pin:
    """The pin, with the sha256 of the first download where it has no checksum of its own."""
    kept = target.with_name(f"{target.name}.sha256")
    if pin.known or not kept.is_file():
        return pin
    noted = kept.read_bytes()[:64]
    if not re.fullmatch(b"[0-9a-f]{64}", noted):
        raise MissingData(f"{kept} is damaged and vouches for nothing; delete it, and {target.name} too unless you trust it")
    return replace(pin, sha256=noted.decode())


def trust(part: Path, target: Path, pin: Pin) -> None:
    """Trust on first use of what arrived in `part`: say it, and remember it beside the target. Raises MissingData where an earlier
    download had other bytes."""
    if pin.known:
        return
    found = digest(part, "sha256")
    before = remembered(target, pin).sha256
    if before and found != before:
        forget(part)
        note = f"{target.name}.sha256"
        raise MissingData(
            f"{target.name}: sha256 {found}, an earlier download had {before[:12]}...; delete {target.with_name(note)} to take the new one"
        )
    log.warning("%s: no checksum is known for it, so this first download is trusted; its sha256 is %s", target.name, found)
    write_atomically(target.with_name(f"{target.name}.sha256"), f"{found}  {target.name}\n")
