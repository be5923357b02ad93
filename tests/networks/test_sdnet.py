"""SDNet: what its factors are, what z can do, and that a slice's result is its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from heart_phantoms import heart_slices, sdnet
from network_cases import noise

from synthgen.errors import InputError
from synthgen.networks.area_regressor import AreaRegressor
from synthgen.networks.bundle import save_bundle
from synthgen.networks.film_decoder import FilmDecoder
from synthgen.networks.initialise import initialise
from synthgen.networks.sdnet import SDNet, straight_through
from synthgen.seeding import torch_stream

IMAGES = torch.from_numpy(heart_slices(11).images.astype(np.float32))


@pytest.mark.parametrize(("factors", "n_z"), [(8, 8), (12, 4)])
def test_every_pixel_belongs_to_exactly_one_factor(factors: int, n_z: int) -> None:
    """Factors are exactly 0 or 1 and sum to 1, also where no channel has half, whatever their number."""
    net = sdnet(factors, n_z)
    made = net(IMAGES[:, None], noise(11, n_z))
    assert made.factors.shape == (11, factors, 32, 32)
    assert made.mean.shape == made.log_variance.shape == (11, n_z)
    assert made.factors.unique().tolist() == [0.0, 1.0]
    assert (made.factors.sum(1) == 1).all()


def test_factors_are_the_rounded_softmax_with_its_gradient() -> None:
    """Where a channel has more than half, the value is that of rounding; the gradient is that of the softmax."""
    logits = 3 * noise(2, 5, 8, 8).requires_grad_()
    probability, weight = logits.softmax(1), noise(2, 5, 8, 8, seed=1)
    sure = (probability.max(1).values > 0.5)[:, None].expand_as(probability)
    hard = straight_through(probability)
    assert sure.any()
    assert not sure.all()
    assert torch.equal(hard[sure], probability.round()[sure])
    (wanted,) = torch.autograd.grad((probability * weight).sum(), logits, retain_graph=True)
    (got,) = torch.autograd.grad((hard * weight).sum(), logits)
    torch.testing.assert_close(got, wanted)


def test_film_is_gamma_x_plus_beta() -> None:
    """With gamma and beta 0 a block adds nothing: gamma is a factor, not one plus something."""
    decoder = initialise(FilmDecoder(factors=4, n_z=3, width=4, blocks=1), torch_stream(0))
    block, x = decoder.blocks[0], noise(2, 4, 8, 8)
    with torch.no_grad():
        block.film.weight.zero_()
        block.film.bias.zero_()
    torch.testing.assert_close(block(x, noise(2, 3)), x)


def test_z_changes_grey_levels_everywhere_alike() -> None:
    """Shifting the anatomy shifts the image: z holds no place. Away from the border the pictures agree."""
    net = sdnet()
    factors, z = net.encode_images(IMAGES[:1])
    still = net.decode_factors(factors, z)
    shifted = net.decode_factors(factors.roll(3, dims=-1), z)
    torch.testing.assert_close(shifted[..., 13:-10], still.roll(3, dims=-1)[..., 13:-10])


@pytest.mark.parametrize("count", [1, 3, 8])
def test_results_do_not_depend_on_the_number(count: int) -> None:
    """The first slices' factors, styles, images and labels are the same bits however many follow."""
    net = sdnet()
    factors, z = net.encode_images(IMAGES)
    few, few_z = net.encode_images(IMAGES[:count])
    assert torch.equal(few, factors[:count])
    assert torch.equal(few_z, z[:count])
    assert torch.equal(net.decode_factors(few, few_z), net.decode_factors(factors, z)[:count])
    assert torch.equal(net.segment(IMAGES[:count]), net.segment(IMAGES)[:count])


def test_nothing_comes_of_nothing() -> None:
    """No slices give no factors, of the right shape."""
    factors, z = sdnet().encode_images(IMAGES[:0])
    assert factors.shape == (0, 8, 32, 32)
    assert z.shape == (0, 8)


def test_names_are_stored_with_the_network(tmp_path) -> None:
    """A bundle keeps the names of channels in its description and gives the network back with them, bit for bit."""
    net = sdnet(4)
    assert SDNet(**json.loads(json.dumps(net.arguments))).names == ()
    net.names = ("lv", "empty", "myo", "rv")
    description = {
        "preset": "tiny",
        "label_scheme": "tissue",
        "image_size": 32,
        "spacing_mm": 6.0,
        "source": {"cohort": "phantoms", "licence": "Apache-2.0", "citation": "", "subjects": 1},
    }
    bundle = save_bundle(tmp_path / "bundle", description, {"sdnet": net.half().float()}, {})
    again = bundle.network("sdnet")
    assert again.names == net.names
    assert torch.equal(again.encode_images(IMAGES)[0], net.encode_images(IMAGES)[0])


def test_normalised_logits_leave_no_channel_out() -> None:
    """Before it has learnt anything every channel is the largest somewhere; of the paper's some are nowhere."""
    pixels = {}
    for norm in ("batch", "none"):
        nets = [initialise(SDNet(widths=[8, 8], logit_norm=norm), torch_stream(seed)) for seed in range(8)]
        pixels[norm] = torch.stack([net.decompose(IMAGES[:, None]).sum((0, 2, 3)) for net in nets])
    assert (pixels["batch"] > 0).all()
    assert not (pixels["none"] > 0).all()
    with pytest.raises(InputError, match="logit_norm"):
        SDNet(logit_norm="layer")


def test_a_name_is_missing() -> None:
    """Names must be as many as factors."""
    with pytest.raises(InputError, match="names of factors"):
        sdnet(4).names = ("lv",)


def test_areas_are_numbers_of_pixels_and_can_be_learnt() -> None:
    """The regressor starts above 0, gives one number per slice, and its gradient reaches every weight."""
    net = initialise(AreaRegressor(factors=4), torch_stream(0))
    areas = net(torch.eye(4)[torch.arange(4)][:, :, None, None].expand(-1, -1, 8, 8).contiguous())
    assert areas.shape == (4,)
    assert (areas > 0).all()
    areas.sum().backward()
    assert [key for key, p in net.named_parameters() if p.grad is None] == []
