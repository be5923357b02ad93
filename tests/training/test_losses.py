"""Losses against values worked out by hand or by torch.distributions."""

from __future__ import annotations

import math

import pytest
import torch
from network_cases import noise

from synthgen.training import losses


def test_cross_entropy_sums_over_pixels() -> None:
    """Uniform logits cost log K per pixel, summed, whatever the batch size."""
    for batch in (1, 3):
        loss = losses.pixel_summed_cross_entropy(
            torch.zeros(batch, 4, 8, 8), torch.zeros(batch, 8, 8, dtype=torch.uint8)
        )
        assert float(loss) == pytest.approx(64 * math.log(4), rel=1e-5)


def test_kl_is_the_divergence_of_normals() -> None:
    """The closed form agrees with torch.distributions."""
    mean, log_variance = noise(5, 3), noise(5, 3, seed=1)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    torch.testing.assert_close(losses.kl_to_standard_normal(mean, log_variance), expected)


def test_hinge_rests_beyond_the_margin() -> None:
    """The discriminator's loss is 0 beyond the margins, 2 at zero scores; the generator's is minus the score."""
    two, zero = torch.full((1, 1, 2, 2), 2.0), torch.zeros(1, 1, 2, 2)
    assert float(losses.hinge_discriminator([two], [-two])) == 0
    assert float(losses.hinge_discriminator([zero, zero], [zero, zero])) == 2
    assert float(losses.hinge_generator([two, zero])) == -1


def test_feature_distance_averages_over_layers() -> None:
    """Each layer counts the same, however large; only the first argument gets a gradient."""
    fake = [torch.ones(1, 1, 8, 8, requires_grad=True), torch.ones(1, 2, 2, 2, requires_grad=True)]
    real = [torch.zeros(1, 1, 8, 8, requires_grad=True), torch.full((1, 2, 2, 2), 4.0, requires_grad=True)]
    loss = losses.feature_distance(fake, real)
    assert loss.item() == 2
    loss.backward()
    assert all(t.grad is not None for t in fake)
    assert all(t.grad is None for t in real)


def test_dice_of_a_perfect_segmentation_is_zero() -> None:
    """Sure and right costs nothing, sure and wrong nearly one."""
    labels = torch.zeros(1, 16, 16, dtype=torch.uint8)
    labels[:, 8:] = 1
    right = torch.stack([labels == 0, labels == 1], dim=1).float() * 100
    assert float(losses.soft_dice(right, labels)) < 1e-3
    assert float(losses.soft_dice(right.flip(1), labels)) > 0.98


def test_mask_dice_weighs_structures_alike() -> None:
    """Perfect masks cost 0, a missed structure of two costs half, however small it is, and absent ones nothing."""
    masks = torch.zeros(2, 2, 16, 16)
    masks[:, 0, :8], masks[:, 1, 12:, 12:] = 1, 1
    assert float(losses.mask_dice(masks, masks)) == 0
    missed = masks * torch.tensor([1.0, 0.0])[:, None, None]
    assert float(losses.mask_dice(missed, masks)) == pytest.approx(0.5, abs=0.02)
    assert float(losses.mask_dice(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4))) == 0


def test_least_squares_rests_at_its_target() -> None:
    """Scores at the target cost nothing, one off cost one."""
    scores = torch.tensor([1.0, 1.0])
    assert float(losses.least_squares(scores, 1.0)) == 0
    assert float(losses.least_squares(scores, 0.0)) == 1


def test_grain_counts_strength_and_not_pattern() -> None:
    """Twice the noise costs log 2 whatever its pattern, edges and grey levels cost nothing, and weakening it helps."""
    grain, other = 0.1 * noise(2, 1, 64, 64), 0.1 * noise(2, 1, 64, 64, seed=1)
    assert float(losses.grain_distance(grain, other)) < 0.1
    assert float(losses.grain_distance(2 * grain, other)) == pytest.approx(math.log(2), abs=0.05)
    assert float(losses.grain_distance(grain + 0.4, grain)) < 1e-3
    strong = (3 * grain).requires_grad_()
    losses.grain_distance(strong, other).backward()
    assert strong.grad is not None
    assert float((strong.grad * strong.detach()).sum()) > 0


def test_moving_costs_no_area_and_growing_does() -> None:
    """A structure that moves is free; one that takes a quarter of its neighbour's pixels costs them twice."""
    before = torch.zeros(3, 4, 8, 8)
    before[:, 0] = 1
    before[:2, 0, :4], before[:2, 1, :4, :4], before[:2, 2, :4, 4:] = 0, 1, 1
    structures = ((1,), (2, 3))
    assert float(losses.area_change(before, before.flip(2, 3), structures)) == 0
    after = before.clone()
    after[:2, 1, 0], after[:2, 3, 0, :4] = 0, 1
    assert float(losses.area_change(before, after, structures)) == pytest.approx(8 / 32)
    assert float(losses.area_change(before[2:], before[2:], structures)) == 0
