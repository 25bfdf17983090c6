"""The layers of SAM-COBOT's LoRA form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Left multiplication by the quaternion w as a 4 x 4 matrix: entry (o, c) is _SIGN[o][c] * w[_PART[o][c]], parts r, i, j, k.
_PART = [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]
_SIGN = [[1, -1, -1, -1], [1, 1, -1, 1], [1, 1, 1, -1], [1, -1, 1, 1]]


class Relation(nn.Module):
    """The product of two factors, (rank, places) of ones and (places, places) of the identity, that all places share.

    A place is a query or a value layer; its column of the product scales its low-rank coefficients, at the start by one.
    """

    def __init__(self, rank: int, places: int, device=None, dtype=None):
        super().__init__()
        self.coefficients = nn.Parameter(torch.ones(rank, places, device=device, dtype=dtype))
        self.mixing = nn.Parameter(torch.eye(places, device=device, dtype=dtype))

    def forward(self, place: int) -> Tensor:
        """The scales (rank,) of one place. Products summed rather than a matmul, which autocast would do in half precision."""
        return (self.coefficients * self.mixing[:, place]).sum(1)


class RelatedLinear(nn.Module):
    """y = base(x) + B H((A x) * CP[place] + gamma * (A x)), where H is the product with a quaternion.

    A starts as nn.Linear does (Kaiming uniform, a = sqrt 5), B at zero, so that y starts as base(x); gamma at one; the
    quaternion with a real part of zero and imaginary parts uniform in [0, 1), all as in the authors' code.
    """

    own = ("down.weight", "up.weight", "quaternion", "gamma")

    def __init__(self, base: nn.Linear, relation: Relation, place: int):
        super().__init__()
        rank, like = len(relation.coefficients), {"device": base.weight.device, "dtype": base.weight.dtype}
        self.base, self.place = base, place
        # In a tuple, so that it is not a part of this module: it is registered once, with the encoder, and moves with it.
        self._relation = (relation,)
        self.down = nn.Linear(base.in_features, rank, bias=False, **like)
        self.up = nn.Linear(rank, base.out_features, bias=False, **like)
        nn.init.zeros_(self.up.weight)
        self.quaternion = nn.Parameter(torch.rand(4, **like))
        with torch.no_grad():
            self.quaternion[0] = 0
        self.gamma = nn.Parameter(torch.ones(rank, **like))
        self.register_buffer("_part", torch.tensor(_PART, device=base.weight.device), persistent=False)
        self.register_buffer("_sign", torch.tensor(_SIGN, **like), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        (relation,) = self._relation
        related = self.down(x) * (relation(self.place) + self.gamma)
        return self.base(x) + self.up(F.linear(related, self.quaternion[self._part] * self._sign))
