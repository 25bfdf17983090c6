"""First-order estimates of what every pair gains: one backward pass an image instead of C^2 evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from chanswap.journal import Journal
from chanswap.scoring import Progress, Scorer
from chanswap.swap import Swap


def estimates(
    scorer: Scorer, around: Swap | None = None, *, journal: Journal | None = None, progress: Progress | None = None
) -> Tensor:
    """What showing original channel j at channel i would gain, beside the features with the swap `around` on: (images, C, C).

    With X (C, N) the features of an image, Y those swapped, and G the slope of the scorer's `smooth` score at Y, the estimate is
    G X^T minus the rows' own part, <G_i, Y_i>. At i = j it is what taking a replacement off would gain. On the CPU, float32.
    With a journal, images that it holds are not done again. Raises ValueError for a scorer without `smooth`.
    """
    if scorer.smooth is None:
        raise ValueError(
            "first-order estimates need the slope of a score: give the Scorer a `smooth` score, or choose another strategy"
        )
    channels, images = scorer.channels, len(scorer.features)
    source = torch.arange(channels) if around is None else around.index()
    found = torch.empty(images, channels, channels)
    finished = {image: rows for (image, _), rows in (journal.load() if journal else {}).items() if len(rows) == channels**2}

    def rows_of(image: int) -> Tensor:
        return finished[image] if image in finished else _estimate(scorer, image, source).flatten()

    threads = torch.get_num_threads()
    try:
        with _mapper(scorer.workers) as each:
            for image, rows in enumerate(each(rows_of, range(images))):
                found[image] = rows.view(channels, channels)
                if journal and image not in finished:
                    journal.append(image, 0, rows)
                if progress:
                    progress(image + 1, images)
    finally:
        torch.set_num_threads(threads)
        if journal:
            journal.close()
    return found


@contextmanager
def _mapper(workers: int) -> Iterator[Callable]:
    """`map`, in that many threads of one intra-op thread each where they are more than one."""
    if workers <= 1:
        yield map
        return
    torch.set_num_threads(1)  # new threads start with this figure
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _estimate(scorer: Scorer, image: int, source: Tensor) -> Tensor:
    original = scorer.features[image].to(scorer.device)
    with torch.enable_grad():
        shown = original[source.to(original.device)].requires_grad_(True)
        (slope,) = torch.autograd.grad(scorer.smooth(shown[None], image).sum(), shown)
    slope, shown = slope.flatten(1), shown.detach().flatten(1)
    found = (slope @ original.flatten(1).T - (slope * shown).sum(1, keepdim=True)).float().cpu()
    if not torch.isfinite(found).all():
        raise ValueError(f"the slope of `smooth` is not finite for image {image}; the search would follow it")
    return found
