"""`Model`: what a run needs of a backbone, whatever its family and task: image -> features at the site -> scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.backbones.compiled import compiled
from benchmarks.options import Decoding
from chanswap import Scorer


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of B images. site (B, C, ...): the tensor that a swap acts on, channels second, float32. rest: what
    else the decoder reads of the encoder, each (B, ...) float32; a swap leaves it alone."""

    site: Tensor
    rest: tuple[Tensor, ...] = ()

    def of(self, k: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The site (C, ...) and the rest, each (...), of image k."""
        return self.site[k], tuple(part[k] for part in self.rest)

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        """Several encodings as one of all their images, in this order."""
        if len(parts) == 1:
            return parts[0]
        rest = tuple(torch.cat(same) for same in zip(*(part.rest for part in parts)))
        return cls(torch.cat([part.site for part in parts]), rest)


def best_scored(logits: Tensor, scores: Tensor) -> Tensor:
    """Of the masks (B, T, h, w) of B versions the one (B, 1, h, w) that the model itself scores (B, T) best."""
    return logits[torch.arange(len(logits)), scores.argmax(1)][:, None]


class Model(ABC):
    """A network on a device, with the preprocessing, the decoding and the measures of one task.

    network: what methods attach to. `score` is the search's objective, higher is better; `objective` says in words what it is.
    search_batch: how many versions of one image a search scores at a time. precision "float32", or "bfloat16": autocast around
    encoder and decoder, scores in float32.
    """

    network: nn.Module
    objective: str
    decoding: Decoding = Decoding()
    search_batch: int = 32  # of a small mask decoder: 32 x 64 x 16 x 16 floats stay in a core's second-level cache

    def __init__(self, network: nn.Module, device: str = "cpu", precision: str = "float32"):
        self.network, self.device, self.precision = network.to(device), torch.device(device), precision

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def compiled(self, function: Callable) -> Callable:
        """The function as `decoding` wants it run. What cannot be compiled is said once and run as it is."""
        return compiled(function, self.device) if self.decoding.compiled else function

    @abstractmethod
    def pixels(self, image: np.ndarray) -> Tensor:
        """The encoder's input (3, H', W') of an image (H, W, 3) uint8."""

    @abstractmethod
    def encode(self, pixels: Tensor) -> Encoded:
        """Features of inputs (B, 3, H', W')."""

    @abstractmethod
    def item(self, sample: Any, rest: tuple[Tensor, ...] = ()) -> Any:
        """All that scoring needs of a sample but its site: truth, prompt, sizes, and the `rest` of its features."""

    @abstractmethod
    def score(self, site: Tensor, item: Any) -> Tensor:
        """The objective (B,) of B versions (B, C, ...) of one image's site."""

    @abstractmethod
    def smooth(self, site: Tensor, item: Any) -> Tensor:
        """A score (B,) that can be differentiated in the site and rises and falls with `score`."""

    def pair_scorer(
        self, sites: Sequence[Tensor], items: Sequence[Any], workers: int = 1
    ) -> Callable[[Tensor, int], Tensor] | None:
        """A function of candidates (B, K, 2), filled up with -1, and an image's number: `score` of that image's site replaced so,
        by a shorter way, equal up to rounding. None where there is none."""
        return None

    def scorer(self, sites: Sequence[Tensor], items: Sequence[Any], workers: int = 1) -> Scorer:
        """What a search needs of this model: the sites (C, ...) of its images, with their items."""
        return Scorer(
            sites,
            lambda versions, image: self.score(versions, items[image]),
            batch=self.search_batch,
            workers=workers,
            device=self.device,
            evaluate_pairs=self.pair_scorer(sites, items, workers) if self.decoding.shortcuts else None,
            smooth=lambda versions, image: self.smooth(versions, items[image]),
        )

    @abstractmethod
    def measures(self, site: Tensor, item: Any, all_metrics: bool = True) -> dict[str, Tensor]:
        """Each metric (B,) of B versions (B, C, ...) of one image's site, by its name in `benchmarks.metrics.names`. Without `all_metrics`, the first alone may be given.

        A metric whose mean over images is not all that matters is given as a curve (B, n), see `benchmarks.metrics.names.finish`.
        """

    def controls(self, site: Tensor, item: Any) -> dict[str, dict[str, Tensor]]:
        """Other answers of the unadapted model to one image's sites (B, C, ...): metrics by the control's name."""
        return {}

    @abstractmethod
    def example(self, sample: Any) -> tuple[Tensor, ...]:
        """What `loss` needs of a sample besides its features, each (1, ...) on the device. Sizes are those of every sample."""

    @abstractmethod
    def loss(self, encoded: Encoded, examples: tuple[Tensor, ...]) -> Tensor:
        """The training loss, a scalar, of B encoded images and their examples, each concatenated to (B, ...)."""
