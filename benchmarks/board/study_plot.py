"""Plots of studies as SVG files: the gain of zeroing each channel, sorted; the gain over the number of pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.board.search_plot import INK
from benchmarks.board.text import MARK, plain
from chanswap.multiple import HARMFUL, REDUNDANT, USEFUL

COLOURS = {HARMFUL: "#d55e00", REDUNDANT: "#8c8c8c", USEFUL: "#0072b2"}  # Okabe and Ito's, as in the other plots
MEANS = {HARMFUL: "harmful: better without it", REDUNDANT: "redundant: no difference shown", USEFUL: "useful: worse without it"}
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 30, 36
WIDE, HIGH = 940, 250  # of a panel of channels, pixels
NARROW, LOW = 313, 250  # of a panel of growth
_GRID = (0, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Bar:
    """A channel: its gain on the test set with the interval, its label there, its gain on the search set; in points."""

    channel: int
    value: float
    low: float
    high: float
    label: str
    search: float


@dataclass(frozen=True)
class Line:
    """A way to choose pairs: for 1, 2, ... of them the gain on the search set, and on the test set with its interval; in points."""

    name: str
    colour: str
    search: tuple[float, ...]
    test: tuple[tuple[float, float, float], ...]


def channels_plot(panels: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """A panel a study, one below the other: its channels sorted by their gain on the test set."""
    parts = []
    for k, (title, bars) in enumerate(panels):
        parts.append(f'<g transform="translate(0 {k * HIGH})">{_channels(title, bars)}</g>')
    x, y = LEFT, len(panels) * HIGH + 16
    for label, text in MEANS.items():
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{COLOURS[label]}"/><text x="{x + 9}" y="{y}">{text}</text>')
        x += 215
    parts.append(
        f'<circle cx="{x}" cy="{y - 4}" r="3" fill="none" stroke="{INK}"/><text x="{x + 9}" y="{y}">on the search set</text>'
    )
    return _file(WIDE, len(panels) * HIGH + 26, "gain of setting each channel to zero", parts)


def growth_plot(panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """A panel a study, three in a row: the gain over the number of pairs."""
    parts, rows = [], -(-len(panels) // 3)
    for k, (title, lines) in enumerate(panels):
        parts.append(f'<g transform="translate({k % 3 * NARROW} {k // 3 * LOW})">{_growth(title, lines)}</g>')
    names = {line.name: line.colour for _, lines in panels for line in lines}
    x, y = LEFT, rows * LOW + 16
    for name, colour in names.items():
        for text, dash in ((f"{name}: test set", ""), ("search set", ' stroke-dasharray="4 3"')):
            parts.append(f'<line x1="{x}" x2="{x + 22}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2"{dash}/>')
            parts.append(f'<text x="{x + 28}" y="{y}">{escape(text)}</text>')
            x += 60 + 6.2 * len(text)
    return _file(NARROW * min(3, max(1, len(panels))), rows * LOW + 26, "gain over the number of pairs", parts)


def _file(width: int, height: int, label: str, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}" role="img" aria-label="{label}">'
    )
    return "\n".join([head, MARK, *parts, "</svg>"]) + "\n"  # the mark is on the second line


@dataclass(frozen=True)
class _Axis:
    """From points to pixels, by the square root: a tenth of a point and ten points can be seen in one panel."""

    bottom: float
    top: float
    height: int

    @classmethod
    def of(cls, values: Sequence[float], height: int) -> _Axis:
        low, high = min([-0.1, *values]), max([0.1, *values])
        return cls(_root(low) - 0.05, _root(high) + 0.05, height)

    def y(self, value: float) -> float:
        return self.height - BOTTOM - (self.height - TOP - BOTTOM) * (_root(value) - self.bottom) / (self.top - self.bottom)

    def grid(self, right: int) -> list[str]:
        parts, last = [], None
        for value in sorted({s * g for g in _GRID for s in (-1, 1)}):
            y = self.y(value)
            if not TOP - 1 <= y <= self.height - BOTTOM + 1:
                continue
            parts.append(
                f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{INK}" stroke-opacity="{0.9 if not value else 0.2}"/>'
            )
            if last is None or last - y > 11 or not value:
                parts.append(
                    f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:+g}</text>'
                    if value
                    else f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">0</text>'
                )
                last = y
        return parts


def _root(value: float) -> float:
    return math.copysign(math.sqrt(abs(value)), value)


def _channels(title: str, bars: Sequence[Bar]) -> str:
    bars = sorted(bars, key=lambda b: (b.value, b.channel))
    axis = _Axis.of([n for b in bars for n in (b.low, b.high, b.search)], HIGH)
    step = (WIDE - LEFT - RIGHT) / max(1, len(bars))
    parts = [f'<text x="{LEFT}" y="16" font-weight="bold" font-size="12">{escape(plain(title))}</text>', *axis.grid(WIDE - RIGHT)]
    for k, b in enumerate(bars):
        x, colour = LEFT + (k + 0.5) * step, COLOURS[b.label]
        about = f"channel {b.channel}: test {b.value:+.2f} ({b.low:+.2f} to {b.high:+.2f}), {b.label}; search {b.search:+.2f}"
        parts.append(
            f'<g><title>{about}</title><line x1="{x:.1f}" x2="{x:.1f}" y1="{axis.y(b.low):.1f}" y2="{axis.y(b.high):.1f}" stroke="{colour}" '
            f'stroke-width="1.5"/><circle cx="{x:.1f}" cy="{axis.y(b.value):.1f}" r="{min(4, 0.33 * step):.1f}" fill="{colour}"/>'
            f'<circle cx="{x:.1f}" cy="{axis.y(b.search):.1f}" r="{min(3, 0.25 * step):.1f}" fill="none" stroke="{colour}" '
            f'stroke-opacity="0.7"/></g>'
        )
        if step >= 13 or len(bars) - 3 <= k or k < 3:
            parts.append(f'<text x="{x:.1f}" y="{HIGH - BOTTOM + 14}" text-anchor="middle" font-size="9">{b.channel}</text>')
    parts.append(f'<text x="{LEFT}" y="{HIGH - BOTTOM + 28}">channel, by its gain on the test set</text>')
    return "".join(parts)


def _growth(title: str, lines: Sequence[Line]) -> str:
    values = [n for line in lines for n in (*line.search, *(v for triple in line.test for v in triple))]
    axis, most = _Axis.of(values, LOW), max([1, *(len(line.search) for line in lines)])

    def x(count: int) -> float:
        return LEFT + 12 + (NARROW - LEFT - RIGHT - 24) * (count - 1) / max(1, most - 1)

    parts = [
        f'<text x="{LEFT}" y="16" font-weight="bold" font-size="12">{escape(plain(title))}</text>',
        *axis.grid(NARROW - RIGHT),
    ]
    for count in range(1, most + 1, max(1, most // 10)):
        parts.append(f'<text x="{x(count):.1f}" y="{LOW - BOTTOM + 14}" text-anchor="middle">{count}</text>')
    parts.append(f'<text x="{(LEFT + NARROW - RIGHT) / 2}" y="{LOW - BOTTOM + 28}" text-anchor="middle">pairs</text>')
    for place, line in enumerate(lines):
        shift = 3 * (place - (len(lines) - 1) / 2)  # two intervals at one number of pairs must not cover each other
        for points, dash in (([v for v, _, _ in line.test], ""), (line.search, ' stroke-dasharray="4 3"')):
            path = " ".join(f"{x(n) + shift:.1f},{axis.y(v):.1f}" for n, v in enumerate(points, 1))
            parts.append(f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="1.5"{dash}/>')
        for n, (value, low, high) in enumerate(line.test, 1):
            a = f"{x(n) + shift:.1f}"
            about = f"{line.name}, {n}: test {value:+.2f} ({low:+.2f} to {high:+.2f}), search {line.search[n - 1]:+.2f}"
            parts.append(
                f'<g><title>{escape(about)}</title><line x1="{a}" x2="{a}" y1="{axis.y(low):.1f}" y2="{axis.y(high):.1f}" '
                f'stroke="{line.colour}" stroke-width="1.5"/><circle cx="{a}" cy="{axis.y(value):.1f}" r="3.5" fill="{line.colour}"/></g>'
            )
    return "".join(parts)
