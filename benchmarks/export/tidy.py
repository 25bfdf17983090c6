"""The boards as a tidy CSV file: a row for each board, evaluation and metric; the text of a cell never starts a formula."""

from __future__ import annotations

import csv
import io

from benchmarks.board.collect import Board
from benchmarks.board.pool import head_of
from benchmarks.board.text import plain
from benchmarks.board.units import unit
from benchmarks.export.rows import Row, rows
from benchmarks.records import Record

COLUMNS = (
    "protocol", "protocol_version", "tier", "task", "dataset", "backbone", "precision", "inputs", "prompt", "mask", "evaluation",
    "role", "metric", "unit", "higher_is_better", "mean", "low", "high", "seeds", "images", "compared_with", "difference",
    "difference_low", "difference_high", "difference_seeds", "tie", "reason",
)  # fmt: skip
DIGITS = 9  # of a value: more than scores hold, and fewer than machines differ in


def tidy(boards: dict[Board, list[Record]]) -> str:
    """The text of the file, RFC 4180 with line feeds. Values are as records hold them; seeds are joined by spaces."""
    file = io.StringIO()
    out = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    out.writeheader()
    for board, records in boards.items():
        for row in rows(records):
            cells = _of_board(board, records[0]) | _of_row(row)
            out.writerow({name: _safe(cells[name]) for name in COLUMNS})
    return file.getvalue()


def _of_board(board: Board, first: Record) -> dict[str, object]:
    # A linear head takes no prompt and gives no mask, whatever else its protocol holds.
    rules = {} if head_of(first) else first.protocol
    return {
        "protocol": board.protocol,
        "protocol_version": board.protocol_hash[:8],
        "tier": board.tier,
        "task": board.task,
        "dataset": board.dataset,
        "backbone": board.backbone,
        "precision": board.precision,
        "inputs": board.inputs,
        "prompt": rules.get("prompt", ""),
        "mask": rules.get("mask", ""),
    }


def _of_row(row: Row) -> dict[str, object]:
    shown, found = unit(row.metric), row.against.estimate
    return {
        "evaluation": row.evaluation,
        "role": row.role,
        "metric": row.metric,
        "unit": "fraction" if shown.scale == 100 else shown.name,
        "higher_is_better": _truth(shown.higher),
        "mean": row.mean,
        "low": row.estimate.low if row.estimate else "",
        "high": row.estimate.high if row.estimate else "",
        "seeds": " ".join(map(str, row.seeds)),
        "images": row.images,
        "compared_with": row.compared or "",
        "difference": found.value if found else "",
        "difference_low": found.low if found else "",
        "difference_high": found.high if found else "",
        "difference_seeds": " ".join(map(str, row.against.seeds)),
        "tie": _truth(found.tie) if found else "",
        "reason": row.against.reason,
    }


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _safe(value: object) -> str:
    if isinstance(value, float):
        return f"{round(value, DIGITS) + 0.0:.{DIGITS}f}"  # adding zero makes -0.0 plain
    text = plain(value)
    # Spreadsheets run a cell that begins like a formula, and names come from records that anyone may send.
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
