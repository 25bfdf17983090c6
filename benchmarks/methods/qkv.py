"""Splitting SAM's fused query-key-value layer, so that q and v can be adapted and k left alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SplitQKV(nn.Module):
    """Three linear layers in place of one fused `qkv`; same weights, same output (..., 3 x width)."""

    def __init__(self, fused: nn.Linear):
        super().__init__()
        width = fused.in_features
        if fused.out_features != 3 * width:
            raise ValueError(f"a fused qkv layer maps {width} to {3 * width}, this one to {fused.out_features}")
        for k, name in enumerate("qkv"):
            part = nn.Linear(width, width, bias=fused.bias is not None, device=fused.weight.device, dtype=fused.weight.dtype)
            with torch.no_grad():
                part.weight.copy_(fused.weight[k * width : (k + 1) * width])
                if fused.bias is not None:
                    part.bias.copy_(fused.bias[k * width : (k + 1) * width])
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.q(x), self.k(x), self.v(x)], dim=-1)


def split_qkv(encoder: nn.Module) -> list[nn.Module]:
    """Split the `qkv` of every block of a `segment_anything` ImageEncoderViT in place. Returns the attention modules."""
    attentions = [block.attn for block in encoder.blocks]
    for attention in attentions:
        if isinstance(attention.qkv, nn.Linear):
            attention.qkv = SplitQKV(attention.qkv)
    return attentions
