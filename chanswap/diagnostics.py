"""Looking at channels: the score without each of them, the gain over the number of pairs, and their maps.

Table 1, figure 4 and figure 5 of arXiv 2504.08915.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from chanswap.combine import subsets
from chanswap.journal import Journal
from chanswap.multiple import labels
from chanswap.scoring import Progress, Scorer, score
from chanswap.screening import Screen
from chanswap.swap import Swap

Change = Callable[[Tensor], Tensor]
LEVEL = 0.95
DRAWS = 400  # of a bootstrap, for each channel: the smallest p-value there can be, times the number of channels, is then 0.005
_NUMBERS = 2**22  # that one chunk of draws may take: 32 MB
_BRIGHTEST = 0.995  # of the values have their full colour range; a single bright token must not make all else grey


@dataclass(frozen=True)
class Zeroing:
    """Scores of each image: `base` (images,) as it is, `without` (images, C) with each channel set to zero; float32."""

    base: Tensor
    without: Tensor

    @property
    def gains(self) -> Tensor:
        """What setting each channel to zero gains on each image, (images, C), float64. Above 0, the model is better without it."""
        return self.without.double() - self.base.double()[:, None]


@dataclass(frozen=True)
class Effects:
    """Of each channel the mean gain (C,), float64, its percentile interval, its two-sided p-value (not corrected for the number of
    channels), and its label by corrected p-values, see `chanswap.multiple.labels`."""

    mean: Tensor
    low: Tensor
    high: Tensor
    p: Tensor
    labels: tuple[str, ...]


def zeroing(scorer: Scorer, *, journal: Journal | None = None, progress: Progress | None = None) -> Zeroing:
    """Score every image with every one of the C channels set to zero: images x (C + 1) evaluations. Raises as `score` does."""
    table = altered(scorer, [partial(_at, {c: 0.0}) for c in range(scorer.channels)], journal=journal, progress=progress)
    return Zeroing(table[:, 0], table[:, 1:])


def constant(swap: Swap, levels: Tensor) -> Change:
    """The change that sets each channel that a swap replaces to one number, the level of the channel shown in its place: what is
    left of the swap when nothing of that channel's map but its mean is shown. levels (C,), see `levels`."""
    return partial(_at, {redundant: float(levels[effective]) for redundant, effective in swap.pairs})


def altered(
    scorer: Scorer, changes: Sequence[Change], *, journal: Journal | None = None, progress: Progress | None = None
) -> Tensor:
    """Scores (images, 1 + changes), float32, of the features as they are and after each change, a function of features (C, ...) to
    features of the same shape that leaves its argument alone.

    `scorer.evaluate` is run on the altered features; a shorter way for pairs knows nothing of them. Raises as `score` does.
    """

    def evaluate(candidates: Tensor, image: int) -> Tensor:
        features = scorer.features[image].to(scorer.device)
        versions = [features if k < 0 else changes[k](features) for k in candidates[:, 0, 0].tolist()]
        return scorer.evaluate(torch.stack(versions), image)

    # The candidate (k, k), which is no swap, stands for change k, and (-1, -1) for none.
    numbers = torch.arange(-1, len(changes))[:, None, None].expand(-1, 1, 2)
    return score(replace(scorer, evaluate_pairs=evaluate), numbers, journal=journal, progress=progress)


def levels(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The mean (C,) and the standard deviation (C,) of each channel over images (C, ...) and positions, float64."""
    sums = sum(torch.stack([x.double().flatten(1).mean(1), x.double().flatten(1).square().mean(1)]) for x in features)
    mean, square = sums.cpu() / len(features)
    return mean, (square - mean.square()).clamp(min=0).sqrt()


def _at(values: dict[int, float], features: Tensor) -> Tensor:
    """Features (C, ...) with some channels set to a number each."""
    changed = features.clone()
    for channel, value in values.items():
        changed[channel] = value
    return changed


def effects(gains: Tensor, *, draws: int | None = None, seed: int = 0) -> Effects:
    """Percentile bootstrap over images of the mean of each column of gains (images, C), all on the same draws.

    A p-value is never below that of a sign test in which all images that differ agree: 2 to the power of 1 minus their number.
    `draws`: None is 400 for each channel. Raises ValueError for gains that are empty or not finite.
    """
    if gains.ndim != 2 or not gains.numel() or not torch.isfinite(gains).all():
        raise ValueError(f"need finite, non-empty gains (images, C), got shape {tuple(gains.shape)}")
    images, channels = gains.shape
    gains, draws = gains.double().cpu(), draws or DRAWS * max(channels, 50)
    generator, means = torch.Generator().manual_seed(seed), torch.empty(draws, channels)
    for chunk in means.split(max(1, _NUMBERS // images)):
        picked = torch.randint(images, (len(chunk), images), generator=generator)
        times = torch.zeros(len(chunk), images, dtype=torch.float64).scatter_add_(
            1, picked, torch.ones(1, 1, dtype=torch.float64).expand_as(picked)
        )
        chunk.copy_(times @ gains / images)
    mean, ends = gains.mean(0), torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = torch.stack([column.sort().values[(ends * (draws - 1)).round().long()] for column in means.T], 1).double()
    crossed = torch.minimum((means <= 0).sum(0), (means >= 0).sum(0))
    p = (2 * (1 + crossed) / (draws + 1)).double()  # adding one: that no draw crossed zero does not make it impossible
    # A bootstrap of a few images that agree would be sure. No test of their signs could be surer than if all agreed by chance.
    p = torch.maximum(p, 2.0 ** (1 - (gains != 0).sum(0).double())).clamp(max=1)
    return Effects(mean, low, high, p, tuple(labels(mean.tolist(), p.tolist())))


@dataclass(frozen=True)
class Size:
    """The best swap of exactly so many pairs, its gain on the search set, how many such swaps were scored and how many subsets of
    that size cannot stand because they overwrite one channel twice."""

    swap: Swap
    gain: float
    tried: int
    conflicts: int


@dataclass(frozen=True)
class Growth:
    """The best swap of each size, from one pair on, as far as any can stand; the score `base` without a swap; evaluations spent."""

    sizes: tuple[Size, ...]
    base: float
    evaluations: int

    def at_most(self, count: int) -> Size:
        """The best of the swaps of 1 to `count` pairs; among equals the smallest."""
        return max(self.sizes[:count], key=lambda size: size.gain)


def growth(
    scorer: Scorer, pairs: Sequence[tuple[int, int]], *, journal: Journal | None = None, progress: Progress | None = None
) -> Growth:
    """The best combination of exactly n of these pairs, for every n (figure 4). All subsets are scored, as `all_subsets` does.

    Raises as `all_subsets` does.
    """
    standing, conflicts = subsets(pairs, scorer.channels)
    table = score(scorer, standing, journal=journal, progress=progress)
    means = table.mean(0, dtype=torch.float64)
    sizes = []
    for count in range(1, max(map(len, standing)) + 1):
        places = [k for k, swap in enumerate(standing) if len(swap) == count]
        best = max(places, key=lambda k: float(means[k]))  # the first of equals
        sizes.append(Size(standing[best], float(means[best] - means[0]), len(places), conflicts[count]))
    return Growth(tuple(sizes), float(means[0]), table.numel())


def one_a_channel(screen: Screen, count: int) -> list[tuple[tuple[int, int], float]]:
    """The best pair of each redundant channel, the best `count` of these, with their gains.

    The best pairs of all mostly contest one channel, and then no two of them can stand in one swap; any of these can.
    """
    best: dict[int, tuple[tuple[int, int], float]] = {}
    for pair, gain in screen.best(len(screen.pairs)):
        best.setdefault(pair[0], (pair, gain))
    return list(best.values())[:count]


def maps(features: Tensor, channels: Sequence[int]) -> Tensor:
    """Feature maps (K, h, w) of some channels of features (C, h, w), for a picture: from -1 to 1 with zero at zero.

    All are divided by one number, so that they can be compared: the 99.5 % point of the absolute values shown. Raises ValueError
    for features that are no maps, or a channel that they do not have.
    """
    if features.ndim != 3:
        raise ValueError(f"maps are of features (C, h, w), got shape {tuple(features.shape)}")
    if not channels or not all(0 <= c < len(features) for c in channels):
        raise ValueError(f"channels must be in 0..{len(features) - 1}, got {list(channels)}")
    chosen = features[list(channels)].float().cpu()
    scale = chosen.abs().flatten().sort().values[round(_BRIGHTEST * (chosen.numel() - 1))]
    return (chosen / scale.clamp(min=1e-12)).clamp(-1, 1)
