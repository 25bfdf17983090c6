"""Pictures of one run as SVG: paired differences image by image, scores as a histogram, losses by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.board.axes import digits, round_step
from benchmarks.board.ink import BAD, GOOD, GREY, INK, label
from benchmarks.board.units import Unit

WIDTH, HEIGHT = 640, 230
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 14, 40
POINTS = 600  # of a curve: one a pixel
BINS = 20
BLUE = "#0072b2"
Place = Callable[[float], float]


def differences(gains: Sequence[float], shown: Unit) -> str:
    """Gains of each image (positive is better, in the record's unit), sorted: those that lose left and below zero."""
    sorted_ = np.sort(np.asarray(gains, dtype=float)) * shown.scale
    picked = sorted_[np.linspace(0, len(sorted_) - 1, min(len(sorted_), POINTS)).round().astype(int)]
    x, y, parts = _frame(
        (0, len(sorted_)),
        (min(0.0, picked[0]), max(0.0, picked[-1])),
        "test images, from worst to best",
        _gain(shown),
        signed=True,
    )
    edges = np.linspace(0, len(sorted_), len(picked) + 1)
    for keep, colour in ((picked < 0, BAD), (picked > 0, GOOD)):
        bars = [
            f"M{x(a):.1f} {y(0):.1f}V{y(v):.1f}H{x(b):.1f}V{y(0):.1f}Z"
            for a, b, v in zip(edges[:-1][keep], edges[1:][keep], picked[keep])
        ]
        parts.append(f'<path d="{"".join(bars)}" fill="{colour}"/>' if bars else "")
    return _svg(parts, "gain of each test image, sorted")


def histogram(scores: Sequence[float], other: Sequence[float] | None, names: tuple[str, str], shown: Unit) -> str:
    """How the scores of the test images are spread; `other` as an outline over them."""
    every = np.concatenate([np.asarray(s, dtype=float) for s in (scores, other) if s is not None]) * shown.scale
    low, high = float(every.min()), float(every.max())
    low, high = (min(low, 0.0), max(high, shown.scale)) if shown.higher and 0 <= low and high <= shown.scale else (low, high)
    high = high if high > low else low + 1
    edges = np.linspace(low, high, BINS + 1)
    counts = [np.histogram(np.asarray(s, dtype=float) * shown.scale, edges)[0] for s in (scores, other) if s is not None]
    most = max(int(c.max()) for c in counts)
    x, y, parts = _frame(
        (low, high), (0, most), f"{shown.label}{f', {shown.name}' if shown.name else ''}", "test images", whole=True
    )
    for count, a, b in zip(counts[0], edges, edges[1:]):
        parts.append(
            f'<rect x="{x(a):.1f}" y="{y(count):.1f}" width="{x(b) - x(a):.1f}" height="{y(0) - y(count):.1f}" fill="{BLUE}" fill-opacity="0.55"/>'
        )
    key = f'<rect x="{LEFT + 8}" y="{TOP + 2}" width="10" height="10" fill="{BLUE}" fill-opacity="0.55"/>'
    parts.append(f'{key}<text x="{LEFT + 24}" y="{TOP + 11}">{label(names[0])}</text>')
    if other is not None:
        steps = "".join(f"V{y(count):.1f}H{x(b):.1f}" for count, b in zip(counts[1], edges[1:]))
        parts.append(f'<path d="M{x(low):.1f} {y(0):.1f}{steps}V{y(0):.1f}" fill="none" stroke="{GREY}" stroke-width="2"/>')
        key = f'<line x1="{LEFT + 8}" x2="{LEFT + 18}" y1="{TOP + 23}" y2="{TOP + 23}" stroke="{GREY}" stroke-width="2"/>'
        parts.append(f'{key}<text x="{LEFT + 24}" y="{TOP + 27}">{label(names[1])}</text>')
    return _svg(parts, "how the scores of the test images are spread")


def losses(values: Sequence[float]) -> str:
    """The mean loss of each epoch."""
    low, high = min(0.0, *values), max(values)
    x, y, parts = _frame((1, max(2, len(values))), (low, high if high > low else low + 1), "epoch", "mean loss", whole_x=True)
    line = " ".join(f"{x(k + 1):.1f},{y(v):.1f}" for k, v in enumerate(values))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="2"/>')
    for k, v in enumerate(values):
        parts.append(
            f'<circle cx="{x(k + 1):.1f}" cy="{y(v):.1f}" r="4" fill="{BLUE}"><title>epoch {k + 1}: {v:.4f}</title></circle>'
        )
    return _svg(parts, "mean loss of each epoch")


def _frame(
    across: tuple[float, float], up: tuple[float, float], below: str, beside: str, signed=False, whole=False, whole_x=False
) -> tuple[Place, Place, list[str]]:
    """The places of values, and the grid with its words. `whole`: counts, which have no half."""
    (left, right), (bottom, top) = across, up
    top = top if top > bottom else bottom + 1
    margin = 0.05 * (top - bottom)
    bottom, top = bottom - (margin if bottom < 0 else 0), top + margin

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - left) / (right - left)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - bottom) / (top - bottom)

    parts = []
    for value, text in _ticks(bottom, top, 5, signed, whole):
        line = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"'
        parts.append(f'<line {line} stroke="{INK}" stroke-opacity="{0.9 if value == 0 else 0.25}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{text}</text>')
    for value, text in _ticks(left, right, 8, False, whole_x):
        parts.append(f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{text}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{label(below)}</text>')
    parts.append(f'<text transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{label(beside)}</text>')
    return x, y, parts


def _ticks(low: float, high: float, lines: int, signed: bool, whole: bool) -> list[tuple[float, str]]:
    grid = round_step(high - low, lines)
    grid = max(1, grid) if whole else grid
    found = [n * grid for n in range(math.ceil(low / grid - 1e-9), math.floor(high / grid + 1e-9) + 1)]
    return [(v, f"{v:{'+' if signed and v else ''},.{digits(grid)}f}") for v in found]


def _gain(shown: Unit) -> str:
    return f"{shown.label} gain{f', {shown.name}' if shown.name else ''}"


def _svg(parts: list[str], about: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}" role="img" aria-label="{label(about, 120)}">'
    )
    return "\n".join([head, *(p for p in parts if p), "</svg>"]) + "\n"
