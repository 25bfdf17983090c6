"""`Segmenter2`: a SAM 2 as a run needs it: image -> embedding and high-resolution maps -> masks -> measures.

A swap acts on the image embedding alone. The two high-resolution maps that the decoder also reads go past it: they are an image's
`rest`, and versions of one image share them.
"""

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
from benchmarks.backbones.upsampled import whole
from benchmarks.catalog import BEST_OF_THREE
from benchmarks.data.samples import Sample, interior_point
from benchmarks.losses import dice_ce, low_target, soft_iou
from benchmarks.metrics import masks
from benchmarks.metrics.iou import iou


@dataclass(frozen=True)
class Item(Prompted):
    """All that scoring needs of a sample but its embedding: with the high-resolution maps (1, c, 4h, 4w) and (1, 2c, 2h, 2w)."""

    high: tuple[Tensor, ...]


class Segmenter2(Model):
    """A SAM2Base on a device. Preprocessing, prompts and postprocessing are the library's `SAM2ImagePredictor`'s."""

    objective = "miou"

    def __init__(self, network, device: str = "cpu", precision: str = "float32", metrics: tuple[str, ...] = ("miou",)):
        from sam2.utils.transforms import SAM2Transforms

        super().__init__(network, device, precision)
        self.metrics = metrics
        self._transforms = SAM2Transforms(resolution=network.image_size, mask_threshold=0.0)
        with torch.no_grad():
            self._position = network.sam_prompt_encoder.get_dense_pe()

    def pixels(self, image: np.ndarray) -> Tensor:
        """The encoder's input (3, S, S) of an image (H, W, 3) uint8: resized to a square, normalised."""
        return self._transforms(np.ascontiguousarray(image)).to(self.device)

    def encode(self, pixels: Tensor) -> Encoded:
        """Embeddings (B, C, h, w) of inputs (B, 3, S, S) as `SAM2ImagePredictor` makes them, and the high-resolution maps."""
        with self.autocast():
            *high, embedding = self.network.forward_image(pixels)["backbone_fpn"]
            if self.network.directly_add_no_mem_embed:
                embedding = embedding + self.network.no_mem_embed.view(1, -1, 1, 1)
        return Encoded(embedding.float(), tuple(part.float() for part in high))

    def item(self, sample: Sample, rest: tuple[Tensor, ...] = ()) -> Item:
        """The sample's prompt, one positive interior click, through the (always frozen) prompt encoder; and its truth."""
        size = sample.mask.shape
        click = torch.tensor([[interior_point(sample.mask)]], dtype=torch.float32, device=self.device)
        points = self._transforms.transform_coords(click, normalize=True, orig_hw=size)
        labels = torch.ones(1, 1, dtype=torch.int, device=self.device)
        with torch.no_grad():
            sparse, dense = self.network.sam_prompt_encoder(points=(points, labels), boxes=None, masks=None)
        truth = torch.as_tensor(sample.mask, device=self.device)
        return Item(sample.id, sparse, dense, truth, tuple(part[None].to(self.device) for part in rest))

    def logits(self, site: Tensor, item: Item, multimask: bool = False) -> tuple[Tensor, Tensor]:
        """Low-resolution logits (B, T, 4h, 4w) and predicted IoU (B, T) of embeddings (B, C, h, w) by the library's decoder.

        Without `multimask` T is 1: the library's answer, which is one of the three masks where the single one is not stable.
        """
        count = len(site)
        with self.autocast():
            logits, scores, _, _ = self.network.sam_mask_decoder(
                image_embeddings=site,
                image_pe=self._position,
                sparse_prompt_embeddings=item.sparse.expand(count, -1, -1),
                dense_prompt_embeddings=item.dense.expand(count, -1, -1, -1),
                multimask_output=multimask,
                repeat_image=False,
                high_res_features=[part.expand(count, -1, -1, -1) for part in item.high],  # views: nothing is copied
            )
        return logits.float(), scores.float()

    def full_size(self, logits: Tensor, item: Item) -> Tensor:
        """Logits (B, T, H, W) at the image's own resolution. A mask is where they are above 0."""
        return F.interpolate(logits, tuple(item.truth.shape), mode="bilinear", align_corners=False)

    def score(self, site: Tensor, item: Item) -> Tensor:
        """IoU (B,) of the library's answer to embeddings (B, C, h, w), see `logits`."""
        return iou(self.answer(site, item), item.truth)

    def answer(self, site: Tensor, item: Item) -> Tensor:
        """The masks (B, H, W) bool that `score` scores."""
        return self.full_size(self.logits(site, item)[0], item)[:, 0] > 0

    def smooth(self, site: Tensor, item: Item) -> Tensor:
        """Soft IoU (B,) of the low-resolution mask."""
        return soft_iou(self.logits(site, item)[0][:, 0], self._target(item.truth))

    def pair_scorer(
        self, sites: Sequence[Tensor], items: Sequence[Item], workers: int = 1
    ) -> Callable[[Tensor, int], Tensor] | None:
        """A function of candidates (B, K, 2) and an image's number: `score` of that image's embedding (C, h, w) replaced so, by a
        shorter way, equal up to rounding. None where there is none: with layers not the library's."""
        decoder, size = self.network.sam_mask_decoder, tuple(self._position.shape[-2:])
        if not sam_reassociated.possible(decoder):
            return None
        chooses = decoder.dynamic_multimask_via_stability
        masks = slice(0, 4) if chooses else slice(0, 1)

        @lru_cache(maxsize=workers + 1)  # each is at one image, and one of them may have begun the next
        def prepared(image: int) -> sam_pairs.FirstLayer:
            item = items[image]
            return sam_pairs.prepare(decoder, sites[image].to(self.device), item.sparse, item.dense, self._position[0], item.high)

        decode = self.compiled(sam_pairs.decode_pairs)

        def score(pairs: Tensor, image: int) -> Tensor:
            shared = prepared(image)  # in float32
            with self.autocast():
                tiled, scores = decode(decoder, shared, pairs, masks, size, chooses)
            tiled = tiled.float()
            if chooses:  # the library's own choice, to which the order of the pixels is all the same
                flat, _ = decoder._dynamic_multimask_via_stability(tiled.flatten(2, 4), scores.float())
                tiled = flat.unflatten(2, tiled.shape[2:5])
            return self._overlap(tiled[:, 0], items[image])

        return score

    def _overlap(self, tiled: Tensor, item: Item) -> Tensor:
        """IoU (B,) of masks with logits (B, 4, 4, h, w)."""
        (height, width), (h, w) = item.truth.shape, tiled.shape[-2:]
        factor = height // (4 * h)
        if factor and (height, width) == (4 * h * factor, 4 * w * factor):
            return item.overlap(tiled, factor)
        return iou(self.full_size(whole(tiled)[:, None], item)[:, 0] > 0, item.truth)

    def measures(self, site: Tensor, item: Item, all_metrics: bool = True) -> dict[str, Tensor]:
        """mIoU (B,) of embeddings (B, C, h, w), and with `all_metrics` the task's others."""
        full = self.full_size(self.logits(site, item)[0], item)[:, 0]
        return masks.measures(full, item.truth, self.metrics if all_metrics else ("miou",))

    def controls(self, site: Tensor, item: Item) -> dict[str, dict[str, Tensor]]:
        """Of three masks for the click the one that the model itself scores best."""
        logits, scores = self.logits(site, item, multimask=True)
        full = self.full_size(best_scored(logits, scores), item)[:, 0]
        return {BEST_OF_THREE: {"miou": iou(full > 0, item.truth)}}

    def example(self, sample: Sample) -> tuple[Tensor, Tensor, Tensor]:
        """Prompt embeddings (1, P, C) and (1, C, h, w), and the target (1, 4h, 4w): the truth, area-averaged, 0..1."""
        item = self.item(sample)
        return item.sparse, item.dense, self._target(item.truth)[None]

    def _target(self, truth: Tensor) -> Tensor:
        size, low = self.network.image_size, 4 * self.network.sam_image_embedding_size
        return low_target(truth, (size, size), size, low)

    def loss(self, encoded: Encoded, examples: tuple[Tensor, ...]) -> Tensor:
        """Dice + cross-entropy of the low-resolution mask of token 0."""
        sparse, dense, targets = examples
        with self.autocast():
            logits, *_ = self.network.sam_mask_decoder.predict_masks(
                image_embeddings=encoded.site,
                image_pe=self._position,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                repeat_image=False,
                high_res_features=list(encoded.rest),
            )
        return dice_ce(logits[:, 0].float(), targets)
