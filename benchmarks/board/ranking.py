"""Which method of a board is better than which: ranks that show ties, and what each swap gained where it was chosen and after."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from benchmarks.board.pool import (
    RANDOM,
    SWAP,
    Difference,
    Pool,
    difference,
    differences,
    draws,
    family,
    mean,
    metrics_of,
    ordered,
    pool,
)
from benchmarks.board.swaps import scores_metric
from benchmarks.board.tables import show_difference
from benchmarks.board.text import Table
from benchmarks.board.units import Unit, unit
from benchmarks.metrics.intervals import holm, ties
from benchmarks.records import Record

SHORT = "By the mean. What is not told apart by paired 95 % intervals shares places; p is corrected for their number here (Holm)."


@dataclass(frozen=True)
class Standing:
    """A method's place among those of its board. Differences are `name` minus the other, in the metric's own unit."""

    name: str
    first: int
    last: int
    to_best: Difference | None
    below: str | None  # the next by the mean
    to_below: Difference | None
    p: float | None  # of `to_below`, corrected

    @property
    def rank(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True)
class Gain:
    """What a swap gained, turned so that more is better, in the metric's own unit. `search` is None where the search scored
    something else than the metric, or no record says what it gained; `seeds` are single runs, (search gain, test gain)."""

    method: str
    search: float | None
    test: Difference
    random: Difference | None
    seeds: tuple[tuple[float, float], ...]


def standings(pooled: Pool) -> list[Standing]:
    """Methods, the best first; controls do not take part."""
    higher = unit(pooled.metric).higher
    names = [n for n in ordered(pooled.scores) if pooled.roles[n] != "control"]
    names.sort(key=lambda n: mean(pooled, n), reverse=higher)  # stable: equal means in the order of the other tables
    if not names:
        return []
    better = _better(pooled, names, higher)
    best, following = names[0], list(zip(names, names[1:]))
    to_best = dict(zip(names[1:], differences(pooled, [(n, best) for n in names[1:]])))
    to_below = dict(zip(names, differences(pooled, following)))
    known = [n for n, d in to_below.items() if d.estimate]
    ps = dict(zip(known, holm(to_below[n].estimate.p for n in known)))
    below = dict(following)
    return [
        Standing(
            name,
            1 + int(better[:, k].sum()),
            len(names) - int(better[k].sum()),
            to_best.get(name),
            below.get(name),
            to_below.get(name),
            ps.get(name),
        )
        for k, name in enumerate(names)
    ]


def _better(pooled: Pool, names: list[str], higher: bool) -> np.ndarray:
    """(names, names) of bool: the first is better than the second beyond their paired interval; what cannot be paired is a tie."""
    found = np.zeros((len(names), len(names)), dtype=bool)
    rest = {(j, k) for j in range(len(names)) for k in range(j + 1, len(names))}
    for group in draws(pooled):
        members = [k for k, name in enumerate(names) if name in group.place]
        tied = ties(group.means[[group.place[names[k]] for k in members]])
        for a, j in enumerate(members):
            for b, k in enumerate(members[a + 1 :], start=a + 1):
                found[j, k] = not tied[a, b]  # by their order j has the better mean
        rest -= {(j, k) for j in members for k in members}
    rest = sorted(rest)
    for (j, k), gap in zip(rest, differences(pooled, [(names[j], names[k]) for j, k in rest])):
        if gap.estimate and not gap.estimate.tie:
            over_shared_seeds = (gap.estimate.value > 0) == higher  # and may go against the means over all seeds
            found[j, k], found[k, j] = over_shared_seeds, not over_shared_seeds
    return found


def ranking(records: list[Record]) -> Table | None:
    """The methods of a board by rank, then its controls. None where fewer than two methods were evaluated."""
    pooled = _pooled(records)
    found = standings(pooled) if pooled else []
    if len(found) < 2:
        return None
    u, best = unit(pooled.metric), found[0].name
    head = f"minus {best}, {u.name} (95 %)" if u.name else f"minus {best} (95 %)"
    rows = []
    for s in found:
        rows.append(
            {
                "rank": s.rank,
                "method": s.name,
                u.header: u.show(mean(pooled, s.name)),
                head: _shown(s.to_best, pooled, s.name, u),
                "next": s.below or "",
                "minus the next (95 %)": _shown(s.to_below, pooled, s.name, u),
                "p (Holm)": "" if s.p is None else _p(s.p),
            }
        )
    controls = ordered(n for n in pooled.scores if pooled.roles[n] == "control")
    for name, to_best in zip(controls, differences(pooled, [(n, best) for n in controls])):
        row = {"rank": "control", "method": name, u.header: u.show(mean(pooled, name)), head: _shown(to_best, pooled, name, u)}
        rows.append(row | {"next": "", "minus the next (95 %)": "", "p (Holm)": ""})
    return Table(SHORT + ("" if u.higher else " A difference below 0 is better."), pd.DataFrame(rows))


def gains(records: list[Record]) -> list[Gain]:
    """What each swap of a board gained."""
    pooled, made = _pooled(records), []
    if pooled is None:
        return []
    u, by_method = unit(pooled.metric), defaultdict(list)
    for record in records:
        if record.search and scores_metric(record.search.objective, pooled.metric):
            by_method[record.spec.method].append(record)
    for name in ordered(n for n in pooled.scores if n.endswith(SWAP)):
        plain, control = name.removesuffix(SWAP), f"{family(name)}{RANDOM}"
        found = by_method[name]
        searched = [r.search.search_gain for r in found]
        seeds = [(r.search.search_gain, r.search.test_gain) for r in found if r.search.test_gain is not None]
        random = turned(difference(pooled, control, plain), u) if control in pooled.scores else None
        test = turned(difference(pooled, name, plain), u)
        made.append(Gain(name, float(np.mean(searched)) if searched else None, test, random, tuple(sorted(seeds))))
    return made


def gains_table(records: list[Record], failed: list[Record]) -> Table | None:
    """A row a swap over its seeds: the gain on the search set, on the test set, and of random swaps of the same size. None where a
    board has no swap. `failed` are runs of the same board that ended with an error: named below."""
    found, pooled = gains(records), _pooled(records)
    notes = [f"{r.spec.method}, seed {r.spec.seed}: failed: {r.error}" for r in failed if r.spec.method.endswith(SWAP)]
    if not found:
        return Table("", pd.DataFrame(), tuple(notes), "No swap was evaluated.") if notes else None
    u, rows = unit(pooled.metric), []
    for gain in found:
        gap = gain.test.estimate and gain.search is not None
        rows.append(
            {
                "method": gain.method,
                "seeds": str(len(pooled.scores[gain.method])),
                _with(u, "search gain"): "not of this metric" if gain.search is None else u.show(gain.search, True),
                _with(u, "test gain") + " (95 %)": _shown(gain.test, pooled, gain.method, u),
                "search - test": u.show(gain.search - gain.test.estimate.value, True) if gap else "",
                "random swap, test gain (95 %)": _shown(gain.random, pooled, gain.method, u) or "not evaluated",
            }
        )
    caption = "Means over seeds." + ("" if u.higher else f" A gain is how much the {u.label} falls.")
    return Table(caption, pd.DataFrame(rows), tuple(notes))


def turned(found: Difference, u: Unit) -> Difference:
    """A difference as a gain: where less is better, its sign is changed."""
    if found.estimate is None or u.higher:
        return found
    e = found.estimate
    return replace(found, estimate=replace(e, value=-e.value, low=-e.high, high=-e.low))


def _pooled(records: list[Record]) -> Pool | None:
    metrics = metrics_of(records)
    pooled = pool(records, metrics[0]) if metrics else None
    return pooled if pooled and pooled.scores else None


def _shown(found: Difference | None, pooled: Pool, name: str, u: Unit) -> str:
    return "" if found is None else show_difference(found, len(pooled.scores[name]), u)


def _with(u: Unit, words: str) -> str:
    return f"{words}, {u.name}" if u.name else words


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
