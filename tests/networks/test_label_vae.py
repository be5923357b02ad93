"""The label VAE and its inference form."""

from __future__ import annotations

import json

import pytest
import torch
from network_cases import blobs, noise

from synthgen.errors import InputError
from synthgen.networks.initialise import initialise
from synthgen.networks.label_vae import LabelCodec, LabelVAE, heart_one_hot
from synthgen.seeding import torch_stream


def small_vae() -> LabelVAE:
    """A VAE whose batch norms have seen data."""
    vae = LabelVAE(image_size=32, encoder_widths=[8, 16], decoder_widths=[16, 16, 8], hidden=32)
    initialise(vae, torch_stream(2)).train()
    with torch.no_grad():
        for seed in range(3):
            vae(heart_one_hot(blobs(4, 32, 4, seed)), noise(4, 16, seed=seed))
        vae.decoder[-1].bias.copy_(-vae.decode(noise(32, 16)).mean((0, 2, 3)))  # all classes within reach
    return vae.eval()


@pytest.mark.parametrize("count", [1, 3, 8, 11])
def test_decoding_does_not_depend_on_the_number(count: int) -> None:
    """The first slices of a batch decode and encode to the same bits however many follow."""
    codec, z, labels = LabelCodec(small_vae()), noise(11, 16) * 3, blobs(11, 32, 4)
    assert torch.equal(codec.decode_labels(z[:count]), codec.decode_labels(z)[:count])
    assert torch.equal(codec.encode_labels(labels[:count]), codec.encode_labels(labels)[:count])


def test_codec_agrees_with_the_module() -> None:
    """Folding batch norm leaves labels and posterior means as the module gives them."""
    vae, z, labels = small_vae(), noise(8, 16) * 3, blobs(8, 32, 4)
    decoded = vae.decode_labels(z)
    assert decoded.dtype == torch.uint8
    assert len(decoded.unique()) > 1
    assert (decoded != vae.decode(z).argmax(1)).float().mean() < 1e-3
    torch.testing.assert_close(vae.encode_labels(labels), vae.encode(heart_one_hot(labels))[0], atol=1e-5, rtol=0)


def test_codec_leaves_the_module_alone() -> None:
    """Making an inference form changes neither the weights nor the mode of the module."""
    vae = small_vae().train()
    before = {key: value.clone() for key, value in vae.state_dict().items()}
    LabelCodec(vae)
    assert vae.training
    assert all(torch.equal(value, before[key]) for key, value in vae.state_dict().items())


def test_other_tissues_are_background() -> None:
    """Labels beyond the heart enter as background, channel c as tissue code c."""
    one_hot = heart_one_hot(torch.tensor([[[0, 1, 2, 3, 4, 8]]], dtype=torch.uint8))
    assert one_hot.argmax(1).tolist() == [[[0, 1, 2, 3, 0, 0]]]
    assert (one_hot.sum(1) == 1).all()


def test_no_latents_give_no_labels() -> None:
    """Zero latents decode to zero slices of the right size."""
    assert small_vae().decode_labels(noise(0, 16)).shape == (0, 32, 32)


def test_fully_connected_layers_have_a_non_linearity_between_them() -> None:
    """The expansion is not a linear map, as it is in the published code."""
    vae, z = small_vae(), noise(1, 16)
    origin = vae.expand(torch.zeros(1, 16))
    assert not torch.allclose(vae.expand(2 * z) - origin, 2 * (vae.expand(z) - origin), rtol=1e-3)


def test_arguments_rebuild_the_vae() -> None:
    """`arguments` is JSON and gives a network with the same tensors."""
    vae = small_vae()
    LabelVAE(**json.loads(json.dumps(vae.arguments))).load_state_dict(vae.state_dict())


@pytest.mark.parametrize(
    "wrong", [{"image_size": 48}, {"encoder_widths": []}, {"encoder_widths": [8] * 5}, {"decoder_widths": [8] * 5}]
)
def test_sizes_that_do_not_fit_are_refused(wrong: dict) -> None:
    """A VAE whose sizes do not meet is an input error."""
    with pytest.raises(InputError):
        LabelVAE(**{"image_size": 32, "encoder_widths": [8, 8], "decoder_widths": [8, 8, 8], **wrong})
