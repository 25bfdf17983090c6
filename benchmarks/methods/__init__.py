"""Adaptation methods: one class each, found by name through `benchmarks.catalog.METHODS`.

A method is how a frozen model is adapted before it is tested. `+swap` is not a method of its own: it goes on any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Attachment:
    """What a method trains, by parameter name: its `own`, and what is trained `besides` under a part's name."""

    own: tuple[str, ...] = ()
    besides: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return self.own + tuple(name for part in self.besides.values() for name in part)


class Method:
    """How a frozen model is adapted. Subclass it, set `name` and `summary`, and write `attach` and `count`.

    trains_encoder: False lets training read encoder features from memory instead of computing them at every step.
    starts_as_base: outputs right after `attach` equal those of the bare model; a method that starts elsewhere says False.
    skips: families of backbones ("sam", "sam2", "dinov2") on which the method makes no sense, each with its reason.
    """

    name: str
    summary: str = ""
    trains_encoder: bool = True
    starts_as_base: bool = True
    skips: dict[str, str] = {}

    def attach(self, model: nn.Module) -> Attachment:
        """Change the model in place (its weights are loaded already) and say what is to be trained; all else stays frozen."""
        raise NotImplementedError

    def count(self, model: nn.Module) -> int:
        """Parameters of the method's own part, by formula, without looking at what `attach` made: one checks the other."""
        raise NotImplementedError


def freeze(model: nn.Module, attachment: Attachment) -> None:
    """Only the attachment's parameters ask for a gradient; the model is in eval mode (no dropout, no running statistics).

    Raises ValueError for names that the model does not have, and for what a run could not obey.
    """
    parameters = dict(model.named_parameters())
    wanted = set(attachment.names)
    if unknown := sorted(wanted - parameters.keys()):
        raise ValueError(f"attach declares {', '.join(unknown)}: the model has no such parameter; see its named_parameters()")
    if prompts := sorted(name for name in wanted if name.partition(".")[0] in ("prompt_encoder", "sam_prompt_encoder")):
        raise ValueError(f"the prompt encoder is never trained here (its embeddings are computed once): {', '.join(prompts)}")
    for part in ("mask_decoder", "sam_mask_decoder"):
        decoder = getattr(model, part, None)
        if decoder is None:
            continue
        theirs = type(decoder).__module__.partition(".")[0] in ("segment_anything", "sam2")
        replaced = not theirs or vars(decoder).keys() & {"forward", "predict_masks"}
        if replaced or decoder._forward_hooks or decoder._forward_pre_hooks:
            raise ValueError("the mask decoder's own forward is not called; change the modules inside it instead")
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in wanted)
    model.eval()


def trainable(model: nn.Module, attachment: Attachment) -> tuple[int, dict[str, int]]:
    """Trained parameters: the method's own, and what is trained besides, by part."""
    size = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return sum(size[n] for n in attachment.own), {part: sum(size[n] for n in names) for part, names in attachment.besides.items()}
