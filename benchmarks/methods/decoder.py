"""`decoder`: the mask decoder trained (on DINOv2 the linear head), the encoders frozen: the paper's Decoder-only row."""

from __future__ import annotations

from benchmarks.backbones.anatomy import decoder_names, decoder_of
from benchmarks.methods import Attachment, Method


class Decoder(Method):
    """On SAM 2 all but `conv_s0` and `conv_s1`, which run with the encoder: see `decoder_names`."""

    name = "decoder"
    summary = "the mask decoder or head trained, the encoder frozen"
    trains_encoder = False

    def attach(self, model) -> Attachment:
        return Attachment(own=decoder_names(model))

    def count(self, model) -> int:
        """4,058,340 of SAM's, whatever the size of its encoder. The paper's 4,057 K leaves out the IoU and mask tokens."""
        decoder = model.get_submodule(decoder_of(model))
        beside = [getattr(decoder, name) for name in ("conv_s0", "conv_s1") if hasattr(decoder, name)]
        return sum(p.numel() for p in decoder.parameters()) - sum(p.numel() for part in beside for p in part.parameters())


def decoder_besides(model) -> dict[str, tuple[str, ...]]:
    """The decoder or head as what a method trains besides its own part."""
    return {decoder_of(model): decoder_names(model)}
