"""`report`: one record as one page."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks report results/verified/mini-v1/natural-mini/base+swap-sam-mini-seed0-bf712658.json
  python -m benchmarks report RECORD.json --out run.html       one file that needs nothing else
  python -m benchmarks report RECORD.json --out run.md         Markdown, with its pictures in run-files/"""


def register(commands) -> None:
    p = commands.add_parser(
        "report",
        help="one record as one page, image by image",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("record", type=Path, metavar="RECORD.json", help="a record, as run writes it")
    p.add_argument("--out", type=Path, help="a .html or .md file (default: the record's name with .html, in this folder)")
    p.add_argument("--no-photos", action="store_true", help="leave out the test images, which are drawn or read for it")
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import records
    from benchmarks.cli import common
    from benchmarks.cli.show import nearest
    from benchmarks.errors import UsageError
    from benchmarks.files import write_atomically
    from benchmarks.run_page import as_html, as_markdown
    from benchmarks.run_page.content import page
    from benchmarks.run_page.photos import photos

    if not args.record.is_file():
        raise UsageError(f"there is no record {args.record}; {nearest(args.record)}")
    out = args.out or Path(f"{args.record.stem}.html")
    if out.suffix not in (".html", ".md"):
        raise UsageError(f"--out takes a name that ends in .html or .md; got {out}")
    record = records.read(args.record)
    made = page(record, photos(record) if record.images and not args.no_photos else None)
    if out.suffix == ".html":
        write_atomically(out, as_html.html(made))
    else:
        folder = out.with_name("".join(c if c.isalnum() or c in "-_." else "-" for c in f"{out.stem}-files"))
        for name, picture in as_markdown.pictures(made).items():
            write_atomically(folder / name, picture)
        write_atomically(out, as_markdown.text(made, folder.name))
    print(common.near(out))
    return 0
