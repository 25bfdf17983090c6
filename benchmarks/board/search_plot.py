"""Gain over cost as an SVG file: a panel a dataset, evaluations on a logarithmic axis, intervals as bars."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from benchmarks.board.axes import LETTER, decades, digits, round_step
from benchmarks.board.ink import INK
from benchmarks.board.text import MARK
from benchmarks.plain import plain

WIDTH, HEIGHT = 320, 250  # of a panel, pixels
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 30, 44
# Okabe and Ito's colours, told apart by people who see few colours.
COLOURS = ("#0072b2", "#8c8c8c", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")


@dataclass(frozen=True)
class Point:
    """A strategy: what it spent, and its gain in points with the interval."""

    name: str
    cost: float
    value: float
    low: float
    high: float


def plot(panels: list[tuple[str, list[Point]]]) -> str:
    """The picture, as the text of a file."""
    names = list(dict.fromkeys(p.name for _, points in panels for p in points))
    colour = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
    per_row = max(1, (WIDTH * len(panels) - 20) // 150)
    rows = -(-len(names) // per_row)
    width, height = WIDTH * len(panels), HEIGHT + 20 * rows + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}" role="img" aria-label="test gain over decoder passes">',
        MARK,  # on the second line
    ]
    for k, (title, points) in enumerate(panels):
        parts.append(f'<g transform="translate({k * WIDTH} 0)">{_panel(title, points, colour)}</g>')
    for k, name in enumerate(names):
        x, y = 20 + 150 * (k % per_row), HEIGHT + 14 + 20 * (k // per_row)
        parts.append(
            f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{colour[name]}"/><text x="{x + 10}" y="{y}">{escape(plain(name))}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(title: str, points: list[Point], colour: dict[str, str]) -> str:
    x = decades([p.cost for p in points], LEFT, WIDTH - RIGHT)
    bottom, top = min(0.0, *(p.low for p in points)), max(0.0, *(p.high for p in points))
    step = round_step((top - bottom) or 1.0)
    bottom, top = step * math.floor(bottom / step), step * math.ceil(top / step)
    top = top if top > bottom else bottom + step

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - bottom) / (top - bottom)

    parts = [f'<text x="{LEFT}" y="16" font-weight="bold" font-size="12">{escape(plain(title))}: test gain, points</text>']
    for n in range(round((top - bottom) / step) + 1):
        value = bottom + n * step
        line = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="{INK}"'
        parts.append(f'<line {line} stroke-opacity="{0.9 if abs(value) < 1e-9 else 0.25}"/>')
        number = "0" if abs(value) < 1e-9 else f"{value:+.{digits(step)}f}"
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{number}</text>')
    for value, words in x.ticks():
        middle = min(x(value), WIDTH - LETTER * len(words) / 2)  # the last one stays inside its panel, and so inside the picture
        parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{words}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 32}" text-anchor="middle">decoder passes</text>')
    for p in points:
        a, c = f"{x(p.cost):.1f}", colour[p.name]
        about = f"{p.name}: {p.cost:,.0f} passes, {p.value:+.2f} ({p.low:+.2f} to {p.high:+.2f})"
        parts.append(f'<line x1="{a}" x2="{a}" y1="{y(p.low):.1f}" y2="{y(p.high):.1f}" stroke="{c}" stroke-width="1.5"/>')
        parts.append(f'<circle cx="{a}" cy="{y(p.value):.1f}" r="5" fill="{c}"><title>{escape(plain(about))}</title></circle>')
    return "".join(parts)


def escape(text: str) -> str:
    """For XML, which knows neither markup of a record's own nor control characters."""
    return html.escape(plain(text))
