"""`encoder`: the whole image encoder trained, the decoder frozen: the paper's Encoder-only row."""

from __future__ import annotations

from benchmarks.backbones.anatomy import encoder_names
from benchmarks.methods import Attachment, Method


class Encoder(Method):
    name = "encoder"
    summary = "the image encoder trained, the decoder or head frozen"

    def attach(self, model) -> Attachment:
        return Attachment(own=encoder_names(model))

    def count(self, model) -> int:
        """89,670,912 of SAM ViT-B's."""
        names = set(encoder_names(model))
        return sum(p.numel() for name, p in model.named_parameters() if name in names)
