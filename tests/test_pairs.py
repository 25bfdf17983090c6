"""The decoder's shorter way for replaced channels, against the library's own decoder on features replaced in full."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from benchmarks.backbones import sam_mini, sam_pairs
from benchmarks.backbones.sam import Segmenter
from benchmarks.backbones.upsampled import whole
from benchmarks.data.samples import Sample
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
        image = sam_pairs.prepare(sam, features, sparse, dense, position)
        found = whole(sam_pairs.decode_pairs(sam, image, as_pairs(swaps), ALL, (grid, grid)))
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
        image = sam_pairs.prepare(sam, features, sparse, dense, sam.prompt_encoder.get_dense_pe()[0])
        found = whole(sam_pairs.decode_pairs(sam, image, as_pairs([swap]), ALL, (8, 8)))
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
    segmenter = Segmenter(sam_mini.build(), precision="bfloat16")
    assert segmenter.pair_scorer([], []) is None
    segmenter = Segmenter(sam_mini.build())
    assert segmenter.pair_scorer([], []) is not None
    segmenter.network.mask_decoder.transformer.layers[0].norm4.register_forward_hook(lambda *_: None)
    assert segmenter.pair_scorer([], []) is None
