"""Screening: what single pairs gain on the search set; all of them, or those worth the evaluations."""

from __future__ import annotations

import random as _random
from dataclasses import dataclass

import torch
from torch import Tensor

from chanswap.journal import Journal
from chanswap.rungs import Options, halve
from chanswap.scoring import Progress, Scorer, score
from chanswap.slopes import estimates
from chanswap.swap import Swap

SHARE = 0.1  # of all pairs that `taylor` evaluates: on small trained SAMs the best ten lay within the first tenth by estimate


@dataclass(frozen=True)
class Screen:
    """Pairs (P, 2) with their mean gains (P,), float64, over the unswapped score `base`; `evaluations` spent, and backward
    passes beside them (`gradients`)."""

    pairs: Tensor
    gains: Tensor
    base: float
    evaluations: int
    gradients: int = 0

    def best(self, count: int) -> list[tuple[tuple[int, int], float]]:
        """The pairs with the largest gains, ((redundant, effective), gain), ties by the smaller indices."""
        order = torch.argsort(self.gains, descending=True, stable=True)[:count]
        return [((int(self.pairs[k, 0]), int(self.pairs[k, 1])), float(self.gains[k])) for k in order]


def exhaustive(scorer: Scorer, *, journal: Journal | None = None, progress: Progress | None = None) -> Screen:
    """All C(C-1) pairs of different channels: the paper's screening, the reference for every other.

    The paper counts C^2; the C pairs of a channel with itself change nothing and are not run.
    """
    return _screen(scorer, every_pair(scorer.channels), journal, progress)


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


def halving(scorer: Scorer, *, options: Options | None = None) -> Screen:
    """Successive halving of all pairs over images. Gains are given for those that came to be scored on all images."""
    first = max(1, len(scorer.features) // 25)  # of 50 images two: all pairs on them are a twenty-fifth of the exhaustive work
    return _halved(scorer, every_pair(scorer.channels), first, None, options)


def taylor(scorer: Scorer, share: float = SHARE, *, options: Options | None = None) -> Screen:
    """The best `share` of all pairs by first-order estimates (one backward pass an image), through successive halving.

    Raises ValueError for a scorer without `smooth`.
    """
    pairs = every_pair(scorer.channels)
    expected = estimates(scorer, **(options("slopes", "") if options else {}))[:, pairs[:, 0], pairs[:, 1]]
    best = expected.mean(0, dtype=torch.float64).argsort(descending=True, stable=True)[: max(1, round(share * len(pairs)))]
    best = best.sort().values
    return _halved(scorer, pairs[best], max(1, len(scorer.features) // 6), expected[:, best], options)


def every_pair(channels: int) -> Tensor:
    """All pairs of different channels, (C (C-1), 2)."""
    grid = torch.cartesian_prod(torch.arange(channels), torch.arange(channels))
    return grid[grid[:, 0] != grid[:, 1]]


def random_swap(channels: int, size: int, seed: int) -> Swap:
    """`size` random pairs on different redundant channels: the control that stands beside a searched swap."""
    draw = _random.Random(seed)
    redundant = draw.sample(range(channels), size)
    return Swap([(r, draw.choice([c for c in range(channels) if c != r])) for r in redundant], channels=channels)


def _screen(scorer: Scorer, pairs: Tensor, journal: Journal | None, progress: Progress | None) -> Screen:
    table = score(scorer, _with_none(pairs), journal=journal, progress=progress)
    means = table.mean(0, dtype=torch.float64)
    return Screen(pairs, means[1:] - means[0], float(means[0]), table.numel())


def _halved(scorer: Scorer, pairs: Tensor, first: int, expected: Tensor | None, options: Options | None) -> Screen:
    found = halve(scorer, _with_none(pairs), first, expected=expected, options=options)
    gains, base = found.gains.mean(0)[1:], float(found.table[:, 0].double().mean())
    gradients = 0 if expected is None else len(expected)
    return Screen(pairs[found.index[1:] - 1], gains, base, found.evaluations, gradients)


def _with_none(pairs: Tensor) -> Tensor:
    """Candidates (1 + P, 1, 2), the empty swap first: base and candidates then come from the same code and the same batch."""
    return torch.cat([torch.full((1, 1, 2), -1), pairs[:, None]])
