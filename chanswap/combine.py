"""Combining: the best set among the subsets of a few good pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from chanswap.journal import Journal
from chanswap.scoring import Progress, Scorer, score
from chanswap.swap import Swap

MOST = 20  # pairs; a million subsets


@dataclass(frozen=True)
class Combination:
    """The best swap with its gain over `base` on the search set; how many sets were scored and how many could not stand."""

    swap: Swap
    gain: float
    base: float
    tried: int
    conflicts: int
    evaluations: int


def all_subsets(
    scorer: Scorer, pairs: list[tuple[int, int]], *, journal: Journal | None = None, progress: Progress | None = None
) -> Combination:
    """Score all 2^N - 1 non-empty subsets of N pairs and keep the best; among equals the one with fewest pairs.

    A subset in which two pairs overwrite one channel cannot stand in one swap: it is skipped and counted. If no subset
    gains anything, the empty swap is the answer. Raises ValueError for more than 20 pairs (a million subsets).
    """
    standing, conflicts = subsets(pairs, scorer.channels)
    table = score(scorer, standing, journal=journal, progress=progress).double()
    means = table.mean(0)
    best = int(means.argmax())  # the first of equals: subsets come in order of size
    return Combination(
        standing[best], float(means[best] - means[0]), float(means[0]), len(standing) - 1, sum(conflicts), table.numel()
    )


def subsets(pairs: Sequence[tuple[int, int]], channels: int) -> tuple[list[Swap], list[int]]:
    """The swaps of all subsets of some pairs that can stand, the empty one first, in order of size; and for each size how many
    subsets overwrite one channel twice, which cannot. Raises ValueError for more than 20 pairs."""
    if len(pairs) > MOST:
        raise ValueError(f"{len(pairs)} pairs have {2 ** len(pairs) - 1} subsets; combine at most {MOST}")
    standing, conflicts = [Swap(channels=channels)], [0] * (len(pairs) + 1)
    for size in range(1, len(pairs) + 1):
        for chosen in combinations(pairs, size):
            if len({redundant for redundant, _ in chosen}) < size:
                conflicts[size] += 1
            else:
                standing.append(Swap(chosen, channels=channels))
    return standing, conflicts
