"""The part of a board's page that compares its methods: ranks, what swaps gained, quality over cost."""

from __future__ import annotations

from dataclasses import astuple

from benchmarks.board import gain_plot, pareto
from benchmarks.board.collect import Board
from benchmarks.board.pool import metrics_of
from benchmarks.board.ranking import gains, gains_table, ranking
from benchmarks.board.text import escape, markdown
from benchmarks.board.units import unit
from benchmarks.hashes import hash_of
from benchmarks.records import Record


def short(board: Board) -> str:
    """Of a board, for its pictures' file names."""
    return hash_of(list(astuple(board)))[:8]


def parts(stem: str, records: list[Record], failed: list[Record]) -> tuple[list[str], dict[str, str]]:
    """The parts of the page and the pictures by file name, which begins with `stem`. `failed` are runs of the same board."""
    made, drawn = [], {}

    def show(name: str, about: str, picture: str) -> str:
        drawn[f"{stem}-{name}.svg"] = picture
        return f"![{escape(about)}]({stem}-{name}.svg)"

    if ranks := ranking(records):
        made += ["#### Ranking", markdown(ranks)]
    if swaps := gains_table(records, failed):
        made += ["#### Search gain and test gain", markdown(swaps)]
        if picture := gain_plot.plot(gains(records), unit(metrics_of(records)[0])):
            made += [show("gains", "Test gain over search gain, a point a swap", picture)]
    if several := pareto.methods(records):
        pooled, names = several
        devices = pareto.costs(records, names)
        made += ["#### Quality over cost", *(markdown(pareto.table(pooled, names, found)) for found in devices)]
        made += [show(name, *picture) for name, picture in pareto.pictures(pooled, devices).items()]
    return made, drawn
