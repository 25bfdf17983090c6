"""Scores of one board, by evaluation and seed, and what may be said of two of them. Numbers only; no text of tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.board.memo import remembered
from benchmarks.metrics.intervals import Estimate, bootstraps, estimates, resampled_means
from benchmarks.records import Record

TOLERANCE = 1e-6  # one evaluation run twice with the same seed may differ by rounding, and by no more
SWAP, RANDOM = "+swap", "+random-swap"
MOST = 2_000  # evaluations of one board whose draws are kept: 160 MB


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one evaluation with one seed, (images,), in the order of the image ids."""

    images: list[str]
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Pool:
    """`scores[evaluation][seed]`: scores of one metric (fractions). `holders`: the records that those of an evaluation are of, in the
    order of the seeds. `notes`: disagreements. `known`: what was asked of it before, for each interval is drawn once."""

    metric: str
    scores: dict[str, dict[int, Scores]]
    holders: dict[str, list[Record]]
    roles: dict[str, str]
    notes: tuple[str, ...]
    known: dict[tuple, object] = field(default_factory=dict, repr=False)


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


@remembered
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


@remembered
def pool(records: list[Record], metric: str) -> Pool:
    """Join the records of one board. An evaluation that several records of one seed hold counts once for that seed: the record whose
    own method it is goes first; a disagreement with the others is noted. Where the record of its swap disagrees, that one counts: its
    gain is over these very weights, and another training, on another device, need not have come to them."""
    roles, held = {}, defaultdict(list)
    for record in records:
        for evaluation in record.evaluations:
            # By its name a random swap is a control, whatever a record calls it: it must never be the best method.
            roles.setdefault(evaluation.name, "control" if evaluation.name.endswith(RANDOM) else evaluation.role)
            if metric in evaluation.scores and record.images:
                held[evaluation.name].append((record, evaluation.scores[metric]))
    scores, holders, notes = {}, {}, []
    for name in ordered(held):
        taken: dict[int, tuple[Record, list[float]]] = {}
        first = sorted(held[name], key=lambda h: (h[0].spec.method != name, h[0].spec.method))  # stable: then the order given
        for record, found in first:
            seed = record.spec.seed
            kept, values = taken.setdefault(seed, (record, found))
            if values == found and kept.images == record.images:
                continue
            if not _same_images(kept.images, record.images):
                notes.append(f"{name}, seed {seed}: the records of this seed have different test images; one was taken")
            elif (worst := _farthest(Scores(kept.images, np.array(values)), Scores(record.images, np.array(found)))) > TOLERANCE:
                notes.append(f"{name}, seed {seed}: scores differ by up to {worst:.2g} between records; one was taken")
                if record.spec.method == f"{name}{SWAP}":
                    taken[seed] = (record, found)
        scores[name] = {seed: Scores(r.images, np.array(values, dtype=float)) for seed, (r, values) in sorted(taken.items())}
        holders[name] = [record for _, (record, _) in sorted(taken.items())]
    return Pool(metric, scores, holders, roles, tuple(dict.fromkeys(notes)))


def _farthest(a: Scores, b: Scores) -> float:
    table = stack([a, b])
    return float(np.abs(table[0] - table[1]).max())


def _same_images(a: list[str], b: list[str]) -> bool:
    return a == b or (len(a) == len(b) and set(a) == set(b))  # mostly in one order, and sets take their time


def stack(several: list[Scores], images: list[str] | None = None) -> np.ndarray | None:
    """(seeds, images), aligned by image id with `images` or the first seed's; None where the seeds have different test images."""
    images, rows = several[0].images if images is None else images, []
    for scores in several:
        if scores.images is images or scores.images == images:
            rows.append(scores.values)
        elif _same_images(scores.images, images):
            place = {image: k for k, image in enumerate(scores.images)}
            rows.append(scores.values[[place[image] for image in images]])
        else:
            return None
    return np.stack(rows)


def mean(pooled: Pool, name: str) -> float:
    """Mean over seeds of the mean over images."""
    if ("mean", name) not in pooled.known:
        pooled.known["mean", name] = float(np.mean([s.values.mean() for s in pooled.scores[name].values()]))
    return pooled.known["mean", name]


@dataclass(frozen=True, eq=False)
class Draws:
    """The resampled means of evaluations of equal seeds and images, (names, draws), and their means, (names,). A mean of differences
    is a difference of means in every draw, so that any two of them are compared without resampling again."""

    place: dict[str, int]
    means: np.ndarray
    values: np.ndarray


def draws(pooled: Pool) -> list[Draws]:
    """The evaluations of a pool by equal seeds and images; those whose seeds have different images are in none."""
    if ("draws",) not in pooled.known:
        groups: list[tuple[tuple[int, ...], list[str], dict[str, np.ndarray]]] = []
        for name, seeds in pooled.scores.items():
            key, images = tuple(seeds), next(iter(seeds.values())).images
            group = next((g for g in groups if g[0] == key and _same_images(g[1], images)), None)
            if group is None:
                groups.append(group := (key, images, {}))
            table = stack(list(seeds.values()), group[1])
            if table is not None:
                group[2][name] = table
        found = []
        for _, _, members in groups:
            if 0 < len(members) <= MOST:
                table = np.stack(list(members.values()))
                found.append(Draws({n: k for k, n in enumerate(members)}, resampled_means(table), table.mean(axis=(1, 2))))
        pooled.known["draws",] = found
    return pooled.known["draws",]


def interval(pooled: Pool, name: str) -> Estimate | None:
    """The interval of the mean; None where the seeds have different test images."""
    if ("interval", name) not in pooled.known:  # of all at once: who asks for one asks for others
        pooled.known.update({("interval", n): None for n in pooled.scores})
        for group in draws(pooled):
            for n, estimate in zip(group.place, estimates(group.values, group.means)):
                pooled.known["interval", n] = estimate
        if len(pooled.scores) > MOST:
            tables = {n: stack(list(pooled.scores[n].values())) for n in pooled.scores if pooled.known["interval", n] is None}
            sound = [n for n, table in tables.items() if table is not None]
            pooled.known.update({("interval", n): e for n, e in zip(sound, bootstraps(tables[n] for n in sound))})
    return pooled.known["interval", name]


def difference(pooled: Pool, a: str, b: str) -> Difference:
    """`a` minus `b`, paired by image id over the seeds that both have."""
    if (a, b) not in pooled.known:
        alike = [(n, r) for n in pooled.scores if (r := reference(n))] if b == reference(a) else []
        differences(pooled, [(a, b), *alike])
    return pooled.known[a, b]


def differences(pooled: Pool, pairs: Iterable[tuple[str, str]]) -> list[Difference]:
    """`difference` of each pair, in a fraction of the time that one after another takes."""
    pairs = list(pairs)
    unknown = [pair for pair in dict.fromkeys(pairs) if pair not in pooled.known]
    for group in draws(pooled):
        here = [(a, b) for a, b in unknown if a in group.place and b in group.place]
        places = [(group.place[a], group.place[b]) for a, b in here]
        gaps = (group.means[i] - group.means[j] for i, j in places)
        found = estimates((group.values[i] - group.values[j] for i, j in places), gaps)
        for pair, estimate in zip(here, found, strict=True):
            pooled.known[pair] = Difference(estimate, tuple(pooled.scores[pair[0]]))
    tables = {}
    for a, b in unknown:
        if (a, b) not in pooled.known:
            gap = _gap(pooled, a, b)
            if isinstance(gap, Difference):
                pooled.known[a, b] = gap
            else:
                tables[a, b] = gap
    for (pair, (seeds, _)), estimate in zip(tables.items(), bootstraps(t for _, t in tables.values()), strict=True):
        pooled.known[pair] = Difference(estimate, seeds)
    return [pooled.known[pair] for pair in pairs]


def _gap(pooled: Pool, a: str, b: str) -> Difference | tuple[tuple[int, ...], np.ndarray]:
    """The seeds and their (seeds, images) of `a` minus `b`, or why there are none."""
    if b not in pooled.scores:
        return Difference(reason=f"not paired: {b} was not evaluated")
    seeds = tuple(s for s in pooled.scores[a] if s in pooled.scores[b])
    if not seeds:
        return Difference(reason=f"not paired: no seed in common with {b}")
    table = stack([pooled.scores[name][s] for name in (a, b) for s in seeds])
    if table is None:
        return Difference(reason="not paired: different test images")
    return seeds, table[: len(seeds)] - table[len(seeds) :]
