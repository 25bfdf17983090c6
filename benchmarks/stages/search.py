"""Stage search: the swap that the search images ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import store
from benchmarks.device import synchronise
from benchmarks.files import write_atomically
from benchmarks.progress import progress_by_stage
from benchmarks.records import ScreenedPair, Search
from benchmarks.stages import embed, train
from benchmarks.stages.clock import clocked, seconds
from benchmarks.stages.workbench import Workbench
from chanswap import Scorer, Screen, fastest_batch, search
from chanswap import search_part as screen_part
from chanswap.batching import SIZES
from chanswap.scoring import BLOCK
from chanswap.screening import every_pair

REMEMBERED_PAIRS = 2**20  # of a screening, 24 MB: more than any backbone here has
CLOCK = "journal.seconds"
SCREEN = "screen.safetensors"  # pairs (P, 2) and gains (P,) of a search


def found(bench: Workbench) -> Search:
    """The swap that the search set asks for. What workers of `search_part` left is read."""
    p = bench.plan

    def work() -> dict:
        scorer, objective = _scorer(bench)
        folder, how = p.jobs["search"].folder, _how(bench)
        before = sum(map(seconds, folder.glob(f"{CLOCK}*")))  # of calls that were killed, and of parts
        with progress_by_stage("search", "passes") as show:
            show = clocked(folder / CLOCK, show)
            best = search(scorer, keep=p.protocol.keep, progress=show, remember=REMEMBERED_PAIRS, **how)
        for clock in folder.glob(f"{CLOCK}*"):
            clock.unlink()
        _save(best.screen, folder / SCREEN)
        kept = [ScreenedPair(redundant=r, effective=e, gain=gain) for (r, e), gain in best.kept]
        return Search(
            strategy=p.protocol.strategy,
            objective=objective,
            images=p.search_ids,
            channels=scorer.channels,
            pairs=list(best.swap.pairs),
            kept=kept,
            evaluations=best.evaluations,
            gradients=best.gradients,
            combinations=best.tried,
            conflicts=best.conflicts,
            base_score=best.base,
            search_gain=best.gain,
        ).model_dump(mode="json") | {"seconds_before": before}

    return Search.model_validate(bench.stage("search", p.jobs["search"], work, (SCREEN,)).result)


def screened(bench: Workbench) -> Screen:
    """Every pair that the search screened to the end, with its gain; `greedy` screens none."""
    from safetensors.torch import load_file

    base, job = found(bench).base_score, bench.plan.jobs["search"]
    table = load_file(job.folder / SCREEN)
    return Screen(table["pairs"], table["gains"], base, len(table["gains"]))


def search_part(bench: Workbench, part: tuple[int, int]) -> None:
    """The share of worker i of n, `part` = (i, n), of the search's screening, left beside the search's journal. Nothing where the
    search is done. Raises ValueError for a strategy that cannot be split."""
    job = bench.plan.jobs["search"]
    if not store.kept(job):
        scorer, _ = _scorer(bench)
        with progress_by_stage("search", "passes") as show:
            show = clocked(job.folder / f"{CLOCK}.part-{part[0]}-of-{part[1]}", show)  # goes where the part's journal goes
            screen_part(scorer, part, progress=show, **_how(bench))


def _scorer(bench: Workbench) -> tuple[Scorer, str]:
    """The scorer of the search images, and what its scores are."""
    cache, samples = embed.features(bench)
    model = train.adapted(bench)
    items = [model.item(sample, cache[k][1]) for k, sample in enumerate(samples)]
    scorer = model.scorer(cache.sites, items, bench.workers)
    # On a CPU the model's own batch is the best that was measured, and results repeat to the digit.
    if bench.plan.device != "cpu" and not bench.plan.deterministic:
        scorer = replace(scorer, batch=_batch(bench, scorer))
    return replace(scorer, halves=not bench.plan.deterministic), model.objective


def _batch(bench: Workbench, scorer: Scorer) -> int:
    """How many versions the search scores at a time: found once, and kept beside its journal for whoever goes on with it."""
    path = _how(bench)["journal"].with_name("batch")
    try:
        return max(1, int(path.read_text()))
    except (FileNotFoundError, ValueError):
        some = every_pair(scorer.channels)[: 2 * BLOCK, None]
        try:
            size = fastest_batch(scorer, some, wait=lambda: synchronise(bench.plan.device))
        except torch.OutOfMemoryError:  # not even the smallest that is tried fits; the scorer halves it on
            size = SIZES[0] // 2
        write_atomically(path, f"{size}\n")
        return size


def _how(bench: Workbench) -> dict:
    p, job = bench.plan, bench.plan.jobs["search"]
    job.folder.mkdir(parents=True, exist_ok=True)
    return {
        "strategy": p.protocol.strategy,
        "budget": p.protocol.rules.get("search_budget"),
        "seed": p.seed,
        "journal": job.folder / "journal",
        "key": job.key,
    }


def _save(screen: Screen | None, path: Path) -> None:
    from safetensors.torch import save

    pairs, gains = (screen.pairs, screen.gains) if screen else (torch.empty(0, 2, dtype=torch.long), torch.empty(0).double())
    write_atomically(path, save({"pairs": pairs.contiguous(), "gains": gains.contiguous()}))
