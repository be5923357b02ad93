"""Features of the perceptual loss: what they say of a scanner."""

import pytest
import torch
from network_cases import noise

from synthgen.networks.initialise import initialise
from synthgen.networks.perceptual import TissueNet, moments
from synthgen.seeding import torch_stream


def test_moments_are_means_and_deviations_of_every_channel() -> None:
    """Whatever the resolution; where something lies in the image does not matter."""
    one, two = 3 * noise(2, 4, 8, 8) + 1, noise(2, 6, 4, 4, seed=1)
    found = moments([one, two])
    assert found.shape == (2, 20)
    torch.testing.assert_close(found[:, :4], one.mean((2, 3)))
    torch.testing.assert_close(found[:, 10:14], one.flatten(2).std(2, correction=0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found, moments([one.flip(3), two.transpose(2, 3)]))


def test_moments_of_flat_channels_have_gradients() -> None:
    """A channel without contrast does not make a training diverge."""
    flat = torch.zeros((1, 2, 4, 4), requires_grad=True)
    moments([flat]).sum().backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


def test_scanners_are_told_apart_only_where_the_network_was_made_for_it() -> None:
    """One logit per scanner; a network of tissues alone says so."""
    net = initialise(TissueNet(classes=4, widths=[4, 8], scanners=3), torch_stream(0))
    assert net.scanners(net.features(noise(2, 1, 16, 16))).shape == (2, 3)
    plain = initialise(TissueNet(classes=4, widths=[4, 8]), torch_stream(0))
    with pytest.raises(ValueError, match="scanners"):
        plain.scanners(plain.features(noise(2, 1, 16, 16)))
