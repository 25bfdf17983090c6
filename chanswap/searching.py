"""`search`: the swap that a search set asks for. The paper's procedure (arXiv 2504.08915, "Channel replacement") and shorter ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chanswap import greedy, screening
from chanswap.combine import MOST, all_subsets
from chanswap.greedy import grow
from chanswap.journal import Journal
from chanswap.rungs import Options
from chanswap.scoring import Scorer
from chanswap.screening import Screen
from chanswap.swap import Swap

KEEP = 10  # N of the paper
STRATEGIES = {
    "exhaustive": "all pairs, then all subsets of the best: the paper's procedure",
    "random": "a budget of pairs drawn at random, then all subsets of the best: the control",
    "halving": "all pairs by successive halving over the images, then all subsets of the best",
    "taylor": "the best tenth of all pairs by slope, by successive halving, then all subsets of the best",
    "greedy": "one channel at a time, pairs chosen by slope around the swap so far; stops when a step is within its error",
}
SHARED = ("exhaustive", "random")  # strategies whose screening can be split over workers


@dataclass(frozen=True)
class Found:
    """What a search found. Scores and gains are means over the search images, in the scorer's unit.

    kept: what the swap was made of: the best single pairs with their gains, or (greedy) the steps' changes (channel, original
    channel that it then shows) with what each added. tried: sets scored; conflicts: subsets that cannot stand. gradients:
    backward passes, beside the evaluations. screen: the best pairs that were screened to the end, as many as were to be remembered (greedy: None).
    """

    swap: Swap
    gain: float
    base: float
    kept: tuple[tuple[tuple[int, int], float], ...]
    tried: int
    conflicts: int
    evaluations: int
    gradients: int = 0
    screen: Screen | None = field(default=None, compare=False, repr=False)


def search(
    scorer: Scorer,
    *,
    keep: int = KEEP,
    strategy: str | None = None,
    budget: int | None = None,
    share: float | None = None,
    seed: int = 0,
    journal: str | Path | None = None,
    key: str = "",
    progress: Callable[[str, int, int], None] | None = None,
    remember: int | None = None,
) -> Found:
    """Find a swap on the scorer's images by one of `STRATEGIES`; None is taylor where the scorer has a `smooth` score, else
    exhaustive. `keep`: the best pairs that are combined, or the most steps.

    `random` draws `budget` pairs with `seed`. `share`: of all pairs that taylor, and greedy in each step, look at closer; None is
    a tenth and a twentieth. `journal` is a file path stem: blocks are kept beside it and a call with the same
    `key` goes on where a killed one stopped; name in `key` all that decides the scores (model, images, prompts).
    progress(stage, passes done, passes in all). `remember`: how many of the best pairs `Found.screen` holds (default: `keep`), so that
    memory does not grow with their number. Raises ValueError for an unknown strategy, a `keep` above 20, a `share` that is
    none, a journal without a key, or taylor and greedy without a `smooth` score.

    >>> found = search(Scorer(features, evaluate))           # doctest: +SKIP
    >>> found.swap.save("my-task.swap.json", gain=found.gain)  # doctest: +SKIP
    """
    strategy = strategy or ("taylor" if scorer.smooth else "exhaustive")
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}; choose from: {', '.join(STRATEGIES)}")
    if not 1 <= keep <= MOST:
        raise ValueError(f"keep must be 1 to {MOST} pairs (2^{MOST} subsets), got {keep}")
    if strategy == "random" and budget is None:
        raise ValueError("strategy random needs a budget: the number of pairs to screen")
    if share is not None and not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    journals: list[Journal] = []
    options = _options(scorer, strategy, share, journal, key, progress, journals)
    if strategy == "greedy":
        found = _greedy(scorer, keep, share, options)
    else:
        found = _combined(scorer, keep, _screen(scorer, strategy, budget, share, seed, remember or keep, options), options)
    for file in journals:
        file.discard()
    return found


def search_part(
    scorer: Scorer,
    part: tuple[int, int],
    *,
    strategy: str = "exhaustive",
    budget: int | None = None,
    seed: int = 0,
    journal: str | Path,
    key: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """The share of worker i of n, `part` = (i, n), 0-based, of a search's screening: what it scores is left beside `journal`.

    `search` with the same journal and key, called once the workers are done, reads what all of them left, scores what a lost one
    did not, and ends with the very answer of one worker alone: batches do not depend on who scores them. The workers need not know
    of each other; `journal` lies in a folder that all can reach. Only `exhaustive` and `random` have work to share: the others'
    next step depends on the last, and they are short. Raises ValueError for these, and for a part that is none.
    """
    if strategy not in SHARED:
        raise ValueError(f"strategy {strategy!r} cannot be split over workers; choose from: {', '.join(SHARED)}")
    if strategy == "random" and budget is None:
        raise ValueError("strategy random needs a budget: the number of pairs to screen")
    journals: list[Journal] = []
    options = _options(scorer, strategy, None, journal, key, progress, journals, part)
    if strategy == "exhaustive":
        screening.exhaustive(scorer, most=0, part=part, options=options)
    else:
        screening.random(scorer, budget, seed, most=0, part=part, options=options)


def _options(scorer, strategy, share, journal, key, progress, journals: list[Journal], part=None) -> Options:
    """What every stage of a search is called with; the journals that it opens are added to `journals`."""
    if journal and not key:  # what a killed search of another model left would be read as this one's scores
        raise ValueError("a journal needs a key: a text that names all that decides the scores (model, images, prompts)")
    shape = f"{len(scorer.features)} images, {scorer.channels} channels"

    def options(stage: str, detail: str) -> dict:
        kept = Journal(f"{journal}.{stage}", f"{key}|{strategy}|{share}|{stage}|{detail}|{shape}", part) if journal else None
        journals.extend([kept] if kept else [])
        # A rung of halving is called by its number of images.
        said = f"{stage} {'image' if stage == '1' else 'images'}" if stage.isdigit() else stage
        return {"journal": kept, "progress": progress and (lambda done, total: progress(said, done, total))}

    return options


def _screen(
    scorer: Scorer, strategy: str, budget: int | None, share: float | None, seed: int, most: int, options: Options
) -> Screen:
    if strategy == "exhaustive":
        return screening.exhaustive(scorer, most=most, options=options)
    if strategy == "random":
        return screening.random(scorer, budget, seed, most=most, options=options)
    if strategy == "halving":
        return screening.halving(scorer, options=options)
    return screening.taylor(scorer, screening.SHARE if share is None else share, options=options)


def _combined(scorer: Scorer, keep: int, screen: Screen, options: Options) -> Found:
    kept = tuple(screen.best(keep))
    best = all_subsets(scorer, [pair for pair, _ in kept], **options("combine", f"{[pair for pair, _ in kept]}"))
    spent = screen.evaluations + best.evaluations
    return Found(best.swap, best.gain, screen.base, kept, best.tried, best.conflicts, spent, screen.gradients, screen)


def _greedy(scorer: Scorer, keep: int, share: float | None, options: Options) -> Found:
    grown = grow(scorer, keep, share=greedy.SHARE if share is None else share, options=options)
    before, kept = Swap(channels=scorer.channels), []
    for step in grown.steps:
        ((channel, shows),) = [(c, s) for c, s in enumerate(step.swap.source) if before.source[c] != s]
        kept.append(((channel, shows), step.step))
        before = step.swap
    return Found(grown.swap, grown.gain, grown.base, tuple(kept), grown.tried, 0, grown.evaluations, grown.gradients)
