"""Sizes and budgets of the networks that measure what training subjects are worth: one table, the same for all arms."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from synthgen.cohorts.preprocess import FIELD_OF_VIEW_MM
from synthgen.training.presets import AcganSettings, DiagnosisSettings, SegmentationSettings


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One row of the table.

    Attributes
    ----------
    pixels
        Edge of the square of `FIELD_OF_VIEW_MM` that is learnt.
    diagnosis, segmentation, acgan
        Networks and budgets. These are samples seen, so that every arm makes the same number of steps, however many
        subjects it has.
    test_hearts
        Virtual hearts that test, when the cohort is one of virtual hearts.
    preset, budget
        How a generator is fitted on the training subjects: a row of `training.presets.PRESETS`, and a factor on it.
    """

    pixels: int
    diagnosis: DiagnosisSettings
    segmentation: SegmentationSettings
    acgan: AcganSettings
    test_hearts: int
    preset: str
    budget: float

    @property
    def spacing_mm(self) -> float:
        """Edge of a pixel."""
        return FIELD_OF_VIEW_MM / self.pixels


TIERS = MappingProxyType(
    {
        # Seconds; for tests.
        "tiny": Tier(
            pixels=32,
            diagnosis=DiagnosisSettings(network={"widths": [8, 8]}, samples=32, batch_size=8),
            segmentation=SegmentationSettings(network={"widths": [8, 8]}, samples=16, learning_rate=1e-3),
            acgan=AcganSettings(
                generator={"widths": [8, 8]}, discriminator={"widths": [8, 8]}, samples=16, batch_size=8
            ),
            test_hearts=10,
            preset="tiny",
            budget=0.1,
        ),
        # Minutes on two quiet cores: shows that everything works; too small for conclusions. At 3e-3 and 200 steps the
        # segmentor lost a whole structure in two trainings of two, hence the lower rate and three times the steps.
        "small": Tier(
            pixels=64,
            diagnosis=DiagnosisSettings(network={"widths": [12, 24, 48]}, samples=4_000, shift_pixels=2.0),
            segmentation=SegmentationSettings(
                network={"widths": [8, 16, 32, 32]}, samples=4_800, batch_size=8, learning_rate=1e-3,
                rotation_degrees=15.0, shift_pixels=2.0, zoom=0.05,
            ),
            acgan=AcganSettings(samples=16_000),
            test_hearts=60,
            preset="small",
            budget=0.1,
        ),
        # Hours on two cores: enough for the gain of a rare class to stand out.
        "standard": Tier(
            pixels=96,
            diagnosis=DiagnosisSettings(samples=12_000, ema=0.99, shift_pixels=3.0),
            segmentation=SegmentationSettings(
                network={"widths": [8, 16, 32, 64, 64]}, samples=4_800, batch_size=8, learning_rate=2e-3, ema=0.99,
                rotation_degrees=15.0, shift_pixels=3.0, zoom=0.05,
            ),
            acgan=AcganSettings(samples=16_000),
            test_hearts=150,
            preset="small",
            budget=1.0,
        ),
        # For a GPU: enough test subjects to see a percentage point.
        "large": Tier(
            pixels=128,
            diagnosis=DiagnosisSettings(samples=48_000, ema=0.99),
            segmentation=SegmentationSettings(
                network={"widths": [16, 32, 64, 128, 128]}, samples=24_000, batch_size=8, learning_rate=1e-3, ema=0.99,
                rotation_degrees=15.0, shift_pixels=4.0, zoom=0.05,
            ),
            acgan=AcganSettings(generator={"widths": [128, 96, 64, 32, 16]}, samples=100_000),
            test_hearts=450,
            preset="small",
            budget=1.0,
        ),
    }
)  # fmt: skip
"""The table by name."""
