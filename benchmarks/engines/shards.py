"""Shards: the part of a grid that one task of an array does. It follows from the names of the grid alone."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def share(named: Iterable[tuple[T, str]], part: tuple[int, int]) -> set[T]:
    """Of things with a name each, those of shard i of n, `part` = (i, n), 0-based: every n-th in the order of the names' hashes.

    All shards together hold each thing once, their sizes differ by one at most, and no stride of the grid falls on one shard, as
    it would in the order of the names (every third a seed, every ninth a method). Neither the order given nor what is prepared or
    done already has a say: two machines that are told the same grid agree.
    """
    number, of = part
    order = sorted(set(named), key=lambda pair: hashlib.sha256(pair[1].encode()).digest())
    return {thing for thing, _ in order[number::of]}
