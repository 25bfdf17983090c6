"""The first page: a line for each board, methods beside datasets, what else there is, and what stands on no board."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pandas as pd

from benchmarks.board import headline, html
from benchmarks.board.collect import EMBEDDED, REASONS, TIER_MEANS, TIERS, Board, Collection, Dropped, embedded
from benchmarks.board.how import how
from benchmarks.board.overview import alike, overview
from benchmarks.board.tables import headline as in_a_line
from benchmarks.board.tables import missing_seeds
from benchmarks.board.text import Table, escape, markdown, raw_table
from benchmarks.records import Record


def parts(
    found: Collection,
    groups: dict[Board, list[Record]],
    names: dict[tuple[str, str], str],
    further: list[ModuleType],
    others: set[str],
) -> list[str]:
    """The page's parts. `names`: the page of each protocol and dataset; `further`: modules of other pages; `others`: their files."""
    made = [
        "# Leaderboard",
        'Channel replacement ("swap") and other ways to adapt a frozen vision model. '
        "Each page holds one dataset under one protocol; its tables are made from the records in `results/`.",
        html.POINTER,
    ]
    for suite in headline.SUITES:
        here = {b: r for b, r in groups.items() if embedded(b.protocol) == suite.embedded}
        rows = [_line(board, records, names) for board, records in here.items()]
        made += [f"## {suite.title}", *([f"> {EMBEDDED}"] if suite.embedded else [])]
        made += [raw_table(rows) if rows else "No record yet."]
        if suite.picture in others:
            made += [f"![{headline.ALT}]({suite.picture})", headline.READ]
        made += _overviews(here)
    for maker in further:
        made += [f"## {maker.TITLE}", f"[{maker.LINE}]({maker.PAGE})"]
    made += [
        how(list(groups.values())),
        "## Tiers",
        "\n".join(f"- **{tier}**: {TIER_MEANS[tier]}." for tier in TIERS)
        + "\n\nThe tiers are never mixed in a table. A record that is dropped from one is listed below.",
    ]
    return made + ["## Records that stand on no board", _excluded(found.dropped)]


def _overviews(groups: dict[Board, list[Record]]) -> list[str]:
    """Methods beside datasets, one table for what may stand in one: equal protocol version, tier, backbone and precision."""
    made = []
    for key, records in alike(groups).items():
        if len(records) > 1:  # one dataset's numbers are a click away
            title = f"### {key.tier.capitalize()}: {escape(key.model)}, {escape(key.protocol)}, version {key.version[:8]}"
            made += [title, markdown(overview(records))]
    return made


def _line(board: Board, records: list[Record], names: dict[tuple[str, str], str]) -> dict[str, str]:
    page = f"[{escape(board.protocol)} / {escape(board.dataset)}]({names[board.protocol, board.dataset]})"
    tier = board.tier + (" (seeds missing)" if board.tier == "verified" and missing_seeds(records) else "")
    cells = {"tier": tier, "backbone": board.model, "version": board.protocol_hash[:8], **in_a_line(records)}
    return {"page": page} | {k: escape(v) for k, v in cells.items()}


def _excluded(dropped: tuple[Dropped, ...]) -> str:
    if not dropped:
        return "None."
    counts = Counter(d.reason for d in dropped)
    rows = [{"reason": r, "meaning": REASONS[r], "records": str(counts[r])} for r in REASONS if counts[r]]
    by_reason = sorted(dropped, key=lambda d: (list(REASONS).index(d.reason), d.path))
    lines = [f"- {escape(d.path)}: {d.reason}: {escape(d.detail)}" for d in by_reason]
    return markdown(Table("", pd.DataFrame(rows))) + "\n\n" + "\n".join(lines)
