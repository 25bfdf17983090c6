"""Screening: what single pairs gain on the search set; all of them, or those worth the evaluations."""

from __future__ import annotations

import random as _random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chanswap.rungs import Options, halve
from chanswap.scoring import BLOCK, Progress, Scorer, score
from chanswap.slopes import estimates
from chanswap.swap import Swap

SHARE = 0.1  # of all pairs that `taylor` evaluates: on small trained SAMs the best ten lay within the first tenth by estimate
CHUNK = 64 * BLOCK  # candidates whose scores are held at once, 13 MB on 50 images, however many there are in all


@dataclass(frozen=True)
class Screen:
    """Pairs (P, 2) with their mean gains (P,), float64, over the unswapped score `base`; `evaluations` spent, and backward
    passes beside them (`gradients`). All pairs that were scored, or the best where only so many were asked for."""

    pairs: Tensor
    gains: Tensor
    base: float
    evaluations: int
    gradients: int = 0

    def best(self, count: int) -> list[tuple[tuple[int, int], float]]:
        """The pairs with the largest gains, ((redundant, effective), gain), ties by the smaller indices."""
        order = torch.argsort(self.gains, descending=True, stable=True)[:count]
        return [((int(self.pairs[k, 0]), int(self.pairs[k, 1])), float(self.gains[k])) for k in order]


def exhaustive(
    scorer: Scorer, *, most: int | None = None, part: tuple[int, int] = (0, 1), options: Options | None = None
) -> Screen:
    """All C(C-1) pairs of different channels: the paper's screening, the reference for every other.

    The paper counts C^2; the C pairs of a channel with itself change nothing and are not run. With `most`, only so many of the best
    pairs are remembered, so that memory does not grow with the number of pairs. `part` (i, n) scores every n-th block alone, see
    `score`; its gains are NaN where another worker's blocks would be needed.
    """
    return _screen(scorer, range(scorer.channels * (scorer.channels - 1)), most, part, "", options)


def random(
    scorer: Scorer,
    count: int,
    seed: int,
    *,
    most: int | None = None,
    part: tuple[int, int] = (0, 1),
    options: Options | None = None,
) -> Screen:
    """`count` different pairs drawn without replacement: the control for any cleverer choice of what to screen. `most` and `part`
    as in `exhaustive`."""
    channels = scorer.channels
    total = channels * (channels - 1)
    if not 1 <= count <= total:
        raise ValueError(f"{channels} channels have {total} pairs; cannot draw {count}")
    drawn = sorted(_random.Random(seed).sample(range(total), count))
    return _screen(scorer, drawn, most, part, f"{count}, {seed}", options)


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
    return _pairs(torch.arange(channels * (channels - 1)), channels)


def _pairs(numbers: Tensor, channels: int) -> Tensor:
    """The pairs (P, 2) of these numbers, counted by the redundant channel first."""
    redundant, effective = numbers // (channels - 1), numbers % (channels - 1)
    return torch.stack([redundant, effective + (effective >= redundant)], 1)


def random_swap(channels: int, size: int, seed: int) -> Swap:
    """`size` random pairs on different redundant channels: the control that stands beside a searched swap."""
    draw = _random.Random(seed)
    redundant = draw.sample(range(channels), size)
    return Swap([(r, draw.choice([c for c in range(channels) if c != r])) for r in redundant], channels=channels)


def _screen(
    scorer: Scorer,
    numbers: Sequence[int],
    most: int | None,
    part: tuple[int, int],
    detail: str,
    options: Options | None,
) -> Screen:
    """Score the pairs of these numbers, chunk by chunk. The first candidate of all is the empty swap: base and candidates then
    come from the same code and the same batch."""
    count, images, channels = 1 + len(numbers), len(scorer.features), scorer.channels
    kept, gains, base, spent, show = torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.float64), 0.0, 0, None
    for start in range(0, count, CHUNK):
        chosen = torch.as_tensor(numbers[max(0, start - 1) : min(count, start + CHUNK) - 1])
        pairs = _pairs(chosen, channels)
        how = options(f"screen-{start // CHUNK}" if start else "screen", detail) if options else {}
        if how.get("progress"):
            show = show or how["progress"]  # the bar of the first chunk is that of all
            how["progress"] = _from(show, spent // part[1], count * images // part[1])
        table = score(scorer, pairs[:, None] if start else _with_none(pairs), part=part, **how)
        spent += table.numel()
        means = table.mean(0, dtype=torch.float64)
        if not start:
            base, means = float(means[0]), means[1:]
        kept, gains = torch.cat([kept, chosen]), torch.cat([gains, means - base])
        if most is not None:
            best = gains.argsort(descending=True, stable=True)[:most].sort().values  # in their order: ties go to the smaller
            kept, gains = kept[best], gains[best]
    return Screen(_pairs(kept, channels), gains, base, spent)


def _from(show: Progress, done: int, total: int) -> Progress:
    return lambda more, _: show(done + more, total)


def _halved(scorer: Scorer, pairs: Tensor, first: int, expected: Tensor | None, options: Options | None) -> Screen:
    found = halve(scorer, _with_none(pairs), first, expected=expected, options=options)
    gains, base = found.gains.mean(0)[1:], float(found.table[:, 0].double().mean())
    gradients = 0 if expected is None else len(expected)
    return Screen(pairs[found.index[1:] - 1], gains, base, found.evaluations, gradients)


def _with_none(pairs: Tensor) -> Tensor:
    """Candidates (1 + P, 1, 2), the empty swap first: base and candidates then come from the same code and the same batch."""
    return torch.cat([torch.full((1, 1, 2), -1), pairs[:, None]])
