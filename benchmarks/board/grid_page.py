"""Tables 2, 3 and 5 of the paper, cell by cell: what it prints, what the records measure, and why a cell has no number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from benchmarks.board.collect import TIERS
from benchmarks.board.evidence import Evidence, Number
from benchmarks.board.layout import Column, Layout, Row, first_release
from benchmarks.board.tables import show_difference
from benchmarks.board.text import Table, markdown
from benchmarks.board.units import Unit, unit
from benchmarks.catalog import BACKBONES, SWAP
from benchmarks.metrics.intervals import Estimate, mean_of_independent
from benchmarks.printed import AVERAGE, DASH, GAIN, Printed

Cells = dict[tuple[Row, Column], Number | str]  # of one tier: each cell's number, or why there is none
UNPAIRED = "the swap and the same method without it share no seed, or not their test images"
UNVERIFIED = "Printed in the paper, nothing verified yet"


class Reasons:
    """Letters for reasons, in the order in which they come up, and the legend that spells them out."""

    def __init__(self):
        self._letters: dict[str, str] = {}

    def letter(self, reason: str) -> str:
        return self._letters.setdefault(reason, _letter(len(self._letters)))

    def legend(self) -> Table:
        rows = [{"": letter, "no number, because": reason} for reason, letter in self._letters.items()]
        return Table("", pd.DataFrame(rows))

    def __bool__(self) -> bool:
        return bool(self._letters)


def measured(layout: Layout, evidence: Evidence, tier: str) -> Cells:
    return {(r, c): evidence.look(tier, layout.place(r, c)) for r in layout.rows for c in layout.columns}


def numbers(cells: Cells) -> dict[tuple[Row, Column], Number]:
    return {key: cell for key, cell in cells.items() if isinstance(cell, Number)}


def with_first_release(layout: Layout, evidence: Evidence) -> Layout:
    """The layout with the first release of SAM 2 in rows of its own, where it was ever run."""
    rows: list[Row] = []
    for row in layout.rows:
        rows.append(row)
        if row.method.endswith(SWAP):  # a pair of rows is whole: its first release follows it
            others = [first_release(r) for r in rows[-2:]]
            protocol = BACKBONES.get(row.backbone).protocol
            rows += [r for r in others if r is not None and evidence.any(r.backbone, protocol)]
    return replace(layout, rows=tuple(rows))


def paper_parts(layout: Layout, evidence: Evidence, paper: Printed) -> list[str]:
    """The page below its heading: for each tier the grid of printed and measured numbers, then each measured cell in full."""
    layout = with_first_release(layout, evidence)
    reasons, parts = Reasons(), []
    known = {tier: measured(layout, evidence, tier) for tier in TIERS}
    for tier in TIERS:
        if tier != TIERS[0] and not numbers(known[tier]):
            parts += [f"## {tier.capitalize()}", f"No cell is measured in the {tier} tier."]
            continue
        shown = layout if tier == TIERS[0] else _measured_rows(layout, known[tier])
        # Over what the paper alone prints no heading may read "Verified".
        heading = tier.capitalize() if numbers(known[tier]) else UNVERIFIED
        parts += [f"## {heading}", markdown(_grid(shown, known[tier], paper, reasons))]
        if numbers(known[tier]):
            parts += [f"### Measured cells, {tier}", markdown(_long(layout, known[tier], paper))]
    return parts + (["## Why cells have no number", markdown(reasons.legend())] if reasons else [])


def _measured_rows(layout: Layout, cells: Cells) -> Layout:
    """The layout without rows in which nothing is measured."""
    return replace(layout, rows=tuple(r for r in layout.rows if any(isinstance(cells[r, c], Number) for c in layout.columns)))


def embedded_parts(layout: Layout, evidence: Evidence) -> list[str]:
    """The same rows on the embedded suite: numbers with intervals and seeds, and nothing printed beside them."""
    reasons, parts = Reasons(), []
    for tier in TIERS:
        cells = measured(layout, evidence, tier)
        parts += [f"## {tier.capitalize()}"]
        if tier != TIERS[0] and not numbers(cells):
            parts += [f"No cell is measured in the {tier} tier."]
            continue
        rows = []
        for row in layout.rows:
            shown = {"": row.title} | {_head(layout, c, unit(c.metric)): _full(cells[row, c], c, reasons) for c in layout.columns}
            if layout.averaged:
                average, gain = average_of(layout, cells, row), gain_of(layout, cells, row)
                shown["average"] = _mean(average, unit("miou"), False) or reasons.letter(_not_all(layout))
                shown["gain in the average"] = _mean(gain, unit("miou"), True) or _no_gain(layout, cells, row, reasons)
            rows.append(shown)
        caption = "Mean over seeds and images, its 95 % interval, and the number of seeds."
        if layout.averaged:
            caption += f" {unit('miou').title} in points. Average and gain are over the datasets."
        parts += [markdown(Table(caption, pd.DataFrame(rows)))]
    return parts + (["## Why cells have no number", markdown(reasons.legend())] if reasons else [])


def average_of(layout: Layout, cells: Cells, row: Row) -> tuple[float, float, float] | None:
    """Mean over the columns and its interval, in the metric's own unit; None where a cell is not measured."""
    found = [cells[row, c] for c in layout.columns]
    if not all(isinstance(cell, Number) and cell.estimate for cell in found):
        return None
    return mean_of_independent(cell.estimate for cell in found)


def gain_of(layout: Layout, cells: Cells, row: Row) -> tuple[float, float, float] | None:
    """The same of what the row has more than the row without swap, paired by image in each column."""
    found = [cells[row, c] for c in layout.columns]
    gains = [cell.gain.estimate if isinstance(cell, Number) and cell.gain else None for cell in found]
    return mean_of_independent(gains) if all(gains) else None


def _grid(layout: Layout, cells: Cells, paper: Printed, reasons: Reasons) -> Table:
    rows = []
    for row in layout.rows:
        shown = {"": row.title}
        for column in layout.columns:
            cell, u = cells[row, column], unit(column.metric)
            text = u.show(cell.value) if isinstance(cell, Number) else reasons.letter(cell)
            shown[_head(layout, column, u)] = f"{_printed(paper, row, column.printed, column.metric)} / {text}"
        if layout.averaged:
            u, average, gain = unit("miou"), average_of(layout, cells, row), gain_of(layout, cells, row)
            text = u.show(average[0]) if average else reasons.letter(_not_all(layout))
            shown["average"] = f"{_printed(paper, row, AVERAGE, 'miou')} / {text}"
            text = u.show(gain[0], True) if gain else _no_gain(layout, cells, row, reasons)
            shown["gain"] = f"{_printed(paper, row, GAIN, 'miou')} / {text}" if row.method.endswith(SWAP) else ""
        rows.append(shown)
    count = len(numbers(cells))  # of all rows, whichever are shown
    caption = (
        f"Printed in the paper / measured here; a letter says why there is no number. Measured: {count} of {len(cells)} cells."
    )
    return Table(caption, pd.DataFrame(rows))


def _long(layout: Layout, cells: Cells, paper: Printed) -> Table:
    rows = []
    for (row, column), cell in numbers(cells).items():
        u = unit(column.metric)
        printed = _printed(paper, row, column.printed, column.metric)
        estimate = cell.estimate and (cell.estimate.value, cell.estimate.low, cell.estimate.high)
        gain = show_difference(cell.gain, len(cell.seeds), u) if cell.gain else ""
        rows.append(_row(row, column.dataset, u, printed, cell.value, estimate, str(len(cell.seeds)), gain))
    for row in layout.rows if layout.averaged else ():
        u, average, gain = unit("miou"), average_of(layout, cells, row), gain_of(layout, cells, row)
        if average:
            printed, seeds = _printed(paper, row, AVERAGE, "miou"), {len(cells[row, c].seeds) for c in layout.columns}
            few = " to ".join(map(str, sorted({min(seeds), max(seeds)})))
            rows.append(_row(row, AVERAGE, u, printed, average[0], average, few, _mean(gain, u, True) if gain else ""))
    notes = ["The interval is over images and seeds; with one seed it says nothing about seeds.", "Gains are paired by image."]
    if any(r["dataset"] == AVERAGE for r in rows):
        notes += ["The interval of an average takes the datasets as independent: they share no image."]
    return Table("", pd.DataFrame(rows), tuple(notes))


def _row(row: Row, dataset: str, u: Unit, printed: str, value: float, interval, seeds: str, gain: str) -> dict[str, str]:
    """A line of the long table. `interval` is (value, low, high) in the metric's own unit, or None."""
    comparable = printed not in ("", DASH)
    inside = ""
    if comparable and interval:
        inside = "yes" if interval[1] * u.scale <= float(printed) <= interval[2] * u.scale else "no"
    return {
        "row": row.title,
        "dataset": dataset,
        "metric": u.header,
        "printed": printed,
        "measured": u.show(value),
        "95 % interval": f"{u.show(interval[1])} to {u.show(interval[2])}" if interval else "none: other test images by seed",
        "seeds": seeds,
        "measured - printed": u.show(value - float(printed) / u.scale, True) if comparable else "",
        "printed inside": inside,
        "gain of the swap (95 %)": gain,
    }


def _full(cell: Number | str, column: Column, reasons: Reasons) -> str:
    if isinstance(cell, str):
        return reasons.letter(cell)
    u, seeds = unit(column.metric), f"{len(cell.seeds)} seed{'s' if len(cell.seeds) > 1 else ''}"
    if cell.estimate is None:
        return f"{u.show(cell.value)}, {seeds} of different test images"
    return f"{_mean((cell.value, cell.estimate.low, cell.estimate.high), u, False)}, {seeds}"


def _mean(found: tuple[float, float, float] | None, u: Unit, signed: bool) -> str:
    if found is None:
        return ""
    value, low, high = (u.show(x, signed) for x in found)
    tie = " tie" if signed and Estimate(*found, p=1.0).tie else ""
    return f"{value} ({low} to {high}){tie}"


def _no_gain(layout: Layout, cells: Cells, row: Row, reasons: Reasons) -> str:
    if not row.method.endswith(SWAP):
        return ""
    whole = all(isinstance(cells[row, c], Number) for c in layout.columns)
    return reasons.letter(UNPAIRED if whole else _not_all(layout))


def _not_all(layout: Layout) -> str:
    return f"not all {len(layout.columns)} datasets are measured"


def _printed(paper: Printed, row: Row, dataset: str, metric: str) -> str:
    return paper.get((row.printed, row.method, dataset, metric), "")


def _head(layout: Layout, column: Column, u: Unit) -> str:
    return column.dataset if layout.averaged else f"{column.dataset}: {u.header}"


def count(layout: Layout, known: Iterable[tuple[Row, Column]]) -> int:
    """How many printed numbers have a measured one beside them; either of the two CIFARs fills the one that is printed."""
    return len({(row.printed, row.method, column.printed, column.metric) for row, column in known})


def _letter(k: int) -> str:
    """a to z, then aa, ab and so on."""
    return (_letter(k // 26 - 1) if k >= 26 else "") + chr(ord("a") + k % 26)
