"""Examining records as a reviewer of a submission would: every fault of every record at once, as data.

What it can find: whatever in a record contradicts the record itself, the installed protocol, dataset and weights, or other records of
the same evaluation; and, by the digest, edits by accident. What it cannot: scores that were made up or altered with care, all
numbers that follow from them made anew. Only a run done again finds those, see `benchmarks.validation.rerun`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import records
from benchmarks.board.text import plain
from benchmarks.errors import UsageError
from benchmarks.formats import FOREIGN
from benchmarks.records import Record
from benchmarks.validation import inputs, parts, scores
from benchmarks.validation.findings import AGAIN, CHECKS, EDITED, Fault, Found, Note
from benchmarks.validation.groups import together
from benchmarks.validation.known import Known, known

__all__ = ["CHECKS", "Fault", "Note", "Report", "examine", "files_in"]
MOST = 50  # faults of one kind in one file that are listed; a file of noise has thousands


@dataclass(frozen=True)
class Report:
    """What was found, in the order of the files; `records` are those that could be read, by path."""

    files: tuple[str, ...]
    faults: tuple[Fault, ...]
    notes: tuple[Note, ...]
    records: dict[str, Record]


def files_in(paths: list[Path]) -> list[Path]:
    """The record files that paths name: files as they are, folders with all that is below them, each once.

    Raises UsageError for a path that is not there, or a folder without a record.
    """
    found = []
    for path in map(Path, paths):
        inside = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not path.exists():
            raise UsageError(f"there is no {plain(path)}; name record files, or folders of them")
        if not inside:
            raise UsageError(f"there is no record in {plain(path)}; a run says where its record is")
        found += inside
    return list({file.resolve(): file for file in found}.values())


def examine(paths: list[Path]) -> Report:
    """Examine record files, or folders of them. Records that lie beside a named file count for its seeds. Raises UsageError as
    `files_in` does; a damaged file is a fault."""
    files, found, read, group = files_in(paths), [], {}, []
    for file in files:
        path = str(file)
        record, about, said = _one(file)
        found += [replace(f, path=path) for f in said]
        if record is not None:
            read[path] = record
        if about is not None:
            group.append((path, record, about))
    named = {file.resolve() for file in files}
    found += together(group, list(_beside([p for p in map(Path, paths) if p.is_file()], named)))
    found = list(dict.fromkeys(found))
    order = {str(file): k for k, file in enumerate(files)}
    found.sort(key=lambda f: (order[f.path], list(CHECKS).index(f.check)))
    faults, notes = (tuple(f for f in found if isinstance(f, kind)) for kind in (Fault, Note))
    return Report(tuple(order), faults, notes, read)


def _one(file: Path) -> tuple[Record | None, Known | None, list[Found]]:
    """One file by itself. A check that meets what it was not written for is a fault of the record, never the end of all."""
    try:
        content = file.read_bytes()
    except OSError as error:
        return None, None, [Fault("file", f"cannot be read: {error.strerror}", "make it readable")]
    record, said = records.faults(content)
    found: list[Found] = []
    for where, what in said[:MOST]:
        check = "digest" if where == "digest" else "record" if record is not None else "file"
        what = plain(what if where == "record" else f"{where}: {what}")
        if FOREIGN in what:
            found.append(Fault(check, *FOREIGN.split("; ")))
        else:
            found.append(Fault(check, what.partition(";")[0] if check == "digest" else what, EDITED))
    if len(said) > MOST:
        found.append(Fault("file", f"{len(said) - MOST} more of the kind", EDITED))
    if record is None:
        return None, None, found
    if record.digest is None:
        found.append(Note("digest", "written before records had a digest"))
    found += inputs.status(record)
    about, more = known(record)
    found += more
    if record.status == "failed":
        return record, None, found
    checks = [
        lambda: inputs.tree(record),
        lambda: inputs.times(record),
        lambda: scores.scores(record),
        lambda: scores.derived(record),
    ]
    if about is not None:
        for check in (inputs.weights, inputs.images, inputs.command, parts.complete, parts.searched, parts.trained):
            checks.append(lambda check=check: check(record, about))
        checks.append(lambda: inputs.place(record, file))
    for check in checks:
        found += _safely(check)
    return record, about, found


def _safely(check) -> Iterator[Found]:
    try:
        yield from check()
    except (ValueError, TypeError, KeyError, OverflowError, IndexError, ArithmeticError) as error:
        yield Fault("record", f"what it holds cannot be examined further ({plain(type(error).__name__)}: {plain(error)})", AGAIN)


def _beside(files: list[Path], named: set[Path]) -> Iterator[tuple[str, Record, Known]]:
    """Records in the folders of files that were named, which may hold the other seeds."""
    for path in sorted({f for file in files for f in file.parent.glob("*.json")}):
        if path.resolve() in named:
            continue
        try:
            record, said = records.faults(path.read_bytes())
        except OSError:
            continue
        if record is not None and not said and record.status == "done" and (about := known(record)[0]) is not None:
            yield str(path), record, about
