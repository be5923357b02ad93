"""Mixed anatomy: a normal heart with the structures of a donor that carry a class.

DAA-GAN (Thermos et al. 2021, doi 10.1007/978-3-030-87199-4_15): arithmetic on factors, then the network J, which mends
what fits badly, with noise where the arithmetic took place. One shift, one donor and one noise for the whole stack and
both phases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.engine.anatomies import Anatomy, AnatomyBank
from synthgen.engine.plan import SubjectSpec
from synthgen.engine.tidy import tidy
from synthgen.errors import InputError
from synthgen.factors.arithmetic import Mixture, mix_stacks
from synthgen.factors.codes import HeartCodes, factors_of, structures_of
from synthgen.factors.latents import heart_range
from synthgen.factors.noise import BLUR_PIXELS, blurred, smooth_noise
from synthgen.factors.swap import travellers
from synthgen.networks.noise_injection import NoiseInjector
from synthgen.seeding import Stage, numpy_stream

_MARGIN = 6
"""Pixels that J sees beyond what it may change; more than its four 3 x 3 convolutions reach."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MixedHeart:
    """A heart of two subjects.

    Attributes
    ----------
    labels
        `(2 phases, slices, H, W)`, codes 0 to 3, base first; from the first to the last slice with heart in either.
    recipient, donor
        Ids of the subject whose heart it was, and of the one whose structures travelled.
    structures
        Their names.
    mixture
        What the arithmetic did.
    refined_pixels, tidied_pixels
        Pixels of the heart's label map that J changed, and that the repair changed afterwards.
    """

    labels: NDArray[np.uint8]
    recipient: str
    donor: str
    structures: tuple[str, ...]
    mixture: Mixture
    refined_pixels: int
    tidied_pixels: int

    def as_dict(self) -> dict[str, object]:
        """Return what was drawn and done as JSON values."""
        return {
            "recipient": self.recipient,
            "donor": self.donor,
            "structures": list(self.structures),
            "slices": int(self.labels.shape[1]),
            **self.mixture.as_dict(),
            "refined_pixels": self.refined_pixels,
            "tidied_pixels": self.tidied_pixels,
        }


class Mixer:
    """Makes mixed hearts.

    Parameters
    ----------
    bank
        Recipients and donors.
    heart
        Which channels of their factors show the heart.
    injector
        J; None leaves the arithmetic as it is (an ablation).
    device
        Where J runs.
    """

    def __init__(
        self, bank: AnatomyBank, heart: HeartCodes, injector: NoiseInjector | None, *, device: str = "cpu"
    ) -> None:
        self.bank, self.heart, self.device = bank, heart, device
        self.injector = injector.to(device) if injector else None

    def draw(self, spec: SubjectSpec, attempt: int, recipient_id: str) -> MixedHeart:
        """Mix the heart of one attempt of one subject into that of a recipient.

        Donors of the class come one after the other, in an order drawn for the subject; after the last the first comes
        again, with other noise.

        Raises
        ------
        InputError
            If the bank has no such recipient, or no donor of the class but the recipient itself.
        """
        recipient = self.bank[recipient_id]
        donors = [name for name in self.bank.of_class(spec.pathology) if name != recipient_id]
        if not donors:
            raise InputError(f"donors of class {spec.pathology}", expected="one beside the recipient", got="none")
        order = numpy_stream(spec.seed, spec.key, 0, Stage.DONOR).permutation(len(donors))
        donor = self.bank[donors[int(order[attempt % len(donors)])]]
        return self.mix(recipient, donor, numpy_stream(spec.seed, spec.key, attempt, Stage.MIXTURE))

    def mix(self, recipient: Anatomy, donor: Anatomy, stream: np.random.Generator) -> MixedHeart:
        """Put what carries the donor's class into the recipient's heart, ED and ES alike.

        Raises
        ------
        InputError
            If the swap table has no such pair, in-plane spacings differ, or one has no left ventricle in a phase.
        """
        if not np.allclose(recipient.spacing_mm[1:], donor.spacing_mm[1:], rtol=1e-3):
            expected = f"pixels of {recipient.spacing_mm[1:]} mm"
            raise InputError(f"donor {donor.subject_id}", expected=expected, got=f"{donor.spacing_mm[1:]} mm")
        moving = travellers(recipient.pathology, donor.pathology)
        mixture = mix_stacks(recipient.codes, donor.codes, moving, self.heart)
        mixed = structures_of(mixture.codes, self.heart)
        refined = mixed
        if self.injector:
            codes = self._refined(self.injector, mixture, recipient.spacing_mm, stream)
            refined = structures_of(codes, self.heart)
        phases, count, *plane = refined.shape
        tidied, changed = tidy(refined.reshape(phases * count, *plane))
        stacks = tidied.reshape(refined.shape)
        return MixedHeart(
            labels=stacks[:, heart_range(list(stacks))],
            recipient=recipient.subject_id,
            donor=donor.subject_id,
            structures=tuple(structure.name for structure in moving),
            mixture=mixture,
            refined_pixels=int((refined != mixed).sum()),
            tidied_pixels=changed,
        )

    def _refined(
        self,
        injector: NoiseInjector,
        mixture: Mixture,
        spacing_mm: tuple[float, float, float],
        stream: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """Return the channel numbers that J makes of mixed ones, computed in the window around what was touched."""
        codes = mixture.codes
        phases, count, height, width = codes.shape
        noise = smooth_noise((count, height, width), spacing_mm, stream)
        weight = blurred(mixture.touched, BLUR_PIXELS)
        window = _window(weight > 0)
        part = torch.from_numpy(factors_of(codes[..., *window], injector.factors)).flatten(0, 1)
        parts = (part, *(torch.from_numpy(a[..., *window]).flatten(0, 1) for a in (weight, np.stack([noise] * phases))))
        made = injector.refine(*(p.contiguous().to(self.device) for p in parts)).cpu().numpy().argmax(axis=1)
        out = codes.copy()
        out[..., *window] = made.reshape(out[..., *window].shape)
        return out


def _window(touched: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns around everything touched, in slices of any stack; the whole field if nothing is."""
    out = []
    for axis in (-2, -1):
        other = tuple(i for i in range(touched.ndim) if i != touched.ndim + axis)
        found = np.flatnonzero(touched.any(axis=other))
        first, last = (found[0], found[-1]) if found.size else (0, touched.shape[axis] - 1)
        out.append(slice(max(int(first) - _MARGIN, 0), min(int(last) + _MARGIN + 1, touched.shape[axis])))
    return out[0], out[1]
