"""`cost`: trainable parameters, memory and time of every method on this machine, in the way of the paper's table 4."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from benchmarks.errors import UsageError

log = logging.getLogger("benchmarks")
EXAMPLES = """examples:
  python -m benchmarks cost --device cuda                              the paper's table 4 on your GPU: nothing to prepare,
                                                                       random weights of true size where none are here
  python -m benchmarks cost --device cuda --activation-checkpointing   what it takes on a smaller GPU
  python -m benchmarks cost --backbone sam-mini                        a minute on a laptop: resident memory, no GPU memory
  python -m benchmarks cost --batch 1 --methods base+swap,decoder      some rows; rows that are measured already are read

Each method runs in a process of its own: two optimiser steps of the whole batch (base+swap: two inferences). A method that
does not fit in memory gets a worded cell, and the others go on."""


def register(commands) -> None:
    p = commands.add_parser(
        "cost", help="memory and parameters of each method", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--backbone", default="sam-vit-b", help="default: sam-vit-b, the paper's")
    p.add_argument("--methods", default="all", help='comma-separated, or "all" (default); base+swap is the paper\'s "Ours"')
    p.add_argument("--batch", type=int, default=4, help="images of a step (default: 4, the paper's)")
    p.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="default: float32")
    p.add_argument("--micro-batch", type=int, metavar="N", help="images whose gradient is computed at once (default: the batch)")
    p.add_argument("--activation-checkpointing", action="store_true", help="compute the encoder's blocks twice, in less memory")
    p.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N, mps")
    p.add_argument("--threads", type=int, help="default: the cores that nobody else keeps busy")
    p.add_argument(
        "--memory-limit", type=float, metavar="GIB",
        help="end a method at so much resident memory (default: what is free, less a reserve)",
    )  # fmt: skip
    p.add_argument("--force", action="store_true", help="measure rows again that are there already")
    p.add_argument("--results", type=Path, help="results folder (default: the checkout's)")
    p.add_argument(
        "--leaderboard",
        type=Path,
        help="folder of the pages (default: leaderboard beside the results folder, so /tmp/leaderboard for --results /tmp/X)",
    )
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import backbones, threads
    from benchmarks.catalog import BACKBONES
    from benchmarks.cli import common
    from benchmarks.cost_run import empty_record, measure_rows, rows_of
    from benchmarks.cost_steps import Subject
    from benchmarks.device import resolve
    from benchmarks.environment import project_root
    from benchmarks.options import Options

    threads.wait_passively()
    micro = args.batch if args.micro_batch is None else args.micro_batch
    _check(args, micro)
    backbone, names = BACKBONES.get(args.backbone), rows_of(args.methods)
    if backbone.family != "sam":
        raise UsageError(
            f"cost is measured on SAM's own classes so far, and {backbone.name} is of {backbone.family}; try sam-vit-b"
        )
    random = backbones.lacking(backbone) is not None
    weights = None if random else backbones.verified_checkpoint(backbone)[0]
    device, used = resolve(args.device), threads.choose(args.threads)
    options = Options(micro, args.activation_checkpointing)
    subject = Subject(backbone, names[0], weights, args.batch, args.precision, options, device, used)
    results = args.results or project_root() / "results"
    path = results / "cost" / empty_record(subject).file_name
    limit = None if args.memory_limit is None else int(args.memory_limit * 2**30)
    log.info("%s", _first_line(subject, limit))

    def said(row, cached: bool) -> None:
        log.info("%s", _line(row) + (f", read from {common.near(path)} (--force measures again)" if cached else ""))

    record, changed = measure_rows(subject, names, path, args.force, limit, said)
    _show(record, names, results)
    log.info("record: %s", common.near(path))
    if changed:
        common.refresh(results, args.leaderboard or results.parent / "leaderboard")
    return 1 if any(row.status == "failed" for row in record.rows if row.method in names) else 0


def _check(args, micro: int) -> None:
    if args.batch < 1 or not 1 <= micro <= args.batch:
        raise UsageError(
            f"--batch must be at least 1 and --micro-batch between 1 and the batch; got {args.batch} and {micro}, "
            "leave --micro-batch out for the whole batch at once"
        )
    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads must be at least 1, got {args.threads}; leave it out for the cores that are free")
    if args.memory_limit is not None and args.memory_limit <= 0:
        raise UsageError(f"--memory-limit must be above 0, got {args.memory_limit}; leave it out for what is free")


def _first_line(subject, limit: int | None) -> str:
    """What memory there is, and which weights are taken."""
    from benchmarks import threads, watched
    from benchmarks.cost_steps import free_on

    weights = "random weights of true size (memory does not depend on the values)" if subject.weights is None else "real weights"
    free, ceiling = watched.available(), watched.limit_now() if limit is None else limit
    words = [f"{free / 2**30:.1f} GiB of memory are free" if free is not None else "this system does not say what memory is free"]
    if ceiling is not None:
        words.append(f"a method's process is ended at {ceiling / 2**30:.1f} GiB")
    if subject.device.startswith("cuda"):
        for free, whole in watched.collect(free_on, (subject.device,)).parts:
            words.insert(0, f"{free / 2**30:.1f} of the GPU's {whole / 2**30:.1f} GiB are free")
    if (busy := threads.busy_cores()) >= 0.5:
        words.append(f"{busy:.1f} of {threads.usable_cores()} cores are busy with other work, which lengthens times")
    return f"{subject.backbone.name}, batch {subject.batch}, {weights}: {', '.join(words)}."


def _line(row) -> str:
    """A row in one line of progress."""
    if row.status != "done":
        return f"{row.method}: {row.status}: {row.reason}"
    memory = f"{row.peak_resident_mib / 1024:.2f} GiB resident" if row.peak_resident_mib is not None else "memory not told"
    if row.peak_reserved_mib is not None:
        memory = f"{row.peak_allocated_mib / 1024:.2f} GiB allocated, {row.peak_reserved_mib / 1024:.2f} GiB reserved on the GPU"
    return f"{row.method}: {row.trainable.method:,} trained, {memory}, {row.seconds_per_step:.2f} s a step"


def _show(record, names: list[str], results: Path) -> None:
    from benchmarks.board.cost_page import table
    from benchmarks.board.text import terminal
    from benchmarks.environment import project_root
    from benchmarks.printed import printed

    shown = record.model_copy(update={"rows": [row for row in record.rows if row.method in names]})
    print(terminal(table(shown, printed(results, "table4") or printed(project_root() / "results", "table4"))))
