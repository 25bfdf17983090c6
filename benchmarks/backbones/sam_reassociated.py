"""SAM's decoder with its matrix products re-associated: the same masks up to rounding, for less work and far fewer copies.

An attention between T prompt tokens and N image tokens needs no projection of the image tokens. With heads h of width d:

    (x W_k^T) q^T   = x (q W_k)^T         scores of tokens over the image: (h T, C) against (C, N); b_k q is the same for
                                          every image token and drops out of the softmax
    p (x W_v^T)     = (p x) W_v^T         values: attend to the features first, project the T results after
    (p v) W_o^T     = p (v W_o^T)         image tokens over the prompt: project the T values first

For SAM (N = 4096, C = 256, h T = 56) these replace ten projections of all image tokens. Transposed convolutions of stride 2
and kernel 2 touch each input once, so they are matrix products too. Image tokens are kept channels first, (B, C, N), as they
come from the encoder: nothing is transposed, and a norm over channels runs along rows of N.
Only plain layers may be re-associated: `possible` says whether a decoder has nothing but these. Made for inference: what is
done in place could not be differentiated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Where SAM and SAM 2 keep their decoder's layers, which compute the same. By name: importing sam2 sets up its configuration.
_SAM, _SAM2 = "segment_anything.modeling.transformer", "sam2.modeling.sam.transformer"
_NORM = ("segment_anything.modeling.common.LayerNorm2d", "sam2.modeling.sam2_utils.LayerNorm2d")


def possible(decoder: nn.Module) -> bool:
    """True where every layer is the library's own: an adapter inside a layer would be left out without a word."""
    transformer = decoder.transformer
    if not _is(transformer, "TwoWayTransformer") or _altered(decoder):
        return False
    for layer in transformer.layers:
        if not _is(layer, "TwoWayAttentionBlock") or type(layer.norm4) is not nn.LayerNorm:
            return False
        for attention in (layer.cross_attn_token_to_image, layer.cross_attn_image_to_token):
            if not _plain(attention):
                return False
    if len(decoder.output_upscaling) != 5:
        return False
    first, norm, gelu, second, last = decoder.output_upscaling
    squares = all(type(c) is nn.ConvTranspose2d and c.kernel_size == c.stride == (2, 2) for c in (first, second))
    return (
        squares and _name(norm) in _NORM and type(gelu) is type(last) is nn.GELU and _plain(transformer.final_attn_token_to_image)
    )


def tokens_and_keys(
    transformer: nn.Module,
    keys: Tensor,
    position: Tensor,
    prompt: Tensor,
    wanted: list[int],
    queries: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What `TwoWayTransformer.forward` returns: tokens (B, W, C), the `wanted` ones alone, and image tokens (B, C, N).

    keys (B, C, N): image tokens; position (C, N): their positional encoding; prompt (B or 1, T, C): learned and prompt tokens.
    One prompt for the whole batch is carried as one until it has looked at the images. `keys` is overwritten.
    With `queries` (B, T, C) the first layer is done: they and `keys` are what it left.
    """
    layers = transformer.layers if queries is None else transformer.layers[1:]
    queries = prompt if queries is None else queries
    scratch = torch.empty_like(keys)  # one buffer for all that is only looked at: it stays in the core's cache
    for layer in layers:
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(q=queries, k=queries, v=queries)
        else:
            q = queries + prompt
            queries = queries + layer.self_attn(q=q, k=q, v=queries)
        queries = layer.norm1(queries)
        placed = torch.add(keys, position, out=scratch)
        queries = layer.norm2(queries + _to_image(layer.cross_attn_token_to_image, queries + prompt, placed, keys))
        queries = layer.norm3(queries + layer.mlp(queries))
        keys = _to_tokens(layer.cross_attn_image_to_token, placed, queries + prompt, queries, keys)
        keys = normalise(keys, layer.norm4, scratch)
    # Nobody looks at the other tokens any more.
    queries, prompt = queries[:, wanted], prompt[:, wanted]
    placed = torch.add(keys, position, out=scratch)
    queries = queries + _to_image(transformer.final_attn_token_to_image, queries + prompt, placed, keys)
    return transformer.norm_final_attn(queries), keys


def in_place(high: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """SAM 2's high-resolution maps (1, C / 8, 4h, 4w) and (1, C / 4, 2h, 2w) as `masks` adds them: (4, 4 C / 8, h w) and
    (4 C / 4, h w), the sub-pixels in its order; the second without its mean over channels, which the norm takes away."""
    fine, coarse = (part[0] for part in high)
    coarse = coarse - coarse.mean(0)
    coarse = coarse.unflatten(-2, (-1, 2)).unflatten(-1, (-1, 2))  # (c, h, y, w, x)
    fine = fine.unflatten(-2, (-1, 2, 2)).unflatten(-1, (-1, 2, 2))  # (c, h, y, y', w, x, x')
    return (
        fine.permute(2, 5, 0, 3, 6, 1, 4).flatten(0, 1).flatten(-2).flatten(1, 3).contiguous(),
        coarse.permute(2, 4, 0, 1, 3).flatten(0, 2).flatten(-2).contiguous(),
    )


def masks(
    decoder: nn.Module, keys: Tensor, filters: Tensor, height: int, width: int, high: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Logits of image tokens (B, C, h*w) under `filters` (B, M, C / 8): the upscaling and the last product. `high`: what SAM 2
    adds to the upscaled maps, see `in_place`.

    They come as tiles (B, M, 4, 4, h, w): see `benchmarks.backbones.upsampled`.
    """
    first, norm, gelu, second, last = decoder.output_upscaling
    batch = len(keys)
    # The norm that follows subtracts the mean over the channels of a sub-pixel: done on the weights, it costs nothing.
    weight, bias = first.weight - first.weight.mean(1, keepdim=True), first.bias - first.bias.mean()
    x = _stride_two(weight.permute(2, 3, 1, 0), bias.repeat(4), keys)  # (B, 4 C / 4, N): the sub-pixels one after the other
    x = x if high is None else x.add_(high[1])
    x = x.view(4 * batch, -1, x.shape[-1]).float()  # a norm is never taken in half precision
    # The upscaled maps are the largest tensors here: what can be done in place costs no fresh memory.
    x.mul_(_scale(x, norm.eps, torch.empty_like(x))).mul_(norm.weight[:, None]).add_(norm.bias[:, None])
    x = torch.ops.aten.gelu_(x, approximate=gelu.approximate)
    x = _stride_two(second.weight.permute(1, 2, 3, 0), second.bias.repeat_interleave(4), x)  # (4 B, C / 8 4, N): channel first
    if high is not None:
        x.view(batch, 4, *x.shape[1:]).add_(high[0])
    x = torch.ops.aten.gelu_(x, approximate=last.approximate).view(batch, 4, filters.shape[-1], -1)
    logits = filters[:, None] @ x  # (B, 4, M, 4 N)
    split = logits.view(batch, 2, 2, -1, 2, 2, height, width)  # both sub-pixels (y, x), then row, column
    return split.permute(0, 3, 1, 4, 2, 5, 6, 7).reshape(batch, -1, 4, 4, height, width)


def _to_image(attention: nn.Module, queries: Tensor, placed: Tensor, keys: Tensor) -> Tensor:
    """Tokens (B, T, C) attend to image tokens (B, C, N); `placed` are those with their position, `keys` without."""
    heads = attention.num_heads
    q = attention.q_proj(queries)
    asked = per_head(q * (q.shape[-1] // heads) ** -0.5, attention.k_proj.weight.unflatten(0, (heads, -1)))
    share = (asked @ placed).softmax(-1)  # (B, hT, N)
    seen = (share @ keys.transpose(1, 2)).unflatten(1, (heads, -1)).permute(1, 0, 2, 3).flatten(1, 2)  # (h, B T, C)
    values = seen @ attention.v_proj.weight.unflatten(0, (heads, -1)).transpose(1, 2)  # (h, B T, d)
    values = values.permute(1, 0, 2).reshape(len(keys), -1, q.shape[-1])
    return attention.out_proj(values + attention.v_proj.bias)


def _to_tokens(attention: nn.Module, placed: Tensor, tokens: Tensor, values: Tensor, keys: Tensor) -> Tensor:
    """`keys` plus what image tokens (B, C, N) take from the prompt tokens (B, T, C), in place: the sum, not normalised."""
    heads, count = attention.num_heads, tokens.shape[1]
    k = attention.k_proj(tokens)
    k = k * (k.shape[-1] // heads) ** -0.5
    asked = per_head(k, attention.q_proj.weight.unflatten(0, (heads, -1)))
    fixed = (k * attention.q_proj.bias).unflatten(-1, (heads, -1)).sum(-1).transpose(1, 2).reshape(len(k), -1, 1)  # (B, hT, 1)
    scores = (asked @ placed).add_(fixed)  # (B, hT, N)
    share = scores.unflatten(1, (heads, count)).softmax(2).flatten(1, 2)
    given = per_head(attention.v_proj(values), attention.out_proj.weight.unflatten(1, (heads, -1)).permute(1, 2, 0))
    given = given + attention.out_proj.bias / heads  # the shares of a head sum to one, so this adds the bias once
    return add_product(keys, given.transpose(1, 2), share)


def add_product(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """x (B, C, N), float32, plus the product of a (B, C, T) and b (B, T, N), in place. Autocast does not reach what is done in place:
    under it the product is made in half precision and added in float32."""
    return x.add_(a @ b) if torch.is_autocast_enabled(x.device.type) else x.baddbmm_(a, b)


def normalise(x: Tensor, norm: nn.LayerNorm, scratch: Tensor) -> Tensor:
    """`norm` over the channels of x (B, C, N), in place."""
    x.sub_(x.mean(1, keepdim=True))
    return x.mul_(_scale(x, norm.eps, scratch)).mul_(norm.weight[:, None]).add_(norm.bias[:, None])


def _scale(centred: Tensor, eps: float, scratch: Tensor) -> Tensor:
    """One over the standard deviation (B, 1, N) of channels whose mean is zero."""
    return torch.mul(centred, centred, out=scratch).mean(1, keepdim=True).add_(eps).rsqrt_()


def per_head(x: Tensor, weight: Tensor) -> Tensor:
    """Each head's part of x (B, T, h d) times its weight (h, d, C): (B, hT, C). One product a head, over the whole batch."""
    heads, width, _ = weight.shape
    parts = x.reshape(-1, heads, width).transpose(0, 1) @ weight  # (h, B T, C)
    return parts.unflatten(1, x.shape[:2]).transpose(0, 1).flatten(1, 2)


def _stride_two(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """A transposed convolution of kernel and stride 2 on x (B, C, N): (B, 4 C', N), in the order of the first three
    dimensions of `weight`, whose last is C."""
    return torch.bmm(weight.flatten(0, 2).expand(len(x), -1, -1), x).add_(bias[:, None])


def _plain(attention: nn.Module) -> bool:
    layers = (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj)
    return _is(attention, "Attention") and all(type(x) is nn.Linear and x.bias is not None for x in layers)


def _is(layer: nn.Module, name: str) -> bool:
    return _name(layer) in (f"{_SAM}.{name}", f"{_SAM2}.{name}")


def _name(layer: nn.Module) -> str:
    return f"{type(layer).__module__}.{type(layer).__qualname__}"


def _altered(decoder: nn.Module) -> bool:
    return any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in decoder.modules())
