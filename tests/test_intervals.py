"""Bootstrap intervals: coverage, known answers, an independent implementation, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.metrics.intervals import Estimate, bootstrap, holm, paired, resampled_means, two_sided


def test_about_95_percent_of_intervals_contain_the_truth():
    rng = np.random.default_rng(3)
    runs = 400
    held = sum(e.low <= 0.3 <= e.high for e in (bootstrap(rng.normal(0.3, 0.1, 60), draws=600, seed=i) for i in range(runs)))
    # Binomial standard deviation 1.1 %; the percentile bootstrap of 60 images itself covers about 94 %.
    assert 0.91 <= held / runs <= 0.98


def test_three_seeds_are_enough_for_an_honest_interval():
    """Seed, image and residual vary alike, so the mean is as uncertain as three seeds make it: the hard case."""
    rng, runs = np.random.default_rng(7), 400
    tables = [0.3 + rng.normal(0, 0.1, (3, 1)) + rng.normal(0, 0.1, 60) + rng.normal(0, 0.1, (3, 60)) for _ in range(runs)]
    held = sum(e.low <= 0.3 <= e.high for e in (bootstrap(t, draws=400, seed=i) for i, t in enumerate(tables)))
    assert held / runs >= 0.9  # 2,000 runs give 95.3 %
    # One seed alone knows of images only: it holds the mean of that seed over images, not the truth over seeds.
    alone = [bootstrap(0.3 + rng.normal(0, 0.1, 60) + rng.normal(0, 0.1, 60), draws=400, seed=i) for i in range(runs)]
    assert 0.91 <= sum(e.low <= 0.3 <= e.high for e in alone) / runs <= 0.98


def test_seeds_widen_the_interval_when_they_differ():
    rng = np.random.default_rng(1)
    images = rng.normal(0.5, 0.1, 50)
    alike, apart = np.tile(images, (5, 1)), images + np.array([[-0.1], [-0.05], [0.0], [0.05], [0.1]])
    width = [e.high - e.low for e in (bootstrap(images), bootstrap(alike), bootstrap(apart))]
    assert width[0] == pytest.approx(width[1], rel=0.05)
    assert width[2] > 1.5 * width[1]


def test_known_answers():
    constant = bootstrap([0.25] * 8)
    assert (constant.value, constant.low, constant.high) == pytest.approx((0.25, 0.25, 0.25))
    assert constant.p == pytest.approx(2 / 10_001) and not constant.tie
    none = bootstrap(np.zeros((3, 4)))
    assert none == Estimate(0.0, 0.0, 0.0, 1.0) and none.tie
    # Two images, 0 and 1: a resampled mean is 0, 1/2 or 1 with probability 1/4, 1/2, 1/4.
    two = bootstrap([0.0, 1.0])
    assert (two.value, two.low, two.high) == (0.5, 0.0, 1.0)
    assert bootstrap([0.4]).low == bootstrap([0.4]).high == 0.4
    assert bootstrap([[1.0, 2.0], [3.0, 6.0]]).value == 3.0
    assert Estimate(1, 5e-13, 2, 0.01).tie and Estimate(-1, -2, -5e-13, 0.01).tie  # within rounding of zero
    assert Estimate(1, -1, 2, 0.3).tie and Estimate(1, 0, 2, 0.05).tie and not Estimate(1, 0.1, 2, 0.01).tie


def test_agrees_with_scipy_and_with_the_normal_theory():
    values = np.random.default_rng(0).beta(4, 2, 120)
    ours = bootstrap(values)
    other = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1))
    spread = values.std() / np.sqrt(values.size)
    assert ours.low == pytest.approx(other.confidence_interval.low, abs=0.1 * spread)
    assert ours.high == pytest.approx(other.confidence_interval.high, abs=0.1 * spread)
    assert ours.high - ours.low == pytest.approx(2 * 1.96 * spread, rel=0.05)


def test_p_agrees_with_the_interval_and_with_a_t_test():
    gaps = np.random.default_rng(5).normal(0.02, 0.1, 100)
    found = paired(gaps, np.zeros(100))
    assert found.p == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue, abs=0.03)
    for shift in np.linspace(-0.05, 0.05, 11):
        found = paired(gaps + shift, np.zeros(100))
        if abs(found.p - 0.05) > 0.005:
            assert found.tie == (found.p > 0.05)


@pytest.mark.parametrize("shape", [(40,), (3, 40)])
def test_paired_is_antisymmetric(shape):
    rng = np.random.default_rng(2)
    a, b = rng.random(shape), rng.random(shape)
    ab, ba = paired(a, b), paired(b, a)
    assert (ab.value, ab.low, ab.high) == pytest.approx((-ba.value, -ba.high, -ba.low))
    assert ab.p == pytest.approx(ba.p)


def test_pairing_removes_what_both_share():
    rng = np.random.default_rng(4)
    hard = rng.normal(0.5, 0.2, 80)
    gain = paired(hard + 0.02 + rng.normal(0, 0.01, 80), hard)
    assert gain.high - gain.low < 0.2 * (bootstrap(hard).high - bootstrap(hard).low) and not gain.tie


def test_repeatable_and_the_seed_matters_little():
    values = np.random.default_rng(6).random((2, 30))
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values, seed=1).low == pytest.approx(bootstrap(values).low, abs=0.01)
    assert bootstrap(values, draws=1_500).value == values.mean()  # draws that fill no whole chunk


@pytest.mark.parametrize("bad", [[], [[]], [1.0, float("nan")], [float("inf")], np.zeros((2, 2, 2))])
def test_bad_values_are_refused(bad):
    with pytest.raises(ValueError, match="finite, non-empty"):
        bootstrap(bad)


def test_unlike_shapes_are_refused():
    with pytest.raises(ValueError, match=r"differ in shape: \(3,\) and \(1, 3\)"):
        paired([1, 2, 3], [[1, 2, 3]])


def test_kept_resamplings_change_no_interval(monkeypatch):
    """The draws of one shape are kept and shared by many tables; a large shape's are made anew, and are the same."""
    from benchmarks.metrics import intervals

    table = np.random.default_rng(5).beta(4, 2, (3, 40))
    kept = [bootstrap(table), bootstrap(table), bootstrap(table[:2])]
    monkeypatch.setattr(intervals, "_KEPT", 0)
    assert [bootstrap(table), bootstrap(table), bootstrap(table[:2])] == kept


# (seeds, images), and the standard deviations of seeds, images and residuals: one or the other leads, or both.
LAYOUTS = [
    (1, 200, 0, 1, 0),
    (3, 100, 0, 1, 0),
    (3, 100, 0.1, 1, 0.5),
    (3, 100, 1, 1, 1),
    (3, 100, 1, 0, 0.1),
    (3, 100, 0, 0, 1),
    (5, 60, 0.3, 1, 1),
]


def _drawn(rng, layout, mean=0.0) -> np.ndarray:
    seeds, images, of_seeds, of_images, of_residuals = layout
    table = mean + rng.normal(0, of_seeds, (seeds, 1)) + rng.normal(0, of_images, images)
    return table + rng.normal(0, of_residuals, (seeds, images))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_test_errs_no_more_often_than_it_says(layout):
    rng, runs = np.random.default_rng(11), 1_500
    ps = np.array([two_sided(_drawn(rng, layout)) for _ in range(runs)])
    for level in (0.05, 0.01, 0.002):  # the last is where a correction for 25 comparisons looks
        assert (ps <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / runs)
    if layout[0] == 1 or layout == LAYOUTS[1]:  # exact where one sample alone varies
        assert (ps <= 0.05).mean() >= 0.05 - 3 * np.sqrt(0.05 * 0.95 / runs)


def test_the_bootstraps_p_would_not_do_for_many_comparisons():
    """Three seeds that differ: what 10,000 draws never cross is by no means sure."""
    rng = np.random.default_rng(12)
    tables = [_drawn(rng, (3, 50, 1, 0, 0.1)) for _ in range(300)]
    assert np.mean([bootstrap(t, draws=2_000).p <= 0.002 for t in tables]) > 0.02
    assert np.mean([two_sided(t) <= 0.002 for t in tables]) < 0.01


def test_the_test_has_power():
    rng = np.random.default_rng(13)
    one = (1, 200, 0, 1, 0)
    shown = np.mean([two_sided(_drawn(rng, one, 0.2)) <= 0.05 for _ in range(1_000)])
    assert shown == pytest.approx(stats.nct.sf(stats.t.ppf(0.975, 199), 199, 0.2 * 200**0.5), abs=0.04)  # theory: 80.4 %
    three = [np.mean([two_sided(_drawn(rng, (3, 200, 0.02, 1, 0.3), m)) <= 0.05 for _ in range(400)]) for m in (0.0, 0.15, 0.3)]
    assert three[0] <= 0.08 and 0.3 <= three[1] <= 0.6 and three[2] >= 0.9


def test_the_test_agrees_with_the_interval_and_with_scipy():
    rng = np.random.default_rng(14)
    for _ in range(20):
        gaps = rng.normal(0.02, 0.1, 60)
        assert two_sided(gaps) == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue, rel=1e-6)
        table = _drawn(rng, (3, 150, 0.1, 1, 0.5), 0.25)
        if abs((p := two_sided(table)) - 0.05) > 0.02:
            assert (p > 0.05) == bootstrap(table, draws=2_000).tie


def test_the_test_at_its_ends():
    assert two_sided(np.zeros((3, 4))) == 1.0 and two_sided([0.5]) == 1.0
    assert two_sided([0.25] * 8) == 2**-7 == two_sided([[0.25] * 8] * 3)
    assert two_sided([0.1] * 5_000) > 0
    far = two_sided(np.random.default_rng(0).normal(1, 0.01, 10_000))
    assert 0 < far < 1e-100
    rng = np.random.default_rng(1)
    table = rng.normal(0.05, 0.3, (3, 40))
    assert two_sided(table) == pytest.approx(two_sided(-table)) == pytest.approx(two_sided(7 * table))
    with pytest.raises(ValueError, match="finite, non-empty"):
        two_sided([])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == [] and holm([0.02]) == [0.02]
    ps = np.random.default_rng(2).random(12) ** 3
    order, worst = np.argsort(ps), 0.0
    for rank, k in enumerate(order):
        worst = max(worst, min(1, ps[k] * (12 - rank)))
        assert holm(list(ps))[k] == pytest.approx(worst)


def test_many_columns_are_resampled_as_each_alone():
    columns = np.random.default_rng(9).random((40, 3))
    low, high = np.quantile(resampled_means(columns.T[:, None]), [0.025, 0.975], axis=1)
    for k in range(3):
        alone = bootstrap(columns[:, k])
        assert (low[k], high[k]) == pytest.approx((alone.low, alone.high), abs=1e-13)
