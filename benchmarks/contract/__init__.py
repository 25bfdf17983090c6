"""The contract that every method keeps, each clause examined on `sam-mini` with its shipped weights.

For who adds a method: `python -m benchmarks check method NAME` says which clause is broken and which tensors break it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from benchmarks import backbones
from benchmarks.catalog import BACKBONES, METHODS, split_method
from benchmarks.contract.clauses import CLAUSES, Clause, Inapplicable, in_a_line
from benchmarks.contract.trial import Broken, Trial
from benchmarks.errors import UsageError
from benchmarks.small import place

OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"


@dataclass(frozen=True)
class Finding:
    """What a clause came to for one method. `outcome` is OK, FAILED or SKIPPED; `detail` one line, on failure what to mend."""

    method: str
    clause: Clause
    outcome: str
    detail: str


def examine(name: str, clauses: Sequence[Clause] = CLAUSES) -> Iterator[Finding]:
    """Examine a method, clause by clause, each finding given as soon as it is there.

    The small run is always with swap, so NAME and NAME+swap are examined alike. Works in one thread and in a temporary folder;
    the user's cache is neither read nor written. Raises UsageError for an unknown name and for a method that is not for SAM,
    MissingData where the weights of sam-mini are not as they were shipped.
    """
    plain, _ = split_method(name)
    backbone = BACKBONES.get("sam-mini")
    if reason := METHODS.get(plain).skips.get(backbone.family):
        raise UsageError(f"{plain} is not for {backbone.name}, on which methods are checked: {reason}; name another method")
    weights, _ = backbones.verified_checkpoint(backbone)
    with place() as here:
        trial = Trial(plain, here, backbone, weights)
        for clause in clauses:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # a sum split over threads may differ in its last bit from call to call
            try:
                with here.inside(), torch.random.fork_rng(devices=[]):
                    finding = Finding(name, clause, *_outcome(clause, trial))
            finally:
                torch.set_num_threads(threads)
            yield finding


def _outcome(clause: Clause, trial: Trial) -> tuple[str, str]:
    try:
        return OK, clause.examine(trial)
    except Inapplicable as reason:
        return SKIPPED, str(reason)
    except Broken as fault:
        return FAILED, str(fault)
    except Exception as error:  # the method's own code, which may raise anything
        return FAILED, in_a_line(error, trial.name)
