"""The table of the swaps that were found."""

from __future__ import annotations

import re

import pandas as pd

from benchmarks.board.pool import SWAP, head_of, metrics_of
from benchmarks.board.text import Table
from benchmarks.board.units import unit
from benchmarks.records import Record

STANDLESS = "combinations that cannot stand"  # two of their pairs overwrite one channel


def search_table(records: list[Record]) -> Table:
    """The swap that each seed of each method found, its gain on the search set and on the test set, and the effort.

    A gain is positive where it is better, whichever way the metric runs. A search that scored something else than the
    protocol's metric shows its gain as a bare number, which has no difference to the test gain.
    """
    rows, sizes, objectives = [], set(), {}
    metric = (metrics_of(records) or ["score"])[0]
    shown = unit(metric)
    suffix = f", {shown.name}" if shown.name else ""
    for record in sorted((r for r in records if r.spec.method.endswith(SWAP)), key=lambda r: (r.spec.method, r.spec.seed)):
        found = record.search
        row = {"method": record.spec.method, "seed": str(record.spec.seed)}
        if found is None:
            rows.append(row | {"pairs (redundant<-effective)": "not recorded"})
            continue
        sizes.add(len(found.images))
        objectives[found.objective] = None
        test, alike = found.test_gain, scores_metric(found.objective, metric)
        gap = shown.show(found.search_gain - (test or 0), True) if alike else "another score"
        rows.append(
            row
            | {
                "pairs (redundant<-effective)": ", ".join(f"{i}<-{j}" for i, j in found.pairs) or "none: no pair helped",
                f"search gain{suffix}": shown.show(found.search_gain, True) if alike else f"{found.search_gain:+.4g}",
                f"test gain{suffix}": "not measured" if test is None else shown.show(test, True),
                "search gain - test gain": "" if test is None else gap,
                STANDLESS: f"{found.conflicts:,}",
                "head passes" if head_of(record) else "decoder passes": f"{found.evaluations:,}",
                "strategy": found.strategy,
            }
        )
    title = (
        f"Swaps found on a search set of {' or '.join(map(str, sorted(sizes)))} images, disjoint from the test set."
        if sizes
        else ""
    )
    if sizes and not shown.higher:
        title += f" A gain is how much the {shown.label} falls."
    if others := [objective for objective in objectives if objective not in (metric, f"-{metric}")]:
        title += f" The search scored {'; or '.join(others)}."
    short = {"pairs (redundant<-effective)": "pairs"}
    return Table(title, pd.DataFrame(rows).fillna(""), (), "No method with swap was run.", short)


def scores_metric(objective: str, metric: str) -> bool:
    """Whether an objective is the metric: its name alone, with a minus where less is better, or before a word on ties."""
    return re.split(r"[,\s]", objective.removeprefix("-"), maxsplit=1)[0] == metric
