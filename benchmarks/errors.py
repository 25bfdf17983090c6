"""Errors that a person can mend: one line, no traceback, ending with what to do next. Each class has its exit code."""

from __future__ import annotations

import re
from collections.abc import Iterable

from benchmarks.plain import printable

_ENDLESS = re.compile(r"(\S{300})\S{600,}(\S{100})")  # no path that a person chose, but one from a damaged file


class BenchmarkError(Exception):
    """Its text is one line that prints and can be read, whatever names of files and words of servers it quotes."""

    exit_code = 1

    def __init__(self, text: str = ""):
        super().__init__(_ENDLESS.sub(r"\1...\2", printable(text)))


class RunFailed(BenchmarkError):
    """A run failed and left its record."""

    exit_code = 1


class UsageError(BenchmarkError):
    """The command line names something that does not exist or does not go together."""

    exit_code = 2


class MissingData(BenchmarkError):
    """Data or weights are missing, damaged or unreadable."""

    exit_code = 3


class InvalidRecord(BenchmarkError):
    """A record does not keep its schema."""

    exit_code = 4


def count(number: int, noun: str) -> str:
    """ "1 page", "2 pages"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def some(names: Iterable[str], most: int = 4) -> str:
    """Names in a line, the first few of many."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
