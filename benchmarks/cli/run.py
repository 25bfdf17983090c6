"""`run`: one method on one dataset, from data to record, table and pages."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from benchmarks.cli import common

log = logging.getLogger("benchmarks")
EXAMPLES = """examples:
  python -m benchmarks run --task camo --method dora+swap
  python -m benchmarks run --task medical --method base+swap --seeds all
  python -m benchmarks run --task depth --method lora+swap                 DINOv2's kind: tokens and a linear head
  python -m benchmarks run --task camo --method base+swap --backbone sam2-mini
  python -m benchmarks run --task natural --dataset coco --backbone sam-vit-l --method base+swap       a cell of the paper
  python -m benchmarks run --task camo --method base+swap --strategy taylor             a swap in seconds, see bench search
  python -m benchmarks run --task camo --method base+swap --part 1/4        a quarter of the search, on one of four machines
  python -m benchmarks run --task camo --method lora+swap --dry-run        only say what would be done
  python -m benchmarks run --task camo --method base --limit 20            a quick look; kept off the boards
  python -m benchmarks run --task camo --method my/file.py:MyMethod+swap   a method of your own, see README"""


def register(commands) -> None:
    p = commands.add_parser(
        "run", help="run a method on a task", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--task", required=True, help="natural, medical, camo, depth, classification")
    p.add_argument(
        "--method", required=True, help="a method, with or without +swap (see: list), or your own: path/to/file.py:MyMethod"
    )
    p.add_argument(
        "--protocol", default="auto", help="auto (default): paper-v1 where its data and weights are here, else mini-v1"
    )
    p.add_argument("--dataset", help="one dataset of the task; default: its first under the protocol")
    p.add_argument("--backbone", help="default: the task's own under the protocol (see: show TASK)")
    p.add_argument("--seeds", default="0", help='comma-separated, or "all" for the protocol\'s own (default: 0)')
    p.add_argument(
        "--strategy",
        choices=("exhaustive", "halving", "taylor", "greedy"),
        help="of the search, in the place of the protocol's (exhaustive, the paper's): numbers of another version of the protocol",
    )
    p.add_argument(
        "--part",
        metavar="I/N",
        help="do the I-th of N parts of the search, and stop: workers that share CHANSWAP_HOME, on one machine or on several, do one "
        "part each; the same command without --part then merges them, to the same answer",
    )
    p.add_argument("--limit", type=int, metavar="N", help="at most N test images; marks the record, which no board then shows")
    common.add_flags(p)
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import threads
    from benchmarks.board.collect import fault
    from benchmarks.plan import Request, describe, plan

    common.prepare(args)
    request = Request(
        args.task, args.method, args.protocol, args.dataset, args.backbone, args.limit, args.device, args.precision,
        common.options(args), strategy=args.strategy, decoding=common.decoding(args),
        deterministic=args.deterministic,
    )  # fmt: skip
    first = plan(request, 0)
    log.info("%s", common.first_line(first))
    seeds = common.seeds(args.seeds, first.protocol.seeds)
    plans = [first if seed == 0 else plan(request, seed) for seed in seeds]
    if args.dry_run:
        print("\n".join(describe(p) for p in plans))
        return 0
    used, logs = threads.choose(args.threads), common.logs(args)
    if args.part:
        return _part(plans, args.part, used)
    results, tier, leaderboard = common.folders(args, plans)
    made, fresh, due = [], [], common.pages_due(leaderboard)
    common.pages_begun(leaderboard)
    for p in plans:
        record, was_cached = _one(p, tier / p.file_name, used, args.force, logs)
        made.append(record)
        fresh += [] if was_cached else [record]
    _tables(made, tier)
    common.say_logs(logs if fresh else ())
    if any(fault(record, tier.name) is None for record in (made if due else fresh)):
        common.refresh(results, leaderboard)
    else:
        common.pages_done(leaderboard)
        if fresh:
            log.info("leaderboard: unchanged, no board takes what was run")
    return 1 if any(record.status == "failed" for record in made) else 0


def _part(plans: list, text: str, threads: int) -> int:
    from benchmarks.runner import search_part

    part = common.part(text)
    for p in plans:
        search_part(p, part, threads)
        log.info(
            "%s, seed %d: part %s of its search is done; once all are, merge them by the same command without --part",
            p.method_name,
            p.seed,
            text,
        )
    return 0


def _one(p, path: Path, threads: int, force: bool, logs: tuple[str, ...]):
    from benchmarks import store

    with store.alone_with(p.file_name):
        return _alone(p, path, threads, force, logs)


def _alone(p, path: Path, threads: int, force: bool, logs: tuple[str, ...]):
    from benchmarks import store
    from benchmarks.errors import count
    from benchmarks.runner import cached, failure_path
    from benchmarks.tracking import tracked

    if force:
        for job in p.jobs.values():
            store.discard(job)
    elif record := cached(p, path):
        log.info(
            "%s, seed %d: cached, from a run started %s; --force does every stage again", p.method_name, p.seed, record.started
        )
        log.info("record: %s", common.near(path))
        return record, True
    ready = [name for name in p.jobs if p.done(name)]
    log.info(
        "%s on %s with %s, seed %d, %s, %s",
        p.method_name,
        p.dataset.name,
        p.backbone.name,
        p.seed,
        p.device,
        count(threads, "thread"),
    )
    if ready:
        log.info("kept from earlier calls: %s", ", ".join(ready))
    where_failed = failure_path(path)
    record = tracked(logs, p, path, threads)
    if record.status == "failed":
        log.error("failed: %s", record.error)
        log.error("its record: python -m benchmarks show %s", common.near(where_failed))
    else:
        log.info("record: %s", common.near(path))
    return record, False


def _tables(made: list, tier: Path) -> None:
    """The comparison with every other finished record of the same board and device, and what this call's stages cost."""
    from benchmarks.board.collect import Kept, board_of, current
    from benchmarks.catalog import SWAP

    done = [r for r in made if r.status == "done"]
    if not done:
        return
    mine, board, device = {(r.spec.method, r.spec.seed) for r in done}, board_of(done[0], tier.name), done[0].environment.device
    beside = [
        Kept(path.name, tier.name, r)
        for path, r in _finished(tier / done[0].spec.protocol / done[0].spec.dataset)
        if board_of(r, tier.name) == board and r.spec.limit == done[0].spec.limit and r.environment.device == device
    ]
    # Of the method at hand the version that just ran, of others from outside the newest: two versions are two methods of one name.
    method, origin = done[0].spec.method.removesuffix(SWAP), done[0].origin
    beside = [k for k in beside if k.record.spec.method.removesuffix(SWAP) != method or k.record.origin == origin]
    others = [k.record for k in current(beside)[0] if (k.record.spec.method, k.record.spec.seed) not in mine]
    print()
    common.tables(done, others)


def _finished(folder: Path) -> list:
    """The finished records in a folder with their paths; unreadable ones are the board's to report."""
    from benchmarks import records
    from benchmarks.errors import InvalidRecord

    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = records.read(path)
        except InvalidRecord:
            continue
        if record.status == "done":
            found.append((path, record))
    return found
