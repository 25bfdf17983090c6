"""The contract of every registered method."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load, save

from benchmarks.backbones import sam_mini
from benchmarks.backbones.sam import Segmenter
from benchmarks.catalog import METHODS, SWAP, split_method
from benchmarks.data.samples import Sample
from benchmarks.data.synthetic import scene
from benchmarks.errors import UsageError
from benchmarks.methods import freeze, trainable
from benchmarks.protocols import Training
from benchmarks.train import train
from chanswap import SAM, Swap, applied, apply, remove

EVERY = pytest.mark.parametrize("name", list(METHODS))
TRAINED = pytest.mark.parametrize("name", [name for name in METHODS if name != "base"])


def attached(name: str, sam=None):
    if sam is None:
        torch.manual_seed(0)
        sam = sam_mini.build()
    torch.manual_seed(1)
    attachment = METHODS.get(name)().attach(sam)
    freeze(sam, attachment)
    return Segmenter(sam), attachment


def samples(count: int = 3) -> list[Sample]:
    made = [scene("camo", "train", k) for k in range(count)]
    return [Sample(f"train-{k:05d}", m.image, m.target) for k, m in enumerate(made)]


def outputs(segmenter: Segmenter) -> torch.Tensor:
    sample = samples(1)[0]
    with torch.inference_mode():
        features = segmenter.encode(segmenter.pixels(sample.image)[None])
        return segmenter.logits(features, segmenter.item(sample), slice(0, 4))[0]


def one_step(segmenter: Segmenter, precision: str = "float32") -> None:
    segmenter.precision = precision
    train(segmenter, samples(), Training(epochs=1, batch=3, learning_rate=1e-3, weight_decay=0.0), seed=0)


@EVERY
def test_starts_where_base_is(name):
    base, _ = attached("base")
    method, _ = attached(name)
    torch.testing.assert_close(outputs(method), outputs(base), atol=1e-5, rtol=1e-5)


@EVERY
def test_trains_what_it_declares(name):
    segmenter, attachment = attached(name)
    asked = {n for n, p in segmenter.sam.named_parameters() if p.requires_grad}
    assert asked == set(attachment.names)
    assert len(set(attachment.names)) == len(attachment.names)
    assert trainable(segmenter.sam, attachment)[0] == METHODS.get(name)().count(segmenter.sam)


@TRAINED
def test_every_trainable_tensor_learns_and_no_other_changes(name):
    segmenter, attachment = attached(name)
    before = copy.deepcopy(segmenter.sam.state_dict())
    one_step(segmenter)
    one_step(segmenter)  # LoRA's A has a zero gradient while B is zero: the second step moves it
    changed = {n for n, v in segmenter.sam.state_dict().items() if not torch.equal(v, before[n])}
    # Three of four mask tokens' networks and the IoU head take no part in the single mask.
    idle = ("output_hypernetworks_mlps.1", "output_hypernetworks_mlps.2", "output_hypernetworks_mlps.3", "iou_prediction_head")
    assert changed <= set(attachment.names)
    assert {n for n in set(attachment.names) - changed if not any(i in n for i in idle)} == set()


@TRAINED
def test_saved_weights_give_the_same_outputs(name):
    segmenter, attachment = attached(name)
    one_step(segmenter)
    state = dict(segmenter.sam.named_parameters())
    kept = load(save({n: state[n].detach() for n in attachment.names}))
    again, _ = attached(name)
    with torch.no_grad():
        for n, p in again.sam.named_parameters():
            if n in kept:
                p.copy_(kept[n])
    assert torch.equal(outputs(again), outputs(segmenter))


@EVERY
def test_swap_on_and_off_leaves_outputs_bit_identical(name):
    segmenter, _ = attached(name)
    plain = outputs(segmenter)
    swap = Swap([(0, 1), (5, 9)], channels=64)
    with applied(segmenter.sam, swap, SAM):
        assert not torch.equal(outputs(segmenter), plain)
    assert torch.equal(outputs(segmenter), plain)
    apply(segmenter.sam, swap, SAM)
    assert not torch.equal(outputs(segmenter), plain)
    assert remove(segmenter.sam) == 1
    assert torch.equal(outputs(segmenter), plain)


@TRAINED
def test_trains_in_bfloat16_too(name):
    segmenter, attachment = attached(name)
    one_step(segmenter, "bfloat16")
    assert all(torch.isfinite(p).all() for p in segmenter.sam.parameters())
    assert torch.isfinite(outputs(segmenter)).all()


@TRAINED
def test_frozen_encoder_may_be_read_from_memory(name):
    """Training on kept features gives the very weights that training through the frozen encoder gives."""
    if METHODS.get(name).trains_encoder:
        pytest.skip("this method trains the encoder, so its features change with every step")
    training = Training(epochs=2, batch=2, learning_rate=1e-3, weight_decay=0.0)
    weights = []
    for kept in (False, True):
        segmenter, attachment = attached(name)
        with torch.no_grad():
            features = [segmenter.encode(segmenter.pixels(s.image)[None])[0] for s in samples()] if kept else None
        train(segmenter, samples(), training, seed=0, features=features)
        weights.append({n: p.detach() for n, p in segmenter.sam.named_parameters() if n in attachment.names})
    for n in weights[0]:
        torch.testing.assert_close(weights[0][n], weights[1][n], atol=1e-4, rtol=1e-3)


def test_swap_is_a_suffix_of_every_method_and_nothing_else_is():
    for name in METHODS:
        assert split_method(name + SWAP) == (name, True)
        assert split_method(name) == (name, False)
    for wrong in ("dora+swop", "dora+swap+swap", "dora+", "+swap"):
        with pytest.raises(UsageError):
            split_method(wrong)
    with pytest.raises(UsageError, match="did you mean dora"):
        split_method("doora+swap")


def test_what_a_run_could_not_obey_is_refused():
    from benchmarks.methods import Attachment

    sam = sam_mini.build()
    with pytest.raises(ValueError, match="prompt encoder is never trained"):
        freeze(sam, Attachment(own=("prompt_encoder.no_mask_embed.weight",)))
    with pytest.raises(KeyError):
        freeze(sam, Attachment(own=("no.such.parameter",)))
    sam.mask_decoder.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="own forward is not called"):
        freeze(sam, Attachment())
