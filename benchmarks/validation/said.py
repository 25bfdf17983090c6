"""A report in lines, for a terminal. Everything in it that a record or a file name says has no control characters left."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.board.text import plain
from benchmarks.columns import fill
from benchmarks.errors import count
from benchmarks.validation import Report


def lines(report: Report) -> list[str]:
    """Faults by file, each with what to do; then notes, each with its files; then the sum."""
    said, faults = [], defaultdict(list)
    for fault in report.faults:
        faults[fault.path].append(fault)
    for path, found in faults.items():
        said.append(plain(path))
        for f in found:
            said += [fill(f"  fault, {f.check}: {plain(f.what)}", " " * 4), fill(f"    to do: {plain(f.cure)}", " " * 6)]
        said.append("")
    notes = defaultdict(list)
    for note in report.notes:
        notes[note.check, plain(note.what)].append(note.path)
    for (check, what), paths in notes.items():
        who = plain(paths[0]) if len(paths) == 1 else count(len(paths), "record")
        said.append(fill(f"note, {check}: {who}: {what}", " " * 4))
    said += [""] if notes else []
    bad = len(faults)
    verdict = f"{count(len(report.faults), 'fault')} in {bad} of them" if bad else "no fault"
    return [*said, f"{count(len(report.files), 'record')} examined: {verdict}"]
