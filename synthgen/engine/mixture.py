"""Mixed anatomy: a normal heart with the structures of a donor that carry a class.

DAA-GAN (Thermos et al. 2021, doi 10.1007/978-3-030-87199-4_15): arithmetic on factors, then the network J, which mends
what fits badly, with noise where the arithmetic took place. One shift, one donor and one noise for the whole stack and
both phases. The result lies where the recipient's heart lay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.engine.anatomies import Anatomy, AnatomyBank
from synthgen.engine.plan import SubjectSpec
from synthgen.engine.tidy import tidy
from synthgen.errors import InputError
from synthgen.factors.arithmetic import Mixture, mix_stacks
from synthgen.factors.codes import LABELS, NOBODY, HeartCodes, codes_of, factors_of, structures_of, window
from synthgen.factors.latents import heart_range
from synthgen.factors.noise import BLUR_PIXELS, blurred, smooth_noise
from synthgen.factors.registration import Shift, centre, shift_between, shifted
from synthgen.factors.swap import Travellers, travellers
from synthgen.labels import HEART, Pathology, Tissue
from synthgen.networks.noise_injection import SUB_BATCH, NoiseInjector
from synthgen.seeding import Stage, numpy_stream

_LEAST = 0.4
"""Quantile of the donors' own proportions that a mixture must reach."""

_MARGIN = 6
"""Pixels that J sees beyond what it may change; more than its four 3 x 3 convolutions reach."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MixedHeart:
    """A heart of two subjects.

    Attributes
    ----------
    labels
        `(2 phases, slices, H, W)`, codes 0 to 3, base first; from the first to the last slice with heart in either.
    codes
        `(2 phases, z, H, W)`, channel numbers of the whole field.
    recipient, donor
        Ids of the subject whose heart it was, and of the one whose structures travelled.
    structures
        Their names.
    mixture
        What the arithmetic did.
    refined_pixels, tidied_pixels
        Pixels of the heart's label map that J changed, and that the repair changed afterwards.
    moved
        Whole pixels along y and x that the finished heart was moved in the recipient's body; `codes` stay in place.
    """

    labels: NDArray[np.uint8]
    codes: NDArray[np.uint8]
    recipient: str
    donor: str
    structures: tuple[str, ...]
    mixture: Mixture
    refined_pixels: int
    tidied_pixels: int
    moved: Shift

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
            "moved_pixels": list(self.moved),
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
        # Two threads may both measure a heart: they measure the same.
        self._measured: dict[str, dict[Tissue, float]] = {}
        self._suited: dict[tuple[str, Pathology], frozenset[str]] = {}

    def draw(self, spec: SubjectSpec, turn: int, recipient_id: str) -> MixedHeart:
        """Mix the next donor's heart into that of a recipient, for one subject; `refined` is the second half.

        Donors of the class come one after the other, in an order drawn for the subject, those that suit the recipient
        first; after the last the first comes again, and J with other noise. `turn` is how many came before.

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
        suited = self.suited(recipient_id, spec.pathology)
        ranked = sorted((donors[int(place)] for place in order), key=lambda name: name not in suited)
        donor = self.bank[ranked[turn % len(ranked)]]
        return self.mix(recipient, donor)

    def suited(self, recipient_id: str, pathology: Pathology) -> frozenset[str]:
        """Return the donors of a class in which the class would show in this recipient.

        What travels must be as large beside what stays, at end-systole, as it is in three of five hearts of the class:
        a dilated right ventricle beside a left one of its own size is nobody's abnormal right ventricle. Without this,
        F refused two mixtures of three.
        """
        found = self._suited.get((recipient_id, pathology))
        if found is None:
            found = self._suited[recipient_id, pathology] = self._suiting(recipient_id, pathology)
        return found

    def _suiting(self, recipient_id: str, pathology: Pathology) -> frozenset[str]:
        moving = travellers(self.bank.pathology_of(recipient_id), pathology)
        donors = [name for name in self.bank.of_class(pathology) if name != recipient_id]
        if set(moving) == set(HEART) or not donors:
            return frozenset(donors)
        own = [self._share(name, name, moving) for name in donors]
        least = np.quantile(own, _LEAST)
        return frozenset(name for name in donors if self._share(name, recipient_id, moving) >= least)

    def _share(self, donor: str, recipient: str, moving: Travellers) -> float:
        """Return the volume that travels from `donor` over what stays in `recipient`, at end-systole."""
        travelling, staying = self._volumes(donor), self._volumes(recipient)
        stays = sum(staying[structure] for structure in HEART if structure not in moving)
        return sum(travelling[structure] for structure in moving) / max(stays, 1e-6)

    def _volumes(self, name: str) -> dict[Tissue, float]:
        """Return the volumes of one subject's structures at end-systole, measured when first asked for."""
        if name not in self._measured:
            anatomy = self.bank[name]
            shown = structures_of(anatomy.codes[-1], self.heart)
            counts = np.bincount(shown.ravel(), minlength=len(HEART) + 1) * float(np.prod(anatomy.spacing_mm))
            self._measured[name] = {structure: float(counts[structure]) for structure in HEART}
        return self._measured[name]

    def mix(self, recipient: Anatomy, donor: Anatomy) -> MixedHeart:
        """Put what carries the donor's class into the recipient's heart, ED and ES alike; `refined` finishes it.

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
        shown = structures_of(mixture.codes, self.heart)
        return MixedHeart(
            labels=shown[:, heart_range(list(shown))],
            codes=mixture.codes,
            recipient=recipient.subject_id,
            donor=donor.subject_id,
            structures=tuple(structure.name for structure in moving),
            mixture=mixture,
            refined_pixels=0,
            tidied_pixels=0,
            moved=(0, 0),
        )

    def refined(self, heart: MixedHeart, spec: SubjectSpec, attempt: int) -> MixedHeart:
        """Return a mixture as J leaves it, if there is a J, its labels repaired and in the place of the old heart."""
        codes = heart.codes if self.injector is None else self._mended(self.injector, heart, spec, attempt)
        shown = structures_of(codes, self.heart)
        tidied, changed = tidy(shown.reshape(-1, *shown.shape[2:]))
        stacks, moved, lost = self._placed(tidied.reshape(shown.shape), heart.recipient)
        return replace(
            heart,
            labels=stacks[:, heart_range(list(stacks))],
            codes=codes,
            mixture=replace(heart.mixture, lost=heart.mixture.lost + lost),
            refined_pixels=int(np.count_nonzero(shown != structures_of(heart.codes, self.heart))),
            tidied_pixels=changed,
            moved=moved,
        )

    def _placed(self, stacks: NDArray[np.uint8], recipient: str) -> tuple[NDArray[np.uint8], Shift, int]:
        """Return the heart moved so that its centre lies where the recipient's lay, how far, and pixels lost by it.

        Aligned by the left ventricle, a large right one bulges into the chest wall. A classifier told mixtures by that,
        instead of by their hearts, and did not know patients of the class again.
        """
        own = structures_of(self.bank[recipient].codes, self.heart)
        shift = shift_between(centre(own, LABELS, HEART), centre(stacks, LABELS, HEART))
        moved, lost = shifted(np.where(stacks > 0, stacks, np.uint8(NOBODY)), shift)
        return np.where(moved != NOBODY, moved, np.uint8(0)), shift, lost

    def _mended(self, injector: NoiseInjector, heart: MixedHeart, spec: SubjectSpec, attempt: int) -> NDArray[np.uint8]:
        """Return the channel numbers that J makes of mixed ones, computed around what was touched.

        A few slices at a time, each few in their own window, since a heart tapers.
        """
        touched, codes = heart.mixture.touched, heart.codes.copy()
        weight = blurred(touched, BLUR_PIXELS)
        stream = numpy_stream(spec.seed, spec.key, attempt, Stage.MIXTURE)
        noise = np.stack([smooth_noise(codes.shape[1:], self.bank[heart.recipient].spacing_mm, stream)] * len(codes))
        where = np.argwhere((weight > 0).any(axis=(2, 3)))
        for few in np.split(where, range(SUB_BATCH, len(where), SUB_BATCH)) if len(where) else ():
            at = tuple(few.T)
            around = (slice(None), *window(weight[at].max(axis=0) > 0, _MARGIN))
            slices = codes[at]
            given = (factors_of(slices[around], injector.factors), weight[at][around], noise[at][around])
            made = injector.refine(*(torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in given))
            slices[around] = codes_of(made.cpu().numpy())
            codes[at] = slices
        return codes
