"""Measuring what methods cost, one after the other, each in a process of its own; the record after each. Imports no torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import code, watched
from benchmarks.catalog import METHODS, SWAP, split_method
from benchmarks.cost_records import CostRecord, CostRow, read, write
from benchmarks.cost_steps import Subject, measure, rows_of_all
from benchmarks.environment import environment
from benchmarks.errors import InvalidRecord, UsageError

log = logging.getLogger("benchmarks")


def rows_of(text: str) -> list[str]:
    """The rows that --methods asks for, in the table's order. Raises UsageError for a name that is no row."""
    every = rows_of_all()
    if text == "all":
        return every
    asked = [name.strip() for name in text.split(",") if name.strip()]
    for name in asked:
        if name not in every:  # a known method with +swap, or base without
            plain, _ = split_method(name)
            if METHODS.origin(plain) and plain not in every:
                raise UsageError(f"{name} is of a file; offer it as an entry point (see README) and name it {plain}")
            right = f"base{SWAP}" if plain == "base" else plain
            raise UsageError(f"no row {name!r}: a swap takes no training of its own, only base{SWAP} is a row; name {right}")
    if not asked:
        raise UsageError(f"--methods names no method; choose from {', '.join(every)}, or all")
    return [name for name in every if name in asked]


def empty_record(subject: Subject) -> CostRecord:
    """A record without rows, of the machine at hand."""
    return CostRecord(
        backbone=subject.backbone.name,
        image_size=subject.backbone.size,
        device_kind=subject.device.split(":")[0],
        batch=subject.batch,
        precision=subject.precision,
        micro_batch=subject.options.micro_batch,
        activation_checkpointing=subject.options.activation_checkpointing,
        code=code.digest(*(f"benchmarks/{name}.py" for name in ("cost", "cost_steps", "watched"))),
        rows=[],
        environment=environment(subject.device, subject.precision, subject.threads),
    )


def kept_rows(record: CostRecord, path: Path) -> list[CostRow]:
    """Rows that an earlier call left for the same backbone, code, device, batch, precision and options."""
    if not path.exists():
        return []
    try:
        found = read(path)
    except InvalidRecord as error:
        log.warning("%s. Every row is measured again", error)
        return []
    if found.same != record.same:
        log.warning("%s is of other code or another device: its %d rows are not used and will go", path, len(found.rows))
        return []
    return found.rows


def measure_rows(
    subject: Subject, names: list[str], path: Path, force: bool, limit: int | None, said: Callable[[CostRow, bool], None]
) -> tuple[CostRecord, bool]:
    """Measure each of `names`, or read it; the record at `path` is written after each. Returns it, and whether it changed.

    `limit`: bytes of resident memory at which a method's process is ended, None for what is free less a reserve when it starts.
    `said(row, cached)` hears of each row. A method that does not fit or fails has a row that says so, and the others go on; it
    is tried again by the next call, and never replaces a measured row. Raises OSError where the record cannot be written.
    """
    fresh = empty_record(subject)
    rows = {row.method: row for row in kept_rows(fresh, path)}
    record = read(path) if rows else fresh
    others = path.exists() and not rows  # rows of other code, which go only when there is something in their place
    changed = False
    for name in names:
        found = rows.get(name)
        if found and found.status == "done" and not force:
            said(found, True)
            continue
        row = measure_row(replace(subject, method=name), limit)
        said(row, False)
        if found and found.status == "done" and row.status != "done":
            log.warning("%s was measured %s, and that row is kept", name, found.started)
            continue
        rows[name] = row
        order = [*rows_of_all(), *rows]
        ordered = sorted(rows.values(), key=lambda r: order.index(r.method))
        record = CostRecord.model_validate(fresh.model_dump() | {"rows": [r.model_dump() for r in ordered]})
        if row.status == "done" or not others:
            write(record, path)
            others, changed = False, True
    return record, changed


def measure_row(subject: Subject, limit: int | None = None) -> CostRow:
    """One method in a process of its own, watched."""
    row = {
        "method": subject.method,
        "threads": subject.threads,
        "random_weights": subject.weights is None,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        reason = METHODS.get(split_method(subject.method)[0]).skips.get(subject.backbone.family)
    except UsageError as error:  # of an installed package
        return CostRow(**row, status="failed", reason=str(error))
    if reason:
        return CostRow(**row, status="not for this backbone", reason=reason)
    ended = watched.collect(measure, (subject,), watched.limit_now() if limit is None else limit)
    for part in ended.parts:
        row |= part
    if "status" not in row:
        row |= _unsaid(ended)
    return CostRow(**row)


def _unsaid(ended: watched.Ended) -> dict:
    """Status and reason of a process that could not say how it ended."""
    if ended.stopped:
        return {"status": "out of memory", "reason": ended.stopped}
    if ended.exit_code == -9:  # SIGKILL, and not by us: on Linux most likely the kernel's, when memory is gone
        return {"status": "out of memory", "reason": f"killed at {ended.peak / 2**30:.1f} GiB of memory, see the system's log"}
    return {"status": "failed", "reason": f"its process ended with exit code {ended.exit_code}; see what it printed above"}
