"""The scores of a record, made a second time: by the library's own predictor, one image at a time, and counted with NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.backbones.sam import Segmenter
from benchmarks.catalog import BEST_OF_THREE, SWAP
from benchmarks.data.samples import Sample, interior_point
from chanswap import Swap, random_swap

if TYPE_CHECKING:
    from benchmarks.contract.trial import Trial

Score = tuple[float, int]  # IoU, and the pixels of the union


def recomputed(trial: Trial) -> dict[str, list[Score]]:
    """By evaluation and in the plan's order, what the small run's record should say of each test image.

    The method is attached anew and reads the run's artefact; the images are those that were drawn, not those that were read.
    """
    from segment_anything import SamPredictor

    p, name = trial.plan, trial.name
    chosen = Swap(trial.record.search.pairs, channels=p.backbone.channels)
    draws = [random_swap(p.backbone.channels, len(chosen), 1000 * p.seed + k) for k in range(p.protocol.random_draws)]
    adapted, base = SamPredictor(trial.restored(p.seed).network), SamPredictor(Segmenter(trial.bare()).network)
    made: dict[str, list[Score]] = {}
    for sample in (trial.place.images[i] for i in p.test_ids):
        base.set_image(sample.image)
        made.setdefault("base", []).append(_scored(base, sample))
        made.setdefault(BEST_OF_THREE, []).append(_scored(base, sample, best_of_three=True))
        adapted.set_image(sample.image)
        features = adapted.features
        if name != "base":
            made.setdefault(name, []).append(_scored(adapted, sample))
        by_swap = []
        for swap in (chosen, *draws):
            adapted.features = swap(features)
            by_swap.append(_scored(adapted, sample))
        made.setdefault(name + SWAP, []).append(by_swap[0])
        values, unions = zip(*by_swap[1:])
        made.setdefault(f"{name}+random-swap", []).append((float(np.mean(values)), min(unions)))
    return made


def _scored(predictor, sample: Sample, best_of_three: bool = False) -> Score:
    click = np.array([interior_point(sample.mask)])
    with torch.inference_mode():
        masks, scores, _ = predictor.predict(click, np.array([1]), multimask_output=best_of_three)
    mask = masks[scores.argmax()] if best_of_three else masks[0]
    union = int((mask | sample.mask).sum())
    return (int((mask & sample.mask).sum()) / union if union else 1.0), union
