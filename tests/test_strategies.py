"""Cheaper searches: slopes, halving, growing a swap. On toys whose best answer is known, and on the suite's own small models."""

from __future__ import annotations

import os
import random as _random
import signal
import time
from itertools import count

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import backbones, data, protocols
from benchmarks.catalog import BACKBONES, DATASETS, TASKS
from benchmarks.losses import SHARPNESS, soft_iou
from benchmarks.metrics.iou import iou
from benchmarks.protocols import rules_of
from chanswap import STRATEGIES, Scorer, Swap, estimates, exhaustive, grow, halve, random_swap, score, scoring, search, taylor
from chanswap.scoring import as_pairs


class Linear:
    """A score that is linear in the features: slopes then tell exact gains."""

    def __init__(self, channels: int, images: int, seed: int = 0, same: bool = False):
        draw = torch.Generator().manual_seed(seed)
        self.features = [torch.randint(-4, 5, (channels, 2, 3), generator=draw).float() for _ in range(images)]
        self.weights = [torch.randint(-4, 5, (channels, 2, 3), generator=draw).float() for _ in range(images)]
        if same:
            self.features, self.weights = self.features[:1] * images, self.weights[:1] * images

    def __call__(self, x, image):
        return (x * self.weights[image]).flatten(1).sum(1)

    def scorer(self, **options) -> Scorer:
        return Scorer(self.features, self, **{"smooth": self, **options})


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 99), st.integers(1, 2), st.data())
def test_slopes_of_a_linear_score_are_its_gains_around_any_swap(channels, images, seed, workers, given_data):
    source = given_data.draw(st.lists(st.integers(0, channels - 1), min_size=channels, max_size=channels))
    toy, around = Linear(channels, images, seed), Swap.from_source(source)
    found, now = estimates(toy.scorer(workers=workers), around), score(toy.scorer(), [around])
    for i in range(channels):
        for j in range(channels):
            after = Swap.from_source([*source[:i], j, *source[i + 1 :]])
            assert torch.equal(found[:, i, j], (score(toy.scorer(), [after]) - now)[:, 0])


def test_a_scorer_without_slopes_says_so():
    for strategy in ("taylor", "greedy"):
        with pytest.raises(ValueError, match="smooth"):
            search(Linear(4, 2).scorer(smooth=None), strategy=strategy)
    with pytest.raises(ValueError, match="not finite"):
        estimates(Linear(4, 2).scorer(smooth=lambda x, image: x.sum((1, 2, 3)) * torch.inf))
    with pytest.raises(ValueError, match="share"):
        search(Linear(4, 2).scorer(), strategy="greedy", share=0)


def test_the_default_needs_slopes_and_else_is_the_papers():
    toy = Linear(5, 3)
    assert search(toy.scorer()) == search(toy.scorer(), strategy="taylor")
    assert search(toy.scorer(smooth=None)) == search(toy.scorer(smooth=None), strategy="exhaustive")
    assert set(STRATEGIES) == set(protocols.STRATEGIES) and next(iter(STRATEGIES)) == protocols.STRATEGIES[0]


def test_halving_keeps_candidate_0_and_the_best_and_spends_what_it_says():
    toy, spent = Linear(8, 50, same=True), []
    swaps = [Swap(channels=8), *(random_swap(8, 2, seed) for seed in range(50))]
    counted = Scorer(toy.features, lambda x, image: spent.append(len(x)) or toy(x, image))
    found = halve(counted, as_pairs(swaps), 2)
    assert found.evaluations == sum(spent) == 2 * 51 + 8 * 11 + 40 * 3  # 2, then 10, then 50 images
    assert found.index[0] == 0 and len(found.index) == 3
    whole = score(toy.scorer(), swaps)
    assert torch.equal(found.table, whole[:, found.index])
    # All images are alike, so that any of them tells the best.
    assert float(found.gains.mean(0).max()) == float((whole - whole[:, :1]).double().mean(0).max())


def test_estimates_tell_halving_what_the_other_images_would_add():
    """On the first image one candidate leads, over all images another; with the truth as the estimate it is not lost."""
    features = [torch.zeros(2, 1)] * 20
    gains = torch.zeros(20, 7)
    gains[0, 1], gains[1:, 2] = 1.0, 0.5
    toy = Scorer(features, None, evaluate_pairs=lambda pairs, image: gains[image][pairs[:, 0, 1]])
    candidates = torch.tensor([[[-1, k]] for k in range(7)])
    assert found_in(halve(toy, candidates, 1)) == [0, 1]
    assert found_in(halve(toy, candidates, 1, expected=gains[:, 1:])) == [0, 2]


def found_in(survivors) -> list[int]:
    return survivors.index.tolist()


def test_taylor_on_all_pairs_of_one_image_is_the_exhaustive_screen():
    toy = Linear(6, 1)
    all_pairs, found = exhaustive(toy.scorer()), taylor(toy.scorer(), share=1.0)
    assert found.best(4) == all_pairs.best(4) and found.base == all_pairs.base and found.gradients == 1
    few = taylor(toy.scorer(), share=0.1)  # slopes are exact here: three pairs are enough
    assert few.best(1) == all_pairs.best(1) and few.evaluations == 1 + 3


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(0, 99))
def test_growing_finds_the_best_of_all_swaps_of_a_separable_score(channels, seed):
    toy = Linear(channels, 2, seed, same=True)
    found = grow(toy.scorer(), channels, share=1.0, sure=0.0)
    each = estimates(toy.scorer()).mean(0)  # channels do not act on each other
    assert found.gain == float(each.max(1).values.sum())
    assert found.gain == float((score(toy.scorer(), [found.swap]) - found.base).mean())
    gains = [step.gain for step in found.steps]
    assert gains == sorted(gains) and all(step.step > 0 for step in found.steps)


def test_growing_stops_at_a_step_within_its_error():
    """A change that gains on half of the images and loses almost as much on the others is not taken."""
    x = torch.tensor([[0.0], [1.0]])
    slopes = [torch.tensor([[1.0], [0.0]]) if k % 2 else torch.tensor([[-0.9], [0.0]]) for k in range(20)]
    scorer = Scorer([x] * 20, lambda v, k: (v * slopes[k]).sum((1, 2)), smooth=lambda v, k: (v * slopes[k]).sum((1, 2)))
    assert grow(scorer, 3).swap == Swap(channels=2)
    assert grow(scorer, 3, sure=0.0).swap == Swap([(0, 1)], channels=2)


@pytest.mark.parametrize("strategy", ["halving", "taylor", "greedy"])
@pytest.mark.parametrize("stop", [1, 4, 9, 14])
def test_a_search_that_was_stopped_goes_on(tmp_path, monkeypatch, strategy, stop):
    monkeypatch.setattr(scoring, "BLOCK", 8)
    toy, calls = Linear(7, 6), count(1)

    def counted(x, image):
        if next(calls) == stop:
            raise KeyboardInterrupt
        return toy(x, image)

    broken = Scorer(toy.features, counted, batch=1, smooth=toy)
    with pytest.raises(KeyboardInterrupt):
        search(broken, keep=4, strategy=strategy, journal=tmp_path / "j", key="a")
    assert search(broken, keep=4, strategy=strategy, journal=tmp_path / "j", key="a") == search(
        toy.scorer(), keep=4, strategy=strategy
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("strategy", ["exhaustive", "greedy"])
def test_a_search_killed_at_random_moments_ends_with_the_same_swap(tmp_path, monkeypatch, strategy):
    monkeypatch.setattr(scoring, "BLOCK", 16)
    toy, moments = Linear(8, 8), _random.Random(strategy)

    def slow(x, image):
        time.sleep(0.002)
        return toy(x, image)

    def child() -> None:
        found = search(
            Scorer(toy.features, slow, batch=16, smooth=toy), keep=5, strategy=strategy, journal=tmp_path / "j", key="k"
        )
        (tmp_path / "answer").write_text(found.swap.to_json())

    killed = 0
    for _ in range(200):
        process = os.fork()
        if process == 0:
            try:
                child()
            finally:
                os._exit(0)
        time.sleep(moments.uniform(0.01, 0.08))
        os.kill(process, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
        if (tmp_path / "answer").exists():
            break
    wanted = search(toy.scorer(batch=16), keep=5, strategy=strategy)
    assert killed and Swap.load(tmp_path / "answer") == wanted.swap


# The suite's smooth scores


def test_a_sharp_mask_has_the_soft_iou_of_its_area():
    truth = torch.zeros(8, 8)
    truth[2:6, 2:6] = 1
    logits = torch.full((2, 8, 8), -9.0)
    logits[0, 2:6, 2:6], logits[1, 2:6, 2:4] = 9.0, 9.0
    assert SHARPNESS * 9 > 30  # beyond that a sigmoid is 0 or 1 to float32
    assert torch.allclose(soft_iou(logits, truth), iou(logits > 0, truth.bool()), atol=1e-6)


@pytest.mark.parametrize("dataset, backbone", [("camo-mini", "sam-mini"), ("camo-mini", "sam2-mini"), ("depth-mini", "dino-mini"), ("classes-mini", "dino-mini")])  # fmt: skip
def test_slopes_of_the_suites_models_are_those_of_their_smooth_score(dataset, backbone):
    chosen, found = DATASETS.get(dataset), BACKBONES.get(backbone)
    task, rules = TASKS.get(chosen.task), rules_of(chosen)
    torch.manual_seed(0)
    network = backbones.build(found, backbones.verified_checkpoint(found)[0]).requires_grad_(False)
    if found.family == "dinov2":
        from benchmarks import heads

        heads.attach(network, task, rules, chosen.classes)
        torch.nn.init.normal_(network.head.weight, std=0.05)
    model = backbones.as_model(found, network, task, rules)
    (sample,) = data.load(chosen, "test", data.ids(chosen, "test", rules)[:1])
    with torch.no_grad():
        site, rest = model.encode(model.pixels(sample.image)[None]).of(0)
    item, swap = model.item(sample, rest), random_swap(found.channels, 2, 1)
    got = estimates(Scorer([site], None, smooth=lambda x, image: model.smooth(x, item)), swap)[0]
    shown, step = swap(site, 0), 1e-2
    for i, j in ((3, 5), (swap.pairs[0][0], 9), (7, 0)):
        change = torch.zeros_like(site)
        change[i] = step * (site[j] - shown[i])
        with torch.no_grad():
            sides = model.smooth(torch.stack([shown + change, shown - change]), item).double()
        assert float(got[i, j]) == pytest.approx(float(sides[0] - sides[1]) / (2 * step), rel=0.05, abs=2e-3)
