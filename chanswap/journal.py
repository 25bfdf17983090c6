"""`Journal`: the finished blocks of a long scoring, on disk, so that a killed search goes on where it stopped."""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import zlib
from contextlib import suppress
from glob import escape
from pathlib import Path

import torch
from torch import Tensor

from chanswap.writing import naming

log = logging.getLogger(__name__)
_NAME = struct.Struct("<iii")  # image, first candidate, count
_BLOCK = struct.Struct("<iiiI")  # these, and the crc32 of them and of the scores that follow as float32


class Journal:
    """An append-only file of score blocks for one job. `key` names the job; a file of another job is started anew.

    A block that was cut short or damaged ends the part that counts: it and what follows are scored again.
    With `part` (i, n) it is the file of one of n workers that share the job, `PATH.part-i-of-n`. The journal without a part reads
    what all of them left beside its own.
    """

    def __init__(self, path: str | Path, key: str, part: tuple[int, int] | None = None):
        self.path = Path(path) if part is None else Path(f"{path}.part-{part[0]}-of-{part[1]}")
        self._head = b"chanswap-journal-1 " + hashlib.sha256(key.encode()).hexdigest().encode() + b"\n"
        self._file = None

    def load(self) -> dict[tuple[int, int], Tensor]:
        """The finished blocks, (image, first candidate) -> scores. Opens the file for appending after the last whole one."""
        blocks, position = self._read(self.path)
        for path in self._parts():
            blocks = self._read(path)[0] | blocks
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with naming(self.path):
            # Emptied first where it begins anew: a kill after the head must not leave another job's blocks behind it.
            self._file = open(self.path, "r+b" if position else "wb")
            if not position:
                self._file.write(self._head)
                self._file.flush()
                position = len(self._head)
            self._file.truncate(position)
            self._file.seek(position)
        return blocks

    def _read(self, path: Path) -> tuple[dict[tuple[int, int], Tensor], int]:
        """The whole blocks of a file of this job, and where they end: 0 in a file of another job. What does not count is named."""
        blocks: dict[tuple[int, int], Tensor] = {}
        data = path.read_bytes() if path.exists() else b""
        if not data.startswith(self._head):
            if data:
                log.warning("%s is of another job, another version or damaged; it is begun anew", path)
            return blocks, 0
        position = len(self._head)
        while position + _BLOCK.size <= len(data):
            image, start, count, check = _BLOCK.unpack_from(data, position)
            body = data[position + _BLOCK.size : position + _BLOCK.size + 4 * max(count, 0)]
            if count < 1 or len(body) != 4 * count or _check(image, start, body) != check:
                break
            blocks[image, start] = torch.frombuffer(bytearray(body), dtype=torch.float32)
            position += _BLOCK.size + len(body)
        if position < len(data):
            log.warning("%s: what follows %d whole blocks is cut short or damaged, and is scored again", path, len(blocks))
        return blocks, position

    def _parts(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{escape(self.path.name)}.part-*-of-*"))

    def append(self, image: int, start: int, scores: Tensor) -> None:
        """Add a finished block. It survives a kill of the process at any later moment. Raises OSError (disk full)."""
        body = scores.to("cpu", torch.float32).contiguous().numpy().tobytes()
        with naming(self.path):
            self._file.write(_BLOCK.pack(image, start, len(body) // 4, _check(image, start, body)) + body)
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # of a block that found no room, which was said when it was written
                self._file.close()
            self._file = None

    def discard(self) -> None:
        """Close and delete the file, and those of the workers, once the result is kept elsewhere."""
        self.close()
        for path in (self.path, *self._parts()):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass


def _check(image: int, start: int, body: bytes) -> int:
    """Over the name too: scores under another image's number would be read as that image's."""
    return zlib.crc32(body, zlib.crc32(_NAME.pack(image, start, len(body) // 4)))
