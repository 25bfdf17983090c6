"""The cells of the paper's tables 2, 3 and 5: which run measures which. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import backbones, data
from benchmarks.catalog import BACKBONES, DATASETS, FAMILIES, METHODS, SEGMENTATION, SWAP, TASKS

PRINTED_METHODS = {  # of table 3, by the paper's names
    "Decoder": "decoder",
    "Encoder": "encoder",
    "MedSAM": "medsam",
    "SAMed": "lora",
    "SAM-COBOT": "cobot",
    "SAM-Adapter": "adapter",
    "SAM-PARSER": "sam-parser",
    "DoRA": "dora",
}


@dataclass(frozen=True)
class Cell:
    """A number of the paper: its table and row as printed (without the star of a swap), and the run that measures it."""

    table: int
    row: str
    dataset: str
    backbone: str
    method: str

    @property
    def command(self) -> str:
        task = DATASETS.get(self.dataset).task
        where = f"--dataset {self.dataset} --backbone {self.backbone}"
        return f"python -m benchmarks run --task {task} {where} --method {self.method}"

    @property
    def lacks(self) -> str:
        """ "" where it can be run now, else d (data), w (weights) or dw."""
        missing = "d" if data.lacking(DATASETS.get(self.dataset)) else ""
        return missing + ("w" if backbones.lacking(BACKBONES.get(self.backbone)) else "")


def cells() -> tuple[Cell, ...]:
    """Every cell, table by table and row by row, each without and with swap."""
    masks = [d for n in TASKS for d in TASKS.get(n).datasets["paper-v1"] if TASKS.get(n).kind == SEGMENTATION]
    tokens = [d for n in TASKS for d in TASKS.get(n).datasets["paper-v1"] if TASKS.get(n).kind != SEGMENTATION]
    printed = [b for _, b in BACKBONES.items() if b.printed]
    both = ("", SWAP)
    two = [b for b in printed if b.family in FAMILIES[SEGMENTATION]]
    five = [b for b in printed if b.family not in FAMILIES[SEGMENTATION]]
    found = [Cell(2, b.printed, d, b.name, f"base{s}") for b in two for d in masks for s in both]
    found += [Cell(3, n, d, "sam-vit-b", f"{m}{s}") for n, m in PRINTED_METHODS.items() for d in masks for s in both]
    found += [Cell(5, b.printed, d, b.name, f"base{s}") for b in five for d in tokens for s in both]
    assert all(c.method.removesuffix(SWAP) in METHODS for c in found)
    return tuple(found)


def matrix(table: int) -> list[dict[str, str]]:
    """A row of the paper's table, a column a dataset: "ok", or what is lacking."""
    rows: dict[str, dict[str, str]] = {}
    for cell in cells():
        if cell.table == table and not cell.method.endswith(SWAP):  # a swap lacks what its method lacks
            rows.setdefault(cell.row, {"": cell.row})[cell.dataset] = cell.lacks or "ok"
    return list(rows.values())
