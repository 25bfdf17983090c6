"""Test gain over search gain, a point a swap: what was promised where it was chosen, and what came of it."""

from __future__ import annotations

from benchmarks.board.axes import BLUE, FAINT, INK, ORANGE, Label, dot, grid, labels, line, linear, picture, text
from benchmarks.board.ranking import Gain
from benchmarks.board.units import Unit

WIDTH, HEIGHT = 720, 460  # pixels
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 36, 76
NAMED = 24  # more swaps than this are told apart by pointing at them, not by words


def plot(gains: list[Gain], u: Unit) -> str | None:
    """The picture; None where no swap has both gains."""
    known = [g for g in gains if g.search is not None and g.test.estimate]
    if not known:
        return None
    xs = [g.search for g in known] + [s for g in known for s, _ in g.seeds]
    ys = [v for g in known for v in (g.test.estimate.low, g.test.estimate.high, *(t for _, t in g.seeds))]
    ys += [g.random.estimate.value for g in known if g.random and g.random.estimate]
    x = linear([u.scale * v for v in (0.0, *xs)], LEFT, WIDTH - RIGHT)
    y = linear([u.scale * v for v in (0.0, *ys)], HEIGHT - BOTTOM, TOP)
    unit = f", {u.name}" if u.name else ""
    parts = grid(x, y, f"Test gain{unit}", f"search gain{unit}")
    low, high = max(x.low, y.low), min(x.high, y.high)
    parts += [line(x(low), y(low), x(high), y(high), FAINT, ' stroke-dasharray="4 4"')]
    parts += [line(x.start, y(0.0), x.end, y(0.0), INK)]
    marks = []
    for g in known:
        at, e = x(u.scale * g.search), g.test.estimate
        low, value, high = (y(u.scale * v) for v in (e.low, e.value, e.high))
        for search, test in g.seeds if len(g.seeds) > 1 else ():
            parts.append(
                f'<circle cx="{x(u.scale * search):.1f}" cy="{y(u.scale * test):.1f}" r="2" fill="{BLUE}" fill-opacity="0.4"/>'
            )
        if g.random and g.random.estimate:
            control = y(u.scale * g.random.estimate.value)
            marks.append((at, control))
            parts.append(f'<circle cx="{at:.1f}" cy="{control:.1f}" r="4" fill="none" stroke="{ORANGE}" stroke-width="1.4"/>')
        parts.append(line(at, low, at, high, BLUE, ' stroke-width="1.4" stroke-opacity="0.6"'))
        about = f"{g.method}: search {u.show(g.search, True)}, test {u.show(e.value, True)} ({u.show(e.low, True)} to {u.show(e.high, True)})"
        parts.append(dot(at, value, BLUE, about))
    if len(known) <= NAMED:
        points = [Label(x(u.scale * g.search), y(u.scale * g.test.estimate.value), g.method) for g in known]
        parts += labels(points, (LEFT, TOP - 8, WIDTH - 4, HEIGHT - BOTTOM), marks)
    return picture(WIDTH, HEIGHT, "test gain over search gain, a point a swap", [*parts, *_legend()])


def _legend() -> list[str]:
    y, seed, ring, dash = HEIGHT - 14, LEFT + 250, LEFT + 330, LEFT + 530
    return [
        f'<circle cx="{LEFT + 6}" cy="{y - 4}" r="4.5" fill="{BLUE}"/>',
        text(LEFT + 16, y, "a swap, mean over seeds, 95 % interval"),
        f'<circle cx="{seed}" cy="{y - 4}" r="2" fill="{BLUE}" fill-opacity="0.4"/>',
        text(seed + 8, y, "one seed"),
        f'<circle cx="{ring}" cy="{y - 4}" r="4" fill="none" stroke="{ORANGE}" stroke-width="1.4"/>',
        text(ring + 10, y, "random swap of the same size"),
        line(dash, y - 4, dash + 24, y - 4, FAINT, ' stroke-dasharray="4 4"'),
        text(dash + 30, y, "test = search"),
    ]
