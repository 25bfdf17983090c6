"""What a file must be: its length and its checksum, as far as they are known."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("benchmarks")


@dataclass(frozen=True)
class Pin:
    """What a file must be: `bytes` long, with this sha256 or md5 in hex. None means not known.

    `likely` is a length that no publisher has confirmed: a file of another one is warned about, and taken.
    """

    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    likely: int | None = None

    @property
    def known(self) -> bool:
        """Whether a checksum decides."""
        return bool(self.sha256 or self.md5)


UNKNOWN = Pin()  # of a file about which nothing is stated


def faults(path: Path, pin: Pin) -> str | None:
    """None where the file is what the pin states, else how it differs. Raises OSError."""
    size = path.stat().st_size
    if pin.bytes is not None and size != pin.bytes:
        return f"it has {size:,} bytes, expected {pin.bytes:,}"
    for kind, wanted in (("sha256", pin.sha256), ("md5", pin.md5)):
        if wanted and (found := digest(path, kind)) != wanted.lower():
            return f"{kind} {found[:12]}..., expected {wanted[:12]}..."
    return None


def warn_of_size(path: Path, pin: Pin) -> None:
    """Say so where the file is not as long as an unconfirmed source has it. Raises OSError."""
    size = path.stat().st_size
    if pin.likely is not None and size != pin.likely:
        log.warning("%s has %s bytes; a source that is not confirmed says %s", path.name, f"{size:,}", f"{pin.likely:,}")


def digest(path: Path, kind: str) -> str:
    """The checksum of a file in hex; `kind` is sha256 or md5. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
