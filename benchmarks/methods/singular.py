"""A convolution that is trained in its singular values alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SingularConv2d(nn.Conv2d):
    """A convolution with kernel W0 + U diag(s - s0) V, where U diag(s0) V is the SVD of W0 as a matrix out x (in k k).

    Only s, `singular_values`, is meant to be trained. Written as a difference it starts bit-identical to `base`, whose weight
    and bias it takes over under their own names. All min(out, in k k) values are kept: the authors' code puts three layers in
    place of one, whose rank it floors to a multiple of 4, so a kernel of another rank (none in SAM's neck) would start
    changed. U, s0 and V follow from W0, so they are not saved.
    """

    def __init__(self, base: nn.Conv2d):
        weight = base.weight.detach()
        super().__init__(
            base.in_channels,
            base.out_channels,
            base.kernel_size,
            stride=base.stride,
            padding=base.padding,
            dilation=base.dilation,
            groups=base.groups,
            bias=base.bias is not None,
            padding_mode=base.padding_mode,
            device="meta",  # no second kernel is drawn: the next lines put the first in its place
        )
        self.weight, self.bias = base.weight, base.bias
        u, s, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        self.singular_values = nn.Parameter(s.clone())
        self.register_buffer("_u", u, persistent=False)
        self.register_buffer("_start", s, persistent=False)
        self.register_buffer("_v", v, persistent=False)

    def kernel(self) -> Tensor:
        """The kernel (out, in, k, k) in force."""
        change = (self._u * (self.singular_values - self._start)) @ self._v
        return self.weight + change.view_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.kernel(), self.bias)
