"""Parts of a picture, written by hand: scales with their ticks, labels that do not cover each other, and the frame of a file.

Pictures bring a white ground and dark ink along, so that they read the same on a light page and on a dark one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.board.text import MARK, plain

GROUND, INK, FAINT = "#ffffff", "#333333", "#8c8c8c"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # Okabe and Ito's, told apart by people who see few colours
LETTER = 6.6  # width of a letter of 11 pixels, rounded up
HALO = f' paint-order="stroke" stroke="{GROUND}" stroke-width="3" stroke-opacity="0.8"'  # letters over a line stay readable

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Scale:
    """Values to pixels, `low` at `start` and `high` at `end`. On a logarithmic scale a value of zero or less stands at `start`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False
    zero: bool = False  # whether the start of a logarithmic scale stands for zero
    step: float = 1.0

    def __call__(self, value: float) -> float:
        if not self.logarithmic:
            share = (value - self.low) / (self.high - self.low)
        elif value <= 0:
            share = 0.0
        else:
            share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * share

    def ticks(self) -> list[tuple[float, str]]:
        """Values and how they are written."""
        if self.logarithmic:
            powers = range(math.ceil(self.low) + self.zero, math.floor(self.high) + 1)
            return [(0.0, "0")] * self.zero + [(10.0**k, _power(k)) for k in powers]
        count = round((self.high - self.low) / self.step)
        values = [self.low + k * self.step + 0.0 for k in range(count + 1)]
        return [(value, f"{value:,.{digits(self.step)}f}") for value in values]


def linear(values: Sequence[float], start: float, end: float) -> Scale:
    """A scale over all of `values` from one round number to another."""
    low, high = min(values), max(values)
    step = round_step((high - low) or abs(high) or 1.0)
    bottom = step * math.floor(low / step + 1e-9)
    top = step * math.ceil(high / step - 1e-9)
    return Scale(bottom, top if top > bottom else bottom + step, start, end, step=step)


def costs(values: Sequence[float], start: float, end: float) -> Scale:
    """Linear where the values are within a factor of ten, else logarithmic."""
    positive = [v for v in values if v > 0]
    near = len(positive) == len(values) and max(values) < 10 * min(values)
    return linear(values, start, end) if near else decades(values, start, end)


def decades(values: Sequence[float], start: float, end: float) -> Scale:
    """A logarithmic scale over the positive ones of `values`, with a place for zero before it where one of them is zero."""
    positive = [v for v in values if v > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive)) + 1e-9), math.ceil(math.log10(max(positive)) - 1e-9)
    zero = len(positive) < len(values)
    return Scale(low - zero, max(high, low + 1), start, end, logarithmic=True, zero=zero)


def round_step(span: float, lines: int = 6) -> float:
    """A round distance of grid lines, about `lines` of them over `span`."""
    rough = span / lines
    unit = 10 ** math.floor(math.log10(rough))
    return next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough)


def digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _power(k: int) -> str:
    if k < 0:
        return f"{10.0**k:.{-k}f}"
    return f"{10**k:,}" if k < 6 else f"{10 ** (k - 6):,} M"


def text(x: float, y: float, words: str, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(plain(words))}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str = INK, extra: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{extra}/>'


def dot(x: float, y: float, colour: str, about: str) -> str:
    """A point; `about` shows when a reader points at it."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"><title>{escape(plain(about))}</title></circle>'


def picture(width: float, height: float, about: str, parts: list[str]) -> str:
    """The file, with the mark of generated ones on its second line. `about` is what a screen reader says."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}" role="img" aria-label="{escape(plain(about))}">'
    )
    ground = f'<rect width="{width}" height="{height}" rx="6" fill="{GROUND}"/>'
    return "\n".join([head, MARK, ground, *parts, "</svg>"]) + "\n"


def grid(x: Scale, y: Scale, title: str, under: str) -> list[str]:
    """The lines of both scales with their numbers, the title above, and what the horizontal one shows below."""
    left, right, bottom, top = x.start, x.end, y.start, y.end
    parts = [text(left, top - 14, title, extra=' font-weight="bold" font-size="12"')]
    for value, words in y.ticks():
        parts += [
            line(left, y(value), right, y(value), FAINT, ' stroke-opacity="0.3"'),
            text(left - 6, y(value) + 4, words, "end"),
        ]
    for value, words in x.ticks():
        parts += [line(x(value), bottom, x(value), top, FAINT, ' stroke-opacity="0.3"')]
        parts += [text(x(value), bottom + 16, words, "middle")]
    return [*parts, text((left + right) / 2, bottom + 34, under, "middle")]


@dataclass(frozen=True)
class Label:
    x: float
    y: float
    words: str

    def box(self, x: float, y: float) -> Box:
        return x, y - 10, x + LETTER * len(self.words), y + 3


def labels(points: list[Label], room: Box, marks: Sequence[tuple[float, float]] = ()) -> list[str]:
    """Words beside their points, each in the nearest free place: over no other words, no point, none of the other `marks`, and
    inside `room`; a thin line leads to a point that is not near."""
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in [*((p.x, p.y) for p in points), *marks]]
    parts = []
    for k in sorted(range(len(points)), key=lambda k: (points[k].y, points[k].x)):
        p = points[k]
        x, y = _free(p, taken, room)
        taken.append(p.box(x, y))
        end_x = min(max(p.x, x), x + LETTER * len(p.words))
        if math.hypot(end_x - p.x, y - 4 - p.y) > 13:
            parts.append(line(p.x, p.y, end_x, y + 2 if y < p.y else y - 9, FAINT, ' stroke-width="0.7"'))
        parts.append(text(x, y, p.words, extra=HALO))
    return parts


def _free(p: Label, taken: list[Box], room: Box) -> tuple[float, float]:
    width = LETTER * len(p.words)
    for distance in range(8, 400, 7):
        for dx, dy in ((1, 0), (-1, 0), (0.7, -0.7), (-0.7, -0.7), (0.7, 0.7), (-0.7, 0.7), (0, -1), (0, 1)):
            x, y = p.x + dx * distance - (width if dx < 0 else width / 2 if dx == 0 else 0), p.y + dy * distance + 4
            box = p.box(x, y)
            inside = box[0] >= room[0] and box[1] >= room[1] and box[2] <= room[2] and box[3] <= room[3]
            if inside and not any(_meet(box, other) for other in taken):
                return x, y
    return p.x + 8, p.y + 4  # no place is free: better over another than not at all


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
