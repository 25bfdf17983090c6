"""What `sweep` says: what it is about to do, each outcome as it comes, and a summary at the end."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from benchmarks.errors import count

log = logging.getLogger("benchmarks")


def say_begun(plans: list, slots: int, each: int, args) -> None:
    """The size of the sweep, and where it is done."""
    from benchmarks.sweep import groups

    models, where = count(len(groups(plans)), "model"), "on Ray" if args.engine == "ray" else "on this machine"
    shard = f", shard {args.shard}" if args.shard else ""
    log.info(
        "%s of %s%s, %d at a time with %s each, %s", count(len(plans), "run"), models, shard, slots, count(each, "thread"), where
    )


def left_to_do(plans: list, stages: dict[str, list[str]]) -> str:
    """A line a run: what is left to do."""
    several = len({(p.backbone.name, p.dataset.name) for p in plans}) > len({p.dataset.name for p in plans})
    lines = []
    for p in plans:
        where = f"{p.dataset.name:<16} {p.backbone.name + ' ' if several else ''}"
        lines.append(f"{where}{p.method_name:<20} seed {p.seed}   {', '.join(stages[p.file_name]) or 'nothing to do'}")
    return "\n".join(["", *lines])


def each_outcome(runs: int, begun: float):
    """A line for each outcome as it comes, with the time left by what was done so far."""
    ended = 0

    def said(outcome) -> None:
        nonlocal ended
        ended += 1
        spent = time.monotonic() - begun
        left = f", about {spent / ended * (runs - ended) / 60:.0f} min left" if ended < runs else ""
        what = f"failed: {outcome.error}" if outcome.status == "failed" else outcome.status
        took = f" in {outcome.seconds:.0f} s" if outcome.status == "done" else ""
        log.info("[%d/%d, %.0f min%s] %s: %s%s", ended, runs, spent / 60, left, outcome.name, what, took)

    return said


def summary(plans: list, tier: Path) -> list[str]:
    """Every method on every dataset, of the records that the sweep left: a table a protocol and backbone."""
    from benchmarks.board.overview import overview
    from benchmarks.board.text import terminal
    from benchmarks.runner import cached

    found: dict[tuple, dict[str, list]] = {}
    for p in plans:
        if record := cached(p, tier / p.file_name):  # not an earlier sweep's, of other code
            found.setdefault((p.protocol.name, p.backbone.name), {}).setdefault(p.dataset.name, []).append(record)
    if len(found) < 2:
        return [terminal(overview(datasets)) for datasets in found.values()]
    return [f"{protocol}, {backbone}\n\n{terminal(overview(datasets))}" for (protocol, backbone), datasets in found.items()]
