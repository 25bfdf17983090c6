"""`run`: one method on one dataset, from data to record, table and pages."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from benchmarks.errors import UsageError

log = logging.getLogger("benchmarks")
EXAMPLES = """examples:
  python -m benchmarks run --task camo --method dora+swap
  python -m benchmarks run --task medical --method base+swap --seeds all
  python -m benchmarks run --task camo --method lora+swap --dry-run        only say what would be done
  python -m benchmarks run --task camo --method base --limit 20            a quick look; kept off the boards"""


def register(commands) -> None:
    p = commands.add_parser(
        "run", help="run a method on a task", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--task", required=True, help="natural, medical, camo")
    p.add_argument("--method", required=True, help="base, decoder, lora, dora, each with or without +swap")
    p.add_argument(
        "--protocol", default="auto", help="auto (default): paper-v1 where its data and weights are here, else mini-v1"
    )
    p.add_argument("--dataset", help="one dataset of the task; default: its first under the protocol")
    p.add_argument("--backbone", help="default: the protocol's first")
    p.add_argument("--seeds", default="0", help='comma-separated, or "all" for the protocol\'s own (default: 0)')
    p.add_argument("--limit", type=int, metavar="N", help="at most N test images; marks the record, which no board then shows")
    p.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N, mps")
    p.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="default: float32")
    p.add_argument("--threads", type=int, help="default: the cores that nobody else keeps busy")
    p.add_argument("--offline", action="store_true", help="let no library reach for the network")
    p.add_argument("--force", action="store_true", help="do every stage again, kept or not")
    p.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    p.add_argument("--verified", action="store_true", help="write into results/verified: clean tree and full test set only")
    p.add_argument("--results", type=Path, help="results folder (default: the checkout's)")
    p.add_argument("--leaderboard", type=Path, help="folder of the pages (default: leaderboard beside the results folder)")
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import threads as threading
    from benchmarks.environment import git, project_root
    from benchmarks.plan import Request, describe, plan

    threading.wait_passively()
    if args.offline:
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads must be at least 1, got {args.threads}")
    request = Request(
        args.task, args.method, args.protocol, args.dataset, args.backbone, args.limit, args.device, args.precision
    )  # fmt: skip
    first = plan(request, 0)
    log.info("%s", _first_line(first))
    seeds = _seeds(args.seeds, first.protocol.seeds)
    plans = [plan(request, seed) for seed in seeds]
    if args.dry_run:
        print("\n".join(describe(p) for p in plans))
        return 0
    results = args.results or project_root() / "results"
    if args.verified and args.limit:
        raise UsageError("--verified wants the full test set; leave --limit out")
    if args.verified and git("status", "--porcelain", "--", "chanswap", "benchmarks", "datasets", "pyproject.toml") != "":
        raise UsageError("--verified wants a clean git checkout; commit your changes first")
    tier = results / ("verified" if args.verified else "community")
    used = threading.choose(args.threads)
    made, failed, fresh = [], 0, False
    for p in plans:
        record, was_cached = _one(p, tier / p.file_name, used, args.force)
        made.append(record)
        failed += record.status == "failed"
        fresh = fresh or not was_cached
    _tables(made, tier, first)
    _refresh(results, args.leaderboard or results.parent / "leaderboard", fresh)
    return 1 if failed else 0


def _first_line(p) -> str:
    line = f"Protocol {p.protocol.name}: {p.why}. It is {p.protocol.summary}"
    return line + ("; its numbers never stand in for the paper's." if p.protocol.name == "mini-v1" else ".")


def _seeds(text: str, own: tuple[int, ...]) -> list[int]:
    if text == "all":
        return list(own)
    try:
        seeds = [int(x) for x in text.split(",")]
    except ValueError:
        raise UsageError(f'--seeds takes whole numbers such as 0,1,2, or "all"; got {text!r}') from None
    if len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise UsageError(f"--seeds must differ and be 0 or more; got {text!r}")
    return seeds


def _one(p, path: Path, threads: int, force: bool):
    from benchmarks import store
    from benchmarks.runner import cached, run

    if force:
        for job in p.jobs.values():
            store.discard(job)
    elif record := cached(p, path):
        log.info("%s, seed %d: cached, all stages done %s; --force does them again", p.method_name, p.seed, record.started)
        log.info("record: %s", _near(path))
        return record, True
    ready = [name for name in p.jobs if p.done(name)]
    log.info(
        "%s on %s with %s, seed %d, %s, %d threads", p.method_name, p.dataset.name, p.backbone.name, p.seed, p.device, threads
    )
    if ready:
        log.info("kept from earlier calls: %s", ", ".join(ready))
    record = run(p, path, threads)
    log.info("record: %s", _near(path))
    return record, False


def _tables(made: list, tier: Path, p) -> None:
    """The comparison with every other finished record of the same data, and what this call's stages cost."""
    from benchmarks.board import tables
    from benchmarks.board.text import terminal

    done = [r for r in made if r.status == "done"]
    if not done:
        return
    mine = {(r.spec.method, r.spec.seed) for r in done}
    others = [
        r
        for r in _finished(tier / p.protocol.name / p.dataset.name)
        if r.protocol_hash == p.protocol.hash and r.weights == done[0].weights and r.data == p.data and r.spec.backbone == p.backbone.name and r.spec.limit == p.limit and r.spec.precision == p.precision
        and r.environment.device == done[0].environment.device and (r.spec.method, r.spec.seed) not in mine
    ]  # fmt: skip
    shown = done + others
    print()
    print(terminal(tables.summary(shown)))
    if any(r.search for r in done):
        print()
        print(terminal(tables.search_table(done)))
    for r in done:
        print()
        for table in tables.cost([r]):
            print(terminal(table))


def _finished(folder: Path) -> list:
    """The finished records in a folder; unreadable ones are the board's to report."""
    from benchmarks import records
    from benchmarks.errors import InvalidRecord

    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = records.read(path)
        except InvalidRecord:
            continue
        if record.status == "done":
            found.append(record)
    return found


def _refresh(results: Path, leaderboard: Path, fresh: bool) -> None:
    from benchmarks.board.build import build

    if not fresh and leaderboard.exists():
        return
    try:
        pages = build(results, leaderboard)
    except OSError as error:
        log.warning("the pages in %s were not refreshed (%s); run: python -m benchmarks board build", leaderboard, error.strerror)
        return
    log.info("leaderboard: %d pages in %s", len(pages), _near(leaderboard))


def _near(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
