"""DINOv2 under a linear head: timm's own tokens, the head as it is defined, pairs in closed form against the literal loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks import backbones, heads
from benchmarks.backbones import dino_mini, dinov2_build
from benchmarks.backbones.model import Encoded
from benchmarks.catalog import BACKBONES, TASKS
from benchmarks.data.samples import DepthSample, LabelSample
from benchmarks.errors import RunFailed
from benchmarks.metrics import depth as depth_metrics
from benchmarks.protocols import PROTOCOLS
from chanswap import DINOV2, Scorer, Swap, applied, score, score_one_by_one

RNG = np.random.default_rng(0)


def made(task: str, protocol: str = "mini-v1", network=None, classes: int = 15):
    of = TASKS.get(task)
    rules = PROTOCOLS.get(protocol).for_task(of)
    torch.manual_seed(0)
    network = network or dino_mini.build()
    heads.attach(network, of, rules, classes)
    with torch.no_grad():
        network.head.weight.normal_(std=0.5)
    return backbones.as_model(BACKBONES.get("dino-mini"), network.requires_grad_(False), of, rules)


def image(height: int = 128, width: int = 128) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def rooms(count: int, size=(128, 128)) -> list[DepthSample]:
    depths = RNG.uniform(0.5, 9, (count, *size)).astype(np.float32)
    depths[:, :4] = 0  # unknown
    return [DepthSample(str(k), image(*size), depth) for k, depth in enumerate(depths)]


def test_tokens_are_those_of_timm():
    model = made("depth")
    pixels = torch.stack([model.pixels(image()) for _ in range(2)])
    with torch.no_grad():
        wanted = model.network.forward_features(pixels)
        assert torch.equal(model.encode(pixels).site, wanted.transpose(1, 2))
        assert torch.equal(made("classification", network=model.network).encode(pixels).site[..., 0], wanted[:, 0])


@pytest.mark.slow
@pytest.mark.parametrize("size, padded", [((518, 518), (518, 518)), ((480, 640), (490, 644))])
def test_tokens_at_true_size_are_those_of_timm(size, padded):
    network = dinov2_build.build("vit_small_patch14_dinov2.lvd142m")
    model = made("depth", "paper-v1", network)
    pixels = model.pixels(image(*size))
    assert pixels.shape[1:] == padded
    with torch.no_grad():
        torch.testing.assert_close(
            model.encode(pixels[None]).site.transpose(1, 2), network.forward_features(pixels[None]), atol=1e-4, rtol=0
        )


def test_the_depth_head_is_as_it_is_defined():
    """Features enlarged first, then the linear layer, as DINOv2 describes it; ours enlarges logits."""
    model, (sample,) = made("depth"), rooms(1)
    with torch.no_grad():
        site = model.encode(model.pixels(sample.image)[None]).site
        patches = site[:, :, 1:].unflatten(2, (8, 8))
        both = torch.cat([patches, site[:, :, :1, None].expand_as(patches)], 1)
        large = F.interpolate(both, scale_factor=4, mode="bilinear", align_corners=False)
        bins = model.network.head(large.permute(0, 2, 3, 1)).relu() + 0.1
        share = bins / bins.sum(-1, keepdim=True)
        wanted = share @ torch.linspace(1e-3, 10, 32)
        wanted = F.interpolate(wanted[:, None], (128, 128), mode="bilinear", align_corners=False)[:, 0]
        torch.testing.assert_close(model.predict(site, model.item(sample)), wanted, atol=1e-4, rtol=0)


def test_padding_is_cut_away_again():
    model = made("depth")
    (sample,) = rooms(1, (100, 70))
    pixels = model.pixels(sample.image)
    assert pixels.shape == (3, 112, 80)
    with torch.no_grad():
        site = model.encode(pixels[None]).site
        assert model.predict(site, model.item(sample)).shape == (1, 100, 70)
        assert torch.isfinite(model.loss(model.encode(pixels[None]), model.example(sample)))


def test_unknown_depth_may_be_any_number():
    model, (sample,) = made("depth"), rooms(1)
    odd = sample.depth.copy()
    odd[0], odd[1], odd[2] = np.nan, np.inf, -np.inf
    with torch.no_grad():
        site = model.encode(model.pixels(sample.image)[None]).site
        found = []
        for depth in (sample.depth, odd):
            item = model.item(DepthSample("a", sample.image, depth))
            scorer = model.pair_scorer([site[0]], [item])
            loss = model.loss(Encoded(site), model.example(DepthSample("a", sample.image, depth)))
            parts = (model.score(site, item), scorer(torch.tensor([[[0, 1]]]), 0), model.measures(site, item)["mse"], loss[None])
            found.append(torch.cat(parts))
    assert torch.isfinite(found[0]).all() and torch.equal(found[0], found[1])


@pytest.mark.parametrize("known", [0, 1, 2])
def test_few_pixels_of_known_depth_train_no_nan(known):
    model, (sample,) = made("depth"), rooms(1)
    depth = np.zeros_like(sample.depth)
    depth.flat[5000 : 5000 + known] = 3.0
    sample = DepthSample("a", sample.image, depth)
    head = model.network.head.requires_grad_(True)
    with torch.no_grad():
        site = model.encode(model.pixels(sample.image)[None]).site
    loss = model.loss(Encoded(site), model.example(sample))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(head.weight.grad).all() and torch.isfinite(head.bias.grad).all()
    assert (loss > 0) == bool(head.weight.grad.any()) == (known > 0)


def test_a_head_is_not_trained_on_what_is_not_finite():
    model, samples = made("depth"), rooms(2)
    sites = [torch.full((128, 65), torch.nan)] * 2
    with pytest.raises(RunFailed, match="the head's loss is nan in epoch 1 on [01], [01]; look at these images"):
        heads.fit(model, sites, samples, model.protocol)


@pytest.mark.parametrize("task", ["depth", "classification"])
def test_a_head_that_is_not_called_as_it_is_read_is_refused(task):
    """The head's weights are used, so that a layer around it, or a hook, would count in some places and not in others."""

    def wrapped(network):
        network.head = torch.nn.Sequential(network.head, torch.nn.Dropout())

    def hooked(network):
        network.head.register_forward_hook(lambda *_: None)

    def parametrised(network):
        torch.nn.utils.parametrizations.weight_norm(network.head)

    def patched(network):
        network.head.forward = lambda x: x

    def taken_away(network):
        network.head = torch.nn.Identity()

    for change in (wrapped, hooked, parametrised, patched, taken_away):
        model = made(task)
        change(model.network)
        with pytest.raises(RunFailed, match="leave the linear head in place, without hooks"):
            backbones.as_model(BACKBONES.get("dino-mini"), model.network, TASKS.get(task), model.protocol)


def test_a_batch_of_a_search_stays_small():
    """The bin logits of one batch: of the embedded depth task 4 MiB, and one version at a time where that alone is more."""
    mini, paper = made("depth"), made("depth", "paper-v1")
    assert (mini.search_batch, paper.search_batch) == (32, 1)
    assert made("classification").search_batch == 1024


@pytest.mark.parametrize("task", ["depth", "classification"])
@pytest.mark.parametrize("pairs", [1, 3])
def test_pairs_in_closed_form_score_as_the_literal_loop(task, pairs):
    model = made(task)
    samples = rooms(2) if task == "depth" else [LabelSample(str(k), image(), k) for k in range(2)]
    with torch.no_grad():
        sites = [model.encode(model.pixels(s.image)[None]).site[0] for s in samples]
    items = [model.item(s) for s in samples]
    swaps = [Swap([(7 * k + n, 90 - k - n) for n in range(pairs)], channels=128) for k in range(9)] + [Swap([], channels=128)]
    scorer = Scorer(sites, lambda x, k: model.score(x, items[k]), batch=4, evaluate_pairs=model.pair_scorer(sites, items))
    torch.testing.assert_close(score(scorer, swaps), score_one_by_one(scorer, swaps), atol=1e-4, rtol=1e-5)


def test_a_swap_of_the_site_is_that_of_the_live_model():
    model, swap = made("classification"), Swap([(0, 5), (9, 1)], channels=128)
    pixels = model.pixels(image())[None]
    with torch.no_grad(), applied(model.network, swap, DINOV2):
        inside = model.encode(pixels).site
    with torch.no_grad():
        assert torch.equal(inside, swap(model.encode(pixels).site, axis=1))


def test_ties_of_accuracy_are_broken_by_cross_entropy_and_never_outweigh_an_image():
    from benchmarks.backbones.dinov2 import _graded

    logits = torch.tensor([[2.0, 1.0], [3.0, 1.0], [-500.0, 1.0]])
    surer, wrong = _graded(logits, 0)[1], _graded(logits, 0)[2]
    assert surer > _graded(logits, 0)[0] and wrong >= -0.01 - 1e-6


def test_the_linear_probe_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    x = rng.normal(0, 2, (300, 12)) + 3
    y = (x @ rng.normal(0, 1, (12, 5)) + rng.normal(0, 2, (300, 5))).argmax(1)
    for l2 in (0.1, 1.0, 10.0):
        theirs = LogisticRegression(C=1 / l2, max_iter=20_000, tol=1e-10).fit(x, y)
        weight, bias = heads.logistic(torch.tensor(x), torch.tensor(y), 5, l2)
        wanted = theirs.predict_proba(x)
        ours = (torch.tensor(x).float() @ weight.T + bias).softmax(1).numpy()
        assert np.abs(ours - wanted).max() < 1e-4
        assert np.abs(weight.numpy() - theirs.coef_).max() < 1e-3


def test_depth_metrics_by_hand():
    truth = torch.tensor([[1.0, 2.0], [0.0, 4.0]])
    counts = depth_metrics.valid(truth, 1e-3, 10, "none")
    found = depth_metrics.measures(torch.tensor([[[1.0, 2.6], [9.0, 2.0]]]), truth, counts)
    assert float(found["mse"]) == pytest.approx((0 + 0.36 + 4) / 3)
    assert float(found["rmse"]) == pytest.approx(((0.36 + 4) / 3) ** 0.5)
    assert float(found["abs_rel"]) == pytest.approx((0 + 0.3 + 0.5) / 3)
    assert [float(found[f"delta{k}"]) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    full = depth_metrics.valid(torch.ones(480, 640), 1e-3, 10, "eigen")
    assert full.sum() == (471 - 45) * (601 - 41) and not full[44].any() and full[45, 41]
    with pytest.raises(ValueError, match="480 x 640"):
        depth_metrics.valid(truth, 1e-3, 10, "eigen")


def test_official_weights_load_under_timms_names():
    network = dinov2_build.build("vit_small_patch14_dinov2.lvd142m")
    official = {**network.state_dict(), "mask_token": torch.zeros(1, 384)}
    network.load_state_dict(dinov2_build.convert(official))
    assert sum(p.numel() for p in network.parameters()) == 22_056_192 - 0
