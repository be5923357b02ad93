"""Mixed anatomy: a recipient's heart with the structures of a donor that carry a class, from label stacks alone.

DAA-GAN (Thermos et al. 2021, doi 10.1007/978-3-030-87199-4_15) without its network J: the arithmetic on labels, the
repair that every heart gets here, the gates. What J would smooth, the gates refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.engine.donors import Donor
from synthgen.engine.gate import Gates, Measurement, Verdict, check, examine
from synthgen.engine.tidy import tidy
from synthgen.errors import InputError
from synthgen.factors.arithmetic import Mixture, mix_stacks
from synthgen.factors.latents import heart_range
from synthgen.factors.swap import travellers
from synthgen.labels import Pathology, Phase, Tissue
from synthgen.seeding import Stage, numpy_stream
from synthgen.volumes import Volume, stack_affine


@dataclass(frozen=True, eq=False, kw_only=True)
class MixedHeart:
    """A heart of two subjects.

    Attributes
    ----------
    labels
        `(2 phases, slices, H, W)`, codes 0 to 3, base first; from the first to the last slice with heart in either.
    donor
        Id of the subject whose structures travelled.
    structures
        Their names.
    mixture
        What the arithmetic did.
    tidied_pixels
        Pixels that the repair changed afterwards.
    """

    labels: NDArray[np.uint8]
    donor: str
    structures: tuple[str, ...]
    mixture: Mixture
    tidied_pixels: int

    def as_dict(self) -> dict[str, object]:
        """Return what was drawn and done as JSON values."""
        return {
            "donor": self.donor,
            "structures": list(self.structures),
            "slices": int(self.labels.shape[1]),
            **self.mixture.as_dict(),
            "tidied_pixels": self.tidied_pixels,
        }


@dataclass(frozen=True, kw_only=True)
class Draw:
    """An accepted mixture: which attempt, what was measured, and the reasons of the rejected ones in their order."""

    heart: MixedHeart
    attempt: int
    measurement: Measurement
    verdicts: list[Verdict]
    rejected: list[list[str]]


def mix_hearts(recipient: Donor, donor: Donor, pathologies: tuple[Pathology, Pathology]) -> MixedHeart:
    """Put what carries the donor's class into the recipient's heart, ED and ES alike.

    Parameters
    ----------
    recipient, donor
        Their other tissues are not looked at; in-plane grids must agree.
    pathologies
        Classes of recipient and donor.

    Raises
    ------
    InputError
        If the swap table has no such pair, the in-plane spacings differ, or one has no left ventricle in a phase.
    """
    if not np.allclose(recipient.spacing_mm[1:], donor.spacing_mm[1:], rtol=1e-3):
        expected = f"pixels of {recipient.spacing_mm[1:]} mm"
        raise InputError(f"donor {donor.subject_id}", expected=expected, got=f"{donor.spacing_mm[1:]} mm")
    moving = travellers(*pathologies)
    mixture = mix_stacks(_heart(recipient), _heart(donor), moving)
    phases, count = mixture.codes.shape[:2]
    tidied, changed = tidy(mixture.codes.reshape(phases * count, *mixture.codes.shape[2:]))
    stacks = tidied.reshape(mixture.codes.shape)
    return MixedHeart(
        labels=stacks[:, heart_range(list(stacks))],
        donor=donor.subject_id,
        structures=tuple(structure.name for structure in moving),
        mixture=mixture,
        tidied_pixels=changed,
    )


def draw_mixture(
    recipient: Donor,
    donors: Sequence[Donor],
    pathologies: tuple[Pathology, Pathology],
    gates: Gates,
    *,
    seed: int,
    key: int = 0,
    max_attempts: int = 100,
) -> Draw | None:
    """Mix with one donor after the other, in a random order, until a heart passes every gate; None if none does.

    The order is drawn from the stream of (seed, key): the result depends on these, not on other subjects. A donor is
    tried once, since there is no other chance in a mixture.
    """
    order = numpy_stream(seed, key, 0, Stage.MIXTURE).permutation(len(donors))
    rejected: list[list[str]] = []
    for attempt, number in enumerate(order[:max_attempts]):
        heart = mix_hearts(recipient, donors[int(number)], pathologies)
        measurement = _examine(heart.labels, recipient, pathologies[1])
        verdicts = check(measurement, gates)
        failed = [verdict.name for verdict in verdicts if not verdict.passed]
        if not failed:
            return Draw(heart=heart, attempt=attempt, measurement=measurement, verdicts=verdicts, rejected=rejected)
        rejected.append(failed)
    return None


def _heart(subject: Donor) -> NDArray[np.uint8]:
    stacks = np.stack([subject.labels[phase] for phase in Phase])
    return np.where(stacks <= Tissue.RV, stacks, np.uint8(Tissue.BACKGROUND))


def _examine(labels: NDArray[np.uint8], recipient: Donor, pathology: Pathology) -> Measurement:
    affine = stack_affine(recipient.spacing_mm, labels.shape[1:])
    volumes = {phase: Volume(labels[i], recipient.spacing_mm, affine) for i, phase in enumerate(Phase)}
    return examine(pathology, volumes, recipient.body)
