"""Screening: what every single pair gains on the search set."""

from __future__ import annotations

import random as _random
from dataclasses import dataclass

import torch
from torch import Tensor

from chanswap.journal import Journal
from chanswap.scoring import Progress, Scorer, score
from chanswap.swap import Swap


@dataclass(frozen=True)
class Screen:
    """Pairs (P, 2) with their mean gains (P,), float64, over the unswapped score `base`; `evaluations` spent."""

    pairs: Tensor
    gains: Tensor
    base: float
    evaluations: int

    def best(self, count: int) -> list[tuple[tuple[int, int], float]]:
        """The pairs with the largest gains, ((redundant, effective), gain), ties by the smaller indices."""
        order = torch.argsort(self.gains, descending=True, stable=True)[:count]
        return [((int(self.pairs[k, 0]), int(self.pairs[k, 1])), float(self.gains[k])) for k in order]


def exhaustive(scorer: Scorer, *, journal: Journal | None = None, progress: Progress | None = None) -> Screen:
    """All C(C-1) pairs of different channels: the paper's screening, the reference for every other.

    The paper counts C^2; the C pairs of a channel with itself change nothing and are not run.
    """
    channels = scorer.channels
    grid = torch.cartesian_prod(torch.arange(channels), torch.arange(channels))
    return _screen(scorer, grid[grid[:, 0] != grid[:, 1]], journal, progress)


def random(scorer: Scorer, count: int, seed: int, *, journal: Journal | None = None, progress: Progress | None = None) -> Screen:
    """`count` different pairs drawn without replacement: the control for any cleverer choice of what to screen."""
    channels = scorer.channels
    total = channels * (channels - 1)
    if not 1 <= count <= total:
        raise ValueError(f"{channels} channels have {total} pairs; cannot draw {count}")
    drawn = sorted(_random.Random(seed).sample(range(total), count))
    redundant = torch.tensor(drawn) // (channels - 1)
    effective = torch.tensor(drawn) % (channels - 1)
    return _screen(scorer, torch.stack([redundant, effective + (effective >= redundant)], 1), journal, progress)


def random_swap(channels: int, size: int, seed: int) -> Swap:
    """`size` random pairs on different redundant channels: the control that stands beside a searched swap."""
    draw = _random.Random(seed)
    redundant = draw.sample(range(channels), size)
    return Swap([(r, draw.choice([c for c in range(channels) if c != r])) for r in redundant], channels=channels)


def _screen(scorer: Scorer, pairs: Tensor, journal: Journal | None, progress: Progress | None) -> Screen:
    # Candidate 0 is the empty swap, so that base and candidates come from the same code and the same batch.
    candidates = torch.cat([torch.full((1, 1, 2), -1), pairs[:, None]])
    table = score(scorer, candidates, journal=journal, progress=progress).double()
    means = table.mean(0)
    return Screen(pairs, means[1:] - means[0], float(means[0]), table.numel())
