"""The page of one dataset under one protocol: its boards, tier by tier, and the runs that failed."""

from __future__ import annotations

import pandas as pd

from benchmarks.board import comparison
from benchmarks.board.collect import EMBEDDED, TIER_MEANS, TIERS, Board, Dropped, board_of, embedded
from benchmarks.board.commands import commands
from benchmarks.board.stage_costs import stage_costs
from benchmarks.board.tables import other_metrics, search_table
from benchmarks.board.text import Table, code, escape, markdown
from benchmarks.records import Record


def parts(
    subject: tuple[str, str],
    stem: str,
    groups: dict[Board, list[Record]],
    failed: list[Dropped],
    summaries: dict[Board, Table],
) -> tuple[list[str], dict[str, str]]:
    """The page's parts, and its pictures by file name. `subject`: protocol and dataset; `stem`: the page's file name without its end;
    `summaries`: the table of results of each board."""
    (protocol, dataset), pictures = subject, {}
    made = [
        f"# {escape(dataset)}, protocol {escape(protocol)}",
        *([f"> {EMBEDDED}"] if embedded(protocol) else []),
        "[All pages, and how to read the numbers](README.md)",
    ]
    versions = sorted({b.protocol_hash[:8] for b in groups})
    if len(versions) > 1:
        made.append(
            f"> {len(versions)} versions of this protocol have records: {', '.join(versions)}. "
            "Their numbers must not be compared, and stand apart below; the commands reproduce the version of the "
            "protocol that is installed."
        )
    for tier in TIERS:
        here = {b: r for b, r in groups.items() if b.tier == tier}
        broken = [d for d in failed if d.tier == tier]
        made += [f"## {tier.capitalize()}", f"Tier {tier}: {TIER_MEANS[tier]}."]
        made += [] if here else [f"No {tier} record that stands on a board."]
        for board, records in here.items():
            version = f", version {board.protocol_hash[:8]}" if len(versions) > 1 else ""
            made += [f"### {escape(board.model)}, task {escape(board.task)}{version}", markdown(summaries[board])]
            alike = [d.record for d in broken if board_of(d.record, d.tier).rules == board.rules]
            more, drawn = comparison.parts(f"{stem}-{comparison.short(board)}", records, alike)
            made, pictures = made + more, pictures | drawn
            if others := other_metrics(records):
                made += ["#### Other metrics", markdown(others)]
            made += ["#### Swaps", markdown(search_table(records))]
            made += ["#### Cost", *(markdown(table) for table in stage_costs(records))]
            made += ["#### Reproduce", code(commands(records))]
        if broken:
            made += [f"### Failed runs, {tier}", markdown(_failures(broken))]
    return made, pictures


def _failures(failed: list[Dropped]) -> Table:
    rows = [
        {
            "method": d.record.spec.method,
            "backbone": d.record.spec.backbone,
            "seed": str(d.record.spec.seed),
            "version": board_of(d.record, d.tier).protocol_hash[:8],
            "error": d.detail,
        }
        for d in failed
    ]
    return Table("These runs ended with an error and give no number.", pd.DataFrame(rows))
