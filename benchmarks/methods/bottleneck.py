"""The bottleneck of `adapter`, and the MLP that it follows."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    """y = x + up(GELU(down(x))), channels last; `up` starts at zero, so that y starts as x."""

    def __init__(self, width: int, hidden: int, device=None, dtype=None):
        super().__init__()
        self.down = nn.Linear(width, hidden, device=device, dtype=dtype)
        self.up = nn.Linear(hidden, width, device=device, dtype=dtype)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(F.gelu(self.down(x)))


class AdaptedMLP(nn.Module):
    """A block's MLP and a bottleneck on its output, on the device and in the precision of the tensor `like`."""

    def __init__(self, mlp: nn.Module, width: int, hidden: int, like: Tensor):
        super().__init__()
        self.mlp = mlp
        self.adapter = Bottleneck(width, hidden, device=like.device, dtype=like.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.adapter(self.mlp(x))
