"""Training a method: one plain loop over whatever loss the task has."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.backbones.model import Encoded, Model
from benchmarks.errors import RunFailed
from benchmarks.memory import checkpointed, halving
from benchmarks.options import LEANER, Options
from benchmarks.parallel import each
from benchmarks.protocols import Training
from benchmarks.train_state import TrainState

log = logging.getLogger("benchmarks")
Numbered = tuple[int, Any]  # its number in the training set, and itself unless all that is wanted of it is known
AS_USUAL = Options()
REMEMBERED = 2**30  # bytes of examples held between epochs; of a larger training set they are made again each time


class Examples:
    """What the loss needs of each training sample besides its features, see `Model.example`. Made once where they fit."""

    def __init__(self, model: Model, count: int):
        self._model, self._count = model, count
        self._made: dict[int, tuple[Tensor, ...]] = {}

    @property
    def known(self) -> frozenset[int]:
        """The samples whose examples are made: without them, no sample need be read for its features alone."""
        return frozenset(self._made)

    def of(self, k: int, sample) -> tuple[Tensor, ...]:
        if k in self._made:
            return self._made[k]
        made = self._model.example(sample)
        if self._count * sum(part.nbytes for part in made) <= REMEMBERED:
            self._made[k] = made
        return made


def orders(seed: int, count: int, epochs: int) -> list[list[int]]:
    """The order of the samples in each epoch. Epoch n's does not depend on how many follow."""
    random_order = random.Random(seed)
    return [random_order.sample(range(count), count) for _ in range(epochs)]


class _Reading(Sequence):
    """Reads samples where it is asked, in this process or in a loader's; for those in `known` nothing is read."""

    def __init__(self, samples: Sequence[Any], known: Container[int]):
        self._samples, self._known = samples, known

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, k: int) -> Numbered:
        return k, None if k in self._known else self._samples[k]


def loaded(
    samples: Sequence[Any], batches: list[list[int]], loaders: int, known: Container[int] = ()
) -> Iterator[list[Numbered]]:
    """Batches of samples, in order; read ahead by `loaders` processes where there are any. None for those in `known`."""
    reading = _Reading(samples, known)
    if loaders == 0:
        yield from ([reading[k] for k in batch] for batch in batches)
        return
    yield from DataLoader(reading, batch_sampler=batches, num_workers=loaders, collate_fn=list)


def _not_finite(loss: Tensor, parts: Sequence[Tensor | None], names: Iterable[str]) -> str | None:
    """What of a step is not finite, in words. One look at the device where all is well."""
    if not torch.isfinite(loss):
        return f"the loss is {float(loss)}"
    largest = {name: torch.linalg.vector_norm(part, torch.inf) for name, part in zip(names, parts) if part is not None}
    if torch.isfinite(torch.stack([*largest.values()])).all():
        return None
    return f"the gradient of {next(name for name, size in largest.items() if not torch.isfinite(size))} is not finite"


def train(
    model: Model,
    samples: Sequence[Any],
    training: Training,
    seed: int,
    features: Sequence[tuple[Tensor, tuple[Tensor, ...]]] | None = None,
    step: Callable[[int], None] = lambda done: None,
    workers: int = 1,
    options: Options = AS_USUAL,
    state: TrainState | None = None,
    halved: Callable[[int], None] = lambda micro_batch: None,
    fixed: bool = False,
) -> list[float]:
    """Train whatever asks for a gradient. Returns the mean loss of each epoch.

    `features`, site and rest of each sample, where the encoder is frozen: it is then never run. The order of the images comes from `seed`
    alone, and a batch is always cut into the same micro-batches, so the result does not depend on `workers` or on
    `options.loaders`. The model stays in eval mode throughout. With a `state`, every epoch but the last is kept there, and a
    call after a kill goes on from it to the same weights; `step` is told of the epochs that are done already.
    Where a GPU's memory runs out the step is done again in micro-batches of half the size, with the gradients of the same batch up to
    rounding, and so are those that follow; `halved` hears of each size. Raises RunFailed where the loss is not finite, saying where,
    and where memory does not do for a single image, or for the micro-batch as it is where that is `fixed`.
    """
    parameters = {name: p for name, p in model.network.named_parameters() if p.requires_grad}
    optimiser = torch.optim.Adam(parameters.values(), lr=training.learning_rate, weight_decay=training.weight_decay)
    begun = time.perf_counter() - (state.seconds() if state else 0.0)
    losses = state.load(parameters, optimiser) if state else []
    if losses:
        log.info("training goes on after epoch %d of %d", len(losses), training.epochs)
        step(len(losses) * len(samples))
    examples = Examples(model, len(samples))

    def gradients(share: list[Numbered]) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        if features is None:
            encoded = model.encode(torch.stack([model.pixels(sample.image) for _, sample in share]))
        else:
            sites, rests = zip(*(features[k] for k, _ in share))
            stacked = (torch.stack(parts).to(model.device) for parts in zip(*rests))
            encoded = Encoded(torch.stack(sites).to(model.device), tuple(stacked))
        loss = model.loss(encoded, tuple(torch.cat(parts) for parts in zip(*(examples.of(k, sample) for k, sample in share))))
        return loss.detach(), torch.autograd.grad(loss, tuple(parameters.values()), allow_unused=True)

    def summed(batch: list[Numbered], micro_batch: int, epoch: int) -> float:
        """The batch's gradients, in the parameters, from micro-batches; returns the sum of its losses."""
        optimiser.zero_grad(set_to_none=True)
        total = 0.0
        shares = [batch[k : k + micro_batch] for k in range(0, len(batch), micro_batch)]
        for share, (loss, parts) in zip(shares, each(gradients, shares, workers)):
            if what := _not_finite(loss, parts, parameters):
                names = ", ".join(samples[k].id for k, _ in share)
                cure = "look at these images and at what the method adds"
                cure = "try --precision float32" if model.precision != "float32" else cure
                raise RunFailed(f"{what} in epoch {epoch + 1} on {names}; {cure}")
            total += float(loss) * len(share)
            for parameter, part in zip(parameters.values(), parts):
                if part is not None:  # three of the four mask tokens take no part in the single mask
                    part = part * (len(share) / len(batch))
                    parameter.grad = part if parameter.grad is None else parameter.grad + part
        return total

    turns = orders(seed, len(samples), training.epochs)
    micro = min(options.micro_batch, training.batch)
    if losses and (before := state.micro_batch()) and before < micro:  # the rest as it was begun, and the record says so
        micro = before
        halved(micro)
    lean = checkpointed(model.network) if options.activation_checkpointing and features is None else nullcontext()
    with lean:
        for epoch in range(len(losses), training.epochs):
            turn, total = turns[epoch], 0.0
            batches = [turn[k : k + training.batch] for k in range(0, len(turn), training.batch)]
            known = examples.known if features is not None else ()
            for batch in loaded(samples, batches, options.loaders, known):
                step_of = partial(summed, batch, epoch=epoch)
                loss, fits = halving(step_of, micro, "micro-batches of training", LEANER, fixed)
                if fits < micro:
                    micro = fits
                    halved(micro)
                total += loss
                optimiser.step()
                step(len(batch))
            losses.append(total / len(samples))
            if state and epoch + 1 < training.epochs:
                state.save(parameters, optimiser, losses, time.perf_counter() - begun, micro)
    return losses
