"""Arrays of numbers in a MATLAB 5 file. SciPy's reader can end the process on a damaged file, and lists of images need no more.

The format: "MAT-File Format", MathWorks, chapter 1: a header of 128 bytes, then elements of a type, a size and data.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

LARGEST = 1 << 24  # bytes of the file and of what it unpacks to: lists of a few thousand numbers take some ten thousand
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # of numbers
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = range(6, 16)  # classes of arrays that hold numbers: double, single, integers of 8 to 64 bits


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of numbers in a file by name, flat and in MATLAB's order (columns first); others are passed over.

    Raises ValueError for a file that is damaged, of another version, or larger than LARGEST; OSError.
    """
    with open(path, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or struct.unpack(f"{order}H", data[124:126])[0] >> 8 != 1:
        raise ValueError("it is no MATLAB 5 file")
    found: dict[str, np.ndarray] = {}
    for kind, content in _elements(data[128:], order):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            try:
                content = unpacker.decompress(content, LARGEST)
            except zlib.error as error:
                raise ValueError(str(error)) from None
            if not unpacker.eof:
                raise ValueError("a compressed array is cut short or unpacks to too much")
            kind, content = next(_elements(content, order), (0, b""))
        if kind == _MATRIX and (array := _array(content, order)):
            if array[0] in found:
                raise ValueError(f"it holds {array[0]!r} twice")
            found[array[0]] = array[1]
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and content of each element. A small one has both in its first eight bytes; each begins on a multiple of eight but for
    what follows a compressed one."""
    position = 0
    while position + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, position)
        start = position + 8
        if kind >> 16:  # small: two numbers of 16 bits
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
            if size > 4:
                raise ValueError("a small element is too long")
        if start + size > len(data):
            raise ValueError("it is cut short")
        yield kind, data[start : start + size]
        position = start + size if kind == _COMPRESSED else start + size + -(start + size) % 8


def _array(content: bytes, order: str) -> tuple[str, np.ndarray] | None:
    """Name and numbers of a matrix element; None where it holds something else."""
    parts = list(_elements(content, order))
    if len(parts) < 4 or parts[0][0] != 6 or len(parts[0][1]) != 8:
        raise ValueError("an array without its flags, size, name or numbers")
    flags = struct.unpack(f"{order}II", parts[0][1])[0]
    if flags & 0xFF not in _NUMBERS:
        return None
    (_, (size_kind, size), (name_kind, name), (kind, numbers)) = parts[:4]
    if flags & 0x0800 or size_kind != 5 or name_kind != 1 or kind not in _TYPES or len(size) % 4:
        raise ValueError("an array of complex numbers, or of none that are known")
    stored = np.dtype(order + _TYPES[kind])
    shape = np.frombuffer(size, f"{order}i4").tolist()
    count = 1
    for n in shape:
        count *= n
    if len(shape) < 2 or min(shape) < 0 or count * stored.itemsize != len(numbers):
        raise ValueError(f"an array of {shape} in {len(numbers)} bytes")
    return name.decode("ascii"), np.frombuffer(numbers, stored)
