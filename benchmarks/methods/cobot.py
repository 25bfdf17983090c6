"""`cobot`: SAM-COBOT in its LoRA form (Cross-block Orchestration, arXiv 2311.17112; code SJTU-DeepVisionLab/SAM-COBOT).

LoRA on the queries and values of every encoder block, whose low-rank coefficients are scaled by a relation that all blocks
share and mixed by a quaternion layer of their own. The decoder is trained besides, as theirs is.
"""

from __future__ import annotations

from benchmarks.backbones.anatomy import anatomy
from benchmarks.methods import Attachment, Method
from benchmarks.methods.decoder import decoder_besides
from benchmarks.methods.low_rank import qv_widths

RANK = 4  # one quaternion: the mixing layer has no other size


class Cobot(Method):
    name = "cobot"
    summary = f"SAM-COBOT: rank {RANK} on q and v, scaled by factors that all blocks share, mask decoder or head trained besides"

    def attach(self, model) -> Attachment:
        from benchmarks.methods.cobot_layers import RelatedLinear, Relation
        from benchmarks.methods.qkv import split_qkv

        part = anatomy(model).encoder
        encoder, prefix = model.get_submodule(part), f"{part}." if part else ""
        layers = split_qkv(model)
        weight = layers[0].q.weight
        encoder.cobot = Relation(RANK, 2 * len(layers), device=weight.device, dtype=weight.dtype)
        own = [f"{prefix}cobot.{name}" for name, _ in encoder.cobot.named_parameters()]
        for k, (block, layer) in enumerate(zip(anatomy(model).blocks, layers)):
            for step, name in enumerate("qv"):
                adapted = RelatedLinear(getattr(layer, name), encoder.cobot, 2 * k + step)
                setattr(layer, name, adapted)
                own += [f"{block}.attn.qkv.{name}.{of}" for of in adapted.own]
        return Attachment(tuple(own), decoder_besides(model))

    def count(self, model) -> int:
        """148,320 on SAM ViT-B: LoRA's 147,456, and 864 for what joins the blocks."""
        widths = qv_widths(model)
        places = 2 * len(widths)
        low_rank = sum(2 * (RANK * width_in + width_out * RANK) for width_in, width_out in widths)
        shared = RANK * places + places**2
        quaternions, gammas = 4 * places, RANK * places
        return low_rank + shared + quaternions + gammas
