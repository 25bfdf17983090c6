"""`board`: the leaderboard's pages, from records alone."""

from __future__ import annotations

from pathlib import Path


def register(commands) -> None:
    p = commands.add_parser(
        "board", help="build or check the leaderboard's pages and what the README and the checkpoints' cards show of them"
    )
    p.add_argument("action", choices=("build",), help="write the pages: Markdown, pictures and index.html")
    p.add_argument("--check", action="store_true", help="write nothing: fail where a page differs from what its records give")
    p.add_argument("--results", type=Path, help="results folder (default: the checkout's)")
    p.add_argument(
        "--out",
        type=Path,
        help="folder of the pages (default: leaderboard beside the results folder, so /tmp/leaderboard for --results /tmp/X)",
    )
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks.board.build import build, check
    from benchmarks.environment import project_root
    from benchmarks.errors import UsageError

    results = args.results or project_root() / "results"
    out = args.out or results.parent / "leaderboard"
    if not results.is_dir():
        raise UsageError(f"there is no results folder {results}; name one with --results")
    root = project_root()
    own = results.resolve() == root / "results" and out.resolve() == root / "leaderboard"
    root = root if own else None  # its README and cards speak of its own records alone
    if args.check:
        faults = check(results, out, root)
        print("\n".join(faults) if faults else f"{out}: every page is what its records give")
        return 1 if faults else 0
    for page in build(results, out, root):
        print(page)
    return 0
