"""Every method on every dataset in one table: what `sweep` prints at its end and the index page shows."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import pandas as pd

from benchmarks.board.collect import TIERS, Board, embedded
from benchmarks.board.pool import SWAP, difference, family, mean, metrics_of, ordered, pool
from benchmarks.board.tables import show_difference, unit
from benchmarks.board.text import Table
from benchmarks.records import Record


class Alike(NamedTuple):
    """What boards of several datasets must share to stand in one table. They sort verified first."""

    place: int  # of the tier in TIERS
    protocol: str
    version: str
    backbone: str
    precision: str

    @property
    def tier(self) -> str:
        return TIERS[self.place]

    @property
    def embedded(self) -> bool:
        """Of the embedded suite, whose numbers stand apart from those of the paper's protocols."""
        return embedded(self.protocol)

    @property
    def model(self) -> str:
        return self.backbone + (f", {self.precision}" if self.precision != "float32" else "")


def alike(groups: dict[Board, list[Record]]) -> dict[Alike, dict[str, list[Record]]]:
    """Records by what may stand in one table, those of most datasets first, then by dataset; a dataset of changed images or weights is
    named with them."""
    tables: dict[Alike, dict[str, list[Record]]] = defaultdict(dict)
    for board, records in groups.items():
        place = TIERS.index(board.tier)
        known = tables[Alike(place, board.protocol, board.protocol_hash, board.backbone, board.precision)]
        known[board.dataset if board.dataset not in known else f"{board.dataset}, inputs {board.inputs}"] = records
    return dict(sorted(tables.items(), key=lambda t: (t[0].place, t[0].protocol, -len(t[1]), t[0])))


def overview(records: dict[str, list[Record]]) -> Table:
    """A row a method; for each dataset its mean over the seeds, and beside it what a swap adds to it.

    `records` by dataset, each list of one board. A cell is empty where nothing was evaluated.
    """
    pools = {dataset: pool(made, metrics_of(made)[0]) for dataset, made in records.items() if metrics_of(made)}
    units = {dataset: unit(pooled.metric) for dataset, pooled in pools.items()}
    one = len({shown.header for shown in units.values()}) == 1
    methods = ordered({family(name) for pooled in pools.values() for name in pooled.scores})
    rows = []
    for method in methods:
        row, swapped = {"method": method}, f"{method}{SWAP}"
        for dataset, pooled in pools.items():
            shown, known = units[dataset], pooled.scores
            title = dataset if one else f"{dataset} ({shown.header})"
            row[title] = shown.show(mean(pooled, method)) if method in known else ""
            gain = show_difference(difference(pooled, swapped, method), len(known[swapped]), shown) if swapped in known else ""
            row[f"{SWAP}, {dataset}"] = gain
        rows.append(row)
    what = next(iter(units.values())).header if one and units else "Means"
    caption = f"{what}, mean over seeds; beside it what a swap adds, paired by image, with its 95 % interval."
    if falling := [shown.label for shown in dict.fromkeys(units.values()) if not shown.higher]:
        caption += f" A difference of {' and '.join(falling)} below 0 is a gain."
    return Table(caption, pd.DataFrame(rows), missing="Nothing was evaluated.")
