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
from synthgen.factors.latents import SPAN, Recipient, from_levels
from synthgen.labels import Tissue
from synthgen.seeding import Stage, numpy_stream

FEWEST_SLICES = 3

WIDEST_SHIFT = 4.0
"""Largest shift of the myocardium's logit for the sake of its mass; beyond it the draw is left to the gates."""

Decode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Latents `(slices, d)` to logits `(slices, 4, H, W)` of background, LV, MYO, RV."""


@dataclass(frozen=True)
class HeartStacks:
    """A decoded heart.

    Attributes
    ----------
    labels
        `(2 phases, slices, H, W)`, codes 0 to 3, base first; from the first to the last slice with heart in either.
    draw
        The sample of the class that it was interpolated towards.
    span_mm
        Where the heart lies along the stack after interpolation, by the names of `latents.SPAN`; slices follow it as
        nearly as their spacing allows.
    tidied_pixels
        Pixels that the repair changed.
    wall_shift
        What mass conservation subtracted from the myocardium's logit at ED; see `with_myocardium`.
    """

    labels: NDArray[np.uint8]
    draw: Draw
    span_mm: NDArray[np.float64]
    tidied_pixels: int
    wall_shift: float

    def as_dict(self) -> dict[str, object]:
        """Return what was drawn and done as JSON values."""
        return {
            "slices": int(self.labels.shape[1]),
            **{name: round(float(value), 4) for name, value in zip(SPAN, self.span_mm, strict=True)},
            "eigenvalue_added": self.draw.eigenvalue_added,
            "latents_outside_class_range": self.draw.outside,
            "tidied_pixels": self.tidied_pixels,
            "wall_shift": round(self.wall_shift, 4),
        }


def draw_heart(
    spec: SubjectSpec,
    attempt: int,
    source: tuple[CopulaSampler, Recipient],
    spacing_mm: float,
    decode: Decode,
    *,
    mass_ratio: float = 1.0,
) -> HeartStacks:
    """Make the heart of one attempt of one subject; its streams are keyed by seed, subject and attempt.

    Parameters
    ----------
    source
        The sampler of the class and the normal subject.
    spacing_mm
        Distance of the recipient's slices.
    mass_ratio
        Mass of the myocardium at ED over that at ES, as the source cohort is contoured; 1 for anatomy.
    """
    sampler, recipient = source
    draw = sampler.draw(recipient, numpy_stream(spec.seed, spec.key, attempt, Stage.LATENT))
    levels = (1.0 - spec.severity) * recipient.levels + spec.severity * draw.levels
    span = (1.0 - spec.severity) * recipient.span_mm + spec.severity * draw.span_mm
    counts, starts = slices_of(span, spacing_mm)
    latents = [from_levels(phase, count) for phase, count in zip(levels, counts, strict=True)]
    logits = decode(np.concatenate(latents).astype(np.float32))
    es = logits[counts[0] :].argmax(axis=1).astype(np.uint8)
    ed, shift = with_myocardium(logits[: counts[0]], mass_ratio * float((es == Tissue.MYO).sum()))
    decoded, changed = tidy(np.concatenate([ed, es]))
    labels = np.zeros((2, max(s + n for s, n in zip(starts, counts, strict=True)), *decoded.shape[1:]), dtype=np.uint8)
    for number, part in enumerate(np.split(decoded, [counts[0]])):
        labels[number, starts[number] : starts[number] + counts[number]] = part
    return HeartStacks(labels, draw, span, changed, shift)


def with_myocardium(logits: NDArray[np.float32], pixels: float) -> tuple[NDArray[np.uint8], float]:
    """Return the labels of logits `(slices, 4, H, W)` that have so many pixels of myocardium, and the shift it took.

    The myocardium does not change its mass between the phases, but a decoder blurs a thin wall into a thick one: the
    relaxed wall of ED comes out too heavy, that of ES about right. One number for the whole stack, subtracted from the
    myocardium's logit, gives ED the mass of ES and the cavities the room that the blur took from them.
    """
    others = logits.copy()
    others[:, Tissue.MYO] = -np.inf
    margin = logits[:, Tissue.MYO] - others.max(axis=1)
    place = int(np.clip(round(pixels), 0, margin.size - 1))
    shift = float(
        np.clip(
            np.partition(margin.ravel(), margin.size - 1 - place)[margin.size - 1 - place], -WIDEST_SHIFT, WIDEST_SHIFT
        )
    )
    return np.where(margin > shift, np.uint8(Tissue.MYO), others.argmax(axis=1).astype(np.uint8)), shift


def slices_of(span_mm: NDArray[np.float64], spacing_mm: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return how many slices carry heart at ED and ES, and which is the first of each; the earlier first slice is 0."""
    ed, es = (max(round(float(length) / spacing_mm) + 1, FEWEST_SLICES) for length in span_mm[:2])
    descent = round(float(span_mm[2]) / spacing_mm)
    return (ed, es), (max(-descent, 0), max(descent, 0))
