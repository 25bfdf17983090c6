"""Scores of one board, by evaluation and seed, and what may be said of two of them. Numbers only; no text of tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.metrics.intervals import Estimate, bootstrap, paired
from benchmarks.records import Record

TOLERANCE = 1e-6  # one evaluation run twice with the same seed may differ by rounding, and by no more
SWAP, RANDOM = "+swap", "+random-swap"


@dataclass(frozen=True)
class Pool:
    """`scores[evaluation][seed]`: scores of one metric (fractions) indexed by image id. `notes`: disagreements."""

    metric: str
    scores: dict[str, dict[int, pd.Series]]
    roles: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """`a` minus `b` over `seeds`, or the `reason` why they cannot be compared."""

    estimate: Estimate | None = None
    seeds: tuple[int, ...] = ()
    reason: str = ""


def family(name: str) -> str:
    """The method that an evaluation belongs to: dora for dora, dora+swap and dora+random-swap."""
    return name.split("+")[0]


def reference(name: str) -> str | None:
    """What an evaluation is compared with: a swap with the same method without it, all else with base; base with none."""
    for suffix in (SWAP, RANDOM):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return None if name == "base" else "base"


def ordered(names) -> list[str]:
    """base first, then each method by name; within a method: itself, its other controls, its swap, the random swap."""

    def key(name: str):
        rest = name.removeprefix(family(name))
        place = {"": 0, SWAP: 2, RANDOM: 3}.get(rest, 1)
        return family(name) != "base", family(name), place, name

    return sorted(names, key=key)


def head_of(record: Record) -> str | None:
    """The linear head of a record whose backbone has one in the place of a mask decoder: it takes no prompt and gives no mask."""
    rules = record.protocol.get("rules")
    return str(rules["head"]) if isinstance(rules, dict) and "head" in rules else None


def metrics_of(records: list[Record]) -> list[str]:
    """The metric that the protocol ranks methods by, then all others in the order in which the records name them.

    Of a protocol that names none, or one that was not measured, the first that the records name goes first.
    """
    found = {}
    for record in records:
        for evaluation in record.evaluations:
            found |= dict.fromkeys([*evaluation.metrics, *evaluation.scores])
    ranked = records[0].protocol.get("metric") if records else None  # what was sent, so of any kind
    return sorted(found, key=lambda metric: metric != ranked)  # stable


def pool(records: list[Record], metric: str) -> Pool:
    """Join the records of one board. An evaluation that several records of one seed hold counts once for that seed:
    the record whose own method it is goes first; a disagreement with the others is noted."""
    scores, roles, notes = {}, {}, []
    for record in records:
        for evaluation in record.evaluations:
            # By its name a random swap is a control, whatever a record calls it: it must never be the best method.
            roles.setdefault(evaluation.name, "control" if evaluation.name.endswith(RANDOM) else evaluation.role)
    for name in ordered(roles):
        first = sorted(records, key=lambda r: (r.spec.method != name, r.spec.method))  # stable: then the order given
        for record in first:
            evaluation, seed = record.evaluation(name), record.spec.seed
            if evaluation is None or metric not in evaluation.scores or not record.images:
                continue
            found = pd.Series(evaluation.scores[metric], index=list(record.images), dtype=float)
            kept = scores.setdefault(name, {}).setdefault(seed, found)
            if not _same_images(kept, found):
                notes.append(f"{name}, seed {seed}: the records of this seed have different test images; one was taken")
            elif (worst := float((kept - found).abs().max())) > TOLERANCE:
                notes.append(f"{name}, seed {seed}: scores differ by up to {worst:.2g} between records; one was taken")
    return Pool(metric, {n: dict(sorted(s.items())) for n, s in scores.items()}, roles, tuple(dict.fromkeys(notes)))


def _same_images(a: pd.Series, b: pd.Series) -> bool:
    return a.index.equals(b.index) or set(a.index) == set(b.index)  # mostly in one order, and sets take their time


def stack(series: list[pd.Series]) -> np.ndarray | None:
    """(seeds, images), aligned by image id; None where the seeds have different test images."""
    first = series[0]
    if not all(_same_images(first, s) for s in series):
        return None
    return np.stack([s.reindex(first.index).to_numpy() for s in series])


def mean(pooled: Pool, name: str) -> float:
    """Mean over seeds of the mean over images."""
    return float(np.mean([s.mean() for s in pooled.scores[name].values()]))


def interval(pooled: Pool, name: str) -> Estimate | None:
    """The interval of the mean; None where the seeds have different test images."""
    table = stack(list(pooled.scores[name].values()))
    return None if table is None else bootstrap(table)


def difference(pooled: Pool, a: str, b: str) -> Difference:
    """`a` minus `b`, paired by image id over the seeds that both have."""
    if b not in pooled.scores:
        return Difference(reason=f"not paired: {b} was not evaluated")
    seeds = tuple(s for s in pooled.scores[a] if s in pooled.scores[b])
    if not seeds:
        return Difference(reason=f"not paired: no seed in common with {b}")
    table = stack([pooled.scores[name][s] for name in (a, b) for s in seeds])
    if table is None:
        return Difference(reason="not paired: different test images")
    return Difference(paired(table[: len(seeds)], table[len(seeds) :]), seeds)
