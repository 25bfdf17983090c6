"""`data`: bring a dataset here, look at it, export it, hold it against its manifest."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks data fetch kvasir                          download, check, unpack; a stopped one goes on where it stopped
  python -m benchmarks data fetch cod10k --mirror cod-tdq/cod     from a Hugging Face copy that the manifest names
  python -m benchmarks data add voc ~/data/voc                    link a folder in the official layout that you have
  python -m benchmarks data add nyuv2 ~/data/nyuv2-hf             or a Hugging Face dataset: of save_to_disk, or parquet files
  python -m benchmarks data add isic16 ~/Downloads/ISBI2016_ISIC_Part1_Test_Data.zip    take an archive that you downloaded
  python -m benchmarks data verify kvasir                         decode every file; name all that are missing, extra or damaged
  python -m benchmarks data verify camo-mini                      generate again, compare with the manifest's sha256
  python -m benchmarks data sheet camo-mini --out camo.png        a contact sheet, ground truth outlined
  python -m benchmarks data export camo-mini --out camo-mini-hf   as a Hugging Face dataset, for datasets.load_from_disk

Data go to $CHANSWAP_HOME/data/NAME, archives to $CHANSWAP_HOME/downloads. The card, datasets/NAME/README.md, has the terms."""


def register(commands) -> None:
    p = commands.add_parser(
        "data",
        help="fetch, add, verify, look at or export a dataset",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("action", choices=("fetch", "add", "verify", "sheet", "export"))
    p.add_argument("dataset", help="kvasir, cod10k, nyuv2, camo-mini, ...")
    p.add_argument(
        "path", nargs="?", type=Path, help="for add: a folder in the official layout or of a Hugging Face dataset, or an archive"
    )
    p.add_argument("--mirror", metavar="ID", help="for fetch: the Hugging Face copy to take instead of the official files")
    p.add_argument("--force", action="store_true", help="for add: put the folder in place in spite of its faults")
    p.add_argument("--split", default="test", choices=("train", "test"), help="for sheet (default: test)")
    p.add_argument("--count", type=int, default=24, help="images on a sheet (default: 24)")
    p.add_argument("--out", type=Path, help="file or folder to write")
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks.catalog import DATASETS
    from benchmarks.errors import UsageError
    from benchmarks.files import make_home

    dataset = DATASETS.get(args.dataset)
    if args.path is not None and args.action != "add":
        raise UsageError(f"data {args.action} takes no path; leave {args.path} out")
    if args.action in ("fetch", "add") and dataset.source != "official":
        raise UsageError(
            f"{dataset.name} is drawn by this package and needs no files; see: python -m benchmarks show {dataset.name}"
        )
    if args.action in ("fetch", "add"):
        make_home()
    if args.action == "fetch":
        return _fetch(dataset.name, args.mirror)
    if args.action == "add":
        if args.path is None:
            raise UsageError(f"data add wants a folder or an archive: python -m benchmarks data add {dataset.name} PATH")
        return _add(dataset.name, args.path.expanduser(), args.force)
    if args.action == "verify":
        from benchmarks.data.look import verify

        faults = verify(dataset)
        print(_lines(faults) if faults else f"{dataset.name}: as its manifest states")
        if len(faults) > 1:
            print(f"{len(faults)} faults; mend what they name, then run this again")
        return 3 if faults else 0
    if args.out is None:
        raise UsageError(f"data {args.action} needs --out PATH")
    from benchmarks.data.look import export, sheet

    if args.action == "sheet":
        from PIL import Image

        from chanswap.writing import whole

        kind = Image.registered_extensions().get(args.out.suffix.lower())
        if kind is None:
            raise UsageError(f"{args.out} names no kind of picture; end it in .png or .jpg")
        picture = sheet(dataset, args.split, args.count)
        with whole(args.out) as file:
            picture.save(file, kind)
    else:
        export(dataset).save_to_disk(str(args.out))
    print(args.out)
    return 0


def _fetch(name: str, mirror: str | None) -> int:
    from benchmarks.data import obtain

    print(obtain.fetch(name, mirror))
    print(f"check every file: python -m benchmarks data verify {name}")
    return 0


def _add(name: str, path: Path, force: bool) -> int:
    from benchmarks.data import obtain
    from benchmarks.errors import MissingData, count

    if path.is_file():
        if wanting := obtain.add_file(name, path):
            print(_lines([wanting]))
            return 3
    elif path.is_dir():
        if faults := obtain.add_folder(name, path, force):
            print(_lines(faults))
        if faults and not force:
            print(
                f"{count(len(faults), 'fault')}, so it was not put in place; mend them, or add it in spite of them with --force"
            )
            return 3
    else:
        raise MissingData(
            f"{path} does not exist; name a folder in the official layout or of a Hugging Face dataset, or an archive"
        )
    print(obtain.place(name))
    return 0


def _lines(faults: list[str]) -> str:
    """One each, also where a file's name holds a line break or what would repaint the terminal."""
    from benchmarks.plain import printable

    return "\n".join(map(printable, faults))
