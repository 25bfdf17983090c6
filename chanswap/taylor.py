"""First-order estimates of what every pair gains: one backward pass an image instead of C^2 evaluations."""

from __future__ import annotations

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
    finished = journal.load() if journal else {}
    try:
        for image in range(images):
            rows = finished.get((image, 0))
            if rows is None or len(rows) != channels**2:
                rows = _estimate(scorer, image, source).flatten()
                if journal:
                    journal.append(image, 0, rows)
            found[image] = rows.view(channels, channels)
            if progress:
                progress(image + 1, images)
    finally:
        if journal:
            journal.close()
    return found


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
