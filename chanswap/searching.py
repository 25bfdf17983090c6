"""`search`: screen all pairs, combine the best. Section "Channel replacement" of arXiv 2504.08915."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chanswap.combine import MOST, all_subsets
from chanswap.journal import Journal
from chanswap.scoring import Scorer
from chanswap.screening import exhaustive, random
from chanswap.swap import Swap

KEEP = 10  # N of the paper


@dataclass(frozen=True)
class Found:
    """What a search found. Scores and gains are means over the search images, in the scorer's unit."""

    swap: Swap
    gain: float
    base: float
    kept: tuple[tuple[tuple[int, int], float], ...]
    tried: int
    conflicts: int
    evaluations: int


def search(
    scorer: Scorer,
    *,
    keep: int = KEEP,
    strategy: str = "exhaustive",
    budget: int | None = None,
    seed: int = 0,
    journal: str | Path | None = None,
    key: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> Found:
    """Screen pairs, keep the best `keep`, score all their subsets, return the best as a `Swap`.

    strategy: "exhaustive" (all pairs) or "random" (`budget` pairs drawn with `seed`). `journal` is a file path stem: blocks
    are kept beside it and a call with the same `key` goes on where a killed one stopped; name in `key` all that decides the
    scores (model, images, prompts). progress(stage, passes done, passes in all). Raises ValueError for an unknown strategy or a `keep` above 20.

    >>> found = search(Scorer(features, evaluate))           # doctest: +SKIP
    >>> found.swap.save("my-task.swap.json", gain=found.gain)  # doctest: +SKIP
    """
    if strategy not in ("exhaustive", "random"):
        raise ValueError(f"unknown strategy {strategy!r}; choose exhaustive or random")
    if not 1 <= keep <= MOST:
        raise ValueError(f"keep must be 1 to {MOST} pairs (2^{MOST} subsets), got {keep}")
    if strategy == "random" and budget is None:
        raise ValueError("strategy random needs a budget: the number of pairs to screen")

    def options(stage: str, detail: str):
        kept = Journal(f"{journal}.{stage}", f"{key}|{stage}|{detail}") if journal else None
        return kept, {"journal": kept, "progress": progress and (lambda done, total: progress(stage, done, total))}

    shape = f"{len(scorer.features)} images, {scorer.channels} channels"
    first, how = options("screen", f"{strategy}, {budget}, {seed}, {shape}")
    screen = exhaustive(scorer, **how) if strategy == "exhaustive" else random(scorer, budget, seed, **how)
    kept = tuple(screen.best(keep))
    second, how = options("combine", f"{[pair for pair, _ in kept]}, {shape}")
    best = all_subsets(scorer, [pair for pair, _ in kept], **how)
    for journal_file in (first, second):
        if journal_file:
            journal_file.discard()
    return Found(best.swap, best.gain, screen.base, kept, best.tried, best.conflicts, screen.evaluations + best.evaluations)
