"""`bench`: what is faster than the plain way, and by how much, both measured in one run. `scorer`: the search's batched scorer
against the literal one-by-one loop. `heads`: all pairs of a linear head. `search`: the strategies of the search beside each other,
into a record and a page. `epoch`: training from cached encoder features against running the encoder."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

log = logging.getLogger("benchmarks")
EXAMPLES = """examples:
  python -m benchmarks bench                                     the search's scorer
  python -m benchmarks bench --backbone sam-vit-b --random-weights --pairs 8 --images 1
  python -m benchmarks bench scorer --backbone sam-vit-b --random-weights --device cuda --ways all --whole --save
                                                                 on a GPU: half precision, compiled, all 65,280 pairs x 50 images
  python -m benchmarks bench heads --save                        DINOv2 ViT-B, all 589,056 pairs x 50 images in closed form
  python -m benchmarks bench search                              every strategy, three tasks, three seeds: about ten minutes
  python -m benchmarks bench search --tasks camo --seeds 0 --strategies exhaustive,greedy
  python -m benchmarks bench epoch                               an epoch with encoder features from the cache, and without
  python -m benchmarks bench epoch --backbone sam-vit-b --random-weights --images 2 --rounds 1"""
USUAL = {
    "scorer": {"backbone": "sam-mini", "pairs": 256, "images": 2, "rounds": 5},
    "heads": {"backbone": "dinov2-vit-b", "pairs": 1024, "images": 2, "rounds": 5},
    "epoch": {"backbone": "sam-mini", "images": 40, "rounds": 3},
}


def register(commands) -> None:
    p = commands.add_parser(
        "bench",
        help="speed of the search and of training",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("what", nargs="?", choices=("scorer", "heads", "search", "epoch"), default="scorer", help="default: scorer")
    p.add_argument("--backbone", help="default: sam-mini; heads: dinov2-vit-b")
    p.add_argument("--random-weights", action="store_true", help="of true size, for backbones whose weights are not here")
    p.add_argument("--pairs", type=int, help="scorer, heads: single-pair swaps of the sample (default: 256; heads: 1024)")
    p.add_argument("--images", type=int, help="images (default: 2; epoch: 40)")
    p.add_argument("--rounds", type=int, help="both sides in turn, so many times; medians are printed (default: 5; epoch: 3)")
    p.add_argument("--batch", type=int, default=None, help="scorer: versions at a time (default: what a run uses)")
    p.add_argument(
        "--ways",
        default="float32",
        help='scorer: comma-separated, or "all": float32 (default), "float32 compiled", bfloat16, "bfloat16 compiled"',
    )
    p.add_argument("--whole", action="store_true", help="scorer: time all pairs on 50 images, too, in the fastest way")
    p.add_argument("--save", action="store_true", help="scorer, heads: write the record and the page")
    p.add_argument("--tasks", default="all", help='search: comma-separated, or "all" (default)')
    p.add_argument("--seeds", default="all", help='search: comma-separated, or "all" for the protocol\'s own (default)')
    p.add_argument("--strategies", default="all", help='search: comma-separated, or "all" (default)')
    p.add_argument("--results", type=Path, help="results folder of search and --save (default: the checkout's)")
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
    usual = USUAL[args.what]
    for name, value in usual.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if min(n for n in (args.pairs, args.images, args.rounds, args.batch) if n is not None) < 1:
        raise UsageError("--pairs, --images, --rounds and --batch must be at least 1")
    threading.wait_passively()
    device, threads = resolve(args.device), threading.choose(args.threads)
    return (_epoch if args.what == "epoch" else _speed)(args, device, threads)


def _says(**counts: int) -> str:
    from benchmarks.errors import count

    return ", ".join(count(number, noun) for noun, number in counts.items())


def _speed(args, device: str, threads: int) -> int:
    from benchmarks import bench_heads, bench_scorer
    from benchmarks.board import speed_page
    from benchmarks.board.text import terminal
    from benchmarks.catalog import BACKBONES
    from benchmarks.cli import common
    from benchmarks.environment import project_root
    from benchmarks.errors import UsageError
    from benchmarks.speed_records import write

    ways = tuple(bench_scorer.WAYS) if args.ways == "all" else tuple(args.ways.split(","))
    if unknown := [way for way in ways if way not in bench_scorer.WAYS]:
        raise UsageError(f"unknown way {unknown[0]!r}; choose from: {', '.join(bench_scorer.WAYS)}")
    backbone, heads = BACKBONES.get(args.backbone), args.what == "heads"
    if (backbone.family == "dinov2") != heads:
        other = "heads" if not heads else "scorer"
        raise UsageError(f"bench {args.what} is not for {backbone.name}; use: python -m benchmarks bench {other}")
    flags = [f"--backbone {backbone.name}", "--random-weights" * args.random_weights, f"--device {device.split(':')[0]}"]
    flags += [f"--ways {args.ways}" if " " not in args.ways else f"--ways '{args.ways}'"] * (args.ways != "float32")
    flags += ["--whole"] * args.whole + ["--save"]
    asked = bench_scorer.Asked(
        backbone, args.random_weights, args.pairs, args.images, args.rounds, args.batch, device, threads, ways, args.whole,
        " ".join(["python -m benchmarks bench", args.what, *(flag for flag in flags if flag)]),
    )  # fmt: skip
    record = (bench_heads if heads else bench_scorer).measure(asked, lambda line: log.info("%s", line))
    counts = _says(pair=args.pairs), _says(image=args.images, round=args.rounds, thread=threads)
    print(f"{backbone.name}, {counts[0]} x {counts[1]}, {record.environment.device}")
    print(terminal(speed_page.table(record)))
    if args.save:
        results = args.results or project_root() / "results"
        path = results / "speed" / record.file_name
        write(record, path)
        log.info("record: %s", common.near(path))
        common.refresh(results, results.parent / "leaderboard")
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
