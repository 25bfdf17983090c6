"""`weights`: what pretrained weights there are, bringing them here, checking them."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks weights list                                every backbone: its file, its size, whether it is here
  python -m benchmarks weights fetch sam-vit-b                     download it; a stopped download goes on where it stopped
  python -m benchmarks weights add sam-vit-b ~/Downloads           take the file you have, named or in a folder
  python -m benchmarks weights verify                              hold every file that is here against its sha256

Files go to $CHANSWAP_HOME/weights, and are taken only with the sha256 that the catalog pins. No code in them is ever run."""


def register(commands) -> None:
    p = commands.add_parser(
        "weights",
        help="list, fetch, add or verify pretrained weights",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("action", choices=("list", "fetch", "add", "verify"))
    p.add_argument(
        "backbone", nargs="?", help="sam-vit-b, sam2.1-hiera-l, dinov2-vit-s, ...; verify without one checks all that are here"
    )
    p.add_argument("path", nargs="?", type=Path, help="for add: the file, or a folder that holds it")
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import weights
    from benchmarks.catalog import BACKBONES
    from benchmarks.errors import UsageError
    from benchmarks.files import make_home

    if args.path is not None and args.action != "add":
        raise UsageError(f"weights {args.action} takes no path; leave {args.path} out")
    if args.action == "list":
        return _list()
    if args.action == "verify":
        return _verify([BACKBONES.get(args.backbone)] if args.backbone else None)
    if args.backbone is None:
        raise UsageError(f"weights {args.action} wants a backbone's name; see: python -m benchmarks weights list")
    backbone = BACKBONES.get(args.backbone)
    make_home()
    if args.action == "fetch":
        print(weights.fetch(backbone))
        return 0
    if args.path is None:
        raise UsageError(f"weights add wants a file: python -m benchmarks weights add {backbone.name} {backbone.weights.file}")
    print(weights.add(backbone, args.path))
    return 0


def _list() -> int:
    from tabulate import tabulate

    from benchmarks import backbones
    from benchmarks.catalog import BACKBONES

    rows = []
    for name, backbone in BACKBONES.items():
        here = backbones.lacking(backbone) is None
        size = f"{backbone.weights.bytes / 1e6:,.0f} MB" if backbone.weights.bytes else ""
        state = ("with the package" if backbone.weights.shipped else "here") if here else "-"
        mend = "" if here else "install the package again" if backbone.weights.shipped else backbones.command(backbone)
        rows.append((name, backbone.weights.file, size, state, mend))
    print(
        tabulate(rows, ("backbone", "file", "size", "state", "to get it"), tablefmt="plain", colalign=("left", "left", "right"))
    )
    return 0


def _verify(chosen: list | None) -> int:
    """One line for each; those that are not here count as faults only where they were named."""
    from benchmarks import backbones
    from benchmarks.catalog import BACKBONES
    from benchmarks.errors import MissingData

    wrong = 0
    for backbone in chosen or [b for _, b in BACKBONES.items() if backbones.lacking(b) is None]:
        try:
            path, found = backbones.verified_checkpoint(backbone)
            print(f"ok    {backbone.name}: {path}, sha256 {found}" if path else f"ok    {backbone.name}: {found}")
        except MissingData as error:
            wrong += 1
            print(f"FAULT {backbone.name}: {error}")
    return 3 if wrong else 0
