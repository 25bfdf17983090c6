"""`adapter`: the paper's SAM-Adapter row: one bottleneck per encoder block, in series, as in Houlsby 2019 (arXiv 1902.00751).

Which adapter the row is follows from its count. 3,550 K is one 768-192-768 bottleneck with biases in each of ViT-B's twelve
blocks; the SAM-Adapter of Chen 2023 would have 63,312 parameters, Medical SAM Adapter, with two per block, 7.1 M. The ratio
of a quarter, and Linear-GELU-Linear with a skip, are Medical SAM Adapter's module (SuperMedIntel/Medical-SAM-Adapter). The
place, on the MLP's output before its residual is added, is Houlsby's, whom the paper cites; theirs after attention is left out.
"""

from __future__ import annotations

from benchmarks.backbones.anatomy import anatomy
from benchmarks.methods import Attachment, Method
from benchmarks.methods.decoder import decoder_besides

RATIO = 0.25


class Adapter(Method):
    """On DINOv2 the adapter stands between the MLP and its layer scale."""

    name = "adapter"
    summary = "a bottleneck adapter after every encoder block's MLP, mask decoder or head trained besides"

    def attach(self, model) -> Attachment:
        from benchmarks.methods.bottleneck import AdaptedMLP

        own = []
        for name in anatomy(model).blocks:
            block, width = model.get_submodule(name), _width(model, name)
            block.mlp = AdaptedMLP(block.mlp, width, int(RATIO * width), like=block.norm2.weight)
            own += [f"{name}.mlp.adapter.{of}" for of, _ in block.mlp.adapter.named_parameters()]
        return Attachment(tuple(own), decoder_besides(model))

    def count(self, model) -> int:
        """3,550,464 on SAM ViT-B."""
        widths = [_width(model, name) for name in anatomy(model).blocks]
        return sum(2 * width * int(RATIO * width) + int(RATIO * width) + width for width in widths)


def _width(model, block: str) -> int:
    """Channels of a block's MLP, which are those that its norm normalises."""
    return model.get_submodule(f"{block}.norm2").normalized_shape[0]
