"""Colours of pictures without a ground of their own, and their text."""

from __future__ import annotations

from html import escape

from benchmarks.board.text import plain

# Of Okabe and Ito's colours, told apart by people who see few colours; grey ink reads on white and on black.
INK, GREY, GOOD, BAD = "#7a7a7a", "#8c8c8c", "#009e73", "#d55e00"


def label(text: object, most: int = 40) -> str:
    """`text` for an element or attribute of a picture: one line, of no markup, cut to `most` characters."""
    line = plain(text)
    return escape(line if len(line) <= most else f"{line[: most - 1]}…")
