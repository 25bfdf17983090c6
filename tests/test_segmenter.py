"""From image to mask as the library's own `SamPredictor` does it, and as fast when a neighbour is busy as it must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segment_anything import SamPredictor

from benchmarks.backbones import sam_mini
from benchmarks.backbones.sam import AMBIGUITY, SINGLE, Segmenter
from benchmarks.backbones.upsampled import above_zero, phases, tiles, whole
from benchmarks.catalog import BEST_OF_THREE
from benchmarks.data.samples import Sample, interior_point
from benchmarks.data.synthetic import scene


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    sam = sam_mini.build()
    with torch.no_grad():  # random weights say almost the same of every image: spread them
        for p in sam.parameters():
            p.mul_(1.5)
    return Segmenter(sam)


def shaped(height: int, width: int) -> Sample:
    made = scene("natural", "test", 0)
    rows, columns = np.arange(height) * 128 // height, np.arange(width) * 128 // width
    return Sample("x", np.ascontiguousarray(made.image[rows][:, columns]), np.ascontiguousarray(made.target[rows][:, columns]))


@pytest.mark.parametrize("size", [(128, 128), (96, 128), (300, 211), (61, 47)])
def test_masks_equal_those_of_the_library_predictor(segmenter, size):
    sample = shaped(*size)
    predictor = SamPredictor(segmenter.network)
    predictor.set_image(sample.image)
    point = np.array([interior_point(sample.mask)])
    with torch.inference_mode():
        features = segmenter.encode(segmenter.pixels(sample.image)[None]).site
        item = segmenter.item(sample)
        torch.testing.assert_close(features, predictor.get_image_embedding(), atol=1e-5, rtol=1e-4)
        for tokens, many in ((SINGLE, False), (AMBIGUITY, True)):
            masks, scores, low = predictor.predict(point, np.array([1]), multimask_output=many)
            logits, found = segmenter.logits(features, item, tokens, iou_scores=True)
            np.testing.assert_allclose(logits[0], low, atol=1e-4)
            np.testing.assert_allclose(found[0], scores, atol=1e-4)
            ours = segmenter.full_size(logits, item)[0].numpy() > 0
            assert (ours != masks).mean() < 1e-3  # a logit within rounding of zero may fall on either side
            if many:
                best = masks[scores.argmax()]
                wanted = (best & sample.mask).sum() / max(1, (best | sample.mask).sum())
                assert segmenter.controls(features, item)[BEST_OF_THREE]["miou"][0] == pytest.approx(wanted, abs=2e-3)


def test_bfloat16_stays_near_float32(segmenter):
    sample = shaped(128, 128)
    half = Segmenter(segmenter.network, precision="bfloat16")
    with torch.inference_mode():
        one, two = (s.encode(s.pixels(sample.image)[None]).site for s in (segmenter, half))
        assert one.dtype == two.dtype == torch.float32
        assert (one - two).abs().max() < 0.05 * one.abs().max()


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("shape, side", [((1, 1, 1), 1), ((2, 5, 7), 1), ((2, 6, 10), 2), ((3, 16, 16), 4)])
def test_an_enlarged_map_is_above_zero_where_interpolation_is(factor, shape, side):
    maps = torch.randn(*shape, generator=torch.Generator().manual_seed(factor)).double()
    assert torch.equal(whole(tiles(maps, side)), maps)
    size = (factor * shape[1], factor * shape[2])
    wanted = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0] > 0
    found = above_zero(tiles(maps, side), factor)
    assert torch.equal(found.bool(), torch.stack([phases(mask, factor, side) for mask in wanted]))


def test_scores_with_and_without_a_full_size_map_are_one(segmenter):
    sample = shaped(128, 128)
    item = segmenter.item(sample)
    with torch.inference_mode():
        features = segmenter.encode(segmenter.pixels(sample.image)[None]).site + 0.3 * torch.randn(8, 64, 16, 16)
        logits, _ = segmenter.logits(features, item)
        masks = segmenter.full_size(logits, item)[:, 0] > 0
        wanted = (masks & item.truth).sum((1, 2)) / (masks | item.truth).sum((1, 2)).clamp(min=1)
        assert wanted.std() > 0
        torch.testing.assert_close(segmenter.score(features, item), wanted, atol=2e-4, rtol=0)
