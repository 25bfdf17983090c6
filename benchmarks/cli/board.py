"""`board`: the leaderboard's pages, and the list of the verified records' versions, from records alone."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

log = logging.getLogger(__name__)
EXAMPLES = """examples:
  python -m benchmarks board build                                     after a run the pages of its board are made by themselves
  python -m benchmarks board build --check                             is every page what the records give?
  python -m benchmarks board build --results /tmp/X --out /tmp/pages   the pages of other records
  python -m benchmarks board lock                                      the versions that made the verified records"""


def register(commands) -> None:
    p = commands.add_parser(
        "board",
        help="build or check the leaderboard's pages and what the README and the checkpoints' cards show of them",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "action",
        choices=("build", "lock"),
        help="build: write the pages, Markdown, pictures and index.html; lock: write the versions that the verified records were made with, requirements-verified.txt "
        "beside the results folder",
    )
    p.add_argument("--check", action="store_true", help="write nothing: fail where a file differs from what its records give")
    p.add_argument("--results", type=Path, help="results folder (default: the checkout's)")
    p.add_argument(
        "--out",
        type=Path,
        help="folder of the pages (default: leaderboard beside the results folder, so /tmp/leaderboard for --results /tmp/X)",
    )
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks.board.build import build, check
    from benchmarks.board.lock import NAME, lock
    from benchmarks.environment import project_root
    from benchmarks.errors import UsageError

    results = args.results or project_root() / "results"
    out = args.out or results.parent / ("leaderboard" if args.action == "build" else NAME)
    if not results.is_dir():
        raise UsageError(f"there is no results folder {results}; name one with --results")
    if args.action == "lock":
        return _lock(lock(results), out, args.check)
    root = project_root()
    own = results.resolve() == root / "results" and out.resolve() == root / "leaderboard"
    root = root if own else None  # its README and cards speak of its own records alone
    if args.check:
        faults = check(results, out, root)
        print("\n".join(faults) if faults else f"{out}: every page is what its records give")
        return 1 if faults else 0
    for page in build(results, out, root):
        print(page)
    if next(results.rglob("*.json"), None) is None:
        log.warning("%s holds no records, and the pages say so; a results folder is named with --results", results)
    return 0


def _lock(text: str, path: Path, check: bool) -> int:
    from benchmarks.files import write_atomically

    same = path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text
    if check:
        print(f"{path}: {'as the verified records say' if same else 'differs from what the verified records say'}")
        return 0 if same else 1
    if not same:
        write_atomically(path, text)
        print(path)
    return 0
