"""A comparison as a table for the terminal, and as JSON."""

from __future__ import annotations

import pandas as pd

from benchmarks.board.collect import fault
from benchmarks.board.text import Table, plain
from benchmarks.board.units import unit
from benchmarks.compare import Row
from benchmarks.errors import count

TEST = (
    "p: two-sided, paired by image (one seed: t-test over images; several: images and seeds as crossed samples, each with its own "
    "Student's t, added in quadrature)"
)
SHOWN = "a difference is shown where its 95 % interval is clear of zero and the corrected p is at most 0.05"


def table(rows: tuple[Row, ...], left_out: list[str]) -> Table:
    """A row for each pair and board. Rows are in the units of their metrics."""
    lines = []
    for row in rows:
        shown, e, board = unit(row.metric), row.estimate, row.pair.a.board
        lines.append(
            {
                "dataset": board.dataset + (f", {board.backbone}" if _differ(rows, "backbone") else ""),
                **({"tier": row.pair.tier} if len({r.pair.tier for r in rows}) > 1 else {}),
                **({"version": board.protocol_hash[:8]} if _differ(rows, "protocol_hash") else {}),
                "a - b": f"{row.pair.a.label} - {row.pair.b.label}",
                "mean a, b": f"{shown.show(row.mean_a)}, {shown.show(row.mean_b)}",
                "difference (95 %)": f"{shown.show(e.value, True)} ({shown.show(e.low, True)} to {shown.show(e.high, True)})",
                "p (corrected)": f"{probability(row.p)} ({probability(row.holm)})",
                "better /alike /worse": f"{row.better}/{row.alike}/{row.worse}",
                **({} if _one_set(rows) else {"seeds": ", ".join(map(str, row.seeds))}),
                "result": row.verdict,
            }
        )
    return Table(_caption(rows), pd.DataFrame(lines), _notes(rows, left_out))


def probability(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _differ(rows: tuple[Row, ...], field: str) -> bool:
    return len({getattr(r.pair.a.board, field) for r in rows}) > 1


def _one_set(rows: tuple[Row, ...]) -> bool:
    return len({r.seeds for r in rows}) == 1


def _caption(rows: tuple[Row, ...]) -> str:
    metrics = dict.fromkeys(unit(r.metric).header for r in rows)
    board = rows[0].pair.a.board
    backbone = "" if _differ(rows, "backbone") else f", backbone {board.backbone}"
    version = "" if _differ(rows, "protocol_hash") else f", version {board.protocol_hash[:8]}"
    tiers = ", ".join(dict.fromkeys(r.pair.tier for r in rows))
    protocols = ", ".join(dict.fromkeys(r.pair.a.board.protocol for r in rows))
    images = " or ".join(map(str, sorted({r.images for r in rows})))
    seeds = f" Seeds {', '.join(map(str, rows[0].seeds))}." if _one_set(rows) else ""
    return f"{', '.join(metrics)}. Protocol {protocols}{version}{backbone}, tier {tiers}. Test images: {images}.{seeds}"


def _notes(rows: tuple[Row, ...], left_out: list[str]) -> tuple[str, ...]:
    notes = [
        f"{TEST}; corrected: by Holm's method for the {count(len(rows), 'comparison')} of this call.",
        f"{SHOWN[0].upper()}{SHOWN[1:]}.",
    ]
    notes.append(
        "Better, alike and worse count the images on which a is so, by their mean over seeds; the interval is the board's."
    )
    for row in rows:
        for side in (row.pair.a, row.pair.b):
            had = {r.spec.seed for r in side.records if r.evaluation(side.name)}
            if more := sorted(had - set(row.seeds)):
                said = ", ".join(map(str, more))
                notes.append(f"{side.label} on {row.pair.where}: seeds that the other lacks are left out: {said}.")
            notes += [
                f"{side.label}, seed {r.spec.seed}: kept off the boards: {kept[1]}."
                for r in side.records
                if (kept := _off(side, r))
            ]
    return tuple(dict.fromkeys([*notes, *(f"not compared: {plain(text)}." for text in left_out)]))


def _off(side, record) -> tuple[str, str] | None:
    return fault(record, side.board.tier) if side.files else None


def as_json(rows: tuple[Row, ...], left_out: list[str]) -> dict:
    """For machines: values in the metric's own unit (0.65, not 65 points), p-values as they are."""
    return {
        "test": TEST,
        "correction": f"Holm, {count(len(rows), 'comparison')}",
        "shown": SHOWN,
        "comparisons": [
            {
                "task": row.pair.a.board.task,
                "dataset": row.pair.a.board.dataset,
                "backbone": row.pair.a.board.backbone,
                "protocol": row.pair.a.board.protocol,
                "protocol_hash": row.pair.a.board.protocol_hash,
                "precision": row.pair.a.board.precision,
                "tier": row.pair.tier,
                "a": row.pair.a.label,
                "b": row.pair.b.label,
                "metric": row.metric,
                "higher_is_better": unit(row.metric).higher,
                "seeds": list(row.seeds),
                "images": row.images,
                "mean_a": row.mean_a,
                "mean_b": row.mean_b,
                "difference": row.estimate.value,
                "low": row.estimate.low,
                "high": row.estimate.high,
                "p": row.p,
                "p_corrected": row.holm,
                "better": row.better,
                "alike": row.alike,
                "worse": row.worse,
                "difference_shown": row.shown,
                "result": row.verdict,
            }
            for row in rows
        ],
        "not_compared": left_out,
    }
