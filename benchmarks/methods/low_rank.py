"""`lora` and `dora`, by the peft library: rank 4 on the queries and values of every encoder block, as in SAMed.

The mask decoder is trained besides, as SAMed does and as the paper's row does without counting it; here it is declared and
counted apart. LoRA: arXiv 2106.09685. DoRA: arXiv 2402.09353. SAMed: arXiv 2304.13785.
"""

from __future__ import annotations

from benchmarks.methods import Attachment, Method
from benchmarks.methods.decoder import mask_decoder_names

RANK = 4


class Lora(Method):
    name = "lora"
    summary = f"LoRA of rank {RANK} on q and v of every encoder block, mask decoder trained besides"
    trains_encoder = True
    magnitudes = False

    def attach(self, sam) -> Attachment:
        from peft import LoraConfig, inject_adapter_in_model

        from benchmarks.methods.qkv import split_qkv

        split_qkv(sam.image_encoder)
        # alpha = rank makes the scale 1: SAMed adds B A x as it is.
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=r"blocks\.\d+\.attn\.qkv\.[qv]", use_dora=self.magnitudes)
        inject_adapter_in_model(config, sam.image_encoder)
        own = tuple(f"image_encoder.{name}" for name, _ in sam.image_encoder.named_parameters() if "lora_" in name)
        return Attachment(own, {"mask_decoder": mask_decoder_names(sam)})

    def count(self, sam) -> int:
        width, blocks = sam.image_encoder.patch_embed.proj.out_channels, len(sam.image_encoder.blocks)
        each = RANK * width + width * RANK + (width if self.magnitudes else 0)
        return blocks * 2 * each


class Dora(Lora):
    name = "dora"
    summary = f"DoRA of rank {RANK} on q and v of every encoder block, mask decoder trained besides"
    magnitudes = True
