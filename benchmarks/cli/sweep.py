"""`sweep`: a grid of runs from one call, several at a time, on one machine or on many, with a summary at the end."""

from __future__ import annotations

import argparse
import logging
import os
import time
from pathlib import Path

from benchmarks.cli import common, sweep_said
from benchmarks.cli.sweep_engine import of_ray, of_this_machine
from benchmarks.cli.sweep_runs import cells_of, planned
from benchmarks.errors import UsageError

log = logging.getLogger("benchmarks")
EXAMPLES = """examples:
  python -m benchmarks sweep                                          every method, with and without swap, every task, all seeds
  python -m benchmarks sweep --dry-run                                what that is, and what it costs
  python -m benchmarks sweep --tasks camo --methods base+swap,dora+swap --seeds 0
  python -m benchmarks sweep --datasets kvasir,busi --backbones sam-vit-b,sam2.1-hiera-t --methods base+swap
  python -m benchmarks sweep grid.yaml --strict                       a grid from a file, see docs/sweeps.md
  python -m benchmarks sweep grid.yaml --shard 3/16                   the third of sixteen parts, for an array of jobs
  python -m benchmarks sweep grid.yaml --engine ray --address auto --store s3://bucket/chanswap

A sweep that was stopped goes on where it was: the same command again. Exit code 1 where a run failed."""


def register(commands) -> None:
    p = commands.add_parser("sweep", help="run a grid", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("grid", nargs="?", type=Path, help="a YAML file of the grid; flags go before what it says")
    p.add_argument("--tasks", type=_names, help='comma-separated, or "all" (default)')
    p.add_argument("--datasets", type=_names, help='comma-separated, or "all" of the protocol (default: a task\'s first)')
    p.add_argument("--backbones", type=_names, help='comma-separated, or "all" of the protocol (default: a task\'s own)')
    p.add_argument(
        "--methods",
        type=_names,
        help='comma-separated, or "all" (default): every method, plain and with +swap; path/to/file.py:MyMethod for one of your own',
    )
    p.add_argument(
        "--protocol", "--protocols", dest="protocols", type=_names, help='comma-separated, "auto" (default, as for run) or "all"'
    )
    p.add_argument("--seeds", help='comma-separated, or "all" for the protocol\'s own (default)')
    p.add_argument("--strategy", choices=("exhaustive", "halving", "taylor", "greedy"), help="of every search, as for run")
    p.add_argument("--limit", type=int, metavar="N", help="at most N test images; marks the records, which no board then shows")
    p.add_argument("--strict", action="store_true", help="stop where a cell cannot be run, before anything is")
    p.add_argument("--jobs", type=int, help="processes at a time (default: one a GPU; without GPUs one a free core)")
    p.add_argument(
        "--engine", default="local", choices=("local", "ray"), help="local (default): this machine; ray: a Ray cluster"
    )
    p.add_argument(
        "--address", metavar="auto|HOST:PORT", help="of a Ray cluster that is there (default: one is begun on this machine)"
    )
    p.add_argument(
        "--retries", type=int, metavar="N", help="how often a run is begun again whose process or machine is lost (1; ray: 3)"
    )
    p.add_argument(
        "--store", metavar="URL", help="a store that the workers share, in place of a shared CHANSWAP_HOME: s3://..., file://..."
    )
    p.add_argument("--shard", metavar="I/N", help="do the I-th of N parts of the grid, and leave the pages as they are")
    p.add_argument("--parts", type=int, default=1, metavar="N", help="split each search over N jobs (default: 1)")
    common.add_flags(p)
    p.set_defaults(call=call)


def _names(text: str) -> list[str]:
    return text.split(",")


def call(args) -> int:
    from benchmarks import estimate
    from benchmarks.errors import some
    from benchmarks.measured import measured
    from benchmarks.runner import cached
    from benchmarks.sweep import sweep

    common.prepare(args)
    for name in ("jobs", "parts"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UsageError(f"--{name} must be at least 1, got {getattr(args, name)}")
    if args.retries is not None and args.retries < 0:
        raise UsageError(f"--retries must be 0 or more, got {args.retries}")
    _store(args)
    cells, strategy = cells_of(args)
    if not cells:
        log.info("shard %s holds no run of this grid", args.shard)
        return 0
    logs = common.logs(args)
    ray = of_ray(args) if args.engine == "ray" and not args.dry_run else None
    try:
        plans = planned(args, cells, strategy, ray)
        results, tier, leaderboard = common.folders(args, plans)
        engine, slots, each = ray or of_this_machine(args, plans)
        on_gpu = plans[0].device.startswith("cuda")
        device = None if args.address else _device(plans[0].device)
        known = measured(results, plans, device)
        kept = {p.file_name for p in plans if not args.force and cached(p, tier / p.file_name)}
        blocks, total, longest = estimate.estimate(plans, lambda p: p.file_name in kept, known)
        if ray:
            engine.gpus = on_gpu
            slots = engine.slots
        sweep_said.say_begun(plans, slots, each, args)
        for line in (estimate.table(blocks, total), *estimate.lines(total, longest, known, slots, 1 if on_gpu else each, device)):
            (print if args.dry_run else log.info)(line)
        if args.dry_run:
            print(sweep_said.left_to_do(plans, total.stages))
            return 0
        begun, due = time.monotonic(), common.pages_due(leaderboard)
        common.pages_begun(leaderboard)
        said, memory = sweep_said.each_outcome(len(plans), begun), known.peak if on_gpu else _nothing
        outcomes = sweep(plans, tier, engine, each, args.force, said, args.parts, memory, logs)
    finally:
        if ray:
            ray[0].close()
    failed = [o for o in outcomes if o.status == "failed"]
    for table in sweep_said.summary(plans, tier):
        print(table + "\n")
    counts = {s: sum(o.status == s for o in outcomes) for s in ("done", "cached", "failed")}
    print(
        f"{counts['done']} done, {counts['cached']} cached, {counts['failed']} failed, {(time.monotonic() - begun) / 60:.1f} min"
    )
    for outcome in failed:
        print(f"failed: {outcome.name}: {outcome.error}")
    common.say_logs(logs)
    if args.shard:
        log.info("the pages are left as they are; once all shards are done: python -m benchmarks board build")
    elif args.limit is None and (counts["done"] or (counts["cached"] and due)):  # else no board takes one
        common.refresh(results, leaderboard)
    else:
        common.pages_done(leaderboard)
    if failed:
        log.info("the same command does again what failed (%s)", some(o.name for o in failed))
    return 1 if failed else 0


def _nothing(plan) -> None:
    """No GPU, no memory of one."""


def _store(args) -> None:
    """The shared store and the home, as every worker of this call gets them: by the environment, and absolute."""
    from benchmarks.files import home
    from benchmarks.remote import NAMED, Remote

    if "CHANSWAP_HOME" in os.environ:
        os.environ["CHANSWAP_HOME"] = str(home().absolute())
    url = args.store or os.environ.get(NAMED)
    if url and "://" not in url:
        url = Path(url).expanduser().absolute().as_posix()
    if url and not args.dry_run:
        Remote(url).usable()
    if url:
        os.environ[NAMED] = url


def _device(device: str) -> str | None:
    from benchmarks import device as devices

    try:
        return devices.name(device)
    except Exception:  # a driver that fails to answer must not cost the plan
        return None
