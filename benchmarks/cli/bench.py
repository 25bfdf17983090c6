"""`bench`: the batched scorer against the literal one-by-one loop, in one run."""

from __future__ import annotations

import argparse

EXAMPLES = """examples:
  python -m benchmarks bench
  python -m benchmarks bench --backbone sam-vit-b --random-weights --pairs 8 --images 1"""


def register(commands) -> None:
    p = commands.add_parser(
        "bench", help="speed of the search", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--backbone", default="sam-mini")
    p.add_argument("--random-weights", action="store_true", help="of true size, for backbones whose weights are not here")
    p.add_argument("--pairs", type=int, default=256, help="single-pair swaps of the sample (default: 256)")
    p.add_argument("--images", type=int, default=2, help="images (default: 2)")
    p.add_argument("--rounds", type=int, default=5, help="both sides in turn, so many times; medians are printed (default: 5)")
    p.add_argument("--batch", type=int, default=None, help="versions at a time (default: what a run uses)")
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int)
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import threads as threading
    from benchmarks.device import resolve
    from benchmarks.errors import UsageError

    if min(args.pairs, args.images, args.rounds, args.batch or 1) < 1:
        raise UsageError("--pairs, --images and --rounds must be at least 1")
    threading.wait_passively()
    device, threads = resolve(args.device), threading.choose(args.threads)
    from benchmarks.bench_scorer import measure
    from benchmarks.catalog import BACKBONES
    from benchmarks.device import name

    found = measure(
        BACKBONES.get(args.backbone), args.random_weights, args.pairs, args.images, args.rounds, args.batch, device, threads
    )
    print(f"{args.backbone}, {args.pairs} pairs x {args.images} images, {args.rounds} rounds, {threads} threads, {name(device)}")
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
