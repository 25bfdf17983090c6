"""`check`: does a method keep the contract? does every cell of dataset and backbone run?"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks check method lora               each clause of the contract in a line, about ten seconds
  python -m benchmarks check method lora dora+swap     with or without +swap: it is always examined with
  python -m benchmarks check method --all              every registered method
  python -m benchmarks check method my/file.py:Mine    a class of your own

  python -m benchmarks check task --all                every dataset with every backbone, at true size: an hour or less
  python -m benchmarks check task camo                 CAMO with every backbone; a backbone's name, or both: camo:sam-vit-b
  python -m benchmarks check task --all --small        every dataset's files with the small models: a minute or two

check method: the small model sam-mini is attached to, trained for a few steps, searched and tested, in a temporary folder.
Exit code 1 where a clause is broken; its line says what to mend.

check task: random weights at the models' true size and resolution, a few drawn images in the dataset's own file layout, base+swap
with a search of a few pairs, two test images. It shows that everything fits together and what memory it takes, and measures
no quality: its records say so, stand on no board, and are thrown away unless --keep names a folder for them."""


def register(commands) -> None:
    p = commands.add_parser(
        "check",
        help="does a method keep the contract? does every task run?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("kind", choices=("method", "task"), help="what is checked")
    p.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a method, with or without +swap, or path/to/file.py:MyMethod; for task a dataset, a backbone or DATASET:BACKBONE",
    )
    p.add_argument("--all", action="store_true", help="every registered one")
    p.add_argument("--small", action="store_true", help="for task: small models stand in for the true ones")
    p.add_argument("--keep", type=Path, metavar="DIR", help="for task: leave the records in this folder")
    p.add_argument("--threads", type=int, help="for task; default: the cores that nobody else keeps busy")
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks.errors import UsageError

    if bool(args.names) == args.all:
        raise UsageError(f"check {args.kind} wants either names or --all; for the names, see: python -m benchmarks list")
    if args.kind == "task":
        return _tasks(args)
    if args.small or args.keep or args.threads:
        raise UsageError("--small, --keep and --threads are for check task; leave them out")
    return _methods(args)


def _tasks(args) -> int:
    from benchmarks import task_check, threads
    from benchmarks.errors import count

    cells = task_check.cells(args.small) if args.all else task_check.chosen(args.names, args.small)
    used = threads.choose(args.threads)
    failed = 0
    for k, outcome in enumerate(task_check.examine(cells, used, args.keep), 1):
        failed += outcome.fault is not None
        memory = f"{outcome.peak_memory_mb / 1024:.1f} GiB" if outcome.peak_memory_mb else ""
        says = f"FAILED: {outcome.fault}" if outcome.fault else "ok"
        print(f"{k:>4}/{len(cells)}  {outcome.cell.name:<28} {outcome.seconds:7.1f} s  {memory:>9}  {says}", flush=True)
    print(f"{len(cells) - failed} of {count(len(cells), 'cell')} left a valid record that no board takes")
    return 1 if failed else 0


def _methods(args) -> int:
    from benchmarks import threads
    from benchmarks.catalog import METHODS, split_method

    for name in args.names:
        split_method(name)  # all names before the first minute of work
    threads.choose(1)  # before torch is imported: its arithmetic is then the same in every call
    broken = [name for name in args.names or METHODS if not _keeps(name)]
    return 1 if broken else 0


def _keeps(name: str) -> bool:
    """Print what becomes of each clause, and whether none is broken."""
    from benchmarks.catalog import split_method
    from benchmarks.contract import CLAUSES, FAILED, examine
    from benchmarks.errors import UsageError

    begun, failed = time.perf_counter(), []
    print(name, flush=True)
    try:
        split_method(name)
    except UsageError as error:  # of an installed package: named by --all
        print(f"  {FAILED:<8} {error}\n", flush=True)
        return False
    for finding in examine(name):
        if finding.outcome == FAILED:
            failed.append(finding.clause.name)
        print(f"  {finding.outcome:<8} {finding.clause.name:<10} {finding.clause.says}: {finding.detail}", flush=True)
    verdict = f"breaks {len(failed)} of {len(CLAUSES)} clauses: {', '.join(failed)}" if failed else "keeps the contract"
    print(f"{name} {verdict} ({time.perf_counter() - begun:.1f} s)\n", flush=True)
    return not failed
