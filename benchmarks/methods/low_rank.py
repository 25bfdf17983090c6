"""`lora` and `dora`, by the peft library: rank 4 on the queries and values of every encoder block, as in SAMed.

The mask decoder is trained besides, as SAMed does and as the paper's row does without counting it; here it is declared and
counted apart. LoRA: arXiv 2106.09685. DoRA: arXiv 2402.09353. SAMed: arXiv 2304.13785.
"""

from __future__ import annotations

from benchmarks.backbones.anatomy import anatomy
from benchmarks.methods import Attachment, Method
from benchmarks.methods.decoder import decoder_besides

RANK = 4


def qv_widths(model) -> list[tuple[int, int]]:
    """(in, out) features of each block's query layer, and so of its value layer: equal but where a Hiera stage begins."""
    fused = [model.get_submodule(f"{block}.attn.qkv") for block in anatomy(model).blocks]
    return [(layer.in_features, layer.out_features // 3) for layer in fused]


class Lora(Method):
    name = "lora"
    summary = f"LoRA of rank {RANK} on q and v of every encoder block, mask decoder or head trained besides"
    magnitudes = False

    def attach(self, model) -> Attachment:
        from peft import LoraConfig, inject_adapter_in_model

        from benchmarks.methods.qkv import split_qkv

        part = anatomy(model).encoder
        encoder, prefix = model.get_submodule(part), f"{part}." if part else ""
        split_qkv(model)
        # alpha = rank makes the scale 1: SAMed adds B A x as it is.
        target = r"(?:.+\.)?blocks\.\d+\.attn\.qkv\.[qv]"
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=target, use_dora=self.magnitudes)
        inject_adapter_in_model(config, encoder)
        own = tuple(f"{prefix}{name}" for name, _ in encoder.named_parameters() if ".lora_" in name)
        return Attachment(own, decoder_besides(model))

    def count(self, model) -> int:
        """147,456 on SAM ViT-B; with DoRA's magnitudes, one per output feature, 165,888."""
        return sum(
            2 * (RANK * width_in + width_out * RANK + (width_out if self.magnitudes else 0))
            for width_in, width_out in qv_widths(model)
        )


class Dora(Lora):
    name = "dora"
    summary = f"DoRA of rank {RANK} on q and v of every encoder block, mask decoder or head trained besides"
    magnitudes = True
