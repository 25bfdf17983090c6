"""`medsam`: encoder and decoder trained, as MedSAM's training script does (bowang-lab/MedSAM, arXiv 2304.12306).

Only what is trained is MedSAM's; loss, prompts and schedule are the protocol's, as for every method here.
"""

from __future__ import annotations

from benchmarks.backbones.anatomy import decoder_names, encoder_names
from benchmarks.methods import Attachment, Method
from benchmarks.methods.decoder import Decoder
from benchmarks.methods.encoder import Encoder


class MedSam(Method):
    """The paper prints 93,735 K: all 93,735,472 parameters of SAM ViT-B. MedSAM's script keeps the prompt encoder's 6,220 frozen,
    and so do we. A model without a prompt encoder (DINOv2) is trained whole."""

    name = "medsam"
    summary = "image encoder and decoder or head trained, the prompt encoder frozen, as MedSAM trains SAM"

    def attach(self, model) -> Attachment:
        return Attachment(own=encoder_names(model) + decoder_names(model))

    def count(self, model) -> int:
        """93,729,252 of SAM ViT-B's."""
        return Encoder().count(model) + Decoder().count(model)
