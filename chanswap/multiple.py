"""Many comparisons at once: p-values corrected for their number, and what may then be called a difference. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

HARMFUL, REDUNDANT, USEFUL = "harmful", "redundant", "useful"
ALPHA = 0.05


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Scand. J. Statist. 6, 1979): the corrected p-values, in the order given.

    Calling those below alpha different is wrong anywhere at most with probability alpha, however the comparisons depend on one
    another; channels of one feature map do.
    """
    order, corrected, worst = sorted(range(len(p)), key=lambda k: p[k]), [0.0] * len(p), 0.0
    for rank, k in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - rank) * p[k]))
        corrected[k] = worst
    return corrected


def labels(gains: Sequence[float], p: Sequence[float], alpha: float = ALPHA) -> list[str]:
    """What setting each channel to zero says of it, of its mean gain and its uncorrected p-value.

    "harmful": the score rises without it; "useful": it falls; both with a corrected p-value below `alpha`. All others are
    "redundant", which means that no difference was shown, not that there is none.
    """
    corrected = holm(p)
    return [REDUNDANT if q >= alpha else HARMFUL if g > 0 else USEFUL for g, q in zip(gains, corrected)]
