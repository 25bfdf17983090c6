"""`export`: the boards' numbers for a spreadsheet, a paper or a model card."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks export --format csv --out numbers.csv           a row for each board, evaluation and metric
  python -m benchmarks export --format latex --backbone sam-mini       methods by datasets, best bold, ties underlined
  python -m benchmarks export --format model-index --dataset camo-mini     for the front matter of a Hugging Face card

Values of the CSV file are as records hold them (mIoU 0.65), those of the others as pages show them (65.00)."""


def register(commands) -> None:
    p = commands.add_parser(
        "export",
        help="the boards as CSV, LaTeX or a Hugging Face model index",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--format", required=True, choices=("csv", "latex", "model-index"))
    p.add_argument("--task", help="only this task")
    p.add_argument("--dataset", help="only this dataset")
    p.add_argument("--backbone", help="only this backbone")
    p.add_argument(
        "--tier",
        default="verified",
        choices=("verified", "community", "all"),
        help="default: verified; all keeps them in rows or tables of their own",
    )
    p.add_argument("--intervals", action="store_true", help="latex: the 95 %% interval beside each mean")
    p.add_argument("--results", type=Path, help="results folder (default: the checkout's)")
    p.add_argument("--out", type=Path, help="file to write (default: print)")
    p.set_defaults(call=call)


def call(args) -> int:
    import logging

    from benchmarks.environment import project_root
    from benchmarks.errors import UsageError
    from benchmarks.export.rows import Choice, chosen
    from benchmarks.files import write_atomically

    if args.intervals and args.format != "latex":
        raise UsageError("--intervals is for --format latex; the others hold the intervals anyway")
    boards = chosen(args.results or project_root() / "results", Choice(args.task, args.dataset, args.backbone, args.tier))
    text = _text(args, boards)
    if args.out is None:
        print(text, end="")
    else:
        write_atomically(args.out, text)
        logging.getLogger("benchmarks").info("written: %s", args.out)
    return 0


def _text(args, boards: dict) -> str:
    if args.format == "csv":
        from benchmarks.export.tidy import tidy

        return tidy(boards)
    if args.format == "latex":
        from benchmarks.export.latex import latex

        return latex(boards, args.intervals)
    from benchmarks.export.model_index import model_index

    return model_index(boards)
