"""The paper's tables 2 to 5 beside what the records measure, and the same tables on the embedded suite, plainly apart."""

from __future__ import annotations

from pathlib import Path

from benchmarks.board import cost_page, cost_table, grid_page
from benchmarks.board.collect import TIERS, Collection
from benchmarks.board.evidence import Evidence
from benchmarks.board.layout import TITLES, Layout, embedded, paper
from benchmarks.board.text import raw_table
from benchmarks.printed import printed

PAGE = "paper.md"
TITLE = "The paper's tables"
LINE = "Tables 2 to 5 of the paper, cell by cell: printed, measured, and why a cell has no number"
EMBEDDED = (
    "> Embedded suite (generated images, small checkpoints). The rows are those of the paper's table, the numbers are not: "
    "nothing that the paper prints can stand beside them."
)
ABOUT = (
    "Each printed number of arXiv 2504.08915, and beside it what was measured here under "
    "`paper-v1`, our reading of its protocol: one interior point an object, 50 search images from the training split that no method "
    "trains on, mIoU as the mean of each image's foreground IoU. A cell takes records of one tier, of that protocol's installed "
    "version, in float32; the tiers never share a table. Where nobody ran a cell, a letter says why."
)
UNMEASURED = (
    "**Of tables 2, 3 and 5 nothing has been measured here yet.** Until it is, these pages neither confirm nor contradict a number of "
    "the paper."
)
UNTOLD = {
    2: "The paper does not say which release of SAM 2 it ran: the rows are 2.1, and the first release has rows of its own once it is run.",
    3: "The backbone is SAM ViT-B. Where the paper prints -, its swap brought no improvement; its averages take the row without swap there.",
    5: "The paper says CIFAR and not which: the same printed number stands beside cifar100 and cifar10.",
}


def pages(results: Path, found: Collection) -> dict[str, list[str]]:
    """The parts of all pages by file name; none without the paper's numbers under `results/reference`."""
    known = {table: printed(results, f"table{table}") for table in TITLES}
    if not any(known.values()):
        return {}
    evidence, (costs, _) = Evidence(found), cost_page.collect(results)
    made, rows, some = {}, [], False
    for table, title in TITLES.items():
        names = {kind: f"{kind}-table{table}.md" for kind in ("paper", "embedded")}
        top = f"[All tables of the paper]({PAGE}), [all pages](README.md)"
        parts = [f"# The paper's table {table}: {title}", top]
        mini = [f"# Table {table} on the embedded suite: {title}", EMBEDDED, top]
        if table == 4:
            total, filled = cost_table.counts(costs, known[4])
            parts += cost_table.paper_parts(costs, known[4])
            mini += cost_table.embedded_parts(costs)
        else:
            layout, small = paper(table), embedded(table)
            total = grid_page.count(layout, [(r, c) for r in layout.rows for c in layout.columns])
            filled = _filled(layout, evidence)
            some = some or any(filled.values())
            parts += [UNTOLD[table], *grid_page.paper_parts(layout, evidence, known[table])]
            mini += ["All rows are on sam-mini."] if table == 3 else []
            mini += grid_page.embedded_parts(small, evidence)
        made |= {names["paper"]: parts, names["embedded"]: mini}
        rows.append(
            {
                "table": f"[{table}: {title}]({names['paper']})",
                "numbers printed": str(total),
                "measured": str(filled) if table == 4 else ", ".join(f"{n} {tier}" for tier, n in filled.items()),
                "on the embedded suite": f"[the same rows]({names['embedded']})",
            }
        )
    notes = "Row averages and gains are not counted among the numbers; they are measured where all datasets of a row are."
    top = [f"# {TITLE}", "[All pages, and how to read the numbers](README.md)", ABOUT, *([] if some else [UNMEASURED])]
    return {PAGE: [*top, raw_table(rows), notes]} | made


def _filled(layout: Layout, evidence: Evidence) -> dict[str, int]:
    whole = grid_page.with_first_release(layout, evidence)
    return {tier: grid_page.count(whole, grid_page.numbers(grid_page.measured(whole, evidence, tier))) for tier in TIERS}
