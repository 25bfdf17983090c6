"""Scoring many candidate swaps on cached features: images outside, candidates inside, in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from threading import Event

import torch
from torch import Tensor

from chanswap.journal import Journal
from chanswap.swap import Swap

log = logging.getLogger(__name__)
BLOCK = 1024  # candidates in one unit of work: what a kill can lose, about a second on a small model
Progress = Callable[[int, int], None]  # passes done, passes in all


@dataclass(frozen=True)
class Scorer:
    """What a search needs of a model: its features of the search images, and a score for versions of them.

    features: one tensor (C, ...) an image (a list, or a `FeatureCache`). evaluate(x, image) takes B versions of the features
    of image number `image`, (B, C, ...), and returns B scores, higher is better. `batch` is the largest B; it is halved for
    as long as memory runs out, which is logged, unless `halves` is False: then torch.OutOfMemoryError is raised. `workers` > 1 scores blocks in that many threads, each with one intra-op thread: no barrier
    between cores, so a busy neighbour costs its own share and no more. What evaluates must then be safe to call from threads.
    evaluate_pairs(pairs, image), where it is given, does all scoring in bulk instead of `evaluate`, for models that have a shorter
    way than to be run on B versions: it takes candidates (B, K, 2) on `device`, pairs (redundant, effective) filled up with -1,
    and returns B scores, those that `evaluate` would give for features replaced so, up to rounding.
    smooth(x, image), where it is given, is a score that can be differentiated in x and rises and falls with `evaluate`; its
    slopes say which candidates are worth an evaluation (`chanswap.slopes`).
    """

    features: Sequence[Tensor]
    evaluate: Callable[[Tensor, int], Tensor]
    batch: int = 64
    workers: int = 1
    device: torch.device | str = "cpu"
    evaluate_pairs: Callable[[Tensor, int], Tensor] | None = None
    smooth: Callable[[Tensor, int], Tensor] | None = None
    halves: bool = True
    _fits: list[int] = field(
        default_factory=list, init=False, repr=False, compare=False
    )  # batches that memory held, where it ran out

    def __post_init__(self):
        if self.batch < 1 or self.workers < 1 or not len(self.features):
            raise ValueError(
                f"a scorer needs images, batch and workers of at least 1; got {len(self.features)}, {self.batch}, {self.workers}"
            )

    @property
    def channels(self) -> int:
        return self.features[0].shape[0]


def as_pairs(swaps: Iterable[Swap]) -> Tensor:
    """Candidates as one int64 tensor (P, K, 2) of pairs; a swap of fewer than K pairs is filled up with -1."""
    swaps = list(swaps)
    longest = max((len(s) for s in swaps), default=0)
    table = torch.full((len(swaps), max(longest, 1), 2), -1, dtype=torch.long)
    for k, swap in enumerate(swaps):
        if swap.pairs:
            table[k, : len(swap)] = torch.tensor(swap.pairs)
    return table


def sources(candidates: Tensor, channels: int) -> Tensor:
    """Gather indices (P, C) of candidates (P, K, 2)."""
    index = torch.arange(channels, device=candidates.device).repeat(len(candidates), 1)
    row, column = (candidates[..., 0] >= 0).nonzero(as_tuple=True)
    redundant, effective = candidates[row, column].unbind(-1)
    index[row, redundant] = effective
    return index


def score(
    scorer: Scorer,
    candidates: Tensor | Iterable[Swap],
    *,
    images: Sequence[int] | None = None,
    part: tuple[int, int] = (0, 1),
    journal: Journal | None = None,
    progress: Progress | None = None,
    halve: bool = True,
) -> Tensor:
    """Scores (images, P), float32, of candidates given as swaps or as a tensor (P, K, 2) of pairs; on some images alone where
    their numbers are given, in that order. `part` (i, n) takes only every n-th block from the i-th on (0-based): the share of one
    of n workers. What is left to the others is NaN. Without `halve`, a batch that does not fit in memory is raised, not made smaller.

    With a journal, blocks that it holds are not scored again. Batches never cross a block, so the numbers do not depend on
    where an earlier call was stopped. Raises what `evaluate` raises; ValueError if it
    returns the wrong number of scores, or one that is not finite.
    """
    if not 0 <= part[0] < part[1]:
        raise ValueError(f"part must be (i, n) with 0 <= i < n, got {part}")
    if not isinstance(candidates, Tensor):
        candidates = as_pairs(candidates)
    rows = {image: row for row, image in enumerate(range(len(scorer.features)) if images is None else images)}
    count = len(candidates)
    table = torch.full((len(rows), count), torch.nan)
    finished = journal.load() if journal else {}
    done, todo = 0, []
    mine = [(image, start) for image in rows for start in range(0, count, BLOCK)][part[0] :: part[1]]
    total = sum(min(BLOCK, count - start) for _, start in mine)
    for image, start in mine:
        block = finished.get((image, start))
        if block is not None and len(block) == min(BLOCK, count - start):
            table[rows[image], start : start + BLOCK] = block
            done += len(block)
        else:
            todo.append((image, start))
    if progress:
        progress(done, total)
    try:
        for image, start, scores in _run(scorer, candidates, todo, halve):
            table[rows[image], start : start + len(scores)] = scores
            done += len(scores)
            if journal:
                journal.append(image, start, scores)
            if progress:
                progress(done, total)
    finally:
        if journal:
            journal.close()
    return table


def score_one_by_one(scorer: Scorer, candidates: Iterable[Swap], images: Iterable[int] | None = None) -> Tensor:
    """The literal loop, one swap on one image at a time: the reference that `score` is tested and timed against."""
    swaps = list(candidates)
    images = range(len(scorer.features)) if images is None else list(images)
    table = torch.empty(len(images), len(swaps))
    with torch.inference_mode():
        for row, image in enumerate(images):
            features = scorer.features[image].to(scorer.device)
            for column, swap in enumerate(swaps):
                table[row, column] = scorer.evaluate(swap(features, axis=0)[None], image)[0]
    return table


def _block(scorer: Scorer, candidates: Tensor, image: int, start: int, halve: bool, stop: Event | None = None) -> Tensor:
    """Scores of one block. Runs in a worker thread, and gives up between two batches once `stop` is set."""
    wanted = candidates[start : start + BLOCK].to(scorer.device)
    batch, parts, position = min([scorer.batch, *(scorer._fits if halve else ())]), [], 0
    with torch.inference_mode():
        while position < len(wanted) and not (stop and stop.is_set()):
            some = wanted[position : position + batch]
            try:
                scores = scorer.evaluate_pairs(some, image) if scorer.evaluate_pairs else _materialised(scorer, some, image)
            except torch.OutOfMemoryError:
                if batch == 1 or not (halve and scorer.halves):
                    raise
                batch = batch // 2
                scorer._fits.append(batch)
                log.warning("memory ran out in scoring; it goes on with batches of %d", batch)
                continue
            if scores.shape != (len(some),):
                raise ValueError(
                    f"evaluate returned {tuple(scores.shape)} for {len(some)} versions; it must return one score each"
                )
            if not torch.isfinite(scores).all():
                raise ValueError(f"evaluate returned a score that is not finite for image {image}; the search would choose it")
            parts.append(scores.float().cpu())
            position += len(some)
    return torch.cat(parts) if parts else torch.empty(0)


def _materialised(scorer: Scorer, candidates: Tensor, image: int) -> Tensor:
    """Scores of candidates (B, K, 2) by running the model on B versions of the features."""
    features = scorer.features[image].to(scorer.device)
    index = sources(candidates, scorer.channels)
    return scorer.evaluate(features.index_select(0, index.flatten()).view(*index.shape, *features.shape[1:]), image)


def _run(scorer: Scorer, candidates: Tensor, todo: list[tuple[int, int]], halve: bool):
    """Yield (image, start, scores) as blocks end."""
    if scorer.workers <= 1:
        for image, start in todo:
            yield image, start, _block(scorer, candidates, image, start, halve)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # new threads start with this figure
    pool, stop = ThreadPoolExecutor(scorer.workers), Event()
    waiting = iter(todo)
    running: dict[Future, tuple[int, int]] = {}
    try:
        while True:
            for image, start in islice(waiting, 2 * scorer.workers - len(running)):
                running[pool.submit(_block, scorer, candidates, image, start, halve, stop)] = (image, start)
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(ended, key=running.get):
                image, start = running.pop(future)
                yield image, start, future.result()
    finally:
        stop.set()  # what is not finished is scored again; nobody waits for it
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
