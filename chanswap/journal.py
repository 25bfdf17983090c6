"""`Journal`: the finished blocks of a long scoring, on disk, so that a killed search goes on where it stopped."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

_NAME = struct.Struct("<iii")  # image, first candidate, count
_BLOCK = struct.Struct("<iiiI")  # these, and the crc32 of them and of the scores that follow as float32


class Journal:
    """An append-only file of score blocks for one job. `key` names the job; a file of another job is started anew.

    A block that was cut short or damaged ends the part that counts: it and what follows are scored again.
    """

    def __init__(self, path: str | Path, key: str):
        self.path = Path(path)
        self._head = b"chanswap-journal-1 " + hashlib.sha256(key.encode()).hexdigest().encode() + b"\n"
        self._file = None

    def load(self) -> dict[tuple[int, int], Tensor]:
        """The finished blocks, (image, first candidate) -> scores. Opens the file for appending after the last whole one."""
        blocks: dict[tuple[int, int], Tensor] = {}
        data = self.path.read_bytes() if self.path.exists() else b""
        position = len(self._head)
        if data.startswith(self._head):
            while position + _BLOCK.size <= len(data):
                image, start, count, check = _BLOCK.unpack_from(data, position)
                body = data[position + _BLOCK.size : position + _BLOCK.size + 4 * max(count, 0)]
                if count < 1 or len(body) != 4 * count or _check(image, start, body) != check:
                    break
                blocks[image, start] = torch.frombuffer(bytearray(body), dtype=torch.float32)
                position += _BLOCK.size + len(body)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "r+b" if data else "wb")
        if not blocks:
            self._file.write(self._head)
            position = len(self._head)
        self._file.truncate(position)
        self._file.seek(position)
        return blocks

    def append(self, image: int, start: int, scores: Tensor) -> None:
        """Add a finished block. It survives a kill of the process at any later moment. Raises OSError (disk full)."""
        body = scores.to("cpu", torch.float32).contiguous().numpy().tobytes()
        self._file.write(_BLOCK.pack(image, start, len(body) // 4, _check(image, start, body)) + body)
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """Close and delete the file, once its result is kept elsewhere."""
        self.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass


def _check(image: int, start: int, body: bytes) -> int:
    """Over the name too: scores under another image's number would be read as that image's."""
    return zlib.crc32(body, zlib.crc32(_NAME.pack(image, start, len(body) // 4)))
