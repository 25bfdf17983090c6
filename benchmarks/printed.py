"""The paper's printed numbers, read from `results/reference/`: never from code, never recomputed."""

from __future__ import annotations

import csv
import logging
import re
from pathlib import Path

log = logging.getLogger("benchmarks")
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")

Printed = dict[tuple[str, str, str], str]  # (backbone, method, metric): the value, with the digits that the paper prints


def printed(results: Path, table: str) -> Printed:
    """A table of the paper, such as "table4", by (backbone, method, metric). Empty where the file is not there; a row that is
    no row of numbers is left out, as a reader of the page would have to leave it out, and so are two that contradict each other.
    Of a file that is no table nothing is taken, and the log says so."""
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
        key = (row["backbone"], row["method"], row["metric"])
        if found.setdefault(key, row["value"]) != row["value"]:
            contradicted.add(key)
    return {key: value for key, value in found.items() if key not in contradicted}


def _sound(row: dict) -> bool:
    """Whether it holds a number as the paper prints them: digits, a point, a sign."""
    named = all(isinstance(row.get(k), str) for k in ("backbone", "method", "metric"))
    return named and isinstance(row.get("value"), str) and bool(_NUMBER.fullmatch(row["value"]))
