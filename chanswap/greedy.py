"""Growing a swap one channel at a time, each time with estimates and evaluations around the swap found so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chanswap.rungs import Options, halve
from chanswap.scoring import Scorer, as_pairs
from chanswap.slopes import estimates
from chanswap.swap import Swap

FIRST = 8  # images of the first rung
SHARE = 0.05  # of all pairs are evaluated in a round, the best by first-order estimates
SURE = 1.0  # standard errors that a step must gain: the one-standard-error rule of Breiman et al., 1984


@dataclass(frozen=True)
class Step:
    """A change of one channel that was taken: the swap after it, its gain over no swap, the step's own gain and the standard
    error of that over images."""

    swap: Swap
    gain: float
    step: float
    error: float


@dataclass(frozen=True)
class Grown:
    """The last step's swap with its gain over `base` on the search set. gradients: backward passes, beside the evaluations."""

    swap: Swap
    gain: float
    base: float
    steps: tuple[Step, ...]
    tried: int
    evaluations: int
    gradients: int


def grow(scorer: Scorer, most: int, *, share: float = SHARE, sure: float = SURE, options: Options | None = None) -> Grown:
    """Start from no swap. In each round take the change of one channel (replace it, replace it by another channel, or take its
    replacement off) that gains most, if its mean gain over the search images exceeds `sure` standard errors; else stop.

    A round estimates all changes to first order around the present swap and puts the best `share` of them through successive
    halving. At most `most` rounds. No image outside the search set has a say in when it stops. Raises ValueError for a scorer
    without `smooth`.
    """
    channels, steps = scorer.channels, []
    swap, base, tried, evaluations, gradients = Swap(channels=channels), None, 0, 0, 0
    for number in range(most):
        stage = f"round{number + 1}-"
        expected = estimates(scorer, swap, **(options(f"{stage}slopes", str(swap)) if options else {}))
        gradients += len(expected)
        moves = _moves(expected, swap, max(1, round(share * channels * channels)))
        swaps = [swap, *(_after(swap, int(i), int(j)) for i, j in moves)]
        hoped = expected[:, moves[:, 0], moves[:, 1]]
        found = halve(scorer, as_pairs(swaps), FIRST, expected=hoped, options=options, stage=stage)
        tried, evaluations = tried + len(moves), evaluations + found.evaluations
        if base is None:
            base = float(found.table[:, 0].double().mean())
        means = found.gains.mean(0)
        best = int(means.argmax())
        error = float(found.gains[:, best].std() / len(found.gains) ** 0.5) if len(found.gains) > 1 else 0.0
        if float(means[best]) <= sure * error:
            break
        swap = swaps[int(found.index[best])]
        gain = float(found.table[:, best].double().mean()) - base
        steps.append(Step(swap, gain, float(means[best]), error))
    return Grown(swap, steps[-1].gain if steps else 0.0, base, tuple(steps), tried, evaluations, gradients)


def _moves(expected: Tensor, swap: Swap, count: int) -> Tensor:
    """The `count` best changes (i, j) by mean estimate; those that change nothing are none."""
    means = expected.mean(0, dtype=torch.float64)
    means[torch.arange(len(means)), swap.index()] = -torch.inf
    order = means.flatten().argsort(descending=True, stable=True)[: min(count, means.numel() - len(means))]
    return torch.stack([order // len(means), order % len(means)], 1)


def _after(swap: Swap, i: int, j: int) -> Swap:
    """`swap` with channel i showing original channel j."""
    source = list(swap.source)
    source[i] = j
    return Swap.from_source(source)
