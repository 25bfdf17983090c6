"""SAM's decoder for features of which a few channels are replaced, its first layer from what the candidates share.

A replacement of channel r by channel e changes the image tokens (C, N) by the rank-one term d = x[e] - x[r] in row r. What the
first layer makes of the tokens by linear maps thus needs computing once per image, and per candidate a product of two vectors:

    q (x + d)     = q x + q[r] d          scores of the prompt's tokens over the image, and of the image over the prompt
    W (x + d)     = W x + W[:, r] d       keys, values and queries

The queries of the first layer have not looked at the image yet, so even their scores are one table for all candidates. From
the second layer on everything depends on the candidate, and `benchmarks.backbones.sam_reassociated` takes over.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.backbones.sam_reassociated import add_product, in_place, masks, normalise, per_head, tokens_and_keys


@dataclass(frozen=True)
class FirstLayer:
    """What the first layer has to know of one image and its prompt. h heads of width d, T prompt tokens, N image tokens.

    features (C, N); source (C, N): with the dense prompt added; position (C, N); prompt (1, T, C); queries (1, T, C) after self-attention;
    asked (hT, C) and scores (hT, N): of the prompt's tokens; values (N, h d); wanted (h d, N): the image's own queries.
    """

    features: Tensor
    source: Tensor
    position: Tensor
    prompt: Tensor
    queries: Tensor
    asked: Tensor
    scores: Tensor
    values: Tensor
    wanted: Tensor
    high: tuple[Tensor, Tensor] | None = None


def decode_pairs(
    decoder: nn.Module, image: FirstLayer, pairs: Tensor, tokens: slice, size: tuple[int, int], iou: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Low-resolution mask logits (B, T, 4, 4, h, w), as tiles, of candidates (B, K, 2) of pairs (redundant, effective), and, if
    asked, the predicted IoU (B, T) of each mask.

    What the library's decoder, SAM's or SAM 2's, gives for features that are replaced so, up to rounding; float32, without
    gradients. `size` is (h, w), `tokens` which of the four masks; candidates of fewer than K pairs are filled up with -1. Only for
    a decoder that `sam_reassociated.possible` allows.
    """
    wanted, first = range(decoder.num_mask_tokens)[tokens], len(_before(decoder))
    rows = [first - 1] * iou + [first + k for k in wanted]  # the token of the predicted IoU stands before the masks'
    queries, keys = first_layer(decoder.transformer, image, pairs)
    hidden, keys = tokens_and_keys(decoder.transformer, keys, image.position, image.prompt, rows, queries)
    filters = torch.stack([decoder.output_hypernetworks_mlps[k](hidden[:, iou + row]) for row, k in enumerate(wanted)], dim=1)
    scores = decoder.iou_prediction_head(hidden[:, 0])[:, tokens] if iou else None
    return masks(decoder, keys, filters, *size, image.high), scores


def _before(decoder: nn.Module) -> Tensor:
    """The learned tokens that stand before those of the masks: SAM 2.1 has one more, of whether there is an object at all."""
    whether = [decoder.obj_score_token.weight] if getattr(decoder, "pred_obj_scores", False) else []
    return torch.cat([*whether, decoder.iou_token.weight])


def prepare(
    decoder: nn.Module,
    features: Tensor,
    sparse: Tensor,
    dense: Tensor,
    position: Tensor,
    high: tuple[Tensor, Tensor] | None = None,
) -> FirstLayer:
    """What of the first layer all candidates on one image share.

    features and position (C, h, w); sparse (1, P, C) and dense (1, C, h, w) prompt embeddings; high: SAM 2's high-resolution maps
    (1, C / 8, 4h, 4w) and (1, C / 4, 2h, 2w).
    """
    prompt = torch.cat([_before(decoder), decoder.mask_tokens.weight, sparse[0]])[None]
    features, source, position = features.flatten(1), (features + dense[0]).flatten(1), position.flatten(1).contiguous()
    layer = decoder.transformer.layers[0]
    if layer.skip_first_layer_pe:
        queries = layer.self_attn(q=prompt, k=prompt, v=prompt)
    else:
        queries = prompt + layer.self_attn(q=2 * prompt, k=2 * prompt, v=prompt)  # tokens and their position are the same
    queries = layer.norm1(queries)
    look, told = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    heads, placed = look.num_heads, source + position
    q = look.q_proj(queries + prompt)
    asked = per_head(q * (q.shape[-1] // heads) ** -0.5, look.k_proj.weight.unflatten(0, (heads, -1)))[0]
    return FirstLayer(
        features,
        source,
        position,
        prompt,
        queries,
        asked,
        asked @ placed,
        (look.v_proj.weight @ source).T.contiguous(),
        torch.addmm(told.q_proj.bias[:, None], told.q_proj.weight, placed),
        in_place(high) if high else None,
    )


def first_layer(transformer: nn.Module, image: FirstLayer, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Prompt tokens (B, T, C) and image tokens (B, C, N) after the first layer, of candidates (B, K, 2), filled up with -1."""
    layer = transformer.layers[0]
    look, told = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    heads, tokens, batch = look.num_heads, image.queries.shape[1], len(pairs)
    redundant, effective = pairs.clamp(min=0).unbind(-1)  # (B, K)
    change = (image.features[effective] - image.features[redundant]) * (pairs[..., :1] >= 0)  # (B, K, N)
    share = _plus(image.scores, image.asked.T[redundant], change).softmax(-1)  # (B, hT, N)
    # Every head's attention over every head's values, of which its own are kept: one product, not one a head.
    crossed = (share.view(batch * heads * tokens, -1) @ image.values).view(batch, heads, tokens, heads, -1)
    values = crossed.diagonal(dim1=1, dim2=3).permute(0, 1, 3, 2)  # (B, T, h, d)
    moved = (share @ change.transpose(1, 2)).view(batch, heads, tokens, -1)  # (B, h, T, K)
    columns = look.v_proj.weight.T[redundant].unflatten(-1, (heads, -1))  # (B, K, h, d)
    values = (values + torch.einsum("bhtk,bkhd->bthd", moved, columns)).flatten(2)
    queries = layer.norm2(image.queries + look.out_proj(values + look.v_proj.bias))
    queries = layer.norm3(queries + layer.mlp(queries))

    k = told.k_proj(queries + image.prompt)
    k = (k * (k.shape[-1] // heads) ** -0.5).unflatten(-1, (heads, -1))  # (B, T, h, d)
    own = k.new_zeros(batch, heads, tokens, heads, k.shape[-1])
    own.diagonal(dim1=1, dim2=3).copy_(k.permute(0, 1, 3, 2))
    own = own.view(batch, heads * tokens, -1)  # (B, hT, h d): each head's keys against its own queries alone
    scores = (own.view(batch * heads * tokens, -1) @ image.wanted).view(batch, heads * tokens, -1)
    scores = _plus(scores, (own @ told.q_proj.weight[:, redundant].permute(1, 0, 2)).transpose(1, 2), change)
    share = scores.unflatten(1, (heads, tokens)).softmax(2).flatten(1, 2)
    given = per_head(told.v_proj(queries), told.out_proj.weight.unflatten(1, (heads, -1)).permute(1, 2, 0))
    given = given + told.out_proj.bias / heads  # the shares of a head sum to one, so this adds the bias once
    keys = add_product(image.source.repeat(batch, 1, 1), given.transpose(1, 2), share)  # (B, C, N)
    rows = redundant + len(image.source) * torch.arange(batch, device=pairs.device)[:, None]
    keys.view(-1, keys.shape[-1]).index_add_(0, rows.flatten(), change.flatten(0, 1))
    return queries, normalise(keys, layer.norm4, torch.empty_like(keys))


def _plus(table: Tensor, columns: Tensor, change: Tensor) -> Tensor:
    """table (hT, N) or (B, hT, N) plus the sum over k of columns (B, K, hT) times change (B, K, N)."""
    for k in range(change.shape[1]):
        table = torch.addcmul(table, columns[:, k, :, None], change[:, k, None])
    return table
