"""Tables from records: what `run` prints and what the pages show. Pure functions; every cell is a string.

Each metric has the unit of `benchmarks.metrics.names`. An interval is written "low to high".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

import pandas as pd

from benchmarks.board.memo import remembered
from benchmarks.board.pool import (
    Difference,
    Pool,
    difference,
    differences,
    family,
    head_of,
    interval,
    mean,
    metrics_of,
    ordered,
    pool,
    reference,
)
from benchmarks.board.swaps import search_table as search_table  # one of the tables, in a module of its own
from benchmarks.board.text import Table
from benchmarks.board.units import Unit, unit
from benchmarks.errors import some
from benchmarks.records import Record, Stage


def caption(records: list[Record]) -> str:
    """What was run and under which rules: the line above every table. `records` are of one board and not empty."""
    first = records[0]
    counts = sorted({len(r.images) for r in records if r.images})
    known = (("prompt", "prompt"), ("mask choice", "mask"))
    rules = [f"{label}: {first.protocol.get(key, 'not stated')}" for label, key in known]
    rules = [f"head: {head}"] if (head := head_of(first)) else rules
    return (
        f"Task {first.spec.task}, dataset {first.spec.dataset}, backbone {first.spec.backbone}. "
        f"Protocol {first.spec.protocol}, version {first.protocol_hash[:8]}; {'; '.join(rules)}. "
        f"Test images: {' or '.join(map(str, counts)) or 'none'}."
        + (f" Precision {first.spec.precision}." if first.spec.precision != "float32" else "")
    )


def missing_seeds(records: list[Record]) -> list[str]:
    """A note for each set of the protocol's seeds that evaluations lack; records without seeds in their protocol lack none.

    The protocol in a record is whatever was sent, so seeds that are not whole numbers are passed over.
    """
    stated = records[0].protocol.get("seeds") if records else None
    wanted = sorted({s for s in stated if type(s) is int}) if isinstance(stated, list) else []
    had, lacking = defaultdict(set), defaultdict(list)
    for record in records:
        for evaluation in record.evaluations:
            had[evaluation.name].add(record.spec.seed)
    for name in ordered(had):
        missing = [s for s in wanted if s not in had[name]]
        if missing:
            lacking[", ".join(map(str, missing))].append(name)
    return [f"of the protocol's {len(wanted)} seeds, missing: {s}, for {', '.join(names)}" for s, names in lacking.items()]


def summary(records: list[Record], further: bool = True) -> Table:
    """A row per evaluation over all its seeds, for records of one task, dataset, backbone, precision and protocol version.

    The protocol's metric is the headline: its mean, 95 % interval over images and seeds, and its difference, paired by
    image, to the same method without swap (for a swap) or to base (for all else). Further metrics follow as means, unless
    `further` is False: `other_metrics` gives them a table. Raises ValueError when the records are of several boards; tiers are for the caller to keep apart.
    """
    _one_board(records)
    notes = [note for record in records for note in _kept_off(record)]
    pools = {metric: pool(records, metric) for metric in metrics_of(records)}
    pools = {metric: p for metric, p in pools.items() if p.scores}
    if not pools:
        return Table(caption(records) if records else "", pd.DataFrame(), tuple(notes), "Nothing was evaluated.")
    (headline, pooled), *others = pools.items()
    others = others if further else []
    notes += [note for p in pools.values() for note in p.notes]
    shown, rows = unit(headline), []
    for name in ordered(pooled.scores):
        rows.append(
            {
                "evaluation": name + (" (control)" if pooled.roles[name] == "control" else ""),
                shown.header: shown.show(mean(pooled, name)),
                "95 % interval": _interval(interval(pooled, name), shown) or "none: the seeds have different test images",
                "seeds": str(len(pooled.scores[name])),
                "compared with": reference(name) or "",
                shown.gap: _against(pooled, name, shown),
                **{unit(m).header: unit(m).show(mean(p, name)) if name in p.scores else "" for m, p in others},
                "trained parameters": _trained(records, name),
            }
        )
    # The caption names the unit, so that the short headers of a terminal need not.
    title = caption(records) + (f" {shown.title} in {shown.name}." if shown.name else "")
    title += "" if shown.higher else f" The lower the {shown.label}, the better."
    short = {"compared with": "vs", shown.gap: "difference (95 %)", "trained parameters": "trained"}
    short |= {shown.header: shown.label}
    return Table(title, pd.DataFrame(rows), tuple(dict.fromkeys(notes)), short=short)


def headline(records: list[Record]) -> dict[str, str]:
    """The board in a line: metric, best method (controls do not count) against base, base, and what swap adds to it."""
    pooled = pool(records, metrics_of(records)[0]) if metrics_of(records) else None
    if pooled is None or not pooled.scores:
        return {
            "metric": "",
            "best method": "nothing was evaluated",
            "best against base": "",
            "base": "",
            "base+swap against base": "",
        }
    shown = unit(pooled.metric)
    means = {n: mean(pooled, n) for n in ordered(pooled.scores) if pooled.roles[n] != "control"}
    best = (max if shown.higher else min)(means, key=means.get) if means else None
    return {
        "metric": shown.header,
        "best method": f"{best}: {shown.show(means[best])}{_ties(pooled, best, means)}" if best else "none: only controls",
        "best against base": _against(pooled, best, shown, "base") if best not in (None, "base") else "",
        "base": shown.show(means["base"]) if "base" in means else "not evaluated",
        "base+swap against base": _against(pooled, "base+swap", shown) if "base+swap" in means else "not evaluated",
    }


def _ties(pooled: Pool, best: str, others: Iterable[str]) -> str:
    """Which others the best is not told apart from, by the interval of the difference."""
    others = [name for name in others if name != best]
    found = {n: d.estimate for n, d in zip(others, differences(pooled, [(n, best) for n in others]), strict=True)}
    tied = [name for name, estimate in found.items() if estimate is not None and estimate.tie]
    return f" (tie with {some(tied, 3)})" if tied else ""


def cost(records: list[Record]) -> list[Table]:
    """Stages of one record, or medians over the seeds of each method; a table per device, which never share a column.

    Seconds are wall time, memory is in MB, both as recorded. A stage taken from the cache counts with
    the figures of the call that computed it. Runs with different numbers of threads have rows of their own.
    """
    devices = defaultdict(list)
    for record in records:
        devices[record.environment.device].append(record)
    return [_cost(device, devices[device]) for device in sorted(devices)]


def other_metrics(records: list[Record]) -> Table | None:
    """A row for base, each method and each swap, a column for each metric but the protocol's: means over seeds of means over
    images, without an interval. None where the records hold no other metric."""
    pools = {metric: p for metric in metrics_of(records)[1:] if (p := pool(records, metric)).scores}
    names = ordered({n for p in pools.values() for n in p.scores if p.roles[n] != "control"})
    if not names:
        return None
    rows = [
        {"method": n} | {unit(m).header: unit(m).show(mean(p, n)) if n in p.scores else "" for m, p in pools.items()}
        for n in names
    ]
    ranked = unit(metrics_of(records)[0]).label
    return Table(f"Means over images, then over seeds. Methods are ranked by {ranked} alone, above.", pd.DataFrame(rows))


def _cost(device: str, records: list[Record]) -> Table:
    groups, stages = defaultdict(list), {}
    for record in sorted(records, key=lambda r: -len(r.stages)):  # the longest run tells the order of the stages
        for stage in _merged([s for s in record.stages if s.device is None]):
            stages.setdefault(stage.name, len(stages))
            groups[record.spec.method, stage.name, stage.threads].append(stage)
    methods = ordered({method for method, _, _ in groups})
    rows, several = [], any(len(g) > 1 for g in groups.values())
    gpu = any(s.peak_gpu_mb is not None for g in groups.values() for s in g)
    for method, name, threads in sorted(groups, key=lambda k: (methods.index(k[0]), stages[k[1]], k[2])):
        group = groups[method, name, threads]
        cached = sum(s.cached for s in group)
        rows.append(
            {
                "method": method,
                "stage": name,
                "runs": str(len(group)),
                "seconds": f"{median(s.seconds for s in group):,.2f}",
                "threads": str(threads),
                "peak memory, MB": _megabytes(s.peak_memory_mb for s in group),
                **({"peak GPU memory, MB": _megabytes(s.peak_gpu_mb for s in group)} if gpu else {}),
                "from cache": ("yes" if cached else "no") if len(group) == 1 else f"{cached} of {len(group)}",
            }
        )
    what = "Cost of each stage, median over runs" if several else "Cost of each stage"
    return Table(f"{what}, on {device}.", pd.DataFrame(rows), (), "No stage was recorded.")


def _merged(stages: list[Stage]) -> list[Stage]:
    """Stages of one record that share name and threads as one: seconds add up, peaks do not."""
    merged = {}
    for stage in stages:
        old = merged.get((stage.name, stage.threads))
        merged[stage.name, stage.threads] = (
            stage
            if old is None
            else old.model_copy(
                update={
                    "seconds": old.seconds + stage.seconds,
                    "cached": old.cached and stage.cached,
                    "peak_memory_mb": _largest(old.peak_memory_mb, stage.peak_memory_mb),
                    "peak_gpu_mb": _largest(old.peak_gpu_mb, stage.peak_gpu_mb),
                }
            )
        )
    return list(merged.values())


def _largest(*values: float | None) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _megabytes(values) -> str:
    known = [v for v in values if v is not None]
    return f"{median(known):,.0f}" if known else "not measured"


def _interval(estimate, shown: Unit, signed: bool = False) -> str:
    return f"{shown.show(estimate.low, signed)} to {shown.show(estimate.high, signed)}" if estimate else ""


def _against(pooled: Pool, name: str, shown: Unit, other: str | None = None) -> str:
    other = other or reference(name)
    return show_difference(difference(pooled, name, other), len(pooled.scores[name]), shown) if other else ""


def show_difference(found: Difference, seeds: int, shown: Unit) -> str:
    """`+1.20 (+0.50 to +1.90)`, then `tie` where zero lies inside, and the seeds used where they are fewer than `seeds`."""
    if found.estimate is None:
        return found.reason
    text = f"{shown.show(found.estimate.value, True)} ({_interval(found.estimate, shown, True)})"
    text += " tie" if found.estimate.tie else ""
    return text + (f", {len(found.seeds)} of {seeds} seeds" if len(found.seeds) < seeds else "")


def _trained(records: list[Record], name: str) -> str:
    counts = _counts(records).get(family(name), {})
    return " or ".join(counts) or ("0" if family(name) == "base" else "not recorded")


@remembered
def _counts(records: list[Record]) -> dict[str, dict[str, None]]:
    """What each method trains, in words, as its records have it: mostly one."""
    counts = defaultdict(dict)
    for record in records:
        if record.trainable is not None:
            parts = [f"{record.trainable.method:,}", *(f"{n:,} {what}" for what, n in record.trainable.besides.items())]
            counts[family(record.spec.method)][" + ".join(parts)] = None
    return counts


def _kept_off(record: Record) -> list[str]:
    who = f"{record.spec.method}, seed {record.spec.seed}"
    notes = [f"{who}: failed: {record.error}"] if record.status == "failed" else []
    if record.spec.limit is not None and not record.marks:  # the runner's own mark says so already
        notes.append(f"{who}: limited to {record.spec.limit} test images, so it stands on no board")
    return notes + [f"{who}: kept off the boards: {mark}" for mark in record.marks]


def _one_board(records: list[Record]) -> None:
    keys = {
        (r.spec.task, r.spec.dataset, r.spec.backbone, r.spec.precision, r.protocol_hash, str(r.weights), r.data) for r in records
    }
    if len(keys) > 1:
        raise ValueError(
            f"records of {len(keys)} boards in one table: task, dataset, backbone, precision, protocol, weights or images differ"
        )
