"""Text of a table, for a terminal and for Markdown. Everything that comes from a record passes through here."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from itertools import zip_longest

import pandas as pd
from tabulate import tabulate

# Control characters, line separators and direction overrides: they could repaint a terminal or break out of a cell.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_MARKDOWN = {c: f"&#{ord(c)};" for c in "|`*[]$~\\"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LONGEST = 300  # an error longer than this is a log, and belongs in the record
WIDTH = 110  # columns of a terminal that a table is fitted to


@dataclass(frozen=True)
class Table:
    """A table as strings, with what must be read beside it. `missing` is shown in its place when it has no rows.
    `short` maps headers to shorter ones, for a terminal."""

    caption: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    missing: str = "No record yet."
    short: dict[str, str] = field(default_factory=dict)


def plain(text: object) -> str:
    """`text` on one line, without control characters, cut to 300 characters."""
    line = " ".join(_UNPRINTABLE.sub(" ", str(text)).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def escape(text: object) -> str:
    """`text` for a Markdown line or table cell: no table bar, code, link, formula or HTML of its own."""
    return "".join(_MARKDOWN.get(c, c) for c in plain(text))


def code(lines: list[str]) -> str:
    """A fenced block of commands, one a line. A backtick is replaced, because three of them would end the block."""
    return "\n".join(["```sh", *(_UNPRINTABLE.sub(" ", line).replace("`", "'") for line in lines), "```"])


def terminal(table: Table) -> str:
    """Caption, table and notes as plain text, ending without a line break: at most 110 columns where words can be wrapped."""
    body = plain(table.missing)
    if len(table.frame):
        body = _columns(_fitted([[table.short.get(c, c) for c in table.frame.columns], *table.frame.values.tolist()]))
    caption = [textwrap.fill(plain(table.caption), WIDTH), ""] if table.caption else []
    notes = [textwrap.fill(f"Note: {plain(n)}", WIDTH, subsequent_indent="  ") for n in table.notes]
    return "\n".join([*caption, body, *notes])


def markdown(table: Table) -> str:
    """Caption, table and notes as GitHub Markdown, ending without a line break."""
    body = escape(table.missing)
    if len(table.frame):
        headers, *rows = [[escape(cell) for cell in row] for row in [table.frame.columns, *table.frame.values.tolist()]]
        body = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    notes = "\n".join(f"- Note: {escape(n)}" for n in table.notes)
    return "\n\n".join(part for part in (escape(table.caption), body, notes) if part)


def _columns(columns: list[list[str]]) -> str:
    """A grid of columns, headers first. tabulate's own pads every header by two, too much where each column counts."""
    widths = [_width(column) for column in columns]
    headers, *rows = zip(*columns, strict=True)
    lines = []
    for row in (headers, ["-" * width for width in widths], *rows):
        for parts in zip_longest(*(cell.splitlines() or [""] for cell in row), fillvalue=""):
            lines.append("  ".join(map(str.ljust, parts, widths)).rstrip())
    return "\n".join(lines)


def _fitted(rows: list[list]) -> list[list[str]]:
    """The columns of rows, headers first, with cells wrapped between words until they fit side by side, in few lines."""
    columns = [[plain(cell) for cell in column] for column in zip(*rows, strict=True)]
    while (over := sum(map(_width, columns)) + 2 * (len(columns) - 1) - WIDTH) > 0:  # two spaces between columns
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
