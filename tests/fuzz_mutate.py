"""Changes to valid files: of their bytes, and of the values of their JSON. Seeded by the caller's generator alone."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable
from typing import Any

# What readers stumble over: limits of number formats, spellings of numbers, paths, escapes, text that is no text.
ODD = [
    None, True, False, 0, -1, 1, 2, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63, 10**30, -(2**63), 0.0, -0.0, 0.5, 1.5, 65.12,
    1e-320, 1e308, -1e308, 1e400, float("nan"), "", "0", "1", "0.5", "nan", "x", "x" * 300, "x" * 5000, "../x", "/etc/passwd", "..", ".",
    "a/b", "C:\\x", "con", "\0", "\x1b[2J", "a\nb", "\u202ex", "\ud800", "|", "`", "<b>", "é", "e\u0301", "😀", [], [[]], [None], [1],
    [0, 0], [-1, 2], [1e9], {}, {"": 0}, {"a": {}},
]  # fmt: skip
TOKENS = [
    b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"-1", b"1e999", b"NaN", b"Infinity", b"../", b"\n", b"\r\n", b'"',
    b",", b"{", b"}", b"[", b"]", b"PK\x03\x04", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf", b"%s", b"\x1b[2J", b"9" * 40, b"[" * 3000,
]  # fmt: skip


def mutated(rng: random.Random, data: bytes, others: list[bytes] = ()) -> bytes:
    """One to four changes of bytes; one time in forty none, or nothing left of it."""
    if rng.random() < 0.02:
        return rng.choice([b"", data, data * 2, rng.randbytes(rng.randrange(200))])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_BYTES)(rng, data, others)
    return data


def _flip(rng, data, others):
    if not data:
        return data
    k = rng.randrange(len(data))
    return data[:k] + bytes([data[k] ^ (1 << rng.randrange(8))]) + data[k + 1 :]


def _set(rng, data, others):
    if not data:
        return data
    k = rng.randrange(len(data))
    return data[:k] + bytes([rng.choice((0, 1, 0x30, 0x39, 0x7F, 0x80, 0xFF, rng.randrange(256)))]) + data[k + 1 :]


def _cut(rng, data, others):
    return data[: rng.randrange(len(data) + 1)]


def _remove(rng, data, others):
    k = rng.randrange(len(data) + 1)
    return data[:k] + data[k + rng.choice((1, 1, 2, 4, 16, 200)) :]


def _insert(rng, data, others):
    k = rng.randrange(len(data) + 1)
    return data[:k] + rng.choice((rng.choice(TOKENS), rng.randbytes(rng.randrange(1, 9)))) + data[k:]


def _over(rng, data, others):
    k = rng.randrange(len(data) + 1)
    token = rng.choice(TOKENS)
    return data[:k] + token + data[k + len(token) :]


def _number(rng, data, others):
    """A binary number in place of another, as sizes and offsets are."""
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    size, k = struct.calcsize(form), rng.randrange(len(data) + 1)
    value = rng.choice((0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, rng.randrange(2**16)))
    return data[:k] + struct.pack(form, value & (2 ** (8 * size) - 1)) + data[k + size :]


def _digit(rng, data, others):
    """A digit in place of a digit: the damage that reads best."""
    places = [k for k in range(len(data)) if 48 <= data[k] <= 57] if len(data) < 20_000 else []
    if not places:
        return _set(rng, data, others)
    k = rng.choice(places)
    return data[:k] + bytes([rng.randrange(48, 58)]) + data[k + 1 :]


def _repeat(rng, data, others):
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:b] + data[a:b] + data[b:]


def _splice(rng, data, others):
    other = rng.choice(others) if others else data
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


_BYTES = (_flip, _flip, _set, _cut, _remove, _insert, _over, _number, _digit, _digit, _repeat, _splice)


def value_mutated(rng: random.Random, value: Any) -> Any:
    """A JSON value with one to three places changed, each to an odd value, a neighbour's, another number, or to nothing."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place = _place(rng, value)
        if place is None:
            return rng.choice(ODD)
        holder, key = place
        kind = rng.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == 1:
            holder[rng.choice(("x", "", "extra", key + "x", "__class__"))] = holder.pop(key)
        elif kind == 2 and (other := _place(rng, value)) is not None:
            holder[key] = copy.deepcopy(other[0][other[1]])
        elif kind == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            number = holder[key]
            holder[key] = rng.choice((number + 1, number - 1, -number, number * 100, float(number), str(number), number + 0.25))
        elif kind == 4 and isinstance(holder[key], list):
            rng.shuffle(holder[key])
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD))
    return value


def _place(rng: random.Random, value: Any) -> tuple[Any, Any] | None:
    """Somewhere in a value, deep places too: the holder and the key."""
    found = None
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        found = value, key
        if rng.random() < 0.2:
            break
        value = value[key]
    return found


def json_mutated(rng: random.Random, data: bytes, others: list[bytes] = ()) -> bytes:
    """Half the time a value of the JSON is changed, else bytes of its text."""
    if rng.random() < 0.4:
        return mutated(rng, data, others)
    return _dumped(value_mutated(rng, json.loads(data)))


def header_mutated(split: Callable[[bytes], tuple[dict, bytes]], join: Callable[[Any, bytes], bytes]):
    """For a file of a JSON header with its checksum and a body: the header changed and its checksum made right again."""

    def change(rng: random.Random, data: bytes, others: list[bytes] = ()) -> bytes:
        if rng.random() < 0.5:
            return mutated(rng, data, others)
        header, body = split(data)
        return join(value_mutated(rng, header), body if rng.random() < 0.7 else _flip(rng, body, others))

    return change


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()
