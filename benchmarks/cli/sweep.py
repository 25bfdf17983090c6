"""`sweep`: a grid of runs from one call, several at a time, on one machine or on many, with a summary at the end."""

from __future__ import annotations

import argparse
import logging
import os
import time
from pathlib import Path

from benchmarks.cli import common
from benchmarks.errors import MissingData, UsageError, count

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
    cells, strategy = _cells(args)
    if not cells:
        log.info("shard %s holds no run of this grid", args.shard)
        return 0
    logs = common.logs(args)
    ray = _ray(args) if args.engine == "ray" and not args.dry_run else None
    try:
        plans = _plans(args, cells, strategy, ray)
        results, tier, leaderboard = common.folders(args, plans)
        engine, slots, each = ray or _local(args, plans)
        on_gpu = plans[0].device.startswith("cuda")
        device = None if args.address else _device(plans[0].device)
        known = measured(results, plans, device)
        kept = {p.file_name for p in plans if not args.force and cached(p, tier / p.file_name)}
        blocks, total, longest = estimate.estimate(plans, lambda p: p.file_name in kept, known)
        if ray:
            engine.gpus = on_gpu
            slots = engine.slots
        _say(plans, engine, slots, each, args)
        for line in (estimate.table(blocks, total), *estimate.lines(total, longest, known, slots, 1 if on_gpu else each, device)):
            (print if args.dry_run else log.info)(line)
        if args.dry_run:
            print(_each(plans, total.stages))
            return 0
        begun, due = time.monotonic(), common.pages_due(leaderboard)
        common.pages_begun(leaderboard)
        outcomes = sweep(
            plans, tier, engine, each, args.force, _said(len(plans), begun), args.parts, known.peak if on_gpu else _nothing, logs
        )
    finally:
        if ray:
            ray[0].close()
    failed = [o for o in outcomes if o.status == "failed"]
    for table in _summary(plans, tier):
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


def _cells(args) -> tuple[list, str | None]:
    """The cells of the grid, or of the shard of it, and the strategy of their searches."""
    from benchmarks import grid_file
    from benchmarks.engines.shards import share
    from benchmarks.grid import Grid, expand

    grid = grid_file.read(args.grid) if args.grid else Grid()
    given = {
        name: getattr(args, name) for name in ("tasks", "datasets", "backbones", "methods", "protocols") if getattr(args, name)
    }
    if args.seeds is not None:
        given["seeds"] = ["all"] if args.seeds == "all" else common.seeds(args.seeds, ())
    grid = grid.model_copy(update=given)
    cells = expand(grid)
    if args.shard:
        mine = share(((cell.model, " ".join(cell.model)) for cell in cells), common.part(args.shard))
        cells = [cell for cell in cells if cell.model in mine]
    strategy = args.strategy or grid.strategy
    if strategy is not None:
        from benchmarks.protocols import STRATEGIES

        if strategy not in STRATEGIES[:-1]:
            raise UsageError(f"unknown strategy {strategy!r}; choose from: {', '.join(STRATEGIES[:-1])}")
    return cells, strategy


def _ray(args) -> tuple:
    """(engine, slots, threads each) of Ray. Raises UsageError without the library or the cluster."""
    from benchmarks import threads
    from benchmarks.engines.ray_ import Ray

    cores = threads.choose(args.threads)
    if args.address and args.jobs:
        raise UsageError("a cluster decides itself how many jobs it does at a time; leave --jobs out, or --address")
    if args.device.startswith("cuda:"):
        raise UsageError("Ray chooses the GPU; write --device cuda")
    jobs = args.jobs or cores
    each = (args.threads or 1) if args.address else max(1, cores // jobs)
    engine = Ray(args.address, jobs * each, each, 3 if args.retries is None else args.retries)
    return engine, engine.slots, each


def _local(args, plans: list) -> tuple:
    """(engine, slots, threads each) of this machine."""
    from benchmarks import threads
    from benchmarks.engines.local import VISIBLE, Local, assign
    from benchmarks.sweep import groups

    if args.address:
        raise UsageError("--address is of a Ray cluster; add --engine ray")
    cores, device, gpus = threads.choose(args.threads), plans[0].device, 0
    if device.startswith("cuda"):
        import torch

        gpus, device = torch.cuda.device_count(), args.device if args.device.startswith("cuda") else "cuda"
    work = len(groups(plans)) * args.parts
    places = assign(device, gpus, os.environ.get(VISIBLE), args.jobs, cores)[:work]
    each = max(1, cores // len(places))
    return Local(places, each, 1 if args.retries is None else args.retries), len(places), each


def _plans(args, cells: list, strategy: str | None, ray: tuple | None) -> list:
    """The runs of the cells. What cannot be run is said; it is an error with --strict, and where it is all there is."""
    from benchmarks.plan import Request
    from benchmarks.protocol_choice import choose_protocol
    from benchmarks.sweep import plans_of

    asked, elsewhere = args.device, bool(args.address)
    if elsewhere:
        on_gpu = asked == "cuda" or (asked == "auto" and bool(ray and ray[0].has_gpus))
        if on_gpu and ray and not ray[0].has_gpus:
            raise UsageError("the cluster has no GPU; use --device cpu")
        asked = "cuda:0" if on_gpu else "cpu"
    request = Request(
        "", "", limit=args.limit, device=asked, precision=args.precision, options=common.options(args), strategy=strategy,
        decoding=common.decoding(args), deterministic=args.deterministic, elsewhere=elsewhere,
    )  # fmt: skip
    plans, unready = plans_of(cells, request)
    for protocol in {p.protocol.name: p for p in plans}.values():
        why = "named in the grid"
        if not (args.protocols or args.grid):
            named = args.datasets or args.backbones
            why = "what is named belongs to it" if named else choose_protocol(protocol.task, "auto", None, None)[1]
        log.info("%s", common.first_line(protocol, why))
    for line in _reasons(unready):
        log.warning("cannot run: %s", line)
    if unready and (args.strict or not plans):
        kind = MissingData if all(u.missing for u in unready) else UsageError
        what = "nothing can be run" if not plans else f"{count(len(unready), 'run')} of {len(cells):,} cannot be run"
        cure = "leave --strict out to do the others" if plans else "see: python -m benchmarks doctor"
        raise kind(f"{what}: {_reasons(unready)[0]}; mend that, or {cure}")
    return plans


def _reasons(unready: list) -> list[str]:
    """A line a reason, with what it keeps from running."""
    by_reason: dict[str, list] = {}
    for u in unready:
        by_reason.setdefault(u.reason, []).append(u.cell)
    lines = []
    for reason, cells in by_reason.items():
        what = [" ".join(dict.fromkeys(getattr(c, axis) for c in cells)) for axis in ("dataset", "backbone", "method")]
        what = [
            names if names.count(" ") < 3 else f"{names.count(' ') + 1} {axis}s"
            for names, axis in zip(what, ("dataset", "backbone", "method"))
        ]
        lines.append(f"{', '.join(what)} ({count(len(cells), 'run')}): {reason}")
    return lines


def _device(device: str) -> str | None:
    from benchmarks import device as devices

    try:
        return devices.name(device)
    except Exception:  # a driver that fails to answer must not cost the plan
        return None


def _say(plans: list, engine, slots: int, each: int, args) -> None:
    from benchmarks.sweep import groups

    models, where = count(len(groups(plans)), "model"), "on Ray" if args.engine == "ray" else "on this machine"
    shard = f", shard {args.shard}" if args.shard else ""
    log.info(
        "%s of %s%s, %d at a time with %s each, %s", count(len(plans), "run"), models, shard, slots, count(each, "thread"), where
    )


def _each(plans: list, stages: dict[str, list[str]]) -> str:
    """A line a run: what is left to do."""
    several = len({(p.backbone.name, p.dataset.name) for p in plans}) > len({p.dataset.name for p in plans})
    lines = []
    for p in plans:
        where = f"{p.dataset.name:<16} {p.backbone.name + ' ' if several else ''}"
        lines.append(f"{where}{p.method_name:<20} seed {p.seed}   {', '.join(stages[p.file_name]) or 'nothing to do'}")
    return "\n".join(["", *lines])


def _said(runs: int, begun: float):
    """A line for each outcome as it comes, with the time left by what was done so far."""
    ended = 0

    def said(outcome) -> None:
        nonlocal ended
        ended += 1
        spent = time.monotonic() - begun
        left = f", about {spent / ended * (runs - ended) / 60:.0f} min left" if ended < runs else ""
        what = f"failed: {outcome.error}" if outcome.status == "failed" else outcome.status
        took = f" in {outcome.seconds:.0f} s" if outcome.status == "done" else ""
        log.info("[%d/%d, %.0f min%s] %s: %s%s", ended, runs, spent / 60, left, outcome.name, what, took)

    return said


def _summary(plans: list, tier: Path) -> list[str]:
    """Every method on every dataset, of the records that the sweep left: a table a protocol and backbone."""
    from benchmarks.board.overview import overview
    from benchmarks.board.text import terminal
    from benchmarks.runner import cached

    found: dict[tuple, dict[str, list]] = {}
    for p in plans:
        if record := cached(p, tier / p.file_name):  # not an earlier sweep's, of other code
            found.setdefault((p.protocol.name, p.backbone.name), {}).setdefault(p.dataset.name, []).append(record)
    if len(found) < 2:
        return [terminal(overview(datasets)) for datasets in found.values()]
    return [f"{protocol}, {backbone}\n\n{terminal(overview(datasets))}" for (protocol, backbone), datasets in found.items()]
