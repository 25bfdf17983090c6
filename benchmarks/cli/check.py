"""`check`: does a method keep the contract?"""

from __future__ import annotations

import argparse
import time

EXAMPLES = """examples:
  python -m benchmarks check method lora               each clause of the contract in a line, about ten seconds
  python -m benchmarks check method lora dora+swap     with or without +swap: it is always examined with
  python -m benchmarks check method --all              every registered method
  python -m benchmarks check method my/file.py:Mine    a class of your own

The small model sam-mini is attached to, trained for a few steps, searched and tested, in a temporary folder.
Exit code 1 where a clause is broken; its line says what to mend."""


def register(commands) -> None:
    p = commands.add_parser(
        "check",
        help="does a method keep the contract?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("kind", choices=("method",), help="what is checked")
    p.add_argument("names", nargs="*", metavar="NAME", help="a method, with or without +swap, or path/to/file.py:MyMethod")
    p.add_argument("--all", action="store_true", help="every registered one")
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import threads
    from benchmarks.catalog import METHODS, split_method
    from benchmarks.errors import UsageError

    if bool(args.names) == args.all:
        raise UsageError("check method wants either names or --all; for the names, see: python -m benchmarks list")
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
