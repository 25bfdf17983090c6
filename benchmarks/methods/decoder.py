"""`decoder`: the mask decoder trained, the encoders frozen."""

from __future__ import annotations

from benchmarks.methods import Attachment, Method


def mask_decoder_names(sam) -> tuple[str, ...]:
    """Every parameter of the mask decoder: 4,058,340 of SAM's, whatever the size of its encoder."""
    return tuple(f"mask_decoder.{name}" for name, _ in sam.mask_decoder.named_parameters())


class Decoder(Method):
    name = "decoder"
    summary = "the mask decoder trained"
    trains_encoder = False

    def attach(self, sam) -> Attachment:
        return Attachment(own=mask_decoder_names(sam))

    def count(self, sam) -> int:
        return sum(p.numel() for p in sam.mask_decoder.parameters())
