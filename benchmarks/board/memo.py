"""What is made of one list of records is made once a build, however many tables and pages ask for it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_known: dict[tuple, tuple[list, object]] | None = None  # None: nothing is remembered


@contextmanager
def remembering() -> Iterator[None]:
    """Inside, what functions of `remembered` made of a list of records is kept; after it, all is forgotten."""
    global _known
    before = _known
    _known = {} if before is None else before
    try:
        yield
    finally:
        _known = before


def remembered(function: Callable[..., T]) -> Callable[..., T]:
    """For a function of a list of records and further hashable arguments, whose answer nobody changes."""

    @functools.wraps(function)
    def call(records, *rest):
        if _known is None:
            return function(records, *rest)
        key = (function, tuple(map(id, records)), rest)  # the records themselves have no hash
        if key not in _known:
            _known[key] = (list(records), function(records, *rest))  # held, so that no other record gets the id of one of them
        return _known[key][1]

    return call
