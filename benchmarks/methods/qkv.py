"""Splitting a fused query-key-value layer, so that q and v can be adapted and k left alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.backbones.anatomy import anatomy


class SplitQKV(nn.Module):
    """Three linear layers in place of one fused `qkv`; same weights, same output (..., 3 x width).

    `in_features` and `out_features` are the fused layer's. They need not be 1 : 3, for the first block of a Hiera stage
    widens. Raises ValueError where the output does not part into three.
    """

    def __init__(self, fused: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = fused.in_features, fused.out_features
        width, rest = divmod(fused.out_features, 3)
        if rest:
            raise ValueError(f"a fused qkv layer has 3 x width outputs, this one {fused.out_features}")
        bias, like = fused.bias is not None, {"device": fused.weight.device, "dtype": fused.weight.dtype}
        for k, name in enumerate("qkv"):
            part = nn.Linear(fused.in_features, width, bias=bias, **like)
            with torch.no_grad():
                part.weight.copy_(fused.weight[k * width : (k + 1) * width])
                if bias:
                    part.bias.copy_(fused.bias[k * width : (k + 1) * width])
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.q(x), self.k(x), self.v(x)], dim=-1)


def split_qkv(model: nn.Module) -> list[SplitQKV]:
    """Split the `attn.qkv` of every encoder block in place, where it is not split yet. Returns the split layers."""
    split = []
    for block in anatomy(model).blocks:
        attention = model.get_submodule(f"{block}.attn")
        if isinstance(attention.qkv, nn.Linear):
            attention.qkv = SplitQKV(attention.qkv)
        split.append(attention.qkv)
    return split
