"""Columns of text that fit a terminal. Imports nothing slow."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest

WIDTH = 110  # columns where the terminal does not tell; a table that is printed after a run is never wider


def width() -> int:
    """The terminal's columns (or $COLUMNS), 110 where nothing tells."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def fill(text: str, indent: str = "") -> str:
    """A paragraph wrapped to the terminal; `indent` begins each line but the first. Words, paths and commands are not broken."""
    return textwrap.fill(text, width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def grid(rows: Iterable[Sequence[str]], headers: Sequence[str] | None = None, room: int | None = None) -> str:
    """Rows of equal length as columns two spaces apart, cells wrapped between words until all fit into `room` (the terminal)."""
    given = [list(row) for row in rows]
    table = [list(headers), *given] if headers else given
    if not table:
        return ""
    columns = _fitted([list(column) for column in zip(*table, strict=True)], room or width())
    widths = [_width(column) for column in columns]
    lines = list(zip(*columns, strict=True))
    if headers:
        lines.insert(1, ["-" * width for width in widths])
    shown = []
    for row in lines:
        for parts in zip_longest(*(cell.splitlines() or [""] for cell in row), fillvalue=""):
            shown.append("  ".join(map(str.ljust, parts, widths)).rstrip())
    return "\n".join(shown)


def _fitted(columns: list[list[str]], room: int) -> list[list[str]]:
    """The columns with cells wrapped until they fit side by side, in few lines."""
    while (over := sum(map(_width, columns)) + 2 * (len(columns) - 1) - room) > 0:  # two spaces between columns
        best, least = None, None
        step = max(1, over // (2 * len(columns)))  # large where far too wide: one by one would take seconds
        for i, column in enumerate(columns):
            narrow = [_wrapped(cell, _width(column) - step) for cell in column]
            saved = min(over, _width(column) - _width(narrow))
            if saved > 0:
                added = _lines([*columns[:i], narrow, *columns[i + 1 :]]) - _lines(columns)
                if best is None or added / saved < least:
                    best, least = (i, narrow), added / saved
        if best is None:  # every column is as narrow as its longest word
            break
        columns[best[0]] = best[1]
    return columns


def _wrapped(cell: str, width: int) -> str:
    if _width([cell]) <= width:
        return cell
    return textwrap.fill(" ".join(cell.split()), max(1, width), break_long_words=False, break_on_hyphens=False)


def _width(column: list[str]) -> int:
    return max((len(line) for cell in column for line in cell.splitlines()), default=0)


def _lines(columns: list[list[str]]) -> int:
    return sum(max(cell.count("\n") for cell in row) for row in zip(*columns, strict=True))
