"""The squared error of an enlarged depth map as a quadratic form, against enlarging it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from benchmarks.backbones.dinov2_pairs import SquaredError


@pytest.mark.parametrize("low, size, at, truth", [((8, 6), (32, 24), (0, 0), (32, 24)), ((10, 12), (35, 42), (3, 2), (30, 39))])
@pytest.mark.parametrize("known", [1.0, 0.6, 0.0])  # share of the pixels that count
def test_error_is_that_of_the_enlarged_map(low, size, at, truth, known):
    draw = torch.Generator().manual_seed(0)
    maps = 0.5 + 9 * torch.rand(5, *low, generator=draw)
    target = 0.5 + 9 * torch.rand(*truth, generator=draw)
    counts = torch.rand(*truth, generator=draw) < known
    large = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    large = large[:, at[0] : at[0] + truth[0], at[1] : at[1] + truth[1]]
    wanted = ((large - target).square() * counts).sum((1, 2)) / counts.sum().clamp(min=1)
    found = SquaredError.around(maps[0], target, counts, size, at).of(maps)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_small_change_is_not_lost_in_the_sum():
    """Gains of single pairs are a thousandth of the error and less."""
    draw = torch.Generator().manual_seed(1)
    before, truth = 5 * torch.rand(1, 16, 16, generator=draw), 5 * torch.rand(64, 64, generator=draw)
    after = before + 1e-4 * torch.randn(3, 16, 16, generator=draw)
    form = SquaredError.around(before[0], truth, torch.ones(64, 64, dtype=torch.bool), (64, 64), (0, 0))

    def error(maps):
        large = F.interpolate(maps.double()[:, None], (64, 64), mode="bilinear", align_corners=False)[:, 0]
        return (large - truth.double()).square().mean((1, 2))

    gains = form.of(after).double() - form.of(before).double()
    torch.testing.assert_close(gains, error(after) - error(before), atol=5e-7, rtol=0)
