"""SAM's mask decoder over a batch of image embeddings, one prompt each.

`segment_anything`'s own `MaskDecoder.forward` takes one image and many prompts; a search needs many versions of one image
and one prompt, and training needs many images. The steps below are the library's `predict_masks`, in its order, with its
own modules; `tokens` keeps only the masks that are asked for, and the IoU head runs only when it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.backbones.upsampled import tiles, whole


def decode(
    sam,
    embeddings: Tensor,
    sparse: Tensor,
    dense: Tensor,
    tokens: slice,
    iou: bool = False,
    reassociate: bool = False,
    tiled: bool = False,
    position: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Low-resolution mask logits and, if asked, the predicted IoU of each mask.

    embeddings (B, C, h, w); sparse (B or 1, P, C) and dense (B or 1, C, h, w) prompt embeddings; tokens: which of the four
    mask tokens (0 is the single mask, 1-3 the ambiguity masks). Returns logits (B, T, 4h, 4w) and scores (B, T) or None.
    position (C, h, w): the prompt encoder's for the image tokens, where the caller has kept it. `tiled` gives the logits as (B, T, 4, 4, h, w), see `benchmarks.backbones.upsampled`. `reassociate` takes the shorter way to the same numbers, up to rounding, where the decoder allows it; without gradients.
    """
    from benchmarks.backbones import sam_reassociated

    decoder = sam.mask_decoder
    batch, (height, width) = len(embeddings), embeddings.shape[-2:]
    learned = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    queries = torch.cat([learned.expand(len(sparse), -1, -1), sparse], dim=1)
    source = embeddings + dense
    position = sam.prompt_encoder.get_dense_pe()[0] if position is None else position
    short = reassociate and not torch.is_grad_enabled() and sam_reassociated.possible(decoder)
    wanted = range(decoder.num_mask_tokens)[tokens]
    if short:
        rows = [0, *(1 + k for k in wanted)] if iou else [1 + k for k in wanted]
        hidden, keys = sam_reassociated.tokens_and_keys(
            decoder.transformer, source.flatten(2), position.flatten(1).contiguous(), queries, rows
        )
    else:
        hidden, keys = decoder.transformer(source, position[None].expand(batch, -1, -1, -1), queries.expand(batch, -1, -1))
        rows = range(hidden.shape[1])
    filters = torch.stack([decoder.output_hypernetworks_mlps[k](hidden[:, rows.index(1 + k)]) for k in wanted], dim=1)
    if short:
        logits = sam_reassociated.masks(decoder, keys, filters, height, width)
        logits = logits if tiled else whole(logits)
    else:
        upscaled = decoder.output_upscaling(keys.transpose(1, 2).reshape(batch, -1, height, width))
        logits = (filters @ upscaled.flatten(2)).unflatten(2, upscaled.shape[-2:])
        logits = tiles(logits, 4) if tiled else logits
    scores = decoder.iou_prediction_head(hidden[:, 0])[:, tokens] if iou else None
    return logits, scores
