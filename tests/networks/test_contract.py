"""What all networks promise: shapes, keyed weights, rebuilding, gradients."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from network_cases import blobs, noise
from safetensors.torch import save_file
from torch import Tensor, nn

from synthgen.errors import InputError
from synthgen.networks.discriminators import MultiScaleDiscriminator
from synthgen.networks.image_to_image import Pix2PixGenerator, Pix2PixHdGenerator
from synthgen.networks.initialise import initialise
from synthgen.networks.label_vae import LabelVAE, heart_one_hot
from synthgen.networks.mask_discriminator import MaskDiscriminator
from synthgen.networks.perceptual import VGG19_BLOCKS, TissueNet, Vgg19Features
from synthgen.networks.sdnet import SDNet
from synthgen.networks.segmentor import Segmentor
from synthgen.networks.spade import SpadeGenerator
from synthgen.networks.style_encoder import StyleEncoder, fine_detail
from synthgen.networks.unet import UNet
from synthgen.seeding import torch_stream

ONE_HOT = heart_one_hot(blobs(2, 32, 4))

CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], object], object]] = {
    "vae": (
        lambda: LabelVAE(image_size=32, encoder_widths=[8, 8], decoder_widths=[8, 8, 8], hidden=16, latent_dim=5),
        lambda net: net(ONE_HOT, noise(2, 5)),
        [(2, 4, 32, 32), (2, 5), (2, 5)],
    ),
    "spade": (
        lambda: SpadeGenerator(image_size=32, classes=4, style_dim=3, widths=[8, 8], hidden=4),
        lambda net: net(blobs(2, 32, 4), noise(2, 3), noise(2, 1, 32, 32)),
        [(2, 1, 32, 32)],
    ),
    "style encoder": (
        lambda: StyleEncoder(style_dim=3, widths=[4, 8]),
        lambda net: net(noise(2, 1, 32, 32)),
        [(2, 3), (2, 3)],
    ),
    "discriminator": (
        lambda: MultiScaleDiscriminator(classes=4, widths=[4, 8], scales=2),
        lambda net: net(ONE_HOT, noise(2, 1, 32, 32)),
        [(2, 4, 16, 16), (2, 8, 8, 8), (2, 1, 8, 8), (2, 4, 8, 8), (2, 8, 4, 4), (2, 1, 4, 4)],
    ),
    "tissue net": (
        lambda: TissueNet(classes=4, widths=[4, 8, 8]),
        lambda net: net(noise(2, 1, 32, 32)),
        [(2, 4, 32, 32)],
    ),
    "unet": (
        lambda: UNet(classes=4, widths=[4, 8, 8]),
        lambda net: net(noise(2, 1, 32, 32)),
        [(2, 4, 32, 32)],
    ),
    "segmentor": (
        lambda: Segmentor(widths=[4, 8, 8]),
        lambda net: net(noise(2, 1, 32, 32), torch.ones(2, 8)),
        [(2, 9, 32, 32)],
    ),
    "pix2pix": (
        lambda: Pix2PixGenerator(image_size=32, classes=4, style_dim=3, widths=[4, 8, 8]),
        lambda net: net(blobs(2, 32, 4), noise(2, 3), noise(2, 1, 32, 32)),
        [(2, 1, 32, 32)],
    ),
    "pix2pixhd": (
        lambda: Pix2PixHdGenerator(image_size=32, classes=4, style_dim=3, widths=[4, 8], blocks=1),
        lambda net: net(blobs(2, 32, 4), noise(2, 3), noise(2, 1, 32, 32)),
        [(2, 1, 32, 32)],
    ),
    "sdnet": (
        lambda: SDNet(factors=5, n_z=3, widths=[4, 8], imaging_widths=[4, 4], segmentor_width=4, decoder_width=6),
        lambda net: net(noise(2, 1, 32, 32), noise(2, 3)),
        [(2, 5, 32, 32), (2, 3), (2, 3), (2, 1, 32, 32), (2, 4, 32, 32)],
    ),
    "mask discriminator": (
        lambda: MaskDiscriminator(widths=[4, 8]),
        lambda net: net(ONE_HOT[:, 1:]),
        [(2,)],
    ),
}


def flat(value: object) -> list[Tensor]:
    """All tensors in nested tuples and lists, in order."""
    return [value] if isinstance(value, Tensor) else [t for part in value for t in flat(part)]


@pytest.mark.parametrize("name", CASES)
def test_shapes(name: str) -> None:
    """Every network returns the documented shapes, finite."""
    build, call, shapes = CASES[name]
    out = flat(call(initialise(build(), torch_stream(0))))
    assert [tuple(t.shape) for t in out] == shapes
    assert all(t.isfinite().all() for t in out)


@pytest.mark.parametrize("name", CASES)
def test_initial_weights_depend_on_the_key_alone(name: str) -> None:
    """Two builds with one key are equal to the bit, with another key not; the global stream is not consulted."""
    build, _, _ = CASES[name]
    first, again, other = (initialise(build(), torch_stream(key)).state_dict() for key in (0, 0, 1))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert any(not torch.equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize("name", CASES)
def test_arguments_are_json_and_rebuild_the_network(name: str) -> None:
    """A network is rebuilt from `arguments` alone, with the same tensors."""
    build, _, _ = CASES[name]
    net = build()
    type(net)(**json.loads(json.dumps(net.arguments))).load_state_dict(net.state_dict())


@pytest.mark.parametrize("name", CASES)
def test_gradient_reaches_every_weight(name: str) -> None:
    """No weight is left out of the graph."""
    build, call, _ = CASES[name]
    net = initialise(build(), torch_stream(0)).train()
    sum((t * noise(*t.shape)).sum() for t in flat(call(net))).backward()
    assert [key for key, p in net.named_parameters() if p.grad is None] == []


def test_style_is_pooled() -> None:
    """A style hardly changes when the image is turned upside down: there is no place in it for anatomy."""
    net = initialise(StyleEncoder(style_dim=3, widths=[4, 8]), torch_stream(0))
    image, other = noise(1, 1, 32, 32), 3 * noise(1, 1, 32, 32, seed=1)
    turned = (net(image)[0] - net(image.flip(2))[0]).abs().max()
    assert turned < 0.2 * (net(image)[0] - net(other)[0]).abs().max()


def test_style_knows_how_noisy_an_image_is() -> None:
    """The strength of fine detail reaches the style as a number: shading has none, twice the noise is log 2 more."""
    shading = torch.linspace(-1, 1, 32).expand(1, 1, 32, 32)
    weak = fine_detail(shading + 0.1 * noise(1, 1, 32, 32))
    assert (fine_detail(shading) < weak - 1).all()
    torch.testing.assert_close(
        fine_detail(0.2 * noise(1, 1, 32, 32)) - weak, torch.full((1, 2), 0.69), atol=0.1, rtol=0
    )


def test_style_means_do_not_depend_on_the_number() -> None:
    """Encoding more images leaves the first ones' styles bit for bit."""
    net = initialise(StyleEncoder(style_dim=3, widths=[4, 8]), torch_stream(0))
    images = noise(11, 32, 32)
    assert torch.equal(net.encode_images(images[:3]), net.encode_images(images)[:3])


def test_vgg_features_come_from_the_users_file(tmp_path) -> None:
    """A file with torchvision's names gives five feature maps; one tensor short is an input error that names it."""
    tensors, position, before = {}, 0, 3
    for widths in VGG19_BLOCKS:
        for width in widths:
            tensors |= {
                f"features.{position}.weight": torch.zeros(width, before, 3, 3),
                f"features.{position}.bias": torch.ones(width),
            }
            position, before = position + 2, width
        position += 1
    assert "features.28.weight" in tensors
    save_file(tensors, tmp_path / "vgg.safetensors")
    shapes = [
        tuple(f.shape[1:]) for f in Vgg19Features(tmp_path / "vgg.safetensors").features(torch.zeros(1, 1, 32, 32))
    ]
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    del tensors["features.28.bias"]
    save_file(tensors, tmp_path / "vgg.safetensors")
    with pytest.raises(InputError, match=r"features\.28\.bias"):
        Vgg19Features(tmp_path / "vgg.safetensors")


def test_vgg_refuses_a_pickle(tmp_path) -> None:
    """A torch pickle is an input error and is never opened as one."""
    (tmp_path / "vgg.pth").write_bytes(b"\x80\x04" + bytes(100))
    with pytest.raises(InputError):
        Vgg19Features(tmp_path / "vgg.pth")
