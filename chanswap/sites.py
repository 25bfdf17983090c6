"""Where a swap acts in a live model, and putting it there: for a `with` block, or until it is taken off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from chanswap.swap import Swap

_HANDLES = "_chanswap_handles"  # on the site's module: what `apply` hung there, so that `remove` finds it


class SiteError(ValueError):
    """The model has no such module, or its output has no such tensor."""


@dataclass(frozen=True)
class Site:
    """The output tensor of a submodule. `module` is its dotted name ("" is the model itself), `axis` the channel axis.

    `key` picks the tensor where the module returns a dict, tuple or list; leave it None where it returns a tensor.
    With `input` True the site is a tensor that the module is called with: `key` is then a keyword argument's name, or a
    position (None: the first). That is how to reach a tensor that no module returns.
    """

    module: str
    axis: int = 1
    key: str | int | None = None
    input: bool = False


SAM = Site("image_encoder", axis=1)  # segment_anything: the image embedding (B, 256, 64, 64), after the neck
# sam2: the image embedding (B, 256, 64, 64) that its decoder is given, the high-resolution maps untouched. The encoder's own
# `vision_features` would have no effect, for the predictor reads another entry and adds `no_mem_embed` to it first.
SAM2 = Site("sam_mask_decoder", axis=1, key="image_embeddings", input=True)
DINOV2 = Site("norm", axis=-1)  # timm's VisionTransformer: the final tokens (B, N, C)


@contextmanager
def applied(model: nn.Module, swap: Swap, site: Site) -> Iterator[nn.Module]:
    """The model with a swap on, inside a `with` block. Weights are not touched: after it, outputs are bit-identical.

    Raises SiteError if the model has no such module or its output no such tensor, SwapError if the widths differ.
    """
    handle = _hang(model, swap, site)
    try:
        yield model
    finally:
        handle.remove()


def apply(model: nn.Module, swap: Swap, site: Site) -> nn.Module:
    """Put a swap on for good (until `remove`). A second one at the same site acts on what the first leaves; see `Swap.then`.

    Returns the model. Raises as `applied` does.
    """
    handle = _hang(model, swap, site)
    model.get_submodule(site.module).__dict__.setdefault(_HANDLES, []).append(handle)
    return model


def remove(model: nn.Module) -> int:
    """Take every swap off that `apply` put on, anywhere in the model. Returns how many there were."""
    count = 0
    for module in model.modules():
        for handle in module.__dict__.pop(_HANDLES, []):
            handle.remove()
            count += 1
    return count


def _hang(model: nn.Module, swap: Swap, site: Site):
    try:
        module = model.get_submodule(site.module)
    except AttributeError:
        names = [name for name, _ in model.named_children()]
        raise SiteError(f"the model has no module {site.module!r}; its children are: {', '.join(names) or 'none'}") from None
    if site.input:
        return module.register_forward_pre_hook(partial(_given, swap=swap, site=site), with_kwargs=True)
    return module.register_forward_hook(partial(_swapped, swap=swap, site=site))


def _given(_module: nn.Module, args: tuple, kwargs: dict, *, swap: Swap, site: Site) -> tuple[tuple, dict]:
    """The arguments of a call with the site's tensor swapped."""
    chosen = site.key if site.key is not None else 0
    known = chosen in kwargs if isinstance(chosen, str) else 0 <= chosen < len(args)
    if not known:
        has = ", ".join([*(str(k) for k in range(len(args))), *kwargs]) or "none"
        raise SiteError(f"{site.module or 'the model'} was called without argument {chosen!r}; it was given: {has}")
    tensor = kwargs[chosen] if isinstance(chosen, str) else args[chosen]
    if not isinstance(tensor, Tensor):
        raise SiteError(f"argument {chosen!r} of {site.module or 'the model'} is {type(tensor).__name__}, not a tensor")
    changed = swap(tensor, site.axis)
    if isinstance(chosen, str):
        return args, {**kwargs, chosen: changed}
    return (*args[:chosen], changed, *args[chosen + 1 :]), kwargs


def _swapped(_module: nn.Module, _inputs: tuple, output, *, swap: Swap, site: Site):
    if site.key is None:
        if not isinstance(output, Tensor):
            raise SiteError(
                f"{site.module or 'the model'} returns {type(output).__name__}, not a tensor; name the tensor with Site(key=...)"
            )
        return swap(output, site.axis)
    if isinstance(output, Tensor):
        raise SiteError(f"{site.module or 'the model'} returns a tensor, which has no entry {site.key!r}; leave key out")
    try:
        chosen = output[site.key]
    except (KeyError, IndexError, TypeError):
        raise SiteError(f"the output of {site.module or 'the model'} has no entry {site.key!r}") from None
    if not isinstance(chosen, Tensor):
        raise SiteError(
            f"entry {site.key!r} of the output of {site.module or 'the model'} is {type(chosen).__name__}, not a tensor"
        )
    changed = swap(chosen, site.axis)
    if isinstance(output, dict):
        output = copy(output)  # of its own class: Hugging Face's outputs are dicts that are also read by attribute
        output[site.key] = changed
        return output
    items = list(output)
    items[site.key] = changed
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
