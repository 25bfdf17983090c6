"""DINOv2's tokens under a linear head, as a run needs them: `DepthModel` and `Classifier`, over a timm `VisionTransformer`.

With a linear head the effect of a swap is known without running it: replacing channel i by j adds (x_j - x_i) times the head's
column i to the logits. `pair_scorer` scores candidates from that rank-one change alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.backbones import dinov2_pairs
from benchmarks.backbones.model import Encoded, Model
from benchmarks.data.samples import DepthSample, LabelSample
from benchmarks.errors import RunFailed
from benchmarks.metrics import depth as depth_metrics
from benchmarks.protocols import Protocol

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
TIE = 1e-4  # of the cross-entropy in a classification's score: one more correct image of 100 weighs more than any of it
LARGEST = 100.0  # of a cross-entropy in that score
# Bytes of the bin logits of one batch of a search. On a CPU what stays in a core's cache is fastest, down to one version of an image
# of NYU's size (26 MB; a worker that takes 32 of them holds 0.9 GB and is half as fast); a GPU wants its kernels large.
BATCH_BYTES = {"cpu": 2**22, "cuda": 2**30}
FLOOR = 0.1  # added to each bin before it is normalised, DINOv2's linear depth head


class _Tokens(Model):
    """What both tasks share: the preprocessing and the tokens."""

    def __init__(self, network, protocol: Protocol, device: str = "cpu", precision: str = "float32"):
        """Raises RunFailed for a head that is no plain linear layer: its weights are read, and it is not called."""
        super().__init__(network, device, precision)
        head = network.head
        if type(head) is not nn.Linear or "forward" in vars(head) or head._forward_hooks or head._forward_pre_hooks:
            raise RunFailed(
                f"the head is a {type(head).__name__} with a forward of its own, which is not called; leave the linear head in "
                "place, without hooks, and change or train its weights instead"
            )
        self.protocol = protocol
        self.patch = network.patch_embed.patch_size[0]
        self._mean, self._std = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (MEAN, STD))

    def _normalised(self, image: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1).float() / 255
        return (pixels - self._mean) / self._std

    def tokens(self, pixels: Tensor) -> Tensor:
        """The final tokens (B, 1 + N, C) after the last norm, CLS first."""
        with self.autocast():
            return self.network.forward_features(pixels).float()


@dataclass(frozen=True)
class Labelled:
    """A sample's class."""

    id: str
    label: int


class Classifier(_Tokens):
    """A linear head on the CLS token. The site is (C, 1)."""

    search_batch = 1024  # a whole block of the scorer's: a version is K logits, and its cost is that of the call
    objective = f"accuracy, ties broken by cross-entropy: correct - {TIE:g} cross-entropy"

    def pixels(self, image: np.ndarray) -> Tensor:
        """(3, S, S) of an image (H, W, 3): normalised, and resized (bicubic, antialiased) where the protocol says so."""
        pixels = self._normalised(image)
        if self.protocol.rules["input"] != "as it is":
            size = (self.protocol.image_size // self.patch * self.patch,) * 2
            pixels = F.interpolate(pixels[None], size, mode="bicubic", antialias=True)[0]
        return pixels

    def encode(self, pixels: Tensor) -> Encoded:
        return Encoded(self.tokens(pixels)[:, :1].transpose(1, 2).contiguous())

    def item(self, sample: LabelSample, rest: tuple[Tensor, ...] = ()) -> Labelled:
        return Labelled(sample.id, sample.label)

    def _logits(self, site: Tensor) -> Tensor:
        with self.autocast():
            return self.network.head(site[..., 0]).float()

    def score(self, site: Tensor, item: Labelled) -> Tensor:
        return _graded(self._logits(site), item.label)

    def smooth(self, site: Tensor, item: Labelled) -> Tensor:
        return -_entropy(self._logits(site), item.label)

    def measures(self, site: Tensor, item: Labelled, all_metrics: bool = True) -> dict[str, Tensor]:
        logits = self._logits(site)
        return {"accuracy": _correct(logits, item.label), "cross_entropy": _entropy(logits, item.label)}

    def pair_scorer(
        self, sites: Sequence[Tensor], items: Sequence[Labelled], workers: int = 1
    ) -> Callable[[Tensor, int], Tensor] | None:
        if self.precision != "float32":
            return None
        columns = self.network.head.weight.detach().T.contiguous()  # (C, K)

        @lru_cache(maxsize=workers + 1)  # each is at one image, and one of them may have begun the next
        def prepared(image: int) -> tuple[Tensor, Tensor]:
            token = sites[image].to(self.device)[:, 0]
            return token, self.network.head(token)

        def score(pairs: Tensor, image: int) -> Tensor:
            token, base = prepared(image)
            redundant, effective = pairs.unbind(-1)  # (B, P), -1 where there is no pair: the last channel against itself
            change = token[effective] - token[redundant]
            logits = torch.addcmul(base, columns[redundant[:, 0]], change[:, :1])
            for k in range(1, pairs.shape[1]):
                logits.addcmul_(columns[redundant[:, k]], change[:, k, None])
            return _graded(logits, items[image].label)

        return score

    def example(self, sample: LabelSample) -> tuple[Tensor]:
        return (torch.tensor([sample.label], device=self.device),)

    def loss(self, encoded: Encoded, examples: tuple[Tensor, ...]) -> Tensor:
        return F.cross_entropy(self._logits(encoded.site), examples[0])


def _correct(logits: Tensor, label: int) -> Tensor:
    """1 where the label's logit (B, K) is the largest, of equal ones the first; else 0."""
    return (logits.argmax(1) == label).float()


def _entropy(logits: Tensor, label: int) -> Tensor:
    return logits.logsumexp(1) - logits[:, label]


def _graded(logits: Tensor, label: int) -> Tensor:
    return _correct(logits, label) - TIE * _entropy(logits, label).clamp(max=LARGEST)


@dataclass(frozen=True)
class Measured:
    """Truth (H, W) in metres, 0 where a pixel does not count; which count; where the image lies in the padded input, (top, left);
    and how many patches that input has, (down, across)."""

    id: str
    truth: Tensor
    counts: Tensor
    at: tuple[int, int]
    grid: tuple[int, int]


class DepthModel(_Tokens):
    """DINOv2's linear depth head on the last layer ("lin.1"): each patch token beside CLS, bilinear x4, one linear layer to bins,
    normalised after a relu, the expected depth over uniform bins. The site is (C, 1 + N), CLS first."""

    objective = "-mse"

    def __init__(self, network, protocol: Protocol, device: str = "cpu", precision: str = "float32"):
        super().__init__(network, protocol, device, precision)
        rules = protocol.rules
        self._low, self._high, self._up = rules["min_depth"], rules["max_depth"], rules["head_upsample"]
        self._bins = torch.linspace(self._low, self._high, rules["head_bins"], device=self.device)
        side = self._up * -(-protocol.image_size // self.patch)  # of the largest image's enlarged logits
        largest = BATCH_BYTES.get(self.device.type, BATCH_BYTES["cuda"])
        self.search_batch = max(1, largest // (4 * len(self._bins) * side**2))

    def pixels(self, image: np.ndarray) -> Tensor:
        """(3, H', W') of an image (H, W, 3): normalised, padded with zeros on all sides to multiples of the patch."""
        height, width = image.shape[:2]
        top, left = self._at(height, width)
        down, right = -height % self.patch - top, -width % self.patch - left
        return F.pad(self._normalised(image), (left, right, top, down))

    def _at(self, height: int, width: int) -> tuple[int, int]:
        return (-height % self.patch) // 2, (-width % self.patch) // 2

    def encode(self, pixels: Tensor) -> Encoded:
        return Encoded(self.tokens(pixels).transpose(1, 2).contiguous())

    def item(self, sample: DepthSample, rest: tuple[Tensor, ...] = ()) -> Measured:
        truth = torch.as_tensor(sample.depth, device=self.device)
        height, width = truth.shape
        counts = depth_metrics.valid(truth, self._low, self._high, self.protocol.rules["crop"])
        truth = torch.where(counts, truth, 0.0)  # unknown depth may be NaN, which no weight of 0 takes out of a sum
        return Measured(sample.id, truth, counts, self._at(height, width), self._grid(height, width))

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        return -(-height // self.patch), -(-width // self.patch)

    def _size(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the padded input."""
        return grid[0] * self.patch, grid[1] * self.patch

    def _logits(self, site: Tensor, grid: tuple[int, int]) -> Tensor:
        """Bin logits (B, K, h, w) at the tokens. The head is linear, so that enlarging features or logits is the same."""
        weight, bias = self.network.head.weight, self.network.head.bias
        with self.autocast():
            patch, whole = weight.split(site.shape[1], dim=1)
            logits = (patch @ site[:, :, 1:] + (whole @ site[:, :, :1] + bias[:, None])).unflatten(2, grid)
        return logits.float()

    def _depth(self, logits: Tensor) -> Tensor:
        """Metres (B, 4h, 4w) of bin logits (B, K, 4h, 4w)."""
        share = logits.relu() + FLOOR
        return torch.einsum("bkhw,k->bhw", share, self._bins) / share.sum(1)

    def _enlarged(self, logits: Tensor) -> Tensor:
        return F.interpolate(logits, scale_factor=self._up, mode="bilinear", align_corners=False)

    def _cropped(self, low: Tensor, item: Measured) -> Tensor:
        """Depth (B, H, W) of the image itself from that (B, 4h, 4w) of the padded input."""
        full = F.interpolate(low[:, None], self._size(item.grid), mode="bilinear", align_corners=False)[:, 0]
        (top, left), (height, width) = item.at, item.truth.shape
        return full[:, top : top + height, left : left + width].clamp(self._low, self._high)

    def predict(self, site: Tensor, item: Measured) -> Tensor:
        """Metres (B, H, W) of sites (B, C, 1 + N)."""
        return self._cropped(self._depth(self._enlarged(self._logits(site, item.grid))), item)

    def score(self, site: Tensor, item: Measured) -> Tensor:
        return -self._error(self.predict(site, item), item)

    def smooth(self, site: Tensor, item: Measured) -> Tensor:
        return self.score(site, item)

    def _error(self, predicted: Tensor, item: Measured) -> Tensor:
        count = item.counts.sum().clamp(min=1)
        return (predicted - item.truth).square().flatten(1) @ item.counts.flatten().float() / count

    def measures(self, site: Tensor, item: Measured, all_metrics: bool = True) -> dict[str, Tensor]:
        return depth_metrics.measures(self.predict(site, item), item.truth, item.counts)

    def pair_scorer(
        self, sites: Sequence[Tensor], items: Sequence[Measured], workers: int = 1
    ) -> Callable[[Tensor, int], Tensor] | None:
        if self.precision != "float32":
            return None
        weight = tuple(half.T.contiguous() for half in self.network.head.weight.detach().split(self.network.embed_dim, dim=1))

        @lru_cache(maxsize=workers + 1)  # each is at one image, and one of them may have begun the next
        def prepared(image: int) -> dinov2_pairs.Image:
            site, item = sites[image].to(self.device), items[image]
            logits = self._enlarged(self._logits(site[None], item.grid))
            maps = self._enlarged(site[:, 1:].unflatten(1, item.grid)[None])[0].flatten(1)
            size = self._size(item.grid)
            # An expectation over bins lies within them, so that nothing is ever clipped.
            error = dinov2_pairs.SquaredError.around(self._depth(logits)[0], item.truth, item.counts, size, item.at)
            return dinov2_pairs.Image(logits[0].flatten(1), maps, site[:, 0], error)

        def score(pairs: Tensor, image: int) -> Tensor:
            return -dinov2_pairs.errors(prepared(image), pairs, weight, self._bins, FLOOR)

        return score

    def example(self, sample: DepthSample) -> tuple[Tensor, Tensor, Tensor]:
        """Truth and which pixels count, (1, H, W) each, and where the image lies in the input, (1, 2)."""
        item = self.item(sample)
        return item.truth[None], item.counts[None], torch.tensor([item.at])

    def loss(self, encoded: Encoded, examples: tuple[Tensor, ...]) -> Tensor:
        """Scale-invariant log loss, as DINOv2's depth heads are trained: sqrt(variance + 0.15 mean^2) of the log ratio over
        the pixels that count; 0 where none does."""
        truth, counts, at = examples
        grid = self._grid(*truth.shape[1:])
        low = self._depth(self._enlarged(self._logits(encoded.site, grid)))
        item = Measured("", truth[0], counts[0], tuple(at[0].tolist()), grid)
        ratio = (self._cropped(low, item).clamp(min=1e-3).log() - truth.clamp(min=1e-3).log())[counts]
        if not ratio.numel():
            return ratio.sum()  # 0, with a gradient of 0
        return (ratio.var(correction=0) + 0.15 * ratio.mean().square()).clamp(min=1e-12).sqrt()
