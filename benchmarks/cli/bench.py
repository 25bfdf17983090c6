"""`bench`: what is faster than the plain way, and by how much, both measured in one run. `scorer`: the search's batched scorer
against the literal one-by-one loop. `search`: the strategies of the search beside each other, into a record and a page. `epoch`:
training from cached encoder features against running the encoder."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

log = logging.getLogger("benchmarks")
EXAMPLES = """examples:
  python -m benchmarks bench                                     the search's scorer
  python -m benchmarks bench --backbone sam-vit-b --random-weights --pairs 8 --images 1
  python -m benchmarks bench search                              every strategy, three tasks, three seeds: about ten minutes
  python -m benchmarks bench search --tasks camo --seeds 0 --strategies exhaustive,greedy
  python -m benchmarks bench epoch                               an epoch with encoder features from the cache, and without
  python -m benchmarks bench epoch --backbone sam-vit-b --random-weights --images 2 --rounds 1"""
USUAL = {"scorer": {"pairs": 256, "images": 2, "rounds": 5}, "epoch": {"images": 40, "rounds": 3}}


def register(commands) -> None:
    p = commands.add_parser(
        "bench",
        help="speed of the search and of training",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("what", nargs="?", choices=("scorer", "search", "epoch"), default="scorer", help="default: scorer")
    p.add_argument("--backbone", default="sam-mini")
    p.add_argument("--random-weights", action="store_true", help="of true size, for backbones whose weights are not here")
    p.add_argument("--pairs", type=int, help="scorer: single-pair swaps of the sample (default: 256)")
    p.add_argument("--images", type=int, help="images (default: 2; epoch: 40)")
    p.add_argument("--rounds", type=int, help="both sides in turn, so many times; medians are printed (default: 5; epoch: 3)")
    p.add_argument("--batch", type=int, default=None, help="scorer: versions at a time (default: what a run uses)")
    p.add_argument("--tasks", default="all", help='search: comma-separated, or "all" (default)')
    p.add_argument("--seeds", default="all", help='search: comma-separated, or "all" for the protocol\'s own (default)')
    p.add_argument("--strategies", default="all", help='search: comma-separated, or "all" (default)')
    p.add_argument("--results", type=Path, help="search: results folder (default: the checkout's)")
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int)
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import threads as threading
    from benchmarks.device import resolve
    from benchmarks.errors import UsageError

    if args.what == "epoch" and (args.pairs is not None or args.batch is not None):
        raise UsageError("bench epoch takes no --pairs and no --batch: its batch is the protocol's; leave them out")
    if args.what == "search":
        threading.wait_passively()
        return _search(args, resolve(args.device), threading.choose(args.threads))
    for name, value in USUAL[args.what].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if min(n for n in (args.pairs, args.images, args.rounds, args.batch) if n is not None) < 1:
        raise UsageError("--pairs, --images, --rounds and --batch must be at least 1")
    threading.wait_passively()
    device, threads = resolve(args.device), threading.choose(args.threads)
    return (_epoch if args.what == "epoch" else _scorer)(args, device, threads)


def _says(**counts: int) -> str:
    from benchmarks.errors import count

    return ", ".join(count(number, noun) for noun, number in counts.items())


def _scorer(args, device: str, threads: int) -> int:
    from benchmarks.bench_scorer import measure
    from benchmarks.catalog import BACKBONES
    from benchmarks.device import name

    found = measure(
        BACKBONES.get(args.backbone), args.random_weights, args.pairs, args.images, args.rounds, args.batch, device, threads
    )
    print(
        f"{args.backbone}, {_says(pair=args.pairs)} x {_says(image=args.images, round=args.rounds, thread=threads)}, {name(device)}"
    )
    print(f"literal loop over the library's decoder   {found.literal_ms:8.3f} ms a pass")
    print(f"the same loop over this suite's decoder   {found.own_loop_ms:8.3f} ms a pass")
    print(f"batched scorer                            {found.batched_ms:8.3f} ms a pass")
    print(
        f"ratio literal / batched                   {found.ratio:8.2f}   (lowest round {found.lowest:.2f}, highest {found.highest:.2f})"
    )
    print(
        f"largest difference of two scores          {found.difference:8.1e}   ({found.differing} of {args.pairs * args.images} differ by more than 1e-4)"
    )
    return 0


def _search(args, device: str, threads: int) -> int:
    from benchmarks.bench_search import VARIANTS, measure, tasks
    from benchmarks.board import search_page
    from benchmarks.board.text import terminal
    from benchmarks.cli import common
    from benchmarks.environment import project_root
    from benchmarks.errors import UsageError
    from benchmarks.protocols import PROTOCOLS
    from benchmarks.search_records import PAPER, write

    names = list(VARIANTS) if args.strategies == "all" else args.strategies.split(",")
    if unknown := [n for n in names if n not in VARIANTS]:
        raise UsageError(f"unknown strategy {unknown[0]!r}; choose from: {', '.join(VARIANTS)}")
    if PAPER not in names:
        raise UsageError(f"the others are compared with {PAPER}; name it too")
    seeds = common.seeds(args.seeds, PROTOCOLS.get("mini-v1").seeds)
    results = args.results or project_root() / "results"
    for task in list(tasks(args.tasks)):
        record = measure(task, [VARIANTS[n] for n in names], seeds, device, threads, lambda line: log.info("%s", line))
        path = results / "search" / record.file_name
        write(record, path)
        print(terminal(search_page.table(record)))
        log.info("record: %s", common.near(path))
    common.refresh(results, results.parent / "leaderboard")
    return 0


def _epoch(args, device: str, threads: int) -> int:
    from benchmarks.bench_epoch import measure
    from benchmarks.catalog import BACKBONES
    from benchmarks.device import name

    found = measure(BACKBONES.get(args.backbone), args.random_weights, args.images, args.rounds, device, threads)
    weights = ", random weights" if args.random_weights else ""
    print(
        f"{args.backbone}{weights}, decoder, {_says(image=found.images)}, batch {found.batch}, "
        f"{_says(round=args.rounds, thread=threads)}, {name(device)}"
    )
    print(f"epoch, the encoder run in every step      {found.without:8.3f} s")
    print(f"epoch, features read from the cache       {found.with_cache:8.3f} s")
    print(
        f"ratio without / with cache                {found.ratio:8.2f}   (lowest round {found.lowest:.2f}, highest {found.highest:.2f})"
    )
    print(f"making the cache, once for all epochs     {found.cache_seconds:8.3f} s")
    return 0
