"""Round numbers for the axes of the pictures, and their colours and text."""

from __future__ import annotations

import math
from html import escape

from benchmarks.board.text import plain

# Of Okabe and Ito's colours, told apart by people who see few colours; grey ink reads on white and on black.
INK, GREY, GOOD, BAD = "#7a7a7a", "#8c8c8c", "#009e73", "#d55e00"


def step(span: float, lines: int = 6) -> float:
    """A round distance of grid lines, about `lines` of them over `span`."""
    rough = span / lines
    unit = 10 ** math.floor(math.log10(rough))
    return next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)


def digits(distance: float) -> int:
    """Decimals that grid lines of this distance need."""
    return max(0, -math.floor(math.log10(distance) + 1e-9))


def label(text: object, most: int = 40) -> str:
    """`text` for an element or attribute of a picture: one line, of no markup, cut to `most` characters."""
    line = plain(text)
    return escape(line if len(line) <= most else f"{line[: most - 1]}…")
