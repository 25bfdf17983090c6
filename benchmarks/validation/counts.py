"""Trained parameters of the suite's own methods, counted on a model without weights."""

from __future__ import annotations

import logging

from benchmarks import backbones
from benchmarks.catalog import METHODS, SEGMENTATION
from benchmarks.validation.known import Known

log = logging.getLogger("benchmarks")
_KEPT: dict[tuple[str, str, str], tuple[int, dict[str, int]] | None] = {}


def counted(about: Known) -> tuple[int, dict[str, int]] | None:
    """(the method's own, besides by part), its formula and its attachment agreeing; None where the backbone's library is not here."""
    key = (about.backbone.name, about.method, about.dataset.name)
    if key not in _KEPT:
        _KEPT[key] = _count(about)
    return _KEPT[key]


def _count(about: Known) -> tuple[int, dict[str, int]] | None:
    import torch

    from benchmarks import heads
    from benchmarks.methods import trainable

    # On the meta device shapes are all there is, and the largest model takes a second; SAM 2's encoder computes while it is built.
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                network = backbones.build(about.backbone, None)
                if about.task.kind != SEGMENTATION:
                    heads.attach(network, about.task, about.protocol, about.dataset.classes)
                method = METHODS.get(about.method)()
                own, besides = trainable(network, method.attach(network))
                return (own, besides) if own == method.count(network) else None
        except Exception as error:  # noqa: BLE001 - whatever a library says, a record is not to blame for it
            log.debug("%s with %s on %s: %s", about.method, about.backbone.name, device, error)
    return None
