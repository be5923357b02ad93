"""`Generator`: from a planned subject to a finished one. Draw, gate, redraw within bounds, compose, render."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.diagnosis import matching
from synthgen.engine.anatomies import ANATOMIES_FILE, AnatomyBank
from synthgen.engine.anatomy import HeartStacks, draw_heart
from synthgen.engine.compose import compose, compose_factors
from synthgen.engine.confidence import confidence_in, confidence_of, verdict_of
from synthgen.engine.donors import Donor, DonorBank
from synthgen.engine.gate import Gates, Measurement, Verdict, check, examine, mass_ratio_of
from synthgen.engine.mixture import MixedHeart, Mixer
from synthgen.engine.plan import SubjectSpec, require_factors
from synthgen.engine.render import FactorRenderer, StackRenderer
from synthgen.engine.styles import draw_style
from synthgen.errors import InputError, SynthgenError
from synthgen.factors.codes import HeartCodes, structures_of
from synthgen.factors.copula import CopulaSampler, Correlation
from synthgen.factors.latents import LATENTS_FILE, LatentBank
from synthgen.factors.registration import paired_levels
from synthgen.factors.swap import TRAVELLERS
from synthgen.labels import HEART, Pathology, Phase, Tissue
from synthgen.networks.batching import apply_in_parts
from synthgen.networks.bundle import Bundle
from synthgen.networks.classifier import PathologyClassifier
from synthgen.networks.label_vae import SUB_BATCH, LabelCodec, LabelVAE
from synthgen.networks.noise_injection import NoiseInjector
from synthgen.networks.sdnet import SDNet
from synthgen.networks.spade import SpadeGenerator
from synthgen.seeding import Stage, numpy_stream
from synthgen.subjects import SyntheticSubject
from synthgen.volumes import Volume, stack_affine

DONORS_FILE = "donors.safetensors"
LABEL_VAE, SPADE, SDNET, CLASSIFIER, INJECTOR = "label_vae", "spade", "sdnet", "classifier", "injector"
"""Names of networks in a bundle; the last three are there if it can mix."""

Network = TypeVar("Network", LabelVAE, SpadeGenerator, SDNet, PathologyClassifier, NoiseInjector)


_DRAWS_PER_RECIPIENT = 20
"""Latent draws from one recipient before the next one is taken."""

_MIXTURES_PER_RECIPIENT = 2
_SKETCHED = 4
"""Levels, each at both phases: as many slices as SDNet decodes together."""

Heart = HeartStacks | MixedHeart


class UnreachableError(SynthgenError):
    """No draw of a subject passed the gates within the attempts allowed."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Factors:
    """What a bundle has for the method mix and the renderer sdnet."""

    heart: HeartCodes
    bank: AnatomyBank
    mixer: Mixer
    classifier: PathologyClassifier
    renderer: FactorRenderer


@dataclass(frozen=True, eq=False, kw_only=True)
class _Drawn:
    """A heart in its body, rendered; stacks `(z, H, W)` per phase."""

    labels: Mapping[Phase, NDArray[np.uint8]]
    images: Mapping[Phase, NDArray[np.float32]]
    style: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Made:
    """What an attempt that passed has made."""

    heart: Heart
    donor: Donor
    measurement: Measurement
    drawn: _Drawn


class Generator:
    """Makes subjects from a bundle; safe to share between threads, a subject depends on its spec alone.

    Parameters
    ----------
    bundle
        With the networks `label_vae` and `spade`, latents, donors, styles and gates; for mixtures also with `sdnet`,
        `classifier`, `injector` and anatomies.
    device
        `cpu`, `cuda`, `cuda:1`, ...
    refine, select
        Whether J mends mixtures and F selects them; off for ablations only, since a record does not tell.

    Raises
    ------
    InputError
        If the bundle's parts do not fit together.
    """

    def __init__(self, bundle: Bundle, *, device: str = "cpu", refine: bool = True, select: bool = True) -> None:
        self.device, self.description = device, bundle.description
        self._bundle, self._refine, self._select = bundle, refine, select
        self.bank = LatentBank.from_tensors(bundle.tensors(LATENTS_FILE))
        self.donors = DonorBank.from_tensors(bundle.tensors(DONORS_FILE))
        self._recipients = {recipient.subject_id: recipient for recipient in self.bank.recipients}
        orphans = sorted(set(self._recipients) - set(self.donors.ids))
        if orphans:
            raise InputError(
                f"bundle {bundle.name}", expected="a donor for every recipient", got=f"none for {orphans[0]}"
            )
        self._codec = LabelCodec(_network(bundle, LABEL_VAE, LabelVAE).to(device))
        self._renderer = StackRenderer(_network(bundle, SPADE, SpadeGenerator), device)
        self._samplers: dict[tuple[Pathology, Correlation], CopulaSampler] = {}
        self._guard = threading.Lock()
        self._made: _Factors | None = None

    @torch.inference_mode()
    def generate(self, spec: SubjectSpec) -> SyntheticSubject:
        """Make one subject.

        Raises
        ------
        UnreachableError
            If none of `spec.max_attempts` draws passes the gates; the message names class, reasons and their counts.
        """
        rejected: list[list[str]] = []
        for attempt in range(spec.max_attempts):
            made, verdicts = self._attempt(spec, attempt)
            if made is not None:
                return self._finish(spec, attempt, made, verdicts, rejected)
            rejected.append([verdict.name for verdict in verdicts if not verdict.passed])
        counts = Counter(reason for reasons in rejected for reason in reasons)
        listed = "; ".join(f"{reason} ({count})" for reason, count in counts.most_common())
        hint = " Nearer to severity 1 it is easier." if spec.method == "latent" and spec.severity < 0.5 else ""
        how = f"at severity {spec.severity:.2f} from recipient {spec.recipient} and others"
        raise UnreachableError(
            f"{spec.subject_id}: class {spec.pathology} was out of reach in {spec.max_attempts} "
            f"{'mixtures' if spec.method == 'mix' else f'draws {how}'}. Failed: {listed}.{hint}"
        )

    def _attempt(self, spec: SubjectSpec, attempt: int) -> tuple[_Made | None, list[Verdict]]:
        """Return what one attempt made, nothing if it failed, and the verdicts: the cheap ones come first."""
        donor = self.donors[self._turn(spec, attempt)[0]]
        heart = self.draw(spec, attempt, donor)
        verdicts = self._sketched(spec, attempt, heart)
        if not _all(verdicts):
            return None, verdicts
        if isinstance(heart, MixedHeart):
            heart = self._factors.mixer.refined(heart, spec, attempt)
        measurement = self._examine(spec, heart.labels, donor)
        verdicts += check(measurement, self.description.gates)
        if not _all(verdicts):
            return None, verdicts
        drawn = self._render(spec, attempt, heart, donor)
        verdicts += self._selection(spec, drawn)
        return (_Made(heart, donor, measurement, drawn), verdicts) if _all(verdicts) else (None, verdicts)

    def draw(self, spec: SubjectSpec, attempt: int, donor: Donor) -> Heart:
        """Draw the heart of one attempt, ungated; of a mixture the arithmetic alone, before J and repair."""
        if spec.method == "mix":
            return self._factors.mixer.draw(spec, self._turn(spec, attempt)[1], donor.subject_id)
        key = (spec.pathology, spec.correlation)
        sampler = self._samplers.get(key)
        if sampler is None:
            # Two threads may both make it: they make the same.
            sampler = self._samplers[key] = CopulaSampler(self.bank.statistics[spec.pathology], spec.correlation)
        source = (sampler, self._recipients[self._turn(spec, attempt)[0]])
        ratio = mass_ratio_of(self.description.gates)
        return draw_heart(spec, attempt, source, donor.spacing_mm[0], self._decode, mass_ratio=ratio)

    def _other_recipient(self, spec: SubjectSpec, attempt: int) -> dict[str, str]:
        """Return the recipient as a record has it, nothing if it is the one of the request."""
        name = self._turn(spec, attempt)[0]
        return {} if name == spec.recipient else {"recipient": name}

    def _turn(self, spec: SubjectSpec, attempt: int) -> tuple[str, int]:
        """Return whose body an attempt uses, and how many attempts have used it before.

        The planned one, and if a few mixtures failed in it, another: in some hearts no donor's structures find room, or
        none stands out. Latent draws take another one after many failures: near severity 0 all are nearly the
        recipient, and some recipients, decoded, are not what their class asks for.
        """
        if spec.method == "latent" and attempt < _DRAWS_PER_RECIPIENT:
            return spec.recipient, attempt
        names = tuple(self._recipients)
        order = numpy_stream(spec.seed, spec.key, 0, Stage.RECIPIENT).permutation(len(names))
        turns = dict.fromkeys((spec.recipient, *(names[int(place)] for place in order)))
        if spec.method == "latent":
            visit, within = divmod(attempt, _DRAWS_PER_RECIPIENT)
            return list(turns)[visit % len(turns)], within
        mixer = self._factors.mixer
        able = [name for name in turns if mixer.suited(name, spec.pathology)] or list(turns)
        visit, within = divmod(attempt, _MIXTURES_PER_RECIPIENT)
        lap, place = divmod(visit, len(able))
        return able[place], lap * _MIXTURES_PER_RECIPIENT + within

    @property
    def _factors(self) -> _Factors:
        """What mixing needs, loaded when first asked for."""
        with self._guard:
            if self._made is None:
                require_factors(self._bundle)
                net = _packed(_network(self._bundle, SDNET, SDNet))
                heart = HeartCodes.of_channels(net.names)
                bank = AnatomyBank.from_tensors(self._bundle.tensors(ANATOMIES_FILE))
                injector = _packed(_network(self._bundle, INJECTOR, NoiseInjector)) if self._refine else None
                self._made = _Factors(
                    heart=heart,
                    bank=bank,
                    mixer=Mixer(bank, heart, injector, device=self.device),
                    classifier=_packed(_network(self._bundle, CLASSIFIER, PathologyClassifier)).to(self.device),
                    renderer=FactorRenderer(net, self.device),
                )
            return self._made

    def _decode(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        moved = torch.from_numpy(latents).to(self.device)
        return apply_in_parts(self._codec.vae.decode, moved, SUB_BATCH).cpu().numpy()

    def _examine(self, spec: SubjectSpec, hearts: NDArray[np.uint8], donor: Donor) -> Measurement:
        affine = stack_affine(donor.spacing_mm, hearts.shape[1:])
        volumes = {phase: Volume(hearts[i], donor.spacing_mm, affine) for i, phase in enumerate(Phase)}
        carriers = TRAVELLERS[spec.pathology] if spec.method == "mix" else HEART
        return examine(spec.pathology, volumes, donor.body, carriers)

    @staticmethod
    def _style_stream(spec: SubjectSpec, attempt: int) -> np.random.Generator:
        return numpy_stream(spec.seed, spec.key, attempt, Stage.STYLE)

    def _render(self, spec: SubjectSpec, attempt: int, heart: Heart, donor: Donor) -> _Drawn:
        """Compose the heart into its body and render both phases."""
        labels = compose(heart.labels, donor, with_body=self.description.label_scheme == "tissue")
        stream = self._style_stream(spec, attempt)
        if spec.renderer == "spade":
            if spec.style is None:
                style = draw_style(self.description.styles, spec.vendor, stream)
            else:
                style = np.array(spec.style, np.float32)
            return _Drawn(labels=labels, images=self._renderer.render(labels, style, spec, attempt), style=style)
        factors = self._factors
        style = draw_style(self.description.modalities, spec.vendor, stream)
        body = factors.bank[donor.subject_id].codes
        codes = compose_factors(heart.labels, body, factors.heart, donor.spacing_mm[1])
        return _Drawn(labels=labels, images=factors.renderer.render(codes, style), style=style)

    def _sketched(self, spec: SubjectSpec, attempt: int, heart: Heart) -> list[Verdict]:
        """Return F's verdict on a few levels of a mixture as SDNet draws them, which costs a tenth of rendering."""
        if not isinstance(heart, MixedHeart) or not self._select:
            return []
        factors = self._factors
        style = draw_style(self.description.modalities, spec.vendor, self._style_stream(spec, attempt))
        levels = paired_levels(structures_of(heart.codes, factors.heart))
        some = np.unique(np.linspace(0, len(levels[0]) - 1, _SKETCHED).round().astype(np.intp))
        codes = {phase: heart.codes[i][levels[i][some]] for i, phase in enumerate(Phase)}
        images = factors.renderer.render(codes, style)
        found = confidence_of(factors.classifier, np.stack([images[phase] for phase in Phase], axis=1), self.device)
        gates: Gates = self.description.gates
        return [verdict_of(found, spec.pathology, gates.get("confidence", {}), sketch=True)]

    def _selection(self, spec: SubjectSpec, drawn: _Drawn) -> list[Verdict]:
        """Return F's verdict on a mixture; none on what was not mixed."""
        if spec.method != "mix" or not self._select:
            return []
        found = confidence_in(self._factors.classifier, drawn.images, drawn.labels, self.device)
        gates: Gates = self.description.gates
        return [verdict_of(found, spec.pathology, gates.get("confidence", {}))]

    def _finish(
        self, spec: SubjectSpec, attempt: int, made: _Made, verdicts: list[Verdict], rejected: list[list[str]]
    ) -> SyntheticSubject:
        heart, donor, measurement = made.heart, made.donor, made.measurement
        labels, images, style = made.drawn.labels, made.drawn.images, made.drawn.style
        affine = stack_affine(donor.spacing_mm, labels[Phase.ED].shape, donor.rotation)
        record: dict[str, object] = {
            "request": spec.as_dict(),
            "attempt": attempt,
            "rejected": [{"attempt": number, "failed": reasons} for number, reasons in enumerate(rejected)],
            "anatomy": {"method": spec.method, **heart.as_dict(), **self._other_recipient(spec, attempt)},
            "background": f"label map of {donor.drawn_from}" if labels[Phase.ED].max() > Tissue.RV else "none",
            "style": [round(float(value), 7) for value in style],
            "verdicts": [verdict.as_dict() for verdict in verdicts],
            "classes_matched": [str(p) for p in matching(measurement.indices, measurement.sex)],
        }
        return SyntheticSubject(
            subject_id=spec.subject_id,
            pathology=spec.pathology,
            vendor=spec.vendor,
            body=donor.body,
            images=_volumes(images, donor, affine),
            labels=_volumes(labels, donor, affine),
            indices=measurement.indices.as_dict(),
            record=record,
            anatomy=donor.anatomy,
        )


def _all(verdicts: list[Verdict]) -> bool:
    return all(verdict.passed for verdict in verdicts)


def _volumes(stacks: Mapping[Phase, NDArray], donor: Donor, affine: NDArray[np.float64]) -> dict[Phase, Volume]:
    return {phase: Volume(stack, donor.spacing_mm, affine) for phase, stack in stacks.items()}


def _network(bundle: Bundle, name: str, kind: type[Network]) -> Network:
    """Return a network of the bundle that must be of `kind`."""
    network = bundle.network(name)
    if not isinstance(network, kind):
        got = f"a {type(network).__name__}"
        raise InputError(f"bundle {bundle.name}", expected=f"a {kind.__name__} as {name}", got=got)
    return network


def _packed(network: Network) -> Network:
    """Return the network with weights in channels-last order, in which F takes half the time on a CPU."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in torch's stub
