"""The metrics of masks: pysodmetrics on the very maps is the oracle, over saved files as the field does it."""

from __future__ import annotations

import numpy as np
import py_sod_metrics
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.catalog import TASKS
from benchmarks.metrics.iou import iou
from benchmarks.metrics.masks import measures
from benchmarks.metrics.names import METRICS, finish

CAMO = TASKS.get("camo").metrics


def maps() -> list[tuple[torch.Tensor, np.ndarray]]:
    """Logits (H, W) and masks: ordinary ones, and every odd case."""
    rng, made = np.random.default_rng(0), []
    y, x = np.mgrid[:60, :90]
    for k in range(6):
        truth = (y - 25 - k) ** 2 + (x - 40 + 3 * k) ** 2 < (8 + 3 * k) ** 2
        made.append((torch.tensor(3.0 * truth - 1 + rng.normal(0, 2, truth.shape)), truth))
    noise, some = torch.tensor(rng.normal(0, 3, (60, 90))), made[0][1]
    one = np.zeros_like(some)
    one[7, 9] = True
    odd = [(noise, np.zeros_like(some)), (noise, np.ones_like(some)), (noise, one)]
    odd += [(torch.full((60, 90), v), some) for v in (-40.0, 0.0, 40.0)]
    return made + odd


@pytest.mark.parametrize("which", [slice(0, 6), slice(6, None)], ids=["ordinary", "odd"])
def test_equal_to_pysodmetrics_over_saved_maps(tmp_path, which):
    m = py_sod_metrics
    theirs = {"mae": m.MAE(), "sm": m.Smeasure(), "em": m.Emeasure(), "wfm": m.WeightedFmeasure()}
    columns: dict[str, list] = {}
    for k, (logits, truth) in enumerate(maps()[which]):
        path = tmp_path / f"{k}.png"
        Image.fromarray((255 * torch.sigmoid(logits)).round().byte().numpy()).save(path)
        for measure in theirs.values():
            measure.step(np.asarray(Image.open(path)), truth.astype(np.uint8) * 255)
        for name, value in measures(logits[None], torch.tensor(truth), CAMO).items():
            columns.setdefault(name, []).append(value[0].tolist())
    ours = {name: np.mean(values) for name, values in finish(columns).items()}
    em = theirs["em"].get_results()["em"]
    wanted = {
        "mae": theirs["mae"].get_results()["mae"],
        "s_measure": theirs["sm"].get_results()["sm"],
        "weighted_f": theirs["wfm"].get_results()["wfm"],
        "e_adaptive": em["adp"],
        "e_mean": em["curve"].mean(),
        "e_max": em["curve"].max(),
    }
    assert {name: ours[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)
    assert set(ours) == set(CAMO) and set(CAMO) <= METRICS.keys()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_dice_counts_what_it_says(seed):
    rng = np.random.default_rng(seed)
    logits, truth = torch.tensor(rng.normal(0, 1, (3, 9, 7))), torch.tensor(rng.random((9, 7)) < rng.random())
    found = measures(logits, truth, ("miou", "dice"))
    cut = logits > 0
    both, total = (cut & truth).sum((1, 2)), cut.sum((1, 2)) + truth.sum()
    torch.testing.assert_close(
        found["dice"].double(), (2 * both / total.clamp(min=1)).where(total > 0, 1.0).double(), atol=1e-6, rtol=0
    )
    assert torch.equal(found["miou"], iou(cut, truth))


def test_an_object_in_the_last_corner_has_a_number():
    """There the oracle has none: it takes means of empty quarters."""
    truth = torch.zeros(6, 9, dtype=torch.bool)
    truth[-1, -1] = True
    found = measures(40.0 * (2 * truth.double() - 1)[None], truth, CAMO)
    assert 0.9 < float(found["s_measure"][0]) <= 1 and float(found["mae"][0]) == 0


def test_a_metric_of_another_task_is_refused():
    with pytest.raises(ValueError, match="no metric of masks: rmse"):
        measures(torch.zeros(1, 2, 2), torch.ones(2, 2, dtype=torch.bool), ("miou", "rmse"))
