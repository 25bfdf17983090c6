"""Where the parts of a model are: what a method needs to know of a backbone to be attached to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Anatomy:
    """Dotted names of a model's parts.

    family: sam, sam2 or dinov2. encoder: a module, "" where it is the model itself without its `decoder`. decoder: the mask
    decoder, or the linear head; None where there is none. blocks: the encoder's transformer blocks, first to last; each has
    `attn.qkv`, `norm2` and `mlp`. neck: the convolutions between the last block and the features; () where there are none.
    """

    family: str
    encoder: str
    decoder: str | None
    blocks: tuple[str, ...]
    neck: tuple[str, ...]


def anatomy(model: nn.Module) -> Anatomy:
    """The parts of a segment_anything `Sam`, a sam2 `SAM2Base` or a timm `VisionTransformer` (DINOv2), adapted or not.

    Goes by the names of the classes, so that nobody has to import sam2 or timm to learn that a model is not of theirs.
    Raises TypeError for any other model.
    """
    for cls in type(model).__mro__:
        if dissect := _KNOWN.get((cls.__module__, cls.__name__)):
            return dissect(model)
    known = ", ".join(f"{module.partition('.')[0]} {name}" for module, name in _KNOWN)
    raise TypeError(f"{type(model).__module__}.{type(model).__name__} is none of the models that methods attach to: {known}")


def encoder_names(model: nn.Module) -> tuple[str, ...]:
    """The parameters of the encoder, in the model's order."""
    parts = anatomy(model)
    names = (name for name, _ in model.named_parameters())
    if parts.encoder:
        return tuple(name for name in names if name.startswith(f"{parts.encoder}."))
    return tuple(name for name in names if parts.decoder is None or not name.startswith(f"{parts.decoder}."))


def decoder_names(model: nn.Module) -> tuple[str, ...]:
    """The parameters of the decoder or head, in the model's order. Raises ValueError where the model has none.

    SAM 2's `conv_s0` and `conv_s1` are kept in its decoder but run once an image, with the encoder, whose outputs are remembered
    between epochs and versions: counted as the decoder's they would be declared trained and never change.
    """
    part = decoder_of(model)
    with_encoder = ("conv_s0.", "conv_s1.") if anatomy(model).family == "sam2" else ()
    return tuple(
        f"{part}.{name}" for name, _ in model.get_submodule(part).named_parameters() if not name.startswith(with_encoder)
    )


def decoder_of(model: nn.Module) -> str:
    """The name of the decoder or head. Raises ValueError where the model has none."""
    if (part := anatomy(model).decoder) is None:
        raise ValueError(f"this {type(model).__name__} has no decoder or linear head to train; build it with num_classes")
    return part


def _sam(model: nn.Module) -> Anatomy:
    blocks = tuple(f"image_encoder.blocks.{k}" for k in range(len(model.image_encoder.blocks)))
    # 1 and 3 are layer norms.
    return Anatomy("sam", "image_encoder", "mask_decoder", blocks, ("image_encoder.neck.0", "image_encoder.neck.2"))


def _sam2(model: nn.Module) -> Anatomy:
    encoder = model.image_encoder
    blocks = tuple(f"image_encoder.trunk.blocks.{k}" for k in range(len(encoder.trunk.blocks)))
    # One lateral convolution per stage, the deepest stage first.
    neck = tuple(f"image_encoder.neck.convs.{k}.conv" for k in range(len(encoder.neck.convs)))
    return Anatomy("sam2", "image_encoder", "sam_mask_decoder", blocks, neck)


def _dinov2(model: nn.Module) -> Anatomy:
    from torch import nn

    head = "head" if isinstance(model.head, nn.Linear) else None
    return Anatomy("dinov2", "", head, tuple(f"blocks.{k}" for k in range(len(model.blocks))), ())


_KNOWN = {
    ("segment_anything.modeling.sam", "Sam"): _sam,
    ("sam2.modeling.sam2_base", "SAM2Base"): _sam2,
    ("timm.models.vision_transformer", "VisionTransformer"): _dinov2,
}
