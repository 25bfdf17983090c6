"""Successive halving over images: many candidates on a few images, the best of them on more, few on all.

K. Jamieson and A. Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from chanswap.scoring import Scorer, score

ETA = 5  # candidates are divided, and images multiplied, by this from rung to rung
Options = Callable[[str, str], dict]  # a stage and what decides it -> journal and progress of `score`


@dataclass(frozen=True)
class Survivors:
    """Candidates (by number, candidate 0 first) that were scored on all images: table (images, S). `evaluations` spent on all."""

    index: Tensor
    table: Tensor
    evaluations: int

    @property
    def gains(self) -> Tensor:
        """Gain (images, S) over candidate 0, float64."""
        return (self.table - self.table[:, :1]).double()


def halve(
    scorer: Scorer,
    candidates: Tensor,
    first: int,
    *,
    expected: Tensor | None = None,
    options: Options | None = None,
    stage: str = "",
) -> Survivors:
    """Score candidates (P, K, 2) on the `first` images, the best fifth of them on five times as many, and so on to all.

    Candidate 0 is what the others are compared with, and is always kept. `expected` (images, P - 1), estimates of the others'
    gains that cost no evaluation, tell what the images not yet looked at would add: what is kept is best by the mean gain so far plus the
    mean of the estimates over all images minus that over the images so far. Ties go to the smaller number.
    """
    images, index, seen, spent = len(scorer.features), torch.arange(len(candidates)), 0, 0
    table, until = torch.empty(0, len(candidates)), min(max(first, 1), len(scorer.features))
    if expected is not None:
        expected = torch.cat([expected.new_zeros(len(expected), 1), expected], 1)
    while True:
        how = options(f"{stage}{until}", f"{index.tolist()}") if options else {}
        more = score(scorer, candidates[index], images=range(seen, until), **how)
        table, seen, spent = torch.cat([table, more]), until, spent + more.numel()
        if seen == images:
            return Survivors(index, table, spent)
        gains = (table - table[:, :1]).double().mean(0)
        if expected is not None:
            gains += expected[:, index].double().mean(0) - expected[:seen, index].double().mean(0)
        gains[0] = torch.inf
        kept = gains.argsort(descending=True, stable=True)[: 1 + max(1, (len(index) - 1) // ETA)].sort().values
        index, table = index[kept], table[:, kept]
        until = seen * ETA if 2 * seen * ETA <= images else images  # the last rung is not a small one
