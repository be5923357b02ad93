"""The sizes and budgets of training, in one visible table.

`tiny`
    Seconds on one core; for tests.
`small`
    The shipped bundle; fitted on one CPU core in about three and a half hours.
`paper`
    The papers' sizes; for a GPU.

Budgets count samples seen, so a batch size does not change what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from synthgen.factors.noise import BLUR_PIXELS
from synthgen.training.randomisation import Ranges


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Random motion of a training image and its labels.

    No mirroring: a mirrored heart has its right ventricle on the wrong side.

    Attributes
    ----------
    rotation_degrees, shift_pixels, zoom
        Half-widths of the uniform distributions.
    """

    rotation_degrees: float
    shift_pixels: float
    zoom: float


@dataclass(frozen=True, kw_only=True)
class VaeSettings(Motion):
    """Label VAE (Amirrajab et al. 2022, doi 10.1007/978-3-031-23443-9_4: beta 15, n_z 16, Adam 2e-5, batch 20).

    Attributes
    ----------
    network
        Arguments of `LabelVAE`, without the image size.
    beta
        Weight of the KL term against the cross-entropy summed over pixels.
    warm_up
        Share of the budget over which beta rises from 0.
    """

    network: dict[str, Any] = field(default_factory=dict)
    samples: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    beta: float = 15.0
    warm_up: float = 0.1
    rotation_degrees: float = 8.0
    shift_pixels: float = 3.0
    zoom: float = 0.06


@dataclass(frozen=True, kw_only=True)
class PerceptualSettings:
    """Segmentation network whose features the perceptual loss compares."""

    network: dict[str, Any] = field(default_factory=dict)
    samples: int
    batch_size: int = 16
    learning_rate: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class SpadeSettings:
    """SPADE generator, style encoder, discriminators (doi 10.1016/j.compmedimag.2022.102123: weights 10, TTUR, hinge).

    Attributes
    ----------
    generator, encoder, discriminator
        Arguments of `SpadeGenerator` (without the image size), `StyleEncoder`, `MultiScaleDiscriminator`.
    feature_matching, perceptual, kl, l1
        Loss weights beside the adversarial term's 1. The papers have no L1; it is what a short training needs to get
        the grey values right before the discriminator is good.
    grain
        Weight of `losses.grain_distance`. The papers have none and trust the discriminator with a scanner's noise and
        sharpness; a short training's takes all vendors for equally noisy.
    look
        Weight of the distance between the moments of the perceptual network's features, which tells scanners apart.
        The papers have none.
    ema
        Decay per step of the averaged generator and encoder, the ones that are kept.
    tables_from
        Pattern tables inside autograd from this size up (CPU); None for dense (GPU).
    """

    generator: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] = field(default_factory=dict)
    discriminator: dict[str, Any] = field(default_factory=dict)
    samples: int
    batch_size: int = 8
    generator_rate: float = 1e-4
    discriminator_rate: float = 4e-4
    feature_matching: float = 10.0
    perceptual: float = 10.0
    kl: float = 0.05
    l1: float = 0.0
    grain: float = 0.0
    look: float = 0.0
    ema: float = 0.999
    tables_from: int | None = 32
    calibration_batches: int = 32


@dataclass(frozen=True, kw_only=True)
class SegmentationSettings(Motion):
    """A segmentor by labels alone: SDNet's supervised counterpart.

    Attributes
    ----------
    network
        Arguments of `UNet`.
    ema
        Decay per step of the averaged weights, the ones that are kept; 0 keeps the last.
    views
        Random views instead of the motion below, on one grey scale, as the segmentor of nine tissues sees them: for
        images of scanners that were not trained on.
    """

    network: dict[str, Any] = field(default_factory=dict)
    samples: int
    batch_size: int = 4
    learning_rate: float = 1e-4
    ema: float = 0.0
    views: Ranges | None = None
    rotation_degrees: float = 90.0
    shift_pixels: float = 0.0
    zoom: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SegmentorSettings:
    """Segmentor of nine tissues, trained on virtual hearts alone (doi 10.1016/j.compmedimag.2022.102123, section 3.1).

    Attributes
    ----------
    network
        Arguments of `Segmentor`.
    hearts, field_pixels
        Virtual hearts that it learns from, and the edge of their field of view in its own pixels.
    views
        How different what it sees may be from what was simulated.
    missed
        Weight in the focal Tversky loss of pixels that are missed against those that are claimed wrongly. 0.7 in its
        paper, which finds more of a lesion; of a wall it finds too much.
    cross_entropy
        Weight of the cross-entropy beside the focal Tversky loss; the paper has none, a short training needs one.
    ema
        Decay per step of the averaged weights, the ones that are kept; 0 keeps the last.
    """

    network: dict[str, Any] = field(default_factory=dict)
    hearts: int
    field_pixels: int = 144
    samples: int
    batch_size: int = 16
    learning_rate: float = 2e-3
    decay: float = 1e-4
    missed: float = 0.5
    cross_entropy: float = 1.0
    ema: float = 0.0
    views: Ranges = field(default_factory=Ranges)


@dataclass(frozen=True, kw_only=True)
class SdnetSettings(Motion):
    """SDNet (Chartsias et al. 2019, doi 10.1016/j.media.2019.101535, section 4.2: weights, rate, batch of 4).

    Attributes
    ----------
    network, discriminator
        Arguments of `SDNet` and `MaskDiscriminator`.
    samples, batch_size
        Images of either kind, labelled or not; what progress counts.
    labelled_batch
        Labelled images beside them in every step, the only ones whose labels are read.
    kl, dice, adversarial, reconstruction, z_regression
        Loss weights, the paper's lambda 1 to 5.
    rotation_degrees
        The paper rotates ACDC by up to 90.
    ema
        Decay per step of the averaged weights, the ones that are kept; 0 keeps the last, as the paper does.
    """

    network: dict[str, Any] = field(default_factory=dict)
    discriminator: dict[str, Any] = field(default_factory=dict)
    samples: int
    batch_size: int = 4
    labelled_batch: int = 4
    learning_rate: float = 1e-4
    kl: float = 0.01
    dice: float = 10.0
    adversarial: float = 10.0
    reconstruction: float = 1.0
    z_regression: float = 1.0
    ema: float = 0.0
    rotation_degrees: float = 90.0
    shift_pixels: float = 0.0
    zoom: float = 0.0

    def supervised(self) -> SegmentationSettings:
        """Return the settings of the U-Net that this SDNet is fairly compared with.

        It is SDNet's anatomy encoder with another last layer, makes as many steps, and sees in each as many labelled
        images, moved alike, at the same rate; its weights are averaged alike.
        """
        return SegmentationSettings(
            network={name: value for name, value in self.network.items() if name == "widths"},
            samples=-(-self.samples // self.batch_size) * self.labelled_batch,
            batch_size=self.labelled_batch,
            learning_rate=self.learning_rate,
            ema=self.ema,
            rotation_degrees=self.rotation_degrees,
            shift_pixels=self.shift_pixels,
            zoom=self.zoom,
        )


@dataclass(frozen=True, kw_only=True)
class AreaSettings(SdnetSettings):
    """SDNet fine-tuned with the left ventricle's area as a second task (section 5.2).

    Attributes
    ----------
    area
        Weight of the absolute error of the area in thousands of pixels; the paper does not state its own.
    """

    area: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(Motion):
    """Pathology classifier F (DAA-GAN, doi 10.1007/978-3-030-87199-4_15, supplement: Adam 0.9, 0.999, rate 1e-4).

    Attributes
    ----------
    network
        Arguments of `PathologyClassifier`.
    samples, batch_size
        Levels, each with both phases.
    decay
        Weight of the squared weights.
    intensity
        Standard deviation of the random change of contrast (logarithm) and of brightness.
    """

    network: dict[str, Any] = field(default_factory=dict)
    samples: int
    batch_size: int = 16
    learning_rate: float = 1e-4
    decay: float = 0.0
    rotation_degrees: float = 15.0
    shift_pixels: float = 4.0
    zoom: float = 0.05
    intensity: float = 0.1


@dataclass(frozen=True, kw_only=True)
class DiagnosisSettings(Motion):
    """Residual classifier that measures what training subjects are worth; no row of the table of fits.

    Attributes
    ----------
    network
        Arguments of `ResidualClassifier`.
    samples, batch_size
        Levels, each with both phases.
    decay
        Decoupled weight decay (AdamW).
    ema
        Decay per step of the averaged weights, the ones that are kept; 0 keeps the last.
    intensity
        As in `ClassifierSettings`.
    """

    network: dict[str, Any] = field(default_factory=dict)
    samples: int
    batch_size: int = 16
    learning_rate: float = 2e-3
    decay: float = 1e-3
    ema: float = 0.0
    rotation_degrees: float = 15.0
    shift_pixels: float = 4.0
    zoom: float = 0.05
    intensity: float = 0.1


@dataclass(frozen=True, kw_only=True)
class AcganSettings(Motion):
    """AC-GAN, a baseline; no row of the table of fits (Odena et al. 2017, arXiv 1610.09585: Adam 2e-4).

    Attributes
    ----------
    generator, discriminator
        Arguments of `AcGenerator` and `AcDiscriminator`, without image size and codes.
    samples, batch_size
        Levels, each with both phases.
    ema
        Decay per step of the averaged generator.
    """

    generator: dict[str, Any] = field(default_factory=dict)
    discriminator: dict[str, Any] = field(default_factory=dict)
    samples: int
    batch_size: int = 32
    learning_rate: float = 2e-4
    ema: float = 0.99
    rotation_degrees: float = 0.0
    shift_pixels: float = 0.0
    zoom: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MixingSettings:
    """Noise injection network J and its critic (DAA-GAN: weights 1, 1, 10, 10, Adam 0, 0.999, rate 1e-4).

    Attributes
    ----------
    network, critic
        Arguments of `NoiseInjector` (without the number of factors) and `HeartCritic`.
    samples, batch_size
        Levels, each with both phases, so twice as many slices.
    adversarial, pathology, consistency, background, area
        Loss weights; the last is not the paper's.
    temperature
        Of the Gumbel-softmax.
    blur_pixels
        Standard deviation of the Gaussian that blurs the mask of what the arithmetic touched.
    noise_pixels
        Standard deviation of the Gaussian that makes the noise smooth in plane.
    margin_pixels
        How far the heart's mask reaches beyond the heart.
    """

    network: dict[str, Any] = field(default_factory=dict)
    critic: dict[str, Any] = field(default_factory=dict)
    samples: int
    batch_size: int = 4
    learning_rate: float = 1e-4
    adversarial: float = 1.0
    pathology: float = 1.0
    consistency: float = 10.0
    background: float = 10.0
    area: float = 10.0
    temperature: float = 1.0
    blur_pixels: float = BLUR_PIXELS
    noise_pixels: float = 2.0
    margin_pixels: int = 4


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One row of the table.

    Attributes
    ----------
    image_size
        Edge of the square of `FIELD_OF_VIEW_MM` that is learnt, in pixels.
    bodies
        Virtual hearts whose bodies stand in for those of patients.
    """

    name: str
    image_size: int
    bodies: int
    segmentor: SegmentorSettings
    vae: VaeSettings
    perceptual: PerceptualSettings
    spade: SpadeSettings
    sdnet: SdnetSettings
    classifier: ClassifierSettings
    mixing: MixingSettings

    def scaled(self, factor: float) -> Preset:
        """Return the preset with every budget multiplied by `factor`, at least one batch each."""

        def scale(settings: Any) -> Any:  # noqa: ANN401 - one of the settings, returned as the same type
            return replace(settings, samples=max(settings.batch_size, round(settings.samples * factor)))

        names = ("segmentor", "vae", "perceptual", "spade", "sdnet", "classifier", "mixing")
        parts = {name: scale(getattr(self, name)) for name in names}
        return replace(self, **parts)


TINY = Preset(
    name="tiny",
    image_size=32,
    bodies=2,
    segmentor=SegmentorSettings(
        network={"widths": [8, 16, 16]}, hearts=5, field_pixels=64, samples=40, batch_size=4, views=Ranges(pixels=32),
    ),
    vae=VaeSettings(
        network={"encoder_widths": [8, 16], "decoder_widths": [16, 16, 8], "hidden": 32, "depth": 1},
        samples=160, batch_size=8, learning_rate=3e-3, shift_pixels=1.0,
    ),
    perceptual=PerceptualSettings(network={"widths": [8, 8]}, samples=40, batch_size=4),
    spade=SpadeSettings(
        generator={"widths": [16, 16, 16], "hidden": 8},
        encoder={"widths": [8, 8]},
        discriminator={"widths": [8, 16], "scales": 1},
        samples=40, batch_size=4, l1=10.0, ema=0.9, tables_from=None, calibration_batches=2,
    ),
    sdnet=SdnetSettings(
        network={"widths": [8, 16, 16], "imaging_widths": [8, 8], "segmentor_width": 8, "logit_norm": "batch"},
        discriminator={"widths": [8, 8]},
        samples=40, learning_rate=2e-3, rotation_degrees=15.0,
    ),
    classifier=ClassifierSettings(
        network={"widths": [8] * 7, "hidden": 16, "dropout": 0},
        samples=160, batch_size=8, learning_rate=3e-3, rotation_degrees=5.0, shift_pixels=1.0,
    ),
    mixing=MixingSettings(
        network={"widths": [8, 8, 8]}, critic={"widths": [8, 8]},
        samples=40, learning_rate=1e-3, blur_pixels=1.0, noise_pixels=1.0, margin_pixels=1,
    ),
)  # fmt: skip

SMALL = Preset(
    name="small",
    image_size=128,
    bodies=32,
    segmentor=SegmentorSettings(hearts=600, samples=180_000, ema=0.995),
    # The papers' beta of 15 lets 12 nats through, which blurs thin walls; latents are drawn from the cohort's own
    # distribution, not from the prior, so that a looser prior costs nothing.
    vae=VaeSettings(network={"decoder_widths": [128, 64, 32, 16]}, samples=100_000, batch_size=16, beta=4.0),
    perceptual=PerceptualSettings(samples=9_600),
    spade=SpadeSettings(samples=16_800, generator_rate=4e-4, l1=3.0, grain=5.0, look=10.0, ema=0.998),
    sdnet=SdnetSettings(
        network={"widths": [8, 16, 32, 64, 64], "segmentor_width": 16, "logit_norm": "batch"},
        discriminator={"widths": [16, 32, 32, 32]},
        samples=10_000,
        learning_rate=1e-3,
        ema=0.995,
        rotation_degrees=15.0,
        shift_pixels=3.0,
        zoom=0.06,
    ),
    # Half a million weights would not be more right on a few hundred subjects; 0.8 MB in half precision.
    classifier=ClassifierSettings(
        network={"widths": [16, 32, 48, 64, 64, 96, 96], "hidden": 96},
        samples=24_000,
        learning_rate=1e-3,
        decay=1e-5,
    ),
    mixing=MixingSettings(
        network={"widths": [32, 32, 32]}, critic={"widths": [16, 32, 64]}, samples=3_000, learning_rate=4e-4
    ),
)

PAPER = Preset(
    name="paper",
    image_size=256,
    bodies=32,
    segmentor=SegmentorSettings(
        network={"widths": [64, 128, 256, 512, 1024], "pixel_um": 1250}, hearts=1000, field_pixels=256,
        samples=2_000_000, batch_size=32, learning_rate=1e-4, missed=0.7, cross_entropy=0.0, views=Ranges(pixels=192),
    ),
    vae=VaeSettings(
        network={"encoder_widths": [64, 128, 256, 512], "decoder_widths": [512, 256, 128, 64, 64], "depth": 3},
        samples=2_000_000, batch_size=20, learning_rate=2e-5, warm_up=0.0,
    ),
    perceptual=PerceptualSettings(network={"widths": [32, 64, 128, 256, 256]}, samples=200_000, batch_size=32),
    spade=SpadeSettings(
        generator={"widths": [1024, 1024, 512, 256, 128, 64], "hidden": 128, "block": "classic"},
        encoder={"widths": [64, 128, 256, 512]},
        discriminator={"widths": [64, 128, 256, 512], "scales": 2},
        samples=2_000_000, batch_size=32, tables_from=None,
    ),
    sdnet=SdnetSettings(network={"logit_norm": "batch"}, samples=400_000),  # `SDNet`'s defaults are the paper's sizes
    classifier=ClassifierSettings(samples=400_000),
    mixing=MixingSettings(samples=400_000),
)  # fmt: skip

PRESETS = {preset.name: preset for preset in (TINY, SMALL, PAPER)}
"""The table by name."""
