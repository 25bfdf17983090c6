"""The paper's printed numbers, read from `results/reference/`: never from code, never recomputed."""

from __future__ import annotations

import csv
import logging
import re
from pathlib import Path

log = logging.getLogger("benchmarks")
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")

# (backbone, method, dataset, metric): the value, with the digits that the paper prints; DASH where it prints one. The dataset is
# "" where a number is of none (table 4), AVERAGE for the mean of a row and GAIN for what the row with swap has more.
Printed = dict[tuple[str, str, str, str], str]
DASH, AVERAGE, GAIN = "-", "average", "gain"
_KEY = ("backbone", "method", "dataset", "metric")


def printed(results: Path, table: str) -> Printed:
    """A table of the paper, such as "table4". Empty where the file is not there; a row that is no row of numbers is left out, as
    a reader of the page would have to leave it out, and so are two that contradict each other. Of a file that is no table nothing is
    taken, and the log says so."""
    path = Path(results) / "reference" / f"{table}.csv"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file, strict=True) if _sound(row)]
    except OSError:
        return {}
    except (UnicodeDecodeError, csv.Error) as error:
        log.warning("%s is damaged (%s), so nothing of it is shown; restore it from the repository", path, error)
        return {}
    found: Printed = {}
    contradicted = set()
    for row in rows:
        key = tuple(row[k] for k in _KEY)
        value = row["value"] or DASH
        if found.setdefault(key, value) != value:
            contradicted.add(key)
    return {key: value for key, value in found.items() if key not in contradicted}


def _sound(row: dict) -> bool:
    """Whether it holds a number as the paper prints them, digits, a point, a sign; or nothing, where it prints a dash."""
    named = all(isinstance(row.get(k), str) for k in _KEY)
    return named and isinstance(row.get("value"), str) and bool(row["value"] == "" or _NUMBER.fullmatch(row["value"]))
