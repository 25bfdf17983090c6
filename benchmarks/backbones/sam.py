"""`Segmenter`: a segment_anything model as a run needs it: image -> features -> masks -> score, features swapped between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.backbones import sam_pairs, sam_reassociated
from benchmarks.backbones.model import Encoded, Model, best_scored
from benchmarks.backbones.prompted import Prompted
from benchmarks.backbones.sam_decode import decode
from benchmarks.backbones.upsampled import whole
from benchmarks.catalog import BEST_OF_THREE
from benchmarks.data.samples import Sample, interior_point
from benchmarks.losses import dice_ce, low_target, soft_iou
from benchmarks.metrics import masks
from benchmarks.metrics.iou import iou

SINGLE = slice(0, 1)  # mask token 0: the decoder's answer with multimask_output=False
AMBIGUITY = slice(1, 4)  # tokens 1-3: its three answers with multimask_output=True


@dataclass(frozen=True)
class Item(Prompted):
    """All that scoring needs of a sample but its features: with the size of the image within the encoder's input, in pixels."""

    input_size: tuple[int, int]


class Segmenter(Model):
    """A Sam on a device. Preprocessing, prompts and postprocessing are the library's `SamPredictor`'s."""

    objective = "miou"

    def __init__(self, network, device: str = "cpu", precision: str = "float32", metrics: tuple[str, ...] = ("miou",)):
        from segment_anything.utils.transforms import ResizeLongestSide

        super().__init__(network, device, precision)
        self.metrics = metrics
        self._resize = ResizeLongestSide(network.image_encoder.img_size)
        with torch.no_grad():
            self._position = self.network.prompt_encoder.get_dense_pe()[0].contiguous()

    def pixels(self, image: np.ndarray) -> Tensor:
        """The encoder's input (3, S, S) of an image (H, W, 3) uint8: longest side resized to S, normalised, padded."""
        resized = torch.as_tensor(self._resize.apply_image(image), device=self.device).permute(2, 0, 1)
        return self.network.preprocess(resized[None].float())[0]

    def encode(self, pixels: Tensor) -> Encoded:
        """Features (B, C, h, w) of inputs (B, 3, S, S); the decoder reads nothing else of the encoder."""
        with self.autocast():
            return Encoded(self.network.image_encoder(pixels).float())

    def item(self, sample: Sample, rest: tuple[Tensor, ...] = ()) -> Item:
        """The sample's prompt, one positive interior click, through the (always frozen) prompt encoder; and its truth."""
        size = sample.image.shape[:2]
        click = self._resize.apply_coords(np.array([interior_point(sample.mask)], dtype=np.float64), size)
        points = torch.as_tensor(click, dtype=torch.float32, device=self.device)[None]
        labels = torch.ones(1, 1, dtype=torch.int, device=self.device)
        with torch.no_grad():
            sparse, dense = self.network.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        truth = torch.as_tensor(sample.mask, device=self.device)
        return Item(
            sample.id, sparse, dense, truth, self._resize.get_preprocess_shape(*size, self.network.image_encoder.img_size)
        )

    def logits(
        self, features: Tensor, item: Item, tokens: slice = SINGLE, iou_scores: bool = False, tiled: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Low-resolution mask logits (B, T, 4h, 4w), float32, of features (B, C, h, w), and predicted IoU (B, T) if asked.

        `tiled` gives them as (B, T, 4, 4, h, w), see `benchmarks.backbones.upsampled`.
        """
        with self.autocast():
            logits, scores = decode(
                self.network,
                features,
                item.sparse,
                item.dense,
                tokens,
                iou_scores,
                self.decoding.shortcuts,
                tiled,
                self._position,
            )
        return logits.float(), scores

    def full_size(self, logits: Tensor, item: Item) -> Tensor:
        """Logits (B, T, H, W) at the image's own resolution: `Sam.postprocess_masks`. A mask is where they are above 0."""
        if self._factor(item):
            return F.interpolate(logits, item.input_size, mode="bilinear", align_corners=False)
        return self.network.postprocess_masks(logits, item.input_size, tuple(item.truth.shape))

    def _factor(self, item: Item) -> int | None:
        """How many times larger the image is than its logits, where there is nothing to crop and nothing to resize twice: the
        library's second interpolation is then the identity. None where there is, or where it is no whole number."""
        size, low = self.network.image_encoder.img_size, 4 * self.network.prompt_encoder.image_embedding_size[0]
        fits = item.input_size == tuple(item.truth.shape) == (size, size) and size % low == 0
        return size // low if fits else None

    def score(self, features: Tensor, item: Item) -> Tensor:
        """IoU (B,) of the single mask of features (B, C, h, w): what a search maximises and a test reports."""
        return self._overlap(self.logits(features, item, tiled=True)[0], item)

    def answer(self, features: Tensor, item: Item) -> Tensor:
        """The masks (B, H, W) bool that `score` scores."""
        return self.full_size(self.logits(features, item)[0], item)[:, 0] > 0

    def smooth(self, features: Tensor, item: Item) -> Tensor:
        """Soft IoU (B,) of the low-resolution mask, where the image is: the padding is cut off, as in `score`."""
        with self.autocast():
            logits, _ = decode(self.network, features, item.sparse, item.dense, SINGLE)
        target, size = self.target(item), self.network.image_encoder.img_size
        height, width = (-(-n * len(target) // size) for n in item.input_size)
        return soft_iou(logits[:, 0, :height, :width].float(), target[:height, :width])

    def _overlap(self, tiled: Tensor, item: Item) -> Tensor:
        """IoU (B,) of the first mask of logits (B, T, 4, 4, h, w)."""
        if factor := self._factor(item):
            return item.overlap(tiled[:, 0], factor)
        return iou(self.full_size(whole(tiled), item)[:, 0].gt_(0), item.truth)

    def pair_scorer(
        self, features: Sequence[Tensor], items: Sequence[Item], workers: int = 1
    ) -> Callable[[Tensor, int], Tensor] | None:
        """A function of candidates (B, K, 2) and an image's number: `score` of that image's features (C, h, w) replaced so, by
        a shorter way, equal up to rounding. None where there is none: with layers not the library's."""
        decoder, size = self.network.mask_decoder, tuple(self._position.shape[-2:])
        if not sam_reassociated.possible(decoder):
            return None

        @lru_cache(maxsize=workers + 1)  # each is at one image, and one of them may have begun the next
        def prepared(image: int) -> sam_pairs.FirstLayer:
            item = items[image]
            return sam_pairs.prepare(decoder, features[image].to(self.device), item.sparse, item.dense, self._position)

        decode = self.compiled(sam_pairs.decode_pairs)

        def score(pairs: Tensor, image: int) -> Tensor:
            shared = prepared(image)  # in float32
            with self.autocast():
                logits, _ = decode(decoder, shared, pairs, SINGLE, size)
            return self._overlap(logits.float(), items[image])

        return score

    def measures(self, site: Tensor, item: Item, all_metrics: bool = True) -> dict[str, Tensor]:
        """mIoU (B,) of features (B, C, h, w), and with `all_metrics` the task's others."""
        if not all_metrics or self.metrics == ("miou",):
            return {"miou": self.score(site, item)}
        logits = self.logits(site, item, tiled=True)[0]
        full = self.full_size(whole(logits), item)[:, 0]
        found = masks.measures(full, item.truth, self.metrics)
        if self._factor(item):  # of the very masks that a search scores, which there are made another way
            found["miou"] = self._overlap(logits, item)
        return found

    def best_of_three(self, features: Tensor, item: Item) -> Tensor:
        """Logits (B, H, W) of the ambiguity mask that the model itself scores best: the control for `base`."""
        logits, scores = self.logits(features, item, AMBIGUITY, iou_scores=True)
        return self.full_size(best_scored(logits, scores), item)[:, 0]

    def controls(self, site: Tensor, item: Item) -> dict[str, dict[str, Tensor]]:
        return {BEST_OF_THREE: {"miou": iou(self.best_of_three(site, item) > 0, item.truth)}}

    def example(self, sample: Sample) -> tuple[Tensor, Tensor, Tensor]:
        """Prompt embeddings (1, P, C) and (1, C, h, w), and the target (1, 4h, 4w)."""
        item = self.item(sample)
        return item.sparse, item.dense, self.target(item)[None]

    def target(self, item: Item) -> Tensor:
        """The truth (4h, 4w) as the decoder's low-resolution mask should be, see `low_target`."""
        low = 4 * self.network.prompt_encoder.image_embedding_size[0]
        return low_target(item.truth, item.input_size, self.network.image_encoder.img_size, low)

    def loss(self, encoded: Encoded, examples: tuple[Tensor, ...]) -> Tensor:
        """Dice + cross-entropy of the low-resolution single mask."""
        sparse, dense, targets = examples
        with self.autocast():
            logits, _ = decode(self.network, encoded.site, sparse, dense, SINGLE)
        return dice_ce(logits[:, 0].float(), targets)
