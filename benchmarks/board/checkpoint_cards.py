"""The model index of a shipped checkpoint's card: how the bare model does, by the verified records alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks import backbones
from benchmarks.board.collect import TIERS, Collection, boards
from benchmarks.catalog import Backbone
from benchmarks.errors import UsageError

FENCE = "---\n"


def card(backbone: Backbone) -> Path:
    """The card of a shipped checkpoint: of its own name, or the README of its folder."""
    own = backbones.checkpoint(backbone).with_suffix(".md")
    return own if own.is_file() else own.with_name("README.md")


def refreshed(text: str, backbone: str, found: Collection) -> str:
    """A card with its `model-index` made anew, every other line as it is; without verified records it has none.

    Raises UsageError for a card without front matter.
    """
    import yaml
    from huggingface_hub.utils import yaml_dump

    from benchmarks.export.model_index import models

    parts = text.split(FENCE, 2)
    if len(parts) != 3 or parts[0] or not isinstance(front := yaml.safe_load(parts[1]), dict):
        raise UsageError(
            f"the card of {backbone} must begin with front matter between two lines of ---; mend that, then build again"
        )
    if "model-index" in list(front)[:-1]:
        raise UsageError(f"the card of {backbone} must have model-index last in its front matter; mend that, then build again")
    kept = parts[1].split("model-index:\n")[0]
    groups = {b: r for b, r in boards(found.kept).items() if b.tier == TIERS[0] and b.backbone == backbone}
    bare = [m | {"name": backbone} for m in models(groups, "base") if m["name"] == f"{backbone}, base"]
    return "".join([FENCE, kept, yaml_dump({"model-index": bare}, sort_keys=False) if bare else "", FENCE, parts[2]])
