"""Training a method: one plain loop, Dice + cross-entropy on the decoder's low-resolution single mask."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.backbones.sam import SINGLE, Item, Segmenter
from benchmarks.backbones.sam_decode import decode
from benchmarks.data.samples import Sample
from benchmarks.errors import RunFailed
from benchmarks.parallel import each
from benchmarks.protocols import Training

SHARE = 2  # images whose gradient one worker computes at a time; fixed, so that sums have one order on every machine


def target(segmenter: Segmenter, item: Item) -> Tensor:
    """The truth (4h, 4w) as the decoder's low-resolution mask should be: area-averaged, 0..1, zero in the padding."""
    size = segmenter.sam.image_encoder.img_size
    resized = F.interpolate(item.truth[None, None].float(), item.input_size, mode="area")
    padded = F.pad(resized, (0, size - item.input_size[1], 0, size - item.input_size[0]))
    low = 4 * segmenter.sam.prompt_encoder.image_embedding_size[0]
    return F.interpolate(padded, (low, low), mode="area")[0, 0]


def dice_ce(logits: Tensor, truth: Tensor) -> Tensor:
    """Dice loss plus binary cross-entropy, equal parts, averaged over a batch of (B, H, W) logits and truths in 0..1."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth)
    p = logits.sigmoid()
    overlap = 2 * (p * truth).sum((1, 2)) + 1
    return entropy + (1 - overlap / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)).mean()


def train(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    training: Training,
    seed: int,
    features: Sequence[Tensor] | None = None,
    step: Callable[[int], None] = lambda done: None,
    workers: int = 1,
) -> list[float]:
    """Train whatever asks for a gradient. Returns the mean loss of each epoch.

    `features` of the samples, where the encoder is frozen: it is then never run. The order of the images comes from `seed`
    alone, and a batch is always cut into the same shares, so the result does not depend on `workers`. The model stays in
    eval mode throughout. Raises RunFailed where the loss is not finite, saying where.
    """
    parameters = [p for p in segmenter.sam.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=training.learning_rate, weight_decay=training.weight_decay)
    order = random.Random(seed)
    items = [segmenter.item(sample) for sample in samples]
    targets = [target(segmenter, item) for item in items]

    def gradients(share: list[int]) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        if features is None:
            embeddings = segmenter.encode(torch.stack([segmenter.pixels(samples[k].image) for k in share]))
        else:
            embeddings = torch.stack([features[k].to(segmenter.device) for k in share])
        sparse = torch.cat([items[k].sparse for k in share])
        dense = torch.cat([items[k].dense for k in share])
        with segmenter.autocast():
            logits, _ = decode(segmenter.sam, embeddings, sparse, dense, SINGLE)
        loss = dice_ce(logits[:, 0].float(), torch.stack([targets[k] for k in share]))
        return loss.detach(), torch.autograd.grad(loss, parameters, allow_unused=True)

    losses = []
    for epoch in range(training.epochs):
        turn = iter(order.sample(range(len(samples)), len(samples)))
        total = 0.0
        while batch := list(islice(turn, training.batch)):
            shares = [batch[k : k + SHARE] for k in range(0, len(batch), SHARE)]
            optimiser.zero_grad(set_to_none=True)
            for share, (loss, parts) in zip(shares, each(gradients, shares, workers)):
                if not torch.isfinite(loss):
                    names = ", ".join(samples[k].id for k in share)
                    raise RunFailed(
                        f"the loss is {float(loss)} in epoch {epoch + 1} on {names}; try a lower learning rate or --precision float32"
                    )
                total += float(loss) * len(share)
                for parameter, part in zip(parameters, parts):
                    if part is not None:  # three of the four mask tokens take no part in the single mask
                        part = part * (len(share) / len(batch))
                        parameter.grad = part if parameter.grad is None else parameter.grad + part
            optimiser.step()
            step(len(batch))
        losses.append(total / len(samples))
    return losses
