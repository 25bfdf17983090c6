"""What a sweep will cost: trainings, decoder passes, test images and time, shared stages counted once. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks import store
from benchmarks.columns import grid
from benchmarks.errors import count
from benchmarks.measured import Measured, units
from benchmarks.plan import Plan
from benchmarks.sweep import groups


@dataclass
class Cost:
    """`runs`, of which `kept` have their record; stages that are to do, each once; `seconds` of one thread or one GPU, of those of
    which an earlier record tells, and how many others there are (`unknown`)."""

    runs: int = 0
    kept: int = 0
    trainings: int = 0
    heads: int = 0
    embeddings: int = 0
    searches: int = 0
    passes: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    unknown: int = 0
    stages: dict[str, list[str]] = field(default_factory=dict)  # of each run, by file name, what is to do


def estimate(
    plans: list[Plan], kept: Callable[[Plan], bool], measured: Measured
) -> tuple[dict[tuple[str, str, str], Cost], Cost, float]:
    """By (protocol, dataset, backbone) what is to do, the sum of all, and the seconds of the longest group: no number of processes ends
    sooner. `kept`: whether a plan's record is there. A stage that several runs need counts where it comes first."""
    blocks: dict[tuple[str, str, str], Cost] = {}
    total, longest = Cost(), 0.0
    counted: set[str] = set()
    kept_stage: dict[str, bool] = {}
    for group in groups(plans):
        of_group = 0.0
        for p in group:
            block = blocks.setdefault((p.protocol.name, p.dataset.name, p.backbone.name), Cost())
            done = kept(p)
            for cost in (block, total):
                cost.runs += 1
                cost.kept += done
            todo = []
            for name, job in {} if done else p.jobs.items():
                if job.key not in kept_stage:
                    kept_stage[job.key] = store.there(job)
                if kept_stage[job.key]:
                    continue
                todo.append(name)
                if job.key in counted:
                    continue
                counted.add(job.key)
                seconds = measured.seconds(p, name)
                of_group += seconds or 0.0
                for cost in (block, total):
                    _add(cost, p, name, seconds)
            total.stages[p.file_name] = todo
        longest = max(longest, of_group)
    return dict(sorted(blocks.items())), total, longest


def _add(cost: Cost, p: Plan, name: str, seconds: float | None) -> None:
    cost.trainings += name == "train"
    cost.heads += name == "head"
    cost.embeddings += name == "embed"
    cost.searches += name == "search"
    cost.passes += units(p, name) if name == "search" else 0
    cost.evaluations += units(p, name) if name.startswith("evaluate ") else 0
    cost.seconds += seconds or 0.0
    cost.unknown += seconds is None


def table(blocks: dict[tuple[str, str, str], Cost], total: Cost) -> str:
    """The plan as a table: a row a board, and their sum."""
    headers = [
        "protocol",
        "dataset",
        "backbone",
        "runs",
        "to do",
        "trained",
        "searches",
        "decoder passes",
        "test images",
        "time of one",
    ]
    rows = []
    for names, cost in [*blocks.items(), *([(("all", "", ""), total)] if len(blocks) > 1 else [])]:
        numbers = (cost.runs, cost.runs - cost.kept, cost.trainings + cost.heads, cost.searches, cost.passes, cost.evaluations)
        rows.append([*names, *(f"{n:,}" for n in numbers), _time(cost)])
    return grid(rows, headers)


def _time(cost: Cost) -> str:
    if not cost.seconds:
        return "not known" if cost.unknown else "none"
    return ("over " if cost.unknown else "") + shown(cost.seconds)


def shown(seconds: float) -> str:
    """ "40 s", "12 min", "3.4 h"."""
    return (
        f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:,.1f} h"
    )


def lines(total: Cost, longest: float, measured: Measured, slots: int, each: int, device: str | None) -> list[str]:
    """The sum in words, and the time it takes `slots` processes that each are worth `each` threads (a GPU: 1) of `device`."""
    if total.kept == total.runs:
        return ["every record is there already"]
    said = [
        f"to do, what runs share once: {count(total.trainings + total.heads, 'training')}, {count(total.embeddings, 'embedding')} of search "
        f"images, {total.searches:,} {'search' if total.searches == 1 else 'searches'} of at most {total.passes:,} decoder passes in all, "
        f"{total.evaluations:,} test images"
    ]
    if total.seconds:
        wall = max(total.seconds / (slots * each), longest / each)
        rest = f"; {count(total.unknown, 'stage')} of which no record tells on top" if total.unknown else ""
        said.append(f"time: about {shown(wall)}, by {count(measured.records, 'earlier record')} of {device}{rest}")
    elif total.unknown:
        said.append(f"time: not known, no earlier record tells of these backbones on {device or 'those machines'}")
    return said
