"""SAM's decoder with its matrix products re-associated: the same masks up to rounding, for less work and far fewer copies.

An attention between T prompt tokens and N image tokens needs no projection of the image tokens. With heads h of width d:

    (x W_k^T) q^T   = x (q W_k)^T         scores of tokens over the image: (h T, C) against (C, N); b_k q is the same for
                                          every image token and drops out of the softmax
    p (x W_v^T)     = (p x) W_v^T         values: attend to the features first, project the T results after
    (p v) W_o^T     = p (v W_o^T)         image tokens over the prompt: project the T values first

For SAM (N = 4096, C = 256, h T = 56) these replace ten projections of all image tokens. Layer norm and GELU stay as they are.
Transposed convolutions of stride 2 and kernel 2 touch each input once, so they are matrix products too.
Only plain layers may be re-associated: `possible` says whether a decoder has nothing but these. Made for inference: what is
done in place could not be differentiated.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock, TwoWayTransformer
from torch import Tensor, nn


def possible(decoder: nn.Module) -> bool:
    """True where every layer is the library's own: an adapter inside a layer would be left out without a word."""
    transformer = decoder.transformer
    if type(transformer) is not TwoWayTransformer or _altered(decoder):
        return False
    for layer in transformer.layers:
        if type(layer) is not TwoWayAttentionBlock:
            return False
        for attention in (layer.cross_attn_token_to_image, layer.cross_attn_image_to_token):
            if not _plain(attention):
                return False
    first, norm, gelu, second, last = decoder.output_upscaling
    squares = all(type(c) is nn.ConvTranspose2d and c.kernel_size == c.stride == (2, 2) for c in (first, second))
    return (
        squares
        and type(norm) is LayerNorm2d
        and type(gelu) is type(last) is nn.GELU
        and _plain(transformer.final_attn_token_to_image)
    )


def tokens_and_keys(transformer: TwoWayTransformer, keys: Tensor, position: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
    """What `TwoWayTransformer.forward` returns: tokens (B, T, C) and image tokens (B, N, C).

    keys (B, N, C): image tokens; position (N, C): their positional encoding; prompt (B or 1, T, C): learned and prompt tokens.
    One prompt for the whole batch is carried as one until it has looked at the images.
    """
    queries = prompt
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(q=queries, k=queries, v=queries)
        else:
            q = queries + prompt
            queries = queries + layer.self_attn(q=q, k=q, v=queries)
        queries = layer.norm1(queries)
        placed = keys + position
        queries = layer.norm2(queries + _to_image(layer.cross_attn_token_to_image, queries + prompt, placed, keys))
        queries = layer.norm3(queries + layer.mlp(queries))
        keys = layer.norm4(_to_tokens(layer.cross_attn_image_to_token, placed, queries + prompt, queries, keys))
    queries = queries + _to_image(transformer.final_attn_token_to_image, queries + prompt, keys + position, keys)
    return transformer.norm_final_attn(queries), keys


def masks(decoder: nn.Module, keys: Tensor, filters: Tensor, height: int, width: int) -> Tensor:
    """Logits (B, M, 4h, 4w) of image tokens (B, h*w, C) under `filters` (B, M, C / 8): the upscaling and the last product."""
    first, norm, gelu, second, last = decoder.output_upscaling
    # The upscaled maps are the largest tensors here: what can be done in place costs no fresh memory.
    x = _stride_two(first, keys)  # (B, N, 4, C / 4): the four sub-pixels of each token
    x = torch.ops.aten.gelu_(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps), approximate=gelu.approximate)
    x = torch.ops.aten.gelu_(_stride_two(second, x), approximate=last.approximate)  # (B, N, 4, 4, C / 8)
    logits = filters @ x.flatten(1, 3).transpose(1, 2)
    split = logits.view(len(keys), -1, height, width, 2, 2, 2, 2)  # row, column, then both sub-pixels (y, x)
    return split.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(len(keys), -1, 4 * height, 4 * width)


def _to_image(attention: Attention, queries: Tensor, placed: Tensor, keys: Tensor) -> Tensor:
    """Tokens (B, T, C) attend to image tokens; `placed` are those with their position, `keys` without."""
    heads = attention.num_heads
    q = attention.q_proj(queries)
    asked = _per_head(q * (q.shape[-1] // heads) ** -0.5, attention.k_proj.weight.unflatten(0, (heads, -1)))
    share = (asked @ placed.transpose(1, 2)).softmax(-1)  # (B, hT, N)
    seen = (share @ keys).unflatten(1, (heads, -1)).permute(1, 0, 2, 3).flatten(1, 2)  # (h, B T, C)
    values = seen @ attention.v_proj.weight.unflatten(0, (heads, -1)).transpose(1, 2)  # (h, B T, d)
    values = values.permute(1, 0, 2).reshape(len(keys), -1, q.shape[-1])
    return attention.out_proj(values + attention.v_proj.bias)


def _to_tokens(attention: Attention, placed: Tensor, tokens: Tensor, values: Tensor, keys: Tensor) -> Tensor:
    """`keys` plus what image tokens (B, N, C) take from the prompt tokens (B, T, C): the residual sum, not normalised."""
    heads, count = attention.num_heads, tokens.shape[1]
    k = attention.k_proj(tokens)
    k = k * (k.shape[-1] // heads) ** -0.5
    asked = _per_head(k, attention.q_proj.weight.unflatten(0, (heads, -1)))
    fixed = (k * attention.q_proj.bias).unflatten(-1, (heads, -1)).sum(-1).transpose(1, 2).reshape(len(k), -1, 1)  # (B, hT, 1)
    scores = torch.baddbmm(fixed, asked, placed.transpose(1, 2))  # (B, hT, N)
    share = scores.unflatten(1, (heads, count)).softmax(2).flatten(1, 2)
    given = _per_head(attention.v_proj(values), attention.out_proj.weight.unflatten(1, (heads, -1)).permute(1, 2, 0))
    residual = keys + attention.out_proj.bias
    # In place, which autocast does not reach: the dtypes are made equal by hand.
    return residual.baddbmm_(share.transpose(1, 2).to(residual.dtype), given.to(residual.dtype))


def _per_head(x: Tensor, weight: Tensor) -> Tensor:
    """Each head's part of x (B, T, h d) times its weight (h, d, C): (B, hT, C). One product a head, over the whole batch."""
    heads, width, _ = weight.shape
    parts = x.reshape(-1, heads, width).transpose(0, 1) @ weight  # (h, B T, C)
    return parts.unflatten(1, x.shape[:2]).transpose(0, 1).flatten(1, 2)


def _stride_two(convolution: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """A transposed convolution of kernel and stride 2 on (..., C): (..., 4, C'), the sub-pixels in reading order."""
    weight = convolution.weight.permute(0, 2, 3, 1).flatten(1)  # (C, 4 C')
    return (x @ weight).add_(convolution.bias.repeat(4)).unflatten(-1, (4, -1))


def _plain(attention: nn.Module) -> bool:
    layers = (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj)
    return type(attention) is Attention and all(type(x) is nn.Linear and x.bias is not None for x in layers)


def _altered(decoder: nn.Module) -> bool:
    return any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in decoder.modules())
