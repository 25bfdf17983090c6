"""What each method's stages cost, a row a method: medians over the seeds, each stage counted where it was computed."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

import pandas as pd

from benchmarks.board.pool import SWAP, family, ordered
from benchmarks.board.text import Table
from benchmarks.records import Record, Stage

_STAGES = ("train", "embed", "search", "evaluate", f"evaluate {SWAP}")


def stage_costs(records: list[Record]) -> list[Table]:
    """A table per device, for their times never share a column. Runs with different numbers of threads have rows of their own.

    A method and its swap share what they train: a stage that both records hold counts once a seed.
    """
    devices: dict[str, dict[tuple, dict[str, dict[int, Stage]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for record in sorted(records, key=lambda r: [s.cached for s in r.stages]):  # who computed a stage goes first
        method = family(record.spec.method)
        for stage in record.stages:
            if (name := _column(stage.name, method)) and stage.device is None:
                seeds = devices[record.environment.device][method, stage.threads][name]
                if record.spec.seed not in seeds or (seeds[record.spec.seed].cached and not stage.cached):
                    seeds[record.spec.seed] = stage
    return [_table(device, devices[device]) for device in sorted(devices)]


def _column(stage: str, method: str) -> str | None:
    """The column of a stage; None for the evaluation of the bare model that a record of another method carries along."""
    names = {f"evaluate {method}": "evaluate", f"evaluate {method}{SWAP}": f"evaluate {SWAP}"}
    return names.get(stage, stage if stage in _STAGES else None)


def _table(device: str, methods: dict[tuple, dict[str, dict[int, Stage]]]) -> Table:
    shown = [name for name in _STAGES if any(name in stages for stages in methods.values())]
    order = ordered({method for method, _ in methods})
    gpu = any(s.peak_gpu_mb is not None for stages in methods.values() for seeds in stages.values() for s in seeds.values())
    rows = []
    for method, threads in sorted(methods, key=lambda key: (order.index(key[0]), key[1])):
        stages = methods[method, threads]
        every = [stage for seeds in stages.values() for stage in seeds.values()]
        row = {"method": method, "seeds": str(max(len(seeds) for seeds in stages.values())), "threads": str(threads)}
        for name in shown:
            row[f"{name}, s"] = f"{median(s.seconds for s in stages[name].values()):,.1f}" if name in stages else ""
        row["peak memory, MB"] = _most(s.peak_memory_mb for s in every)
        rows.append(row | ({"peak GPU memory, MB": _most(s.peak_gpu_mb for s in every)} if gpu else {}))
    caption = f"Seconds of each stage, median over the seeds, and the most memory that one of them took, on {device}."
    return Table(caption, pd.DataFrame(rows), (), "No stage was recorded.")


def _most(values) -> str:
    known = [v for v in values if v is not None]
    return f"{max(known):,.0f}" if known else "not measured"
