"""`study`: what single channels do on a task, how the gain grows with the number of pairs, and pictures of both."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from benchmarks.cli import common

log = logging.getLogger("benchmarks")
EXAMPLES = """examples:
  python -m benchmarks study                                       the embedded camo, medical and natural, minutes each
  python -m benchmarks study --task camo --method lora             the channels of a model that was trained
  python -m benchmarks study --task natural --backbone sam2-mini
  python -m benchmarks study --dataset kvasir --backbone sam-vit-b --device cuda     the paper's, where it is prepared
  python -m benchmarks study --task camo --limit 100               fewer test images: a quick look, and the record says so
  python -m benchmarks study --task camo --dry-run                 what would be done, and what is kept already

It sets every channel to zero in turn, on the search and on the test set (the paper's table 1), finds the best swap of each number
of pairs (figure 4), and draws masks (figure 3) and feature maps (figure 5). The search is that of `run --method METHOD+swap`; what
a run left is read. Record and pictures go to results/study, the page to leaderboard/study.md. Of images that are not yours to
show, do not publish the pictures."""


def register(commands) -> None:
    p = commands.add_parser(
        "study", help="what the channels do", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--task", default="all", help='natural, medical, camo; comma-separated, or "all" (default)')
    p.add_argument("--dataset", help="one dataset; default: the task's first under the protocol")
    p.add_argument("--backbone", help="default: the task's own under the protocol (see: show TASK)")
    p.add_argument("--method", default="base", help="whose channels are looked at (default: base, the model as it is)")
    p.add_argument(
        "--protocol", default="auto", help="auto (default): paper-v1 where its data and weights are here, else mini-v1"
    )
    p.add_argument("--seed", type=int, default=0, help="of the search images and of training (default: 0)")
    p.add_argument("--limit", type=int, metavar="N", help="at most N test images")
    p.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N, mps")
    p.add_argument("--threads", type=int, help="default: the cores that nobody else keeps busy")
    p.add_argument("--force", action="store_true", help="do every stage again, kept or not")
    p.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    p.add_argument("--results", type=Path, help="results folder (default: the checkout's); the pages go beside it")
    p.set_defaults(call=call, offline=False)


def call(args) -> int:
    from benchmarks import threads
    from benchmarks.catalog import SWAP
    from benchmarks.environment import project_root
    from benchmarks.errors import UsageError
    from benchmarks.plan import Request, describe, plan

    common.prepare(args)
    if args.seed < 0:
        raise UsageError(f"--seed must be 0 or more, got {args.seed}")
    if args.method.endswith(SWAP):
        raise UsageError(f"--method takes the method without its swap; write --method {args.method.removesuffix(SWAP)}")
    plans = []
    for task in _tasks(args):
        request = Request(
            task, f"{args.method}{SWAP}", args.protocol, args.dataset, args.backbone, args.limit, args.device
        )  # the precision of a study is float32
        plans.append(plan(request, args.seed))
    log.info("%s", common.first_line(plans[0]))
    from benchmarks.study_plan import check, job_of, said

    for p in plans:
        check(p)
    if args.dry_run:
        print("\n".join(f"{describe(p)}\n{said(p)}" for p in plans))
        return 0
    results, used = args.results or project_root() / "results", threads.choose(args.threads)
    for p in plans:
        if args.force:
            from benchmarks import store

            for job in (*p.jobs.values(), job_of(p)):
                store.discard(job)
        _one(p, used, results)
    common.refresh(results, results.parent / "leaderboard")
    return 0


def _one(p, used: int, results: Path) -> None:
    from benchmarks.board.study_tables import counts, extremes
    from benchmarks.board.text import terminal
    from benchmarks.errors import count
    from benchmarks.study import study

    log.info(
        "channels of %s on %s with %s, seed %d, %s, %s",
        p.method, p.dataset.name, p.backbone.name, p.seed, p.device, count(used, "thread"),
    )  # fmt: skip
    record, path = study(p, used, results / "study")
    print(f"{terminal(counts([record]))}\n\n{terminal(extremes(record))}\n")
    for picture in record.pictures:
        log.info("picture: %s", common.near(path.parent / picture.file))
    log.info("record: %s", common.near(path))


def _tasks(args) -> list[str]:
    """The tasks that --task and --dataset mean."""
    from benchmarks.catalog import DATASETS, SEGMENTATION, TASKS
    from benchmarks.errors import UsageError

    if args.dataset:
        own = DATASETS.get(args.dataset).task
        if args.task not in ("all", own):
            raise UsageError(f"dataset {args.dataset} is of task {own}, not {args.task}; leave --task out")
        return [own]
    if args.task == "all":
        return [name for name, task in TASKS.items() if task.kind == SEGMENTATION]
    return [TASKS.get(name).name for name in args.task.split(",")]
