"""Latent anatomy: a heart of a class as label stacks of both phases, from a normal recipient and a sample of the class.

After Amirrajab et al. 2022 (arXiv 2209.04223): the normal subject's latents are interpolated towards a sample of the
class, severity being the weight, and decoded slice by slice. The latents are resampled to the stack's own slices before
decoding, so that only slices that will be written are decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.engine.plan import SubjectSpec
from synthgen.engine.tidy import tidy
from synthgen.factors.copula import CopulaSampler, Draw
from synthgen.factors.latents import Recipient, from_levels
from synthgen.seeding import Stage, numpy_stream

FEWEST_SLICES = 3

Decode = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Latents `(slices, d)` to heart labels `(slices, H, W)`."""


@dataclass(frozen=True)
class HeartStacks:
    """A decoded heart.

    Attributes
    ----------
    labels
        `(2 phases, slices, H, W)`, codes 0 to 3, base first.
    draw
        The sample of the class that it was interpolated towards.
    length_mm
        Length after interpolation; the slices cover it as nearly as their spacing allows.
    tidied_pixels
        Pixels that the repair changed.
    """

    labels: NDArray[np.uint8]
    draw: Draw
    length_mm: float
    tidied_pixels: int

    def as_dict(self) -> dict[str, object]:
        """Return what was drawn and done as JSON values."""
        return {
            "slices": int(self.labels.shape[1]),
            "length_mm": round(self.length_mm, 4),
            "sampled_length_mm": round(self.draw.length_mm, 4),
            "eigenvalue_added": self.draw.eigenvalue_added,
            "latents_outside_class_range": self.draw.outside,
            "tidied_pixels": self.tidied_pixels,
        }


def draw_heart(
    spec: SubjectSpec,
    attempt: int,
    source: tuple[CopulaSampler, Recipient],
    spacing_mm: float,
    decode: Decode,
) -> HeartStacks:
    """Make the heart of one attempt of one subject; its streams are keyed by seed, subject and attempt.

    Parameters
    ----------
    source
        The sampler of the class and the normal subject.
    spacing_mm
        Distance of the recipient's slices.
    """
    sampler, recipient = source
    draw = sampler.draw(recipient, numpy_stream(spec.seed, spec.key, attempt, Stage.LATENT))
    levels = (1.0 - spec.severity) * recipient.levels + spec.severity * draw.levels
    length = (1.0 - spec.severity) * recipient.length_mm + spec.severity * draw.length_mm
    count = max(round(length / spacing_mm) + 1, FEWEST_SLICES)
    latents = from_levels(levels, count)
    decoded = decode(latents.reshape(2 * count, -1).astype(np.float32))
    labels, changed = tidy(decoded)
    return HeartStacks(labels.reshape(2, count, *labels.shape[1:]), draw, length, changed)
