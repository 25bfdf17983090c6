"""`validate`: may these records be taken?"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks validate results/community                    every record below a folder
  python -m benchmarks validate results/verified/mini-v1/camo-mini/dora-*.json
  python -m benchmarks validate results/community --rerun            and every run done again
  python -m benchmarks validate my-results --rerun --method ssf.py:Ssf

Each record is held against itself (every mean, interval, difference and p-value is made anew from the scores, and must be equal), against
the installed protocol, the dataset's list of test images, the pinned weights, the draw of the search set and the method's own count of
parameters, and against the other records that evaluated the same. All faults are printed at once, each with what to do.

A record of an earlier version of its protocol, or from before a metric was measured, is no fault: a note says so. Boards keep versions
apart by themselves.

What this cannot find: scores that were made up, with all that follows from them made anew, and a digest with them; those contradict
nothing. --rerun does each run again, from nothing (the record's command is not executed), and compares every score of every image: equal
on the same device, libraries and code; on another the mean of each evaluation within 0.002 (bare model) or 0.02 (trained). A method from
outside is only run where --method names its source, whose sha256 must be the record's: read it first.

exit code: 0 without a fault, else 1"""


def register(commands) -> None:
    p = commands.add_parser(
        "validate",
        help="may these records be taken?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a record file, or a folder of them")
    p.add_argument("--rerun", action="store_true", help="do every run again and compare every score; minutes a record")
    p.add_argument("--method", metavar="FILE.py:CLASS", help="for --rerun: the source of a method from outside; its code is run")
    p.add_argument("--threads", type=int, help="for --rerun; default: the cores that nobody else keeps busy")
    p.set_defaults(call=call)


def call(args) -> int:
    from dataclasses import replace

    from benchmarks import threads
    from benchmarks.errors import UsageError
    from benchmarks.validation import Fault, Note, examine
    from benchmarks.validation.said import lines

    if not args.rerun and (args.method or args.threads):
        raise UsageError("--method and --threads are for --rerun; add it, or leave them out")
    if args.rerun:
        threads.wait_passively()  # before torch is imported
    report = examine(args.paths)
    if args.rerun:
        found = _again(report, args)
        faults = tuple(f for f in found if isinstance(f, Fault))
        notes = tuple(f for f in found if isinstance(f, Note))
        report = replace(report, faults=report.faults + faults, notes=report.notes + notes)
    print("\n".join(lines(report)))
    return 1 if report.faults else 0


def _again(report, args) -> list:
    """Run every finished record again, without or with faults: what it finds belongs to the same list."""
    from benchmarks.board.text import plain
    from benchmarks.files import make_home
    from benchmarks.validation import Fault
    from benchmarks.validation.rerun import rerun

    make_home()
    found = []
    for path, record in report.records.items():
        if record.status != "done":
            continue
        if record.origin is not None and args.method is None:
            cure = "read its source, then name it with --method FILE.py:CLASS"
            found.append(Fault("rerun", "a method from outside is not run unasked", cure, path))
            continue
        outcome = rerun(path, record, args.threads, args.method if record.origin is not None else None)
        print(f"{plain(path)}: {outcome.line}", flush=True)
        found += outcome.found
    return found
