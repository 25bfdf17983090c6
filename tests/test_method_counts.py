"""What each method trains on the real SAM ViT-B: exact counts, beside those that the paper prints."""

from __future__ import annotations

import pytest
import torch
from segment_anything import build_sam_vit_b

from benchmarks.catalog import METHODS
from benchmarks.methods import Attachment, freeze, trainable

DECODER = 4_058_340
OWN = {
    "base": 0,
    "decoder": DECODER,
    "encoder": 89_670_912,
    "medsam": 93_729_252,
    "adapter": 3_550_464,
    "lora": 147_456,
    "dora": 165_888,
    "cobot": 148_320,
    "sam-parser": 512,
}
# The paper's table 4, in thousands, as printed; it has no row of DoRA.
PRINTED = {"decoder": 4057, "encoder": 89670, "medsam": 93735, "adapter": 3550, "lora": 147, "cobot": 148, "sam-parser": 0.5}


def vit_b():
    """SAM ViT-B without its 375 MB: every shape, no values."""
    with torch.device("meta"):
        return build_sam_vit_b()


@pytest.mark.parametrize("name", list(METHODS))
def test_counts_on_the_real_vit_b(name):
    sam, method = vit_b(), METHODS.get(name)()
    assert method.count(sam) == OWN[name], "before anything is attached"
    attachment = method.attach(sam)
    freeze(sam, attachment)
    found, besides = trainable(sam, attachment)
    assert found == method.count(sam) == OWN[name]
    assert besides == ({"mask_decoder": DECODER} if name in ("adapter", "lora", "dora", "cobot") else {})
    assert sum(p.numel() for p in sam.parameters() if p.requires_grad) == OWN[name] + sum(besides.values())


def test_each_printed_count_is_explained():
    """Cut to thousands. Two printed counts are of other sets than what is trained, and these sets are known exactly."""
    cut = {name: int(OWN[name] / 1000) for name in PRINTED}
    cut["sam-parser"] = round(OWN["sam-parser"] / 1000, 1)
    sizes = {name: p.numel() for name, p in vit_b().named_parameters()}
    tokens = sizes["mask_decoder.iou_token.weight"] + sizes["mask_decoder.mask_tokens.weight"]
    prompts = sum(size for name, size in sizes.items() if name.startswith("prompt_encoder."))
    assert (tokens, prompts, sum(sizes.values())) == (1_280, 6_220, 93_735_472)
    assert OWN["decoder"] - tokens == 4_057_060
    assert OWN["medsam"] + prompts == 93_735_472
    assert cut | {"decoder": 4_057_060 // 1000, "medsam": 93_735_472 // 1000} == PRINTED


def test_the_methods_with_a_decoder_besides_train_all_of_it():
    sam = vit_b()
    attachment = METHODS.get("lora")().attach(sam)
    assert set(attachment.besides["mask_decoder"]) == set(METHODS.get("decoder")().attach(sam).own)
    assert set(attachment.own).isdisjoint(attachment.besides["mask_decoder"])
    assert METHODS.get("encoder")().attach(vit_b()) == Attachment(
        own=tuple(name for name, _ in vit_b().named_parameters() if name.startswith("image_encoder."))
    )
