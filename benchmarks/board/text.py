"""Text of a table, for a terminal and for Markdown. Everything that comes from a record passes through here."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field

import pandas as pd
from tabulate import tabulate

from benchmarks import columns

# Control characters, line separators and direction overrides: they could repaint a terminal or break out of a cell.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_MARKDOWN = {c: f"&#{ord(c)};" for c in "|`*[]$~\\"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LONGEST = 300  # an error longer than this is a log, and belongs in the record


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
    """Caption, table and notes as plain text, ending without a line break: at most 110 columns where words can be wrapped, or
    the terminal's own where it has fewer."""
    room = min(columns.WIDTH, columns.width())
    body = plain(table.missing)
    if len(table.frame):
        headers = [plain(table.short.get(c, c)) for c in table.frame.columns]
        body = columns.grid([[plain(cell) for cell in row] for row in table.frame.values.tolist()], headers, room)
    caption = [textwrap.fill(plain(table.caption), room), ""] if table.caption else []
    notes = [textwrap.fill(f"Note: {plain(n)}", room, subsequent_indent="  ") for n in table.notes]
    return "\n".join([*caption, body, *notes])


def markdown(table: Table) -> str:
    """Caption, table and notes as GitHub Markdown, ending without a line break."""
    body = escape(table.missing)
    if len(table.frame):
        headers, *rows = [[escape(cell) for cell in row] for row in [table.frame.columns, *table.frame.values.tolist()]]
        body = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    notes = "\n".join(f"- Note: {escape(n)}" for n in table.notes)
    return "\n\n".join(part for part in (escape(table.caption), body, notes) if part)
