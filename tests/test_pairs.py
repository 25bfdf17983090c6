"""The decoder's shorter way for replaced channels, against the library's own decoder on features replaced in full."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from benchmarks import backbones
from benchmarks.backbones import sam_mini, sam_pairs, sam_reassociated
from benchmarks.backbones.compiled import compiled
from benchmarks.backbones.sam import Segmenter
from benchmarks.backbones.sam2 import Segmenter2
from benchmarks.backbones.upsampled import whole
from benchmarks.catalog import BACKBONES
from benchmarks.data.samples import Sample
from benchmarks.data.synthetic import scene
from benchmarks.options import Decoding
from chanswap import Scorer, Swap, random_swap, score, score_one_by_one
from chanswap.scoring import as_pairs
from tests.test_decoder import ALL, CLOSE, NoEncoder, library, prompts, rough


def sam_of(channels: int, grid: int, depth: int = 2, heads: int = 8) -> Sam:
    torch.manual_seed(0)
    prompt = PromptEncoder(channels, (grid, grid), (16 * grid, 16 * grid), mask_in_chans=16)
    transformer = TwoWayTransformer(depth, channels, num_heads=heads, mlp_dim=128)
    return rough(Sam(NoEncoder(), prompt, MaskDecoder(transformer_dim=channels, transformer=transformer)))


def swaps_of(channels: int) -> list[Swap]:
    """None, one pair, a channel read by two, a chain, an exchange, many; of all sizes in one batch."""
    some = [[], [(0, 1)], [(3, 0)], [(2, 9), (5, 9)], [(4, 7), (7, 1)], [(6, 8), (8, 6)], [(channels - 1, channels - 2)]]
    return [Swap(pairs, channels=channels) for pairs in some] + [random_swap(channels, 10, seed) for seed in range(3)]


@pytest.mark.parametrize("channels, grid, depth, heads", [(256, 64, 2, 8), (32, 8, 1, 4), (32, 8, 3, 2)])
@pytest.mark.parametrize("kind", ["point", "point, box and mask"])
def test_masks_are_the_librarys_of_the_replaced_features(channels, grid, depth, heads, kind):
    sam = sam_of(channels, grid, depth, heads)
    if channels < 256:
        click = torch.tensor([[[30.0, 60.0]]]), torch.ones(1, 1, dtype=torch.int)
        box = None if kind == "point" else torch.tensor([[9.0, 20.0, 70.0, 80.0]])
        mask = None if kind == "point" else torch.randn(1, 1, 4 * grid, 4 * grid)
        with torch.no_grad():
            sparse, dense = sam.prompt_encoder(points=click, boxes=box, masks=mask)
    else:
        sparse, dense = prompts(sam, kind)
    features, swaps = torch.randn(channels, grid, grid, generator=torch.Generator().manual_seed(1)), swaps_of(channels)
    position = sam.prompt_encoder.get_dense_pe()[0]
    with torch.no_grad():
        image = sam_pairs.prepare(sam.mask_decoder, features, sparse, dense, position)
        found = whole(sam_pairs.decode_pairs(sam.mask_decoder, image, as_pairs(swaps), ALL, (grid, grid))[0])
        for swap, logits in zip(swaps, found, strict=True):
            wanted, _ = library(sam, swap(features, axis=0), sparse, dense)
            assert wanted.std() > 0.5
            torch.testing.assert_close(logits[None], wanted, **CLOSE)
    changed = [float((logits - found[0]).abs().max()) for logits in found[1:]]
    assert min(changed) > 1e-3  # every swap matters, else being close would say nothing


def test_a_first_layer_with_positions():
    """SAM's first layer adds no position to its queries; a decoder whose first layer does is obeyed too."""
    sam = sam_of(32, 8)
    sam.mask_decoder.transformer.layers[0].skip_first_layer_pe = False
    features, swap = torch.randn(32, 8, 8), Swap([(3, 4)], channels=32)
    click = torch.tensor([[[30.0, 60.0]]]), torch.ones(1, 1, dtype=torch.int)
    with torch.no_grad():
        sparse, dense = sam.prompt_encoder(points=click, boxes=None, masks=None)
        image = sam_pairs.prepare(sam.mask_decoder, features, sparse, dense, sam.prompt_encoder.get_dense_pe()[0])
        found = whole(sam_pairs.decode_pairs(sam.mask_decoder, image, as_pairs([swap]), ALL, (8, 8))[0])
        torch.testing.assert_close(found, library(sam, swap(features, axis=0), sparse, dense)[0], **CLOSE)


@pytest.mark.parametrize("size", [(128, 128), (90, 128)])  # enlarged by a whole number, and not
@pytest.mark.parametrize("workers", [1, 2])
def test_scores_are_those_of_the_literal_loop(size, workers):
    torch.manual_seed(0)
    segmenter = Segmenter(rough(sam_mini.build()))
    truth = np.zeros(size, bool)
    truth[30:60, 40:100] = True
    items = [segmenter.item(Sample(str(k), np.zeros((*size, 3), np.uint8), np.roll(truth, 9 * k, 0))) for k in range(2)]
    features = list(2 * torch.randn(2, 64, 16, 16))
    shorter = segmenter.pair_scorer(features, items)
    scorer = Scorer(features, lambda x, k: segmenter.score(x, items[k]), 7, workers, evaluate_pairs=shorter)
    swaps = [Swap(channels=64), *(random_swap(64, 1 + seed % 4, seed) for seed in range(40))]
    table, wanted = score(scorer, swaps), score_one_by_one(scorer, swaps)
    assert wanted.std() > 0.01
    torch.testing.assert_close(table, wanted, atol=5e-4, rtol=0)  # a pixel whose logit is zero but for rounding may turn


def test_no_shorter_way_where_something_would_be_left_out():
    segmenter = Segmenter(sam_mini.build())
    assert segmenter.pair_scorer([], []) is not None
    segmenter.network.mask_decoder.transformer.layers[0].norm4.register_forward_hook(lambda *_: None)
    assert segmenter.pair_scorer([], []) is None


# SAM 2: another transformer class, a token more, maps added to the upscaled ones, and an answer chosen among four masks


def decoder2(channels: int, heads: int, whether: bool, chooses: bool, mlp_dim: int = 128):
    from sam2.modeling.sam import mask_decoder, transformer

    torch.manual_seed(0)
    layers = transformer.TwoWayTransformer(depth=2, embedding_dim=channels, num_heads=heads, mlp_dim=mlp_dim)
    decoder = mask_decoder.MaskDecoder(
        transformer_dim=channels,
        transformer=layers,
        use_high_res_features=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=whether,
        pred_obj_scores_mlp=whether,
        dynamic_multimask_via_stability=chooses,
    )
    with torch.no_grad():
        for norm in (m for m in decoder.modules() if type(m).__name__ == "LayerNorm2d"):
            norm.weight.normal_(1, 0.3), norm.bias.normal_(0, 0.3)
    return rough(decoder)


@pytest.mark.parametrize("channels, grid, heads, whether", [(256, 64, 8, True), (32, 8, 2, True), (32, 8, 4, False)])
def test_masks_of_sam_2_are_the_librarys_of_the_replaced_features(channels, grid, heads, whether):
    decoder, draw = decoder2(channels, heads, whether, False), torch.Generator().manual_seed(1)
    assert sam_reassociated.possible(decoder)
    features = torch.randn(channels, grid, grid, generator=draw)
    sparse, dense = torch.randn(1, 2, channels, generator=draw), torch.randn(1, channels, 1, 1, generator=draw)
    dense, position = dense.expand(-1, -1, grid, grid), torch.randn(1, channels, grid, grid, generator=draw)
    high = [torch.randn(1, channels // d, grid * k, grid * k, generator=draw) for d, k in ((8, 4), (4, 2))]
    swaps = swaps_of(channels)
    with torch.no_grad():
        image = sam_pairs.prepare(decoder, features, sparse, dense, position[0], tuple(high))
        tiled, scores = sam_pairs.decode_pairs(decoder, image, as_pairs(swaps), ALL, (grid, grid), iou=True)
        for swap, logits, score_ in zip(swaps, whole(tiled), scores, strict=True):
            wanted, iou, *_ = decoder.predict_masks(swap(features, axis=0)[None], position, sparse, dense, False, high)
            assert wanted.std() > 0.5
            torch.testing.assert_close(logits[None], wanted, **CLOSE)
            torch.testing.assert_close(score_[None], iou, **CLOSE)
    assert min(float((logits - tiled[0]).abs().max()) for logits in tiled[1:]) > 1e-3


@pytest.mark.parametrize("size", [(128, 128), (90, 127)])  # enlarged by a whole number, and not
@pytest.mark.parametrize("workers", [1, 2])
def test_scores_of_sam_2_are_those_of_the_literal_loop(size, workers):
    segmenter, _, features, items = trained("sam2", size)
    shorter = segmenter.pair_scorer(features, items)
    scorer = Scorer(features, lambda x, k: segmenter.score(x, items[k]), 7, workers, evaluate_pairs=shorter)
    swaps = [Swap(channels=64), *(random_swap(64, 1 + 3 * (seed % 4), seed) for seed in range(40))]
    table, wanted = score(scorer, swaps), score_one_by_one(scorer, swaps)
    assert wanted.std(1).min() > 0.003
    torch.testing.assert_close(table, wanted, atol=5e-4, rtol=0)


def test_the_choice_among_masks_is_made_in_the_shorter_way_too():
    segmenter, _, features, items = trained("sam2")
    decoder, seen = segmenter.network.sam_mask_decoder, []
    stability = decoder._get_stability_scores
    decoder._get_stability_scores = lambda logits: seen.append(stability(logits)) or seen[-1]
    swaps = [random_swap(64, 8, seed) for seed in range(24)]
    shorter = segmenter.pair_scorer(features, items)
    with torch.inference_mode():
        shorter(as_pairs(swaps), 0)
        decoder.dynamic_multimask_stability_thresh = float(seen.pop().median())  # half of the versions are stable, half are not
        found = shorter(as_pairs(swaps), 0)
        wanted = torch.cat([segmenter.score(swap(features[0], axis=0)[None], items[0]) for swap in swaps])
        stable = seen[0].flatten() >= decoder.dynamic_multimask_stability_thresh
        assert 5 < int(stable.sum()) < 19
        torch.testing.assert_close(found, wanted, atol=5e-4, rtol=0)
        decoder.dynamic_multimask_stability_thresh = 0.0  # all are called stable
        assert not torch.allclose(shorter(as_pairs(swaps), 0)[~stable], wanted[~stable], atol=5e-4, rtol=0)


# Half precision, compiling, and the library's own way


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_half_precision_gives_nearly_the_same_scores_and_the_same_order(family):
    segmenter, half, features, items = trained(family)
    swaps = [Swap(channels=64), *(random_swap(64, 1, seed) for seed in range(60))]
    with torch.inference_mode():
        exact = torch.stack([segmenter.pair_scorer(features, items)(as_pairs(swaps), k) for k in range(len(items))])
        rough_ = torch.stack([half.pair_scorer(features, items)(as_pairs(swaps), k) for k in range(len(items))])
    assert rough_.dtype == torch.float32
    assert float((exact - rough_).abs().mean()) < 0.004 and float((exact - rough_).abs().max()) < 0.05
    assert not torch.equal(exact, rough_)  # it is in half precision


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_without_shortcuts_the_librarys_own_decoder_scores(family, monkeypatch):
    segmenter, _, features, items = trained(family)
    with_them = score(segmenter.scorer(features, items), [random_swap(64, 2, seed) for seed in range(9)])
    segmenter.decoding = Decoding(shortcuts=False)
    for shortcut in ("tokens_and_keys", "masks"):
        monkeypatch.setattr(sam_reassociated, shortcut, None)
        monkeypatch.setattr(sam_pairs, shortcut, None)
    without = score(segmenter.scorer(features, items), [random_swap(64, 2, seed) for seed in range(9)])
    torch.testing.assert_close(with_them, without, atol=5e-4, rtol=0)


def test_what_cannot_be_compiled_is_run_as_it_is_and_said_once(monkeypatch, caplog):
    def broken(function, **_):
        def call(*arguments):
            raise RuntimeError("no compiler here")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    run = compiled(lambda a, b: a + b, torch.device("cpu"))
    assert [run(1, 2), run(3, 4)] == [3, 7]
    assert sum("no compiler here" in r.message for r in caplog.records) == 1


def test_memory_that_runs_out_in_compiled_code_is_the_callers(monkeypatch):
    def full(function, **_):
        def call(*arguments):
            raise torch.OutOfMemoryError("full")

        return call

    monkeypatch.setattr(torch, "compile", full)
    with pytest.raises(torch.OutOfMemoryError):
        compiled(lambda a: a, torch.device("cpu"))(1)


@pytest.mark.slow
def test_compiled_scores_are_the_plain_ones():
    segmenter, _, features, items = trained("sam")
    swaps = [random_swap(64, 1, seed) for seed in range(40)]
    plain = score(segmenter.scorer(features, items), swaps)
    segmenter.decoding = Decoding(compiled=True)
    torch.testing.assert_close(score(segmenter.scorer(features, items), swaps), plain, atol=5e-4, rtol=0)


def trained(family: str, size: tuple[int, int] = (128, 128)):
    """The shipped weights in float32 and in bfloat16, with features of two images: what half precision costs depends on the weights."""
    backbone = BACKBONES.get(f"{family}-mini")
    network = backbones.build(backbone, backbones.verified_checkpoint(backbone)[0])
    kind = Segmenter if family == "sam" else Segmenter2
    exact, half = kind(network), kind(network, precision="bfloat16")
    scenes = [scene("natural", "test", k) for k in range(2)]
    cut = tuple(slice(0, n) for n in size)
    samples = [
        Sample(str(k), np.ascontiguousarray(m.image[cut]), np.ascontiguousarray(m.target[cut])) for k, m in enumerate(scenes)
    ]
    with torch.inference_mode():
        parts = [exact.encode(exact.pixels(sample.image)[None]).of(0) for sample in samples]
    return exact, half, [site for site, _ in parts], [exact.item(s, rest) for s, (_, rest) in zip(samples, parts)]
