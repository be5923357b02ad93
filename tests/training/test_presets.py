"""The table of sizes and budgets."""

from __future__ import annotations

import pytest
import torch

from synthgen.networks.discriminators import MultiScaleDiscriminator
from synthgen.networks.label_vae import LabelVAE
from synthgen.networks.mask_discriminator import MaskDiscriminator
from synthgen.networks.perceptual import TissueNet
from synthgen.networks.sdnet import SDNet
from synthgen.networks.spade import SpadeGenerator
from synthgen.networks.style_encoder import StyleEncoder
from synthgen.training.presets import PRESETS, TINY


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_its_networks(name: str) -> None:
    """Sizes of every row fit together (built without memory)."""
    preset = PRESETS[name]
    with torch.device("meta"):
        LabelVAE(image_size=preset.image_size, **preset.vae.network)
        TissueNet(**preset.perceptual.network)
        generator = SpadeGenerator(image_size=preset.image_size, **preset.spade.generator)
        StyleEncoder(style_dim=generator.style_dim, **preset.spade.encoder)
        MultiScaleDiscriminator(**preset.spade.discriminator)
        SDNet(**preset.sdnet.network)
        MaskDiscriminator(**preset.sdnet.discriminator)


def test_the_shipped_networks_fit_into_the_repository() -> None:
    """VAE, generator and style encoder of `small` take less than 12 MB in half precision."""
    preset = PRESETS["small"]
    with torch.device("meta"):
        nets = [
            LabelVAE(image_size=preset.image_size, **preset.vae.network),
            SpadeGenerator(image_size=preset.image_size, **preset.spade.generator),
            StyleEncoder(**preset.spade.encoder),
        ]
    assert 2 * sum(p.numel() for net in nets for p in net.parameters()) < 12e6


def test_the_small_sdnet_leaves_room_in_the_bundle() -> None:
    """SDNet of `small` takes less than 2.4 MB in half precision; that of `paper` has the paper's sizes."""
    with torch.device("meta"):
        small, paper = (SDNet(**PRESETS[name].sdnet.network) for name in ("small", "paper"))
    assert sum(p.numel() for p in small.parameters()) < 1.2e6
    assert (paper.factors, paper.n_z, paper.anatomy.arguments["widths"]) == (8, 8, [64, 128, 256, 512, 1024])
    weights = PRESETS["paper"].sdnet
    assert (weights.kl, weights.dice, weights.adversarial) == (0.01, 10, 10)
    assert (weights.reconstruction, weights.z_regression, weights.learning_rate, weights.batch_size) == (1, 1, 1e-4, 4)


def test_scaling_changes_budgets_only() -> None:
    """A factor multiplies samples, never below one batch, and leaves the table alone."""
    half = TINY.scaled(0.5)
    assert (half.vae.samples, half.spade.samples) == (TINY.vae.samples // 2, TINY.spade.samples // 2)
    assert half.vae.network == TINY.vae.network
    assert TINY.scaled(1e-9).vae.samples == TINY.vae.batch_size
