"""The paper's printed numbers, read from `results/reference/`: never from code, never recomputed."""

from __future__ import annotations

import csv
import math
from pathlib import Path

Printed = dict[tuple[str, str, str], str]  # (backbone, method, metric): the value, with the digits that the paper prints


def printed(results: Path, table: str) -> Printed:
    """A table of the paper, such as "table4", by (backbone, method, metric). Empty where the file is not there; a row that is
    no row of numbers is left out, as a reader of the page would have to leave it out."""
    try:
        with open(Path(results) / "reference" / f"{table}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        return {}
    return {(r["backbone"], r["method"], r["metric"]): r["value"] for r in rows if _sound(r)}


def _sound(row: dict) -> bool:
    try:
        return all(isinstance(row[k], str) for k in ("backbone", "method", "metric")) and math.isfinite(float(row["value"]))
    except (KeyError, TypeError, ValueError):
        return False
