"""`compare`: is one method better than another, image by image?"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks compare dora+swap dora                        on every board that has both
  python -m benchmarks compare base+swap base --dataset camo-mini --plot camo.svg
  python -m benchmarks compare medsam lora dora adapter              medsam against each of the others
  python -m benchmarks compare lora dora cobot --all-pairs           every two of them
  python -m benchmarks compare results/community/mini-v1/camo-mini/mine-sam-mini-seed0-1a2b3c4d.json lora
  python -m benchmarks compare other/results:dora results/verified:dora       one evaluation of two folders

A and B are names of evaluations (dora, dora+swap, base+best-of-three), record files, or folders of records (FOLDER:NAME where a
folder holds several methods). They are paired by image, over the seeds that both have. Differences and intervals are those of the leaderboard:
bootstrap over images and seeds. p is of a two-sided test: with one seed the paired t-test over images, with several seeds the
level at which an interval just reaches zero whose half-width adds the error over images and the error over seeds, each by its own
Student's t, in quadrature. It is corrected by Holm's method for all comparisons that the call prints. "No difference shown" means
what it says, and not that the two are equal.

Runs are not compared where protocol version, weights, images or precision differ; the error says which. By names, tiers are kept
apart; by paths, records of two tiers may be compared, and the table says so."""


def register(commands) -> None:
    p = commands.add_parser(
        "compare",
        help="is one method better than another, image by image?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("names", nargs="+", metavar="NAME", help="an evaluation's name, a record file, or a folder; two or more")
    p.add_argument("--task")
    p.add_argument("--dataset")
    p.add_argument("--backbone")
    p.add_argument("--protocol")
    p.add_argument("--tier", choices=("verified", "community"))
    p.add_argument("--metric", metavar="NAME", help="default: the protocol's")
    p.add_argument("--all-pairs", action="store_true", help="every two of the names, instead of the first against each other one")
    p.add_argument("--plot", type=Path, metavar="FILE.svg", help="write a picture: intervals, and every image's difference")
    p.add_argument("--json", action="store_true", help="print the result for machines")
    p.add_argument("--results", type=Path, help="results folder in which names are looked up (default: the checkout's)")
    p.set_defaults(call=call)


def call(args) -> int:
    import json
    import logging

    from benchmarks.board.text import terminal
    from benchmarks.cli.common import near
    from benchmarks.compare import rows, shown
    from benchmarks.compare.plot import plot
    from benchmarks.compare.sides import Wanted, pairs
    from benchmarks.environment import project_root
    from benchmarks.errors import UsageError
    from benchmarks.files import write_atomically

    if len(args.names) < 2:
        raise UsageError("compare wants two names or more, such as: compare dora+swap dora")
    if args.plot and args.plot.suffix != ".svg":
        raise UsageError(f"--plot writes SVG; name it {args.plot.with_suffix('.svg').name}")
    wanted = Wanted(args.task, args.dataset, args.backbone, args.protocol, args.tier)
    found, left_out = pairs(args.names, args.results or project_root() / "results", wanted, args.all_pairs)
    compared = rows(found, args.metric)
    print(json.dumps(shown.as_json(compared, left_out), indent=1) if args.json else terminal(shown.table(compared, left_out)))
    if args.plot:
        write_atomically(args.plot, plot(compared))
        logging.getLogger("benchmarks").info("picture: %s", near(args.plot))
    return 0
