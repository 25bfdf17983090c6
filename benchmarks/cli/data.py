"""`data`: look at a dataset, export it, hold it against its manifest."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks data sheet camo-mini --out camo.png        a contact sheet, ground truth outlined
  python -m benchmarks data verify camo-mini                      generate again, compare with the manifest's sha256
  python -m benchmarks data export camo-mini --out camo-mini-hf   as a Hugging Face dataset, for datasets.load_from_disk"""


def register(commands) -> None:
    p = commands.add_parser(
        "data", help="look at, export or verify a dataset", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("action", choices=("sheet", "verify", "export"))
    p.add_argument("dataset", help="camo-mini, medical-mini, natural-mini, ...")
    p.add_argument("--split", default="test", choices=("train", "test"), help="for sheet (default: test)")
    p.add_argument("--count", type=int, default=24, help="images on a sheet (default: 24)")
    p.add_argument("--out", type=Path, help="file or folder to write")
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks.catalog import DATASETS
    from benchmarks.data.look import export, sheet, verify
    from benchmarks.errors import UsageError

    dataset = DATASETS.get(args.dataset)
    if args.action == "verify":
        faults = verify(dataset)
        print("\n".join(faults) if faults else f"{dataset.name}: as its manifest states")
        return 3 if faults else 0
    if args.out is None:
        raise UsageError(f"data {args.action} needs --out PATH")
    if args.action == "sheet":
        sheet(dataset, args.split, args.count).save(args.out)
    else:
        export(dataset).save_to_disk(str(args.out))
    print(args.out)
    return 0
