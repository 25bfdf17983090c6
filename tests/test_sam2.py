"""SAM 2: from image to mask as the library's own `SAM2ImagePredictor` does it, swapped between, built and loaded as published."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sam2.sam2_image_predictor import SAM2ImagePredictor
from segment_anything import SamPredictor

from benchmarks.backbones import build, sam2_build, sam2_mini
from benchmarks.backbones.anatomy import decoder_names
from benchmarks.backbones.model import Encoded
from benchmarks.backbones.sam import AMBIGUITY, SINGLE, Segmenter
from benchmarks.backbones.sam2 import Segmenter2
from benchmarks.catalog import BACKBONES, BEST_OF_THREE
from benchmarks.data.samples import Sample, interior_point
from benchmarks.data.synthetic import scene
from benchmarks.errors import MissingData
from benchmarks.files import sha256
from chanswap import SAM2, Swap, applied

SIZES = [(128, 128), (96, 128), (300, 211), (61, 47)]
SAM2_COUNTS = {  # as the library's own configurations give them; the publisher rounds them to 38.9, 46, 80.8 and 224.4 M
    "sam2.1-hiera-t": 38_962_498,
    "sam2.1-hiera-s": 46_060_354,
    "sam2.1-hiera-b+": 80_850_178,
    "sam2.1-hiera-l": 224_446_642,
    "sam2-hiera-t": 38_945_986,
    "sam2-hiera-s": 46_043_842,
    "sam2-hiera-b+": 80_833_666,
    "sam2-hiera-l": 224_430_130,
}
SAM_COUNTS = {"sam-vit-b": 93_735_472, "sam-vit-l": 312_342_832, "sam-vit-h": 641_090_608}


def shaped(height: int, width: int, index: int = 0) -> Sample:
    made = scene("natural", "test", index)
    rows, columns = np.arange(height) * 128 // height, np.arange(width) * 128 // width
    return Sample("x", np.ascontiguousarray(made.image[rows][:, columns]), np.ascontiguousarray(made.target[rows][:, columns]))


def stirred(network):
    """Random weights say almost the same of every image: spread them, and what starts at zero too."""
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(1.5).add_(0.02 * torch.randn_like(p))
    return network.eval()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Segmenter2(stirred(sam2_mini.build()))


def predictor_of(network) -> SAM2ImagePredictor:
    predictor = SAM2ImagePredictor(network)
    side = network.sam_image_embedding_size
    predictor._bb_feat_sizes = [(side * k, side * k) for k in (4, 2, 1)]  # as published it knows those of 1024 pixels alone
    return predictor


def encoded(model: Segmenter2, sample: Sample):
    """The site (C, h, w) and the item of a sample."""
    site, rest = model.encode(model.pixels(sample.image)[None]).of(0)
    return site, model.item(sample, rest)


def as_the_predictor(model: Segmenter2, sample: Sample) -> None:
    """Embedding, high-resolution maps, low and full-size logits, scores and the control are the library's."""
    predictor = predictor_of(model.network)
    predictor.set_image(sample.image)
    click = {"point_coords": np.array([interior_point(sample.mask)]), "point_labels": np.array([1])}
    with torch.inference_mode():
        site, item = encoded(model, sample)
        torch.testing.assert_close(site[None], predictor.get_image_embedding(), atol=1e-4, rtol=1e-4)
        for ours, theirs in zip(item.high, predictor._features["high_res_feats"]):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        for many in (False, True):
            full, scores, low = predictor.predict(**click, multimask_output=many, return_logits=True)
            logits, found = model.logits(site[None], item, multimask=many)
            assert logits.shape[1] == (3 if many else 1) and full.std() > 0
            np.testing.assert_allclose(logits[0].clamp(-32, 32), low, atol=1e-4)
            np.testing.assert_allclose(found[0], scores, atol=1e-4)
            np.testing.assert_allclose(model.full_size(logits, item)[0], full, atol=1e-4)
            if many:
                best = full[scores.argmax()] > 0
                wanted = (best & sample.mask).sum() / max(1, (best | sample.mask).sum())
                assert model.controls(site[None], item)[BEST_OF_THREE]["miou"][0] == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize("size", SIZES)
def test_masks_equal_those_of_the_library_predictor(model, size):
    as_the_predictor(model, shaped(*size))


def test_the_single_answer_is_one_of_the_three_where_the_single_mask_is_not_stable(model):
    decoder, sample = model.network.sam_mask_decoder, shaped(128, 128)
    threshold = decoder.dynamic_multimask_stability_thresh
    assert decoder.dynamic_multimask_via_stability and threshold == 0.98
    with torch.inference_mode():
        site, item = encoded(model, sample)
        three, scores = model.logits(site[None], item, multimask=True)
        answers = []
        try:
            for decoder.dynamic_multimask_stability_thresh in (0.0, 1.1):  # every mask is stable enough, or none is
                answers.append(model.logits(site[None], item)[0][0, 0])
        finally:
            decoder.dynamic_multimask_stability_thresh = threshold
    assert torch.equal(answers[1], three[0, scores[0].argmax()])
    assert not any(torch.equal(answers[0], mask) for mask in three[0])


@pytest.mark.slow
@pytest.mark.parametrize("size", [(128, 128), (300, 211)])
def test_masks_equal_those_of_the_library_predictor_at_true_size(size):
    torch.manual_seed(0)
    network = sam2_build.build("configs/sam2.1/sam2.1_hiera_t.yaml")
    model = Segmenter2(network)
    as_the_predictor(model, shaped(*size))
    site, item = encoded(model, shaped(*size))
    assert site.shape == (256, 64, 64)
    assert [tuple(part.shape) for part in item.high] == [(1, 32, 256, 256), (1, 64, 128, 128)]


@pytest.mark.slow
def test_sam_equals_the_library_predictor_at_true_size():
    from segment_anything import build_sam_vit_b

    torch.manual_seed(0)
    model, sample = Segmenter(build_sam_vit_b()), shaped(300, 211)
    predictor = SamPredictor(model.network)
    predictor.set_image(sample.image)
    point = np.array([interior_point(sample.mask)])
    with torch.inference_mode():
        site, item = encoded(model, sample)
        torch.testing.assert_close(site[None], predictor.get_image_embedding(), atol=1e-4, rtol=1e-4)
        for tokens, many in ((SINGLE, False), (AMBIGUITY, True)):
            _, scores, low = predictor.predict(point, np.array([1]), multimask_output=many)
            logits, found = model.logits(site[None], item, tokens, iou_scores=True)
            np.testing.assert_allclose(logits[0], low, atol=1e-4)
            np.testing.assert_allclose(found[0], scores, atol=1e-4)


def test_scores_of_versions_equal_swaps_on_the_live_model(model):
    sample = shaped(96, 128)
    predictor = predictor_of(model.network)
    predictor.set_image(sample.image)
    click = {"point_coords": np.array([interior_point(sample.mask)]), "point_labels": np.array([1])}
    swaps = [
        Swap([(0, 1)], channels=64),
        Swap([(3, 9), (9, 3), (17, 60)], channels=64),
        Swap([(k, 63 - k) for k in range(30)], channels=64),
    ]
    with torch.inference_mode():
        site, item = encoded(model, sample)
        found = model.score(torch.stack([swap(site, 0) for swap in swaps]), item)
        wanted = []
        for swap in swaps:
            with applied(model.network, swap, SAM2):
                mask = predictor.predict(**click, multimask_output=False)[0][0] > 0
            wanted.append((mask & sample.mask).sum() / max(1, (mask | sample.mask).sum()))
    np.testing.assert_allclose(found, wanted, atol=2e-3)  # a logit within rounding of zero may fall on either side
    assert len(set(np.round(wanted, 6))) > 1


def test_high_resolution_maps_are_shared_by_the_versions_and_left_alone(model):
    sample, seen = shaped(128, 128), []
    with torch.inference_mode():
        features = model.encode(model.pixels(sample.image)[None])
        site, rest = features.of(0)
        before = [part.clone() for part in rest]
        item = model.item(sample, rest)
        hook = model.network.sam_mask_decoder.register_forward_pre_hook(
            lambda _module, _args, given: seen.append(given), with_kwargs=True
        )
        try:
            model.score(torch.stack([Swap([(0, k)], channels=64)(site, 0) for k in range(1, 8)]), item)
        finally:
            hook.remove()
    assert len(seen) == 1 and len(rest) == 2
    for given, kept, whole, old in zip(seen[0]["high_res_features"], item.high, features.rest, before):
        assert given.shape[0] == 7 and given.stride(0) == 0
        assert given.data_ptr() == kept.data_ptr() == whole.data_ptr()  # nothing was copied on the way
        assert torch.equal(whole[0], old)


def test_measures_begin_with_the_score(model):
    sample = shaped(128, 128)
    with torch.inference_mode():
        site, item = encoded(model, sample)
        sites = torch.stack([site, 0.5 * site])
        every, first = model.measures(sites, item), model.measures(sites, item, all_metrics=False)
        assert model.metrics == tuple(every) and next(iter(first)) == model.objective
        torch.testing.assert_close(first[model.objective].float(), model.score(sites, item).float())


def test_bfloat16_stays_near_float32(model):
    sample = shaped(128, 128)
    half = Segmenter2(model.network, precision="bfloat16")
    with torch.inference_mode():
        (one, _), (two, item) = (encoded(m, sample) for m in (model, half))
        assert one.dtype == two.dtype == torch.float32
        assert (one - two).abs().max() < 0.05 * one.abs().max()
        assert half.score(two[None], item).dtype == torch.float32


@pytest.mark.parametrize("count", [1, 3])
def test_a_training_step_reaches_the_decoder(count):
    """All that `decoder_names` gives but what the single mask does not hear of; with features of an image encoded before."""
    torch.manual_seed(0)
    model = Segmenter2(stirred(sam2_mini.build()))
    samples = [shaped(128, 128, k) for k in range(count)]
    with torch.no_grad():
        features = model.encode(torch.stack([model.pixels(sample.image) for sample in samples]))
    examples = [model.example(sample) for sample in samples]
    assert [tuple(part.shape) for part in examples[0]] == [(1, 2, 64), (1, 64, 16, 16), (1, 64, 64)]
    assert 0 <= examples[0][2].min() and examples[0][2].max() <= 1 and examples[0][2].sum() > 0
    joined = tuple(torch.cat(parts) for parts in zip(*examples))
    loss = model.loss(Encoded(features.site, features.rest), joined)
    assert loss.ndim == 0 and torch.isfinite(loss)
    parameters = {name: model.network.get_parameter(name) for name in decoder_names(model.network)}
    gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)))
    deaf = ("iou_prediction_head", *(f"output_hypernetworks_mlps.{k}" for k in (1, 2, 3)))
    for name, gradient in gradients.items():
        if any(part in name for part in deaf):
            assert gradient is None or not gradient.any()
        else:
            assert gradient is not None and torch.isfinite(gradient).all(), name
    assert sum(bool(g is not None and g.any()) for g in gradients.values()) > 40


def test_what_runs_with_the_encoder_is_not_called_the_decoder(model):
    names = decoder_names(model.network)
    inside = {f"sam_mask_decoder.{name}" for name, _ in model.network.sam_mask_decoder.named_parameters()}
    assert inside - set(names) == {f"sam_mask_decoder.conv_s{k}.{part}" for k in (0, 1) for part in ("weight", "bias")}


@pytest.fixture
def shapes_alone(monkeypatch):
    """Models of every shape and no values. Hiera reads numbers from a range, and the builder moves what has no values."""
    linspace = torch.linspace
    monkeypatch.setattr(torch, "linspace", lambda *args, **kw: linspace(*args, **{**kw, "device": "cpu"}))
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *args, **kw: self)
    with torch.device("meta"):
        yield


@pytest.mark.parametrize("name", SAM2_COUNTS)
def test_every_published_configuration_has_its_parameters(name, shapes_alone):
    network = sam2_build.build(BACKBONES.get(name).config)
    assert not network.training and network.image_size == BACKBONES.get(name).size
    assert network.hidden_dim == BACKBONES.get(name).channels and network.sam_image_embedding_size == BACKBONES.get(name).grid
    assert network.sam_mask_decoder.dynamic_multimask_via_stability
    assert sum(p.numel() for p in network.parameters()) == SAM2_COUNTS[name]


def test_every_published_configuration_is_counted():
    published = {name for name in BACKBONES if BACKBONES.get(name).family == "sam2" and BACKBONES.get(name).config}
    assert published == set(SAM2_COUNTS)


@pytest.mark.parametrize("name", SAM_COUNTS)
def test_every_published_sam_has_its_parameters(name):
    import importlib

    module, function = BACKBONES.get(name).build.split(":")
    with torch.device("meta"):
        network = getattr(importlib.import_module(module), function)()
    assert sum(p.numel() for p in network.parameters()) == SAM_COUNTS[name]


class Runs:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_published_file_is_loaded_and_one_with_code_is_not(tmp_path, monkeypatch):
    """With the small model in the place of a large one: what matters is how the file is laid out."""
    monkeypatch.setattr(sam2_build, "build", lambda config: sam2_mini.build())
    backbone = BACKBONES.get("sam2.1-hiera-t")
    torch.manual_seed(1)
    wanted = sam2_mini.build()
    torch.save({"model": wanted.state_dict()}, tmp_path / "good.pt")
    found = build(backbone, tmp_path / "good.pt").state_dict()
    assert found.keys() == wanted.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in wanted.state_dict().items())

    torch.save({"model": {**wanted.state_dict(), "no_mem_embed": Runs(tmp_path / "ran")}}, tmp_path / "bad.pt")
    with pytest.raises(MissingData, match="no code in it is run"):
        build(backbone, tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()

    lacking = {name: value for name, value in wanted.state_dict().items() if name != "no_mem_embed"}
    torch.save({"model": lacking}, tmp_path / "lacking.pt")
    with pytest.raises(MissingData, match="it lacks no_mem_embed; get the file again: python -m benchmarks weights fetch"):
        build(backbone, tmp_path / "lacking.pt")


def test_the_shipped_weights_are_those_of_the_card_and_fit():
    import json

    from benchmarks.backbones import checkpoint

    path = checkpoint(BACKBONES.get("sam2-mini"))
    card = json.loads(path.with_suffix(".json").read_text())
    assert sha256(path) == card["sha256"] and path.stat().st_size == card["bytes"] <= 8_000_000
    network = build(BACKBONES.get("sam2-mini"), path)
    assert sum(p.numel() for p in network.parameters()) == card["parameters"] < 2_000_000
    assert not network.training
    with torch.inference_mode():
        model, sample = Segmenter2(network), shaped(128, 128)
        site, item = encoded(model, sample)
        assert site.shape == (64, 16, 16) and [tuple(p.shape) for p in item.high] == [(1, 8, 64, 64), (1, 16, 32, 32)]
        as_the_predictor(model, sample)
