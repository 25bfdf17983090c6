"""What the documents name is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/\w+\.py)(?:::(\w+))?")


def functions_of(path: Path) -> set[str]:
    """The test functions of a file, those of its classes too."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    }


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_every_test_that_a_document_names_exists(document):
    missing = [
        f"{file}::{name}"
        for file, name in NAMED.findall(document.read_text())
        if not (ROOT / file).is_file() or (name and name not in functions_of(ROOT / file))
    ]
    assert missing == []


def test_every_promise_of_reliability_names_a_test():
    rows = [line for line in (ROOT / "docs" / "reliability.md").read_text().splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| promise")]
    assert len(promises) > 30 and all(NAMED.search(row) for row in promises)


def test_the_number_of_readers_is_as_said():
    from tests.fuzz_readers import READERS

    said = re.search(r"each of (\d+) readers", (ROOT / "docs" / "reliability.md").read_text())
    assert int(said[1]) == len([name for name in READERS if name != "nyu_data"])
