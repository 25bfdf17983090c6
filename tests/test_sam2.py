"""SAM 2 as a run sees it, held against the library's own predictor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import backbones
from benchmarks.backbones import sam2_build, sam2_mini
from benchmarks.backbones.sam2 import Segmenter2
from benchmarks.catalog import BACKBONES, BEST_OF_THREE
from benchmarks.data.samples import Sample, interior_point
from benchmarks.metrics.iou import iou
from chanswap import SAM2, Swap, applied

MILLIONS = {"t": 38.9, "s": 46.0, "b+": 80.8, "l": 224.4}


@pytest.fixture(scope="module")
def small():
    network, _ = sam2_mini.build(), torch.manual_seed(0)
    network.load_state_dict(
        backbones.build(BACKBONES.get("sam2-mini"), backbones.checkpoint(BACKBONES.get("sam2-mini"))).state_dict()
    )
    return Segmenter2(network.requires_grad_(False))


def sample(height: int, width: int) -> Sample:
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width]
    mask = (y - height // 2) ** 2 + (x - width // 3) ** 2 < (min(height, width) // 4) ** 2
    image = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
    image[mask] += 120
    return Sample("a", image, mask)


def predictor(model: Segmenter2):
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    theirs = SAM2ImagePredictor(model.network)
    grid = model.network.sam_image_embedding_size
    theirs._bb_feat_sizes = [(4 * grid,) * 2, (2 * grid,) * 2, (grid,) * 2]  # written there for 1024 pixels alone
    return theirs


def equals_the_predictor(model: Segmenter2, one: Sample) -> None:
    theirs = predictor(model)
    theirs.set_image(one.image)
    with torch.inference_mode():
        site, rest = model.encode(model.pixels(one.image)[None]).of(0)
        torch.testing.assert_close(site[None], theirs._features["image_embed"], atol=1e-4, rtol=0)
        for ours, wanted in zip(rest, theirs._features["high_res_feats"]):
            torch.testing.assert_close(ours[None], wanted, atol=1e-4, rtol=0)
        item, click = model.item(one, rest), np.array([interior_point(one.mask)])
        for multimask in (False, True):
            wanted, scores, low = theirs.predict(click, np.array([1]), multimask_output=multimask, return_logits=True)
            logits, found = model.logits(site[None], item, multimask)
            np.testing.assert_allclose(logits[0].clamp(-32, 32), low, atol=1e-4)
            np.testing.assert_allclose(found[0], scores, atol=1e-4)
            np.testing.assert_allclose(model.full_size(logits, item)[0], wanted, atol=1e-3, rtol=1e-4)
            best = torch.as_tensor(wanted[scores.argmax()] > 0)[None]
            got = model.controls(site[None], item)[BEST_OF_THREE]["miou"] if multimask else model.score(site[None], item)
            assert float(got[0]) == pytest.approx(float(iou(best, item.truth)[0]), abs=2e-3)


@pytest.mark.parametrize("size", [(128, 128), (90, 150), (300, 200)])
def test_embedding_masks_and_scores_are_the_predictors(small, size):
    equals_the_predictor(small, sample(*size))


@pytest.mark.slow
def test_at_true_size_they_are_the_predictors():
    torch.manual_seed(0)
    equals_the_predictor(
        Segmenter2(sam2_build.build("configs/sam2.1/sam2.1_hiera_t.yaml").requires_grad_(False)), sample(600, 800)
    )


def test_a_swap_acts_on_the_embedding_alone(small):
    one, swap = sample(128, 128), Swap([(0, 5), (9, 1)], channels=64)
    theirs = predictor(small)
    theirs.set_image(one.image)
    click = np.array([interior_point(one.mask)])
    with torch.inference_mode(), applied(small.network, swap, SAM2):
        _, _, low = theirs.predict(click, np.array([1]), multimask_output=False, return_logits=True)
    with torch.inference_mode():
        site, rest = small.encode(small.pixels(one.image)[None]).of(0)
        item = small.item(one, rest)
        logits, _ = small.logits(torch.stack([swap(site, axis=0)] * 3), item)
    for version in logits:
        np.testing.assert_allclose(version.clamp(-32, 32), low[0:1], atol=1e-4)


def test_high_resolution_maps_are_expanded_not_copied(small, monkeypatch):
    one = sample(128, 128)
    with torch.inference_mode():
        site, rest = small.encode(small.pixels(one.image)[None]).of(0)
        item, given = small.item(one, rest), []
        forward = small.network.sam_mask_decoder.predict_masks
        monkeypatch.setattr(
            small.network.sam_mask_decoder,
            "predict_masks",
            lambda **how: given.extend(how["high_res_features"]) or forward(**how),
        )
        small.score(site.expand(6, -1, -1, -1), item)
    assert len(given) == 2
    for part, own in zip(given, rest):
        assert part.shape[0] == 6 and part.stride(0) == 0 and part.data_ptr() == own.data_ptr()


def test_a_training_step_moves_the_decoder(small):
    one, decoder = sample(100, 128), small.network.sam_mask_decoder
    decoder.requires_grad_(True)
    try:
        with torch.no_grad():
            encoded = small.encode(small.pixels(one.image)[None])
        loss = small.loss(encoded, small.example(one))
        loss.backward()
        assert torch.isfinite(loss) and decoder.output_upscaling[0].weight.grad.abs().max() > 0
    finally:
        decoder.zero_grad()
        decoder.requires_grad_(False)


@pytest.mark.parametrize("name", [n for n, b in BACKBONES.items() if b.family == "sam2" and b.config])
def test_every_sam2_has_its_size(name):
    backbone = BACKBONES.get(name)
    with torch.device("meta"):
        network = backbones.build(backbone, None)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(MILLIONS[name.rpartition("-")[2]], abs=0.15)


@pytest.mark.parametrize("name, count", [("sam-vit-b", 93_735_472), ("sam-vit-l", 312_342_832), ("sam-vit-h", 641_090_608)])
def test_every_sam_has_its_size(name, count):
    with torch.device("meta"):
        network = backbones.build(BACKBONES.get(name), None)
    assert sum(p.numel() for p in network.parameters()) == count


def test_published_files_hold_the_weights_under_model(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    state = sam2_mini.build().state_dict()
    assert sam2_build.convert({"model": state}) is state
    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(Exception, match="[Ww]eights"):
        backbones.build(BACKBONES.get("sam2.1-hiera-t"), tmp_path / "evil.pt")
