"""`sweep`: a grid of tasks, methods and seeds from one call, several runs at a time, with a summary at the end."""

from __future__ import annotations

import argparse
import logging
import time

from benchmarks.cli import common

log = logging.getLogger("benchmarks")
EXAMPLES = """examples:
  python -m benchmarks sweep                                          every method, with and without swap, every task, all seeds
  python -m benchmarks sweep --dry-run                                what that is
  python -m benchmarks sweep --tasks camo --methods base+swap,dora+swap --seeds 0

A sweep that was stopped goes on where it was: the same command again. Exit code 1 where a run failed."""


def register(commands) -> None:
    p = commands.add_parser(
        "sweep", help="run a grid of methods and tasks", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--tasks", default="all", help='comma-separated, or "all" (default)')
    p.add_argument(
        "--methods",
        default="all",
        help='comma-separated, or "all" (default): every method, plain and with +swap; path/to/file.py:MyMethod for one of your own',
    )
    p.add_argument("--protocol", default="auto", help="as for run")
    p.add_argument("--seeds", default="all", help='comma-separated, or "all" for the protocol\'s own (default)')
    p.add_argument("--jobs", type=int, help="runs at a time (default: one a free core on a CPU, one on a GPU)")
    p.add_argument("--limit", type=int, metavar="N", help="at most N test images; marks the records, which no board then shows")
    common.add_flags(p)
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import threads
    from benchmarks.errors import UsageError, count
    from benchmarks.sweep import groups, sweep

    common.prepare(args)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {args.jobs}")
    plans, skipped = _plans(args)
    results, tier, leaderboard = common.folders(args, plans)
    cores = threads.choose(args.threads)
    jobs = min(args.jobs or (cores if plans[0].device == "cpu" else 1), len(groups(plans)))
    each = max(1, cores // jobs)
    runs, models = count(len(plans), "run"), count(len(groups(plans)), "model")
    log.info("%s of %s, %d at a time with %s each", runs, models, jobs, count(each, "thread"))
    for reason in skipped:
        log.info("skipped: %s", reason)
    if args.dry_run:
        print(_preview(plans, tier))
        return 0
    begun, ended, cost = time.monotonic(), 0, 0.0

    def said(outcome) -> None:
        nonlocal ended, cost
        ended += 1
        cost += outcome.seconds
        spent = time.monotonic() - begun
        left = f", about {spent / ended * (len(plans) - ended) / 60:.0f} min left" if ended < len(plans) else ""
        what = f"failed: {outcome.error}" if outcome.status == "failed" else outcome.status
        took = f" in {outcome.seconds:.0f} s" if outcome.status == "done" else ""
        log.info("[%d/%d, %.0f min%s] %s: %s%s", ended, len(plans), spent / 60, left, outcome.name, what, took)

    due = common.pages_due(leaderboard)
    common.pages_begun(leaderboard)
    outcomes = sweep(plans, tier, jobs, each, args.force, said)
    failed = [o for o in outcomes if o.status == "failed"]
    print(_summary(plans, tier))
    counts = {s: sum(o.status == s for o in outcomes) for s in ("done", "cached", "failed")}
    print(
        f"\n{counts['done']} done, {counts['cached']} cached, {counts['failed']} failed, {(time.monotonic() - begun) / 60:.1f} min"
    )
    for outcome in failed:
        print(f"failed: {outcome.name}: {outcome.error}")
    if args.limit is None and (counts["done"] or (counts["cached"] and due)):  # else no board takes one
        common.refresh(results, leaderboard)
    else:
        common.pages_done(leaderboard)
    return 1 if failed else 0


def _plans(args) -> tuple[list, list[str]]:
    """Every run of the grid, and why what is left out is left out."""
    from benchmarks.catalog import METHODS, SWAP, TASKS
    from benchmarks.errors import UsageError
    from benchmarks.plan import Request, plan

    tasks = list(TASKS) if args.tasks == "all" else args.tasks.split(",")
    for task in tasks:
        TASKS.get(task)
    named = args.methods != "all"
    methods = args.methods.split(",") if named else [m + s for m in METHODS for s in ("", SWAP)]
    plans, skipped = [], []
    for task in tasks:
        for method in methods:
            request = Request(
                task,
                method,
                args.protocol,
                None,
                None,
                args.limit,
                args.device,
                args.precision,
                common.options(args),
                decoding=common.decoding(args),
                deterministic=args.deterministic,
            )
            try:
                first = plan(request, 0)
            except UsageError as error:
                if named:  # what was asked for by name is not left out without a word
                    raise
                skipped.append(f"{task} {method}: {error}")
                continue
            seeds = common.seeds(args.seeds, first.protocol.seeds)
            plans += [first if seed == 0 else plan(request, seed) for seed in seeds]
    if not plans:
        raise UsageError(f"nothing to run: {'; '.join(skipped)}")
    for protocol in {p.protocol.name: p for p in plans}.values():
        log.info("%s", common.first_line(protocol))
    return plans, skipped


def _preview(plans: list, tier) -> str:
    """A line a run: what is kept of it, and what is left to do."""
    from benchmarks.plan import passes
    from benchmarks.runner import cached

    lines, left = [], 0
    for p in plans:
        todo = [] if cached(p, tier / p.file_name) else [name for name in p.jobs if not p.done(name)]
        left += passes(p) if "search" in todo else 0
        lines.append(f"{p.dataset.name:<16} {p.method_name:<20} seed {p.seed}   {', '.join(todo) or 'nothing to do'}")
    return "\n".join([*lines, f"searches to do: at most {left:,} decoder passes"])


def _summary(plans: list, tier) -> str:
    """Every method on every dataset, of the records that the sweep left."""
    from benchmarks.board.overview import overview
    from benchmarks.board.text import terminal
    from benchmarks.runner import cached

    found: dict[str, list] = {}
    for p in plans:
        if record := cached(p, tier / p.file_name):  # not an earlier sweep's, of other code
            found.setdefault(p.dataset.name, []).append(record)
    return terminal(overview(found))
