"""Zeroing, growth and maps on models small enough to know the answer, and zeroing against the literal loop over SAM's own decoder."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from benchmarks.metrics.intervals import bootstrap
from chanswap import (
    Journal,
    Scorer,
    Swap,
    altered,
    constant,
    effects,
    growth,
    holm,
    levels,
    maps,
    one_a_channel,
    score,
    zeroing,
)
from chanswap.multiple import labels
from chanswap.screening import exhaustive

CHANNELS, IMAGES = 6, 40


def toy(images: int = IMAGES) -> Scorer:
    """Channel 0 is what the score needs, channel 1 spoils it, the others have no part in it. Values differ by image."""
    draw = torch.Generator().manual_seed(0)
    features = [1 + 0.3 * torch.rand(CHANNELS, 4, 4, generator=draw) for _ in range(images)]
    return Scorer(features, lambda x, _: x[:, 0].mean((1, 2)) - 0.5 * x[:, 1].mean((1, 2)), batch=4)


def test_the_labels_are_those_of_channels_that_are_known():
    scorer = toy()
    found = zeroing(scorer)
    assert found.without.shape == (IMAGES, CHANNELS)
    means = torch.stack([x.mean((1, 2)) for x in scorer.features]).double()
    torch.testing.assert_close(found.gains[:, 0], -means[:, 0], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.gains[:, 1], 0.5 * means[:, 1], atol=1e-6, rtol=0)
    assert (found.gains[:, 2:].abs() < 1e-7).all()
    effect = effects(found.gains)
    assert effect.labels == ("useful", "harmful", *["redundant"] * 4)
    assert (effect.p[2:] == 1).all() and (effect.low <= effect.mean + 1e-9).all() and (effect.mean <= effect.high + 1e-9).all()


def test_zeroing_is_the_literal_loop_over_the_decoder_of_the_library():
    """One channel, one image, one pass through segment_anything's own decoder at a time; the scorer has its shorter way for pairs."""
    from benchmarks import backbones
    from benchmarks.backbones.sam import Segmenter
    from benchmarks.bench_scorer import literal_score
    from benchmarks.catalog import BACKBONES
    from benchmarks.data.samples import Sample
    from benchmarks.data.synthetic import scene

    backbone = BACKBONES.get("sam-mini")
    model = Segmenter(backbones.build(backbone, backbones.verified_checkpoint(backbone)[0]).requires_grad_(False))
    samples = [Sample(str(k), made.image, made.target.astype(bool)) for k in (0, 1) if (made := scene("camo", "test", k))]
    with torch.inference_mode():
        features = [model.encode(model.pixels(sample.image)[None]).site[0] for sample in samples]
    items = [model.item(sample) for sample in samples]
    scorer = model.scorer(features, items)
    assert scorer.evaluate_pairs is not None
    found = zeroing(scorer)
    with torch.inference_mode():
        for image, feature in enumerate(features):
            assert found.base[image] == pytest.approx(float(literal_score(model, feature[None], items[image])[0]), abs=1e-4)
            for channel in range(0, len(feature), 5):
                zero = feature.clone()
                zero[channel] = 0
                literal = float(literal_score(model, zero[None], items[image])[0])
                assert found.without[image, channel] == pytest.approx(literal, abs=1e-3), (image, channel)
    assert found.gains.abs().max() > 1e-3


def test_features_are_left_as_they_are_and_a_killed_zeroing_goes_on(tmp_path):
    scorer = toy(3)
    before = [x.clone() for x in scorer.features]
    whole = zeroing(scorer)
    calls = []

    def dies(x, image):
        if len(calls) == 5:
            raise KeyboardInterrupt
        calls.append(image)
        return scorer.evaluate(x, image)

    with pytest.raises(KeyboardInterrupt):
        zeroing(Scorer(scorer.features, dies, batch=4), journal=Journal(tmp_path / "j", "toy"))
    done = []
    again = zeroing(
        Scorer(scorer.features, lambda x, k: done.append(k) or scorer.evaluate(x, k), batch=4),
        journal=Journal(tmp_path / "j", "toy"),
    )
    assert torch.equal(again.without, whole.without) and set(done) == {2}
    assert all(torch.equal(a, b) for a, b in zip(before, scorer.features))


def test_intervals_agree_with_those_of_the_suite():
    """Two bootstraps with other draws: the ends and the p-values agree within what 10,000 draws know."""
    draw = np.random.default_rng(1)
    gains = draw.normal([0.0, 0.02, -0.05], 0.1, (200, 3))
    found = effects(torch.tensor(gains), draws=20_000)
    for c in range(3):
        theirs = bootstrap(gains[:, c])
        assert float(found.mean[c]) == pytest.approx(theirs.value)
        assert float(found.low[c]) == pytest.approx(theirs.low, abs=8e-4) and float(found.high[c]) == pytest.approx(
            theirs.high, abs=8e-4
        )
        assert float(found.p[c]) == pytest.approx(theirs.p, abs=0.03)  # 3.5 standard errors of a share of 10,000 draws
    with pytest.raises(ValueError, match="finite"):
        effects(torch.full((2, 2), torch.nan))


def test_the_correction_is_holm_s():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []
    # Below 0.05 each by itself; of four comparisons only two may be called so.
    assert labels([1, -1, 1, -1], [0.01, 0.04, 0.03, 0.005]) == ["harmful", "redundant", "redundant", "useful"]


def test_channels_that_do_nothing_are_rarely_called_anything():
    """Of noise in 64 channels the uncorrected test would call three different each time; the corrected one errs in few draws."""
    errs = 0
    for seed in range(20):
        gains = torch.randn(100, 64, generator=torch.Generator().manual_seed(seed))
        found = effects(gains, draws=5_000)
        errs += any(label != "redundant" for label in found.labels)
        assert 0 < int((found.p < 0.05).sum()) < 12
    assert errs <= 4


@pytest.mark.parametrize("images, least", {1: 1.0, 3: 0.25, 6: 0.03125}.items())
def test_a_few_images_that_agree_prove_little(images, least):
    found = effects(torch.rand(images, 8) + 1)
    assert (found.p == least).all() and set(found.labels) == {"redundant"}
    sparse = torch.zeros(50, 8)
    sparse[:images] = 1.0
    assert (effects(sparse).p >= least).all()


def additive() -> Scorer:
    """Pairs into channels 0, 1 and 2 gain 3, 2 and 1 (showing channel 5), any other into them nothing; into channels 3 and 4 they
    lose. Gains add up."""
    value = torch.tensor([3.0, 2.0, 1.0, -1.0, -1.0, 0.0])

    def evaluate(x, image):
        return ((x[:, :, 0] == 5) * value).sum(1)

    return Scorer([torch.arange(6.0)[:, None].expand(6, 2).clone() for _ in range(3)], evaluate)


def test_growth_begins_with_the_best_pair_and_only_rises_at_most():
    scorer = additive()
    screen = exhaustive(scorer)
    pairs = [pair for pair, _ in one_a_channel(screen, 5)]
    assert pairs == [(0, 5), (1, 5), (2, 5), (3, 0), (4, 0)]  # the last two change nothing
    found = growth(scorer, pairs)
    assert [len(size.swap) for size in found.sizes] == [1, 2, 3, 4, 5]
    (best, gain), *_ = screen.best(1)
    assert found.sizes[0].swap.pairs == (best,) and found.sizes[0].gain == pytest.approx(gain)
    assert [size.gain for size in found.sizes[:3]] == [3, 5, 6] and found.sizes[2].swap.pairs == ((0, 5), (1, 5), (2, 5))
    at_most = [found.at_most(n).gain for n in range(1, 6)]
    assert at_most == sorted(at_most) and at_most[-1] == 6 and len(found.at_most(5).swap) == 3
    for size in found.sizes:  # each the best of its size, by brute force
        table = score(scorer, [Swap(channels=6), *[size.swap]]).double().mean(0)
        assert float(table[1] - table[0]) == pytest.approx(size.gain)
    assert sum(size.tried + size.conflicts for size in found.sizes) == 2**5 - 1


def test_pairs_that_contest_one_channel_end_the_growth():
    found = growth(additive(), [(0, 5), (0, 1), (0, 2), (1, 5)])
    assert [(size.tried, size.conflicts) for size in found.sizes] == [(4, 0), (3, 3)]  # larger ones cannot stand
    assert growth(additive(), []).sizes == ()
    with pytest.raises(ValueError, match="at most 20"):
        growth(additive(), [(0, 1)] * 21)


def test_a_constant_in_the_place_of_a_map():
    scorer = toy(3)
    level, spread = levels(scorer.features)
    every = torch.stack(list(scorer.features)).double()
    torch.testing.assert_close(level, every.mean((0, 2, 3)))
    torch.testing.assert_close(spread, every.transpose(0, 1).flatten(1).std(1, correction=0))
    table = altered(scorer, [constant(Swap([(0, 3)], channels=CHANNELS), level), partial(torch.mul, 2)])
    for image, x in enumerate(scorer.features):
        assert float(table[image, 1]) == pytest.approx(float(level[3]) - 0.5 * float(x[1].mean()), abs=1e-5)
        assert float(table[image, 2]) == pytest.approx(2 * float(table[image, 0]), abs=1e-5)


def test_maps_share_one_scale_and_keep_zero():
    features = torch.zeros(4, 10, 10)
    features[1], features[2] = torch.linspace(-2, 2, 100).view(10, 10), 0.5
    shown = maps(features, [1, 2, 0])
    assert shown.shape == (3, 10, 10) and shown.min() == -1 and shown.max() == 1
    assert (shown[2] == 0).all() and shown[1, 0, 0] == pytest.approx(0.25, abs=0.01)
    assert (maps(features, [0]) == 0).all()
    for bad in ([4], [-1], []):
        with pytest.raises(ValueError, match="0..3"):
            maps(features, bad)
    with pytest.raises(ValueError, match="maps"):
        maps(features.flatten(1), [0])
