"""The paper's table 4: printed memory and trained parameters, and beside them what `cost` measured."""

from __future__ import annotations

import pandas as pd

from benchmarks.board import cost_page
from benchmarks.board.text import Table, escape, markdown
from benchmarks.catalog import BACKBONES
from benchmarks.cells import PRINTED_METHODS
from benchmarks.cost_records import CostRecord
from benchmarks.printed import Printed

BACKBONE = "sam-vit-b"
MEMORY, PARAMETERS = "gpu_memory_gb", "trainable_params_k"
NAMES = {method: name for name, method in PRINTED_METHODS.items()} | {"base+swap": "Ours"}
NOTES = (
    "Memory measured: the most that torch held of the GPU, in GiB (2^30 bytes). The paper prints GB, and does not say which of "
    "the several figures of memory it means.",
    "Parameters measured: a method's own, counted on the model; where it trains the mask decoder besides, that is not in them, "
    "nor in the paper's.",
    "A cost is measured once, so it has no interval and no seeds.",
)


def paper_parts(records: list[CostRecord], paper: Printed) -> list[str]:
    """The page below its heading: a table for each GPU that was measured in the paper's way, or one of reasons."""
    ours = [r for r in records if r.backbone == BACKBONE]
    gpus = [r for r in ours if r.device_kind == "cuda" and r.batch == cost_page.PAPER_BATCH and not r.altered]
    if not gpus:
        why = f"no cost record of {BACKBONE} at batch {cost_page.PAPER_BATCH} on a GPU"
        if ours:
            others = dict.fromkeys(f"{r.environment.device}, {cost_page.how(r)}" for r in ours)
            why += f" (there are: {'; '.join(others)}, whose memory is another thing)"
        return [markdown(Table("", _frame(None, ours, paper), (*NOTES, f"No memory is measured: {why}.")))]
    parts = []
    for record in gpus:
        parts += [f"## {escape(record.environment.device)}, {escape(cost_page.how(record))}"]
        missing = [f"{r.method}: {r.status}: {r.reason}" for r in record.rows if r.status != "done"]
        parts += [markdown(Table("", _frame(record, ours, paper), (*NOTES, *missing)))]
    return parts


def counts(records: list[CostRecord], paper: Printed) -> tuple[int, int]:
    """How many numbers are printed, and how many of them have a measured one beside them."""
    ours = [r for r in records if r.backbone == BACKBONE]
    gpus = [r for r in ours if r.device_kind == "cuda" and r.batch == cost_page.PAPER_BATCH and not r.altered]
    measured = {(m, MEMORY) for m in NAMES for r in gpus if (row := r.row(m)) and row.peak_reserved_mib is not None}
    measured |= {(m, PARAMETERS) for m in NAMES if _parameters(ours, m)}
    return len(paper), len({(b, m, "", what) for b, m, _, what in paper if (m, what) in measured})


def embedded_parts(records: list[CostRecord]) -> list[str]:
    """The embedded backbones' costs, a table for each device and batch."""
    parts = []
    for record in records:
        if record.backbone in BACKBONES and BACKBONES.get(record.backbone).protocol == "mini-v1":
            parts += [f"## {escape(record.backbone)}, {escape(record.environment.device)}, {escape(cost_page.how(record))}"]
            parts += [markdown(cost_page.table(record, {}))]
    return parts or ["No cost of an embedded backbone is measured."]


def _frame(record: CostRecord | None, ours: list[CostRecord], paper: Printed) -> pd.DataFrame:
    rows = []
    for method, name in NAMES.items():
        row = record.row(method) if record else None
        known = {what: paper.get((BACKBONE, method, "", what), cost_page.NOT_PRINTED) for what in (MEMORY, PARAMETERS)}
        memory = (
            cost_page.gib(row.peak_reserved_mib, "did not fit" if row.status == "out of memory" else row.status) if row else ""
        )
        own = _parameters(ours, method)
        rows.append(
            {
                "": name,
                "method": method,
                "printed, GB": known[MEMORY],
                "measured, GiB": memory or ("not measured" if record is None else "not in this record"),
                "printed, K parameters": known[PARAMETERS],
                "measured, parameters": own or "not measured",
            }
        )
    return pd.DataFrame(rows)


def _parameters(records: list[CostRecord], method: str) -> str:
    """Of all records of the backbone, for it does not depend on the device; several where they disagree."""
    found = [row.trainable.method for r in records if (row := r.row(method)) is not None and row.trainable is not None]
    return " or ".join(f"{n:,}" for n in dict.fromkeys(found))
