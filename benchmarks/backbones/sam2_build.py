"""SAM 2 as published, by the `sam2` library and its own configuration files."""

from __future__ import annotations


def build(config: str):
    """A `SAM2Base` with random weights, in eval mode, on the CPU, with the settings that `SAM2ImagePredictor` is given."""
    from sam2.build_sam import build_sam2

    return build_sam2(config, ckpt_path=None, device="cpu", mode="eval")


def convert(state: dict) -> dict:
    """The weights in a published file, which keeps them under "model"."""
    return state["model"]
