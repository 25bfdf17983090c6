"""A comparison as an SVG file: the intervals of all differences against zero, and below for each the images one by one."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from benchmarks.board.axes import digits, round_step
from benchmarks.board.text import plain
from benchmarks.board.units import unit
from benchmarks.compare import ALIKE, Row

WIDTH, LABEL, RIGHT = 760, 300, 24
LINE, PANEL, GAP = 34, 190, 58  # heights, pixels
# Orange and blue are told apart by people who see few colours, and all three read on white and on black.
BETTER, WORSE, INK = "#2f8fd0", "#d9820f", "#808080"


def plot(rows: tuple[Row, ...]) -> str:
    """The picture, as the text of a file."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.metric, []).append(row)  # an axis for each unit
    parts, y = [], 0
    for metric, alike in groups.items():
        parts.append(_move(0, y, _intervals(metric, alike)))
        y += 62 + LINE * len(alike) + 24
    for row in rows:
        parts.append(_move(0, y, _images(row)))
        y += PANEL + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}" role="img" aria-label="differences, paired by image">'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _move(x: float, y: float, inside: str) -> str:
    return f'<g transform="translate({x} {y})">{inside}</g>'


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(plain(text))}</text>'


def _cut(text: str, most: int) -> str:
    text = plain(text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = INK, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{more}/>'


def _grid(low: float, high: float, zero: bool = True) -> tuple[list[float], float]:
    """Round values from below `low` to above `high`, with zero among them, and their distance."""
    low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
    step = round_step((high - low) or 1.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * n for n in range(first, max(last, first + 1) + 1)], step


def _intervals(metric: str, rows: list[Row]) -> str:
    shown = unit(metric)
    values = [v * shown.scale for r in rows for v in (r.estimate.low, r.estimate.high, r.estimate.value)]
    ticks, step = _grid(min(values), max(values))

    def x(value: float) -> float:
        return LABEL + (WIDTH - LABEL - RIGHT) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    bottom = 36 + LINE * len(rows)
    lower = "" if shown.higher else "; below 0 is better"
    title = f"Difference of {shown.label}{', ' + shown.name if shown.name else ''} (95 % interval{lower})"
    parts = [_text(12, 18, title, more=' font-weight="bold" font-size="12"')]
    for tick in ticks:
        zero = abs(tick) < 1e-9
        parts.append(_line(x(tick), 30, x(tick), bottom, more=f' stroke-opacity="{1 if zero else 0.25}"'))
        parts.append(_text(x(tick), bottom + 15, f"{tick:+.{digits(step)}f}" if not zero else "0", "middle"))
    for k, row in enumerate(rows):
        y, e = 50 + LINE * k, row.estimate
        low, high, value = (v * shown.scale for v in (e.low, e.high, e.value))
        colour = INK if not row.shown else BETTER if (value > 0) == shown.higher else WORSE
        about = f"{shown.show(e.value, True)} ({shown.show(e.low, True)} to {shown.show(e.high, True)}): {row.verdict}"
        parts.append(_text(12, y - 2, _cut(f"{row.pair.a.label} - {row.pair.b.label}", 46)))
        parts.append(_text(12, y + 11, _cut(f"{row.pair.a.board.dataset}, {row.verdict}", 52), more=' font-size="9.5"'))
        parts.append(_line(x(low), y, x(high), y, colour, ' stroke-width="2.5"'))
        parts.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="5" fill="{colour}"><title>{escape(plain(about))}</title></circle>')
    return "".join(parts)


def _images(row: Row) -> str:
    board, shown = row.pair.a.board, unit(row.metric)
    title = _cut(f"{row.pair.a.label} - {row.pair.b.label}, {board.dataset} with {board.backbone}", 90)
    counts = f"{row.better} images better, {row.alike} alike, {row.worse} worse; means over {len(row.seeds)} seed" + (
        "s" if len(row.seeds) > 1 else ""
    )
    parts = [_text(12, 16, title, more=' font-weight="bold" font-size="12"'), _text(12, 31, counts)]
    parts.append(_move(0, 44, _sorted(row, shown)))
    parts.append(_move(500, 44, _scatter(row, shown)))
    return "".join(parts)


def _sorted(row: Row, shown) -> str:
    """Every image's difference, from the largest to the smallest: how many gain, how much, and who pays for it."""
    left, right, top, bottom = 56, 470, 6, PANEL - 34
    gaps = np.sort(row.scores[0] - row.scores[1])[::-1] * shown.scale
    ticks, step = _grid(float(gaps[-1]), float(gaps[0]))

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    wide = (right - left) / len(gaps)
    parts = []
    for tick in ticks:
        zero = abs(tick) < 1e-9
        parts.append(_line(left, y(tick), right, y(tick), more=f' stroke-opacity="{1 if zero else 0.25}"'))
        parts.append(_text(left - 6, y(tick) + 4, f"{tick:+.{digits(step)}f}" if not zero else "0", "end"))
    good = gaps > ALIKE * shown.scale if shown.higher else gaps < -ALIKE * shown.scale
    bad = gaps < -ALIKE * shown.scale if shown.higher else gaps > ALIKE * shown.scale
    for chosen, colour in ((good, BETTER), (bad, WORSE)):
        if chosen.any():
            bars = "".join(f"M{left + wide * (k + 0.5):.1f} {y(0):.1f}V{y(gaps[k]):.1f}" for k in np.flatnonzero(chosen))
            parts.append(f'<path d="{bars}" stroke="{colour}" stroke-width="{max(wide, 0.6):.2f}" fill="none"/>')
    said = f"{len(gaps):,} images, sorted; {shown.label}" + (f", {shown.name}" if shown.name else "")
    return "".join([*parts, _text((left + right) / 2, bottom + 18, said, "middle")])


def _scatter(row: Row, shown) -> str:
    """Every image's two scores; above the diagonal a is higher."""
    left, right, top, bottom = 40, 40 + PANEL - 40, 14, PANEL - 34
    a, b = row.scores * shown.scale
    low, high = float(min(a.min(), b.min())), float(max(a.max(), b.max()))
    high = high if high > low else low + 1.0

    def x(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    parts = [_line(left, bottom, right, bottom), _line(left, top, left, bottom), _line(x(low), y(low), x(high), y(high))]
    for value in (low, high):
        text = f"{value:.{0 if high - low > 20 else 2}f}"
        parts.append(_text(x(value), bottom + 13, text, "middle"))
        parts.append(_text(left - 4, y(value) + 4, text, "end"))
    gains = (a - b) * (1 if shown.higher else -1)
    limit = ALIKE * shown.scale
    for chosen, colour in ((abs(gains) <= limit, INK), (gains > limit, BETTER), (gains < -limit, WORSE)):
        dots = "".join(f"M{x(b[k]):.1f} {y(a[k]):.1f}h0" for k in np.flatnonzero(chosen))
        if dots:
            parts.append(
                f'<path d="{dots}" stroke="{colour}" stroke-width="2.6" stroke-linecap="round" stroke-opacity="0.7" fill="none"/>'
            )
    parts.append(_text((left + right) / 2, bottom + 26, _cut(f"x: {row.pair.b.label}", 26), "middle"))
    parts.append(_text(left, top - 6, _cut(f"y: {row.pair.a.label}", 26)))
    return "".join(parts)
