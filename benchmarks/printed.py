"""The paper's printed numbers, read from `results/reference/`: never from code, never recomputed."""

from __future__ import annotations

import csv
import math
from pathlib import Path

# (backbone, method, dataset, metric): the value, with the digits that the paper prints; DASH where it prints one. The dataset is
# "" where a number is of none (table 4), AVERAGE for the mean of a row and GAIN for what the row with swap has more.
Printed = dict[tuple[str, str, str, str], str]
DASH, AVERAGE, GAIN = "-", "average", "gain"


def printed(results: Path, table: str) -> Printed:
    """A table of the paper, such as "table4". Empty where the file is not there; a row that is no row of numbers is left out, as
    a reader of the page would have to leave it out."""
    try:
        with open(Path(results) / "reference" / f"{table}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        return {}
    return {(r["backbone"], r["method"], r["dataset"], r["metric"]): r["value"] or DASH for r in rows if _sound(r)}


def _sound(row: dict) -> bool:
    try:
        named = all(isinstance(row[k], str) for k in ("backbone", "method", "dataset", "metric"))
        return named and (row["value"] == "" or math.isfinite(float(row["value"])))
    except (KeyError, TypeError, ValueError):
        return False
