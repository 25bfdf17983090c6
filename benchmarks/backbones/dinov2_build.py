"""DINOv2 as published, by timm."""

from __future__ import annotations


def build(config: str):
    """timm's `VisionTransformer` of this name with random weights, without a head, for any multiple of 14 pixels; eval, CPU."""
    import timm

    return timm.create_model(config, pretrained=False, num_classes=0, dynamic_img_size=True).eval()


def convert(state: dict) -> dict:
    """The weights in a published file under timm's names, which are the same. The mask token, which only pretraining uses, has none there."""
    return {name: tensor for name, tensor in state.items() if name != "mask_token"}
