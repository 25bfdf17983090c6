"""The page of costs: one table for each backbone, device and batch, from `results/cost/*.json` alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.board.collect import Collection
from benchmarks.board.text import Table, code, escape, markdown
from benchmarks.cost_records import CostRecord, CostRow, read
from benchmarks.errors import InvalidRecord
from benchmarks.printed import DASH, Printed, printed

PAGE = "cost.md"
TITLE = "Cost"
LINE = "What each method takes: trained parameters, memory, time"
PAPER_BATCH = 4  # table 4's; memory of another batch must not stand beside it
NOT_PRINTED = "not printed"
HEADING = "# Cost: trained parameters, memory, time"
ABOUT = (
    "What each method takes on one machine, measured in the way of the paper's table 4: two optimiser steps of Dice + "
    'cross-entropy with Adam, each method in a process of its own. `base+swap` is the paper\'s "Ours": nothing is trained, the '
    "batch is encoded, its channels are replaced, its masks decoded. GPU memory and a process's resident memory are different "
    "things and never share a table."
)


def collect(results: Path) -> tuple[list[CostRecord], list[str]]:
    """The records under `results/cost`, the newest of each kind, in a fixed order; and a line for each file that is not shown."""
    newest: dict[tuple, tuple[str, CostRecord]] = {}
    faults = []
    for path in sorted((Path(results) / "cost").glob("*.json")):
        try:
            record = read(path)
        except InvalidRecord as error:
            faults.append(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
            continue
        if not record.rows:
            faults.append(f"{path.name}: it has no rows")
            continue
        kind = tuple(x for x in record.same if x != record.code)
        name, other = newest.get(kind, (path.name, record))
        new, old = sorted([(path.name, record), (name, other)], key=lambda f: (_when(f[1]), f[0]), reverse=True)
        newest[kind] = new
        if name != path.name:
            faults.append(f"{old[0]}: {new[0]} is newer")
    order = {"cuda": 0, "mps": 1, "cpu": 2}
    found = [record for _, record in newest.values()]
    found.sort(key=lambda r: (r.backbone, order[r.device_kind], r.environment.device, -r.batch, r.precision, r.file_name))
    return found, sorted(faults)


def pages(results: Path, found: Collection) -> dict[str, list[str]]:
    """The page's parts, by file name; none where no cost was ever measured."""
    records, faults = collect(results)
    if not records and not faults:
        return {}
    paper = printed(results, "table4")
    parts = [HEADING, "[All pages, and how to read the numbers](README.md)", ABOUT]
    for record in records:
        where = {"cuda": "GPU", "mps": "GPU", "cpu": "CPU"}[record.device_kind]
        device = record.environment.device.removeprefix(f"{where} ")
        parts += [f"## {escape(record.backbone)} on {where} {escape(device)}, {escape(how(record))}"]
        parts += [markdown(table(record, paper)), code([record.command])]
    if faults:
        parts += ["## Files that are not shown", "\n".join(f"- {escape(fault)}" for fault in faults)]
    return {PAGE: parts}


def how(record: CostRecord) -> str:
    """Batch, precision and options in a few words."""
    words = [f"batch {record.batch}", record.precision]
    words += [f"in micro-batches of {record.micro_batch}"] if record.micro_batch != record.batch else []
    return ", ".join(words + (["activation checkpointing"] if record.activation_checkpointing else []))


def table(record: CostRecord, paper: Printed) -> Table:
    """Rows as strings. Printed memory stands beside measured memory only on a GPU, at the paper's batch and in its way."""
    gpu = record.device_kind == "cuda"
    known = {key: value for key, value in paper.items() if key[0] == record.backbone}
    beside = gpu and record.batch == PAPER_BATCH and not record.altered and bool(known)
    rows = [_cells(record, row, known, beside) for row in record.rows]
    caption = (
        f"{record.backbone} at {record.image_size} x {record.image_size} pixels, {how(record)}, on {record.environment.device}"
    )
    short = {
        "trained besides": "besides",
        "share of the model": "share",
        "allocated, GiB": "alloc. GiB",
        "reserved, GiB": "res. GiB",
    }
    return Table(f"{caption}.", pd.DataFrame(rows), tuple(_notes(record, bool(known), beside)), short=short)


def _cells(record: CostRecord, row: CostRow, paper: Printed, beside: bool) -> dict[str, str]:
    def known(metric: str) -> str:
        return paper.get((record.backbone, row.method, "", metric), NOT_PRINTED)

    why = {"done": "", "out of memory": "did not fit"}.get(row.status, row.status)  # a note says more
    cells = {"method": row.method, **_parameters(row)} | ({"paper, K": known("trainable_params_k")} if paper else {})
    if record.device_kind == "cuda":
        cells |= {"allocated, GiB": gib(row.peak_allocated_mib, why), "reserved, GiB": gib(row.peak_reserved_mib, why)}
        if beside:
            theirs = known("gpu_memory_gb")
            ratio = ""
            if theirs not in (NOT_PRINTED, DASH) and row.peak_reserved_mib is not None and float(theirs) > 0:
                ratio = f"{row.peak_reserved_mib / 1024 / float(theirs):.2f}"
            cells |= {"paper, GB": theirs, "reserved / paper": ratio}
    else:
        untold = "not told by this system"
        cells |= {"before, GiB": gib(row.resident_before_mib, "" if why else untold)}
        cells |= {"process, GiB": gib(row.peak_resident_mib, why or untold)}
    return cells | {
        "s a step": "" if row.seconds_per_step is None else f"{row.seconds_per_step:.3f}",
        "threads": str(row.threads),
    }


def _parameters(row: CostRow) -> dict[str, str]:
    if row.trainable is None:
        return {"trained": "", "trained besides": "", "share of the model": ""}
    besides = ", ".join(f"{part} {count:,}" for part, count in row.trainable.besides.items())
    total = row.trainable.method + sum(row.trainable.besides.values())
    share = f"{100 * total / row.parameters:.2f} %" if row.parameters else ""
    return {"trained": f"{row.trainable.method:,}", "trained besides": besides or "none", "share of the model": share}


def gib(mib: float | None, why: str) -> str:
    """MiB as GiB with two digits, or why there is none."""
    return why if mib is None else f"{mib / 1024:.2f}"


def _notes(record: CostRecord, known: bool, beside: bool) -> list[str]:
    notes = ["Share of the model: all that is trained, own and besides, of all parameters with the method attached."]
    if known:
        notes += [
            "The paper's K are, by their size, a method's own part; where it trains the decoder besides, that is not in them."
        ]
    if record.device_kind == "cuda":
        notes += [
            "GiB are 2^30 bytes. Allocated: the most that tensors held at once. Reserved: the most that torch held of the GPU; "
            "nvidia-smi shows that and the CUDA context, some hundred MiB, on top."
        ]
        if beside:
            notes += ["The paper prints GB: were they 10^9 bytes, each of its figures would be 7 % less in GiB."]
        elif known:
            notes += [
                f"The paper's memory is of batch {PAPER_BATCH} at once on its backbone, so it does not stand beside this one."
            ]
    else:
        notes += [
            "Process, GiB (2^30 bytes): the most resident memory of the process while it worked; before: what libraries and "
            "weights held when it began. This is not GPU memory, and the paper's GPU memory does not stand beside it."
        ]
    notes += [
        "Where the encoder is frozen it still runs in every step, without a gradient; features read from a cache take less."
    ]
    notes += ["Seconds are those of one step, the second, on a machine that others may use: a third more or less says nothing."]
    if any(row.random_weights for row in record.rows):
        notes += ["Random weights of true size: memory and time do not depend on their values."]
    if record.environment.dirty is not False:
        notes += ["Measured with uncommitted changes of the code, or from a tree of which that is not known."]
    missing = {row.method: f"{row.method}: {row.status}: {row.reason}" for row in record.rows if row.status != "done"}
    return notes + list(missing.values())


def _when(record: CostRecord) -> str:
    return max(row.started for row in record.rows)
