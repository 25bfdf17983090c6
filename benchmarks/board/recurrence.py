"""Channels that come back from task to task, and how many would by chance."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from benchmarks.board import study_tables
from benchmarks.board.collect import Collection
from benchmarks.board.pool import SWAP
from benchmarks.board.text import Table
from benchmarks.study_records import StudyRecord
from chanswap.multiple import ALPHA, HARMFUL, USEFUL, holm

MOST = 512  # channels of a record that is believed: a mask decoder reads 256, and the work grows fast with them
NORMAL = 1.96  # a rank correlation of n independent things is nearly normal with variance 1 / (n - 1) (Kendall, 1948)
_TINY = 1e-12  # probability of a state that is not followed further: no digit shown depends on it


@dataclass(frozen=True)
class Recurrence:
    """Of sets of channels, one a task: the channels of two or more of them with the number of sets that each is in, how many such
    channels there would be if each set were drawn at random, and the probability of at least as many as there are."""

    sizes: tuple[int, ...]
    found: dict[int, int]
    expected: float
    p: float


def recurrence(sets: Sequence[frozenset[int]], channels: int) -> Recurrence:
    """The null: of `channels`, each task draws as many as its set has, without replacement, independently of the other tasks.

    Exact up to rounding. Raises ValueError for a channel that is none.
    """
    if any(not 0 <= c < channels for s in sets for c in s):
        raise ValueError(f"a channel that is not in 0..{channels - 1}")
    times = Counter(c for s in sets for c in s)
    found = dict(sorted(((c, n) for c, n in times.items() if n > 1), key=lambda item: (-item[1], item[0])))
    often: dict[int, float] = defaultdict(float)  # of the number of channels in two sets or more
    for (_, twice), chance in _states([len(s) for s in sets], channels).items():
        often[twice] += chance
    expected = sum(n * chance for n, chance in often.items())
    reached = sum(chance for n, chance in often.items() if n >= len(found))
    return Recurrence(tuple(len(s) for s in sets), found, expected, min(1.0, reached))


def _states(sizes: Sequence[int], channels: int) -> dict[tuple[int, int], float]:
    """The probability of each (channels that one set has, channels that two or more have) after sets of these sizes are drawn."""
    factorial = np.array([math.lgamma(n + 1) for n in range(channels + 1)])  # logarithms

    def ways(of: int, some: np.ndarray) -> np.ndarray:
        """The logarithm of the number of ways to choose `some` of `of` things; none where there are not so many."""
        fits = (some >= 0) & (some <= of)
        kept = np.where(fits, some, 0)
        return np.where(fits, factorial[of] - factorial[kept] - factorial[of - kept], -np.inf)

    states = {(0, 0): 1.0}
    for size in sizes:
        after: dict[tuple[int, int], float] = defaultdict(float)
        all_ways = float(ways(channels, np.array(size)))
        for (once, twice), chance in states.items():
            again = np.arange(min(size, once) + 1)[:, None]  # of the new set's channels, those that one earlier set has
            more = np.arange(min(size, twice) + 1)[None]  # and those that two or more have
            new = size - again - more
            logs = ways(once, again) + ways(twice, more) + ways(channels - once - twice, new) - all_ways
            for x, y in zip(*np.nonzero(chance * np.exp(logs) > _TINY)):
                after[once - int(x) + size - int(x) - int(y), twice + int(x)] += chance * math.exp(logs[x, y])
        states = after
    return states


def table(found: Collection, studies: Sequence[StudyRecord]) -> Table:
    """A row for each thing that two or more tasks have a set of channels of, with one backbone under one protocol."""
    measured = []
    for (protocol, _, backbone, _, method, what), (channels, sets) in sorted(_sets(found, studies).items()):
        if len(sets) > 1:
            measured.append((protocol, backbone, method, what, sets, recurrence(list(sets.values()), channels)))
    rows = []
    for (protocol, backbone, method, what, sets, r), corrected in zip(measured, holm([m[-1].p for m in measured])):
        rows.append(
            {
                "backbone": f"{backbone}, {protocol}",
                "method": method,
                "channels that are": what,
                "of each task": ", ".join(f"{task}: {len(s)}" for task, s in sets.items()),
                "in two tasks or more": str(len(r.found)),
                "by chance": f"{r.expected:.1f}",
                "p": f"{r.p:.4f}",
                "p, corrected": f"{corrected:.4f}" + ("" if corrected < ALPHA else " chance"),
                "which (tasks)": ", ".join(f"{c} ({n})" for c, n in list(r.found.items())[:12])
                + (", ..." if len(r.found) > 12 else ""),
            }
        )
    short = {"in two tasks or more": "in 2+ tasks", "which (tasks)": "which"}
    return Table("", pd.DataFrame(rows), (), "No two tasks have been studied or searched with one backbone.", short)


def alike(studies: Sequence[StudyRecord]) -> Table:
    """Whether two tasks agree on what each channel does: a row for each two studies of one model."""
    rows = []
    for one, other in combinations(studies, 2):
        if _model(one) == _model(other) and one.dataset != other.dataset and one.limit is other.limit is None:
            gains = [[channel.test.value for channel in record.channels] for record in (one, other)]
            found = study_tables.ranks(*gains)
            chance = NORMAL / (len(one.channels) - 1) ** 0.5 if len(one.channels) > 1 else 1.0
            rows.append(
                {
                    "backbone": f"{one.backbone}, {one.protocol}",
                    "method": one.method,
                    "tasks": f"{one.dataset}, {other.dataset}",
                    "rank correlation of the test gains of zeroing": study_tables.number(found),
                    "by chance (95 %)": f"-{chance:.2f} to +{chance:.2f}",
                }
            )
    return Table("", pd.DataFrame(rows), (), "No two tasks have been studied with one model.")


def _model(record: StudyRecord) -> tuple:
    """What must be equal for channels to be the same channels."""
    return record.protocol, record.protocol_hash, record.backbone, record.weights, record.method


def _sets(found: Collection, studies: Sequence[StudyRecord]) -> dict[tuple, tuple[int, dict[str, frozenset[int]]]]:
    """By protocol, its version, backbone, its weights, method and kind: the number of channels, and the set of each dataset."""
    gathered: dict[tuple, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    widths: dict[tuple, int] = {}

    def add(key: tuple, channels: int, dataset: str, chosen: set[int]) -> None:
        if widths.setdefault(key, channels) == channels <= MOST and all(0 <= c < channels for c in chosen):
            gathered[key][dataset] |= chosen

    for record in (k.record for k in found.kept if k.tier == "verified"):
        spec, search = record.spec, record.search
        if search and spec.method.endswith(SWAP) and search.channels > 0:
            key = (spec.protocol, record.protocol_hash, spec.backbone, str(sorted(record.weights.items())), spec.method)
            for what, place in (("replaced, by a swap", 0), ("shown, by a swap", 1)):
                add((*key, what), search.channels, spec.dataset, {pair[place] for pair in search.pairs})
    for record in studies:
        if record.limit is None:
            key = _model(record)
            for label in (HARMFUL, USEFUL):
                chosen = {c for c, channel in enumerate(record.channels) if channel.test_label == label}
                add((*key, f"{label}, by zeroing"), len(record.channels), record.dataset, chosen)
    return {key: (widths[key], {d: frozenset(chosen) for d, chosen in sorted(sets.items())}) for key, sets in gathered.items()}
