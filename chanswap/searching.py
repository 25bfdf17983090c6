"""`search`: the swap that a search set asks for. The paper's procedure (arXiv 2504.08915, "Channel replacement") and shorter ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chanswap import screening
from chanswap.combine import MOST, all_subsets
from chanswap.greedy import grow
from chanswap.journal import Journal
from chanswap.scoring import Scorer
from chanswap.swap import Swap

KEEP = 10  # N of the paper
STRATEGIES = {
    "exhaustive": "all pairs, then all subsets of the best: the paper's procedure",
    "random": "a budget of pairs drawn at random, then all subsets of the best: the control",
    "halving": "all pairs by successive halving over the images, then all subsets of the best",
    "taylor": "the best tenth of all pairs by slope, by successive halving, then all subsets of the best",
    "greedy": "one channel at a time, pairs chosen by slope around the swap so far; stops when a step is within its error",
}


@dataclass(frozen=True)
class Found:
    """What a search found. Scores and gains are means over the search images, in the scorer's unit.

    kept: what the swap was made of: the best single pairs with their gains, or (greedy) the steps' changes (channel, original
    channel that it then shows) with what each added. tried: sets scored; conflicts: subsets that cannot stand. gradients:
    backward passes, beside the evaluations.
    """

    swap: Swap
    gain: float
    base: float
    kept: tuple[tuple[tuple[int, int], float], ...]
    tried: int
    conflicts: int
    evaluations: int
    gradients: int = 0


def search(
    scorer: Scorer,
    *,
    keep: int = KEEP,
    strategy: str | None = None,
    budget: int | None = None,
    seed: int = 0,
    journal: str | Path | None = None,
    key: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> Found:
    """Find a swap on the scorer's images by one of `STRATEGIES`; None is greedy where the scorer has a `smooth` score, else
    exhaustive. `keep`: the best pairs that are combined, or the most steps.

    `random` draws `budget` pairs with `seed`. `journal` is a file path stem: blocks are kept beside it and a call with the same
    `key` goes on where a killed one stopped; name in `key` all that decides the scores (model, images, prompts).
    progress(stage, passes done, passes in all). Raises ValueError for an unknown strategy, a `keep` above 20, or taylor and
    greedy without a `smooth` score.

    >>> found = search(Scorer(features, evaluate))           # doctest: +SKIP
    >>> found.swap.save("my-task.swap.json", gain=found.gain)  # doctest: +SKIP
    """
    strategy = strategy or ("greedy" if scorer.smooth else "exhaustive")
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}; choose from: {', '.join(STRATEGIES)}")
    if not 1 <= keep <= MOST:
        raise ValueError(f"keep must be 1 to {MOST} pairs (2^{MOST} subsets), got {keep}")
    if strategy == "random" and budget is None:
        raise ValueError("strategy random needs a budget: the number of pairs to screen")
    journals: list[Journal] = []
    shape = f"{len(scorer.features)} images, {scorer.channels} channels"

    def options(stage: str, detail: str) -> dict:
        kept = Journal(f"{journal}.{stage}", f"{key}|{strategy}|{stage}|{detail}|{shape}") if journal else None
        journals.extend([kept] if kept else [])
        return {"journal": kept, "progress": progress and (lambda done, total: progress(stage, done, total))}

    found = _greedy(scorer, keep, options) if strategy == "greedy" else _combined(scorer, keep, strategy, budget, seed, options)
    for file in journals:
        file.discard()
    return found


def _combined(scorer: Scorer, keep: int, strategy: str, budget: int | None, seed: int, options) -> Found:
    if strategy == "exhaustive":
        screen = screening.exhaustive(scorer, **options("screen", ""))
    elif strategy == "random":
        screen = screening.random(scorer, budget, seed, **options("screen", f"{budget}, {seed}"))
    else:
        screen = {"halving": screening.halving, "taylor": screening.taylor}[strategy](scorer, options=options)
    kept = tuple(screen.best(keep))
    best = all_subsets(scorer, [pair for pair, _ in kept], **options("combine", f"{[pair for pair, _ in kept]}"))
    spent = screen.evaluations + best.evaluations
    return Found(best.swap, best.gain, screen.base, kept, best.tried, best.conflicts, spent, screen.gradients)


def _greedy(scorer: Scorer, keep: int, options) -> Found:
    grown, before, kept = grow(scorer, keep, options=options), Swap(channels=scorer.channels), []
    for step in grown.steps:
        ((channel, shows),) = [(c, s) for c, s in enumerate(step.swap.source) if before.source[c] != s]
        kept.append(((channel, shows), step.step))
        before = step.swap
    return Found(grown.swap, grown.gain, grown.base, tuple(kept), grown.tried, 0, grown.evaluations, grown.gradients)
