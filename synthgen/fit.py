"""`fit`: from a source cohort to a bundle, in named stages that resume, or are skipped when nothing changed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from synthgen.cohorts.prepared import PreparedStore
from synthgen.cohorts.preprocess import FIELD_OF_VIEW_MM, PreparedSubject
from synthgen.engine.anatomies import ANATOMIES_FILE, Anatomy, AnatomyBank, heart_only
from synthgen.engine.confidence import calibrate_confidence, confidence_in
from synthgen.engine.donors import Donor, DonorBank, rotation_of
from synthgen.engine.gate import Measurement, calibrate, examine
from synthgen.engine.generate import CLASSIFIER, DONORS_FILE, INJECTOR, LABEL_VAE, SDNET, SPADE
from synthgen.engine.style_reference import STYLE_ENCODER
from synthgen.engine.styles import fit_styles
from synthgen.engine.tissue_maps import SEGMENTOR, TissueCohort, segmentor_of
from synthgen.errors import InputError, resumable
from synthgen.factors.codes import HeartCodes, codes_of, imposed, without_specks
from synthgen.factors.latents import LATENTS_FILE, LatentBank, SubjectLatents, encode_subject
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART, Pathology, Phase, Tissue, Vendor
from synthgen.lock import FolderLock
from synthgen.networks.bundle import Bundle, load_bundle, save_bundle
from synthgen.networks.classifier import PathologyClassifier
from synthgen.networks.device import device_of
from synthgen.networks.label_vae import LabelCodec, LabelVAE
from synthgen.networks.noise_injection import NoiseInjector
from synthgen.networks.perceptual import TissueNet
from synthgen.networks.sdnet import SDNet
from synthgen.networks.segmentor import Segmentor
from synthgen.networks.spade import SpadeGenerator
from synthgen.networks.style_encoder import StyleEncoder
from synthgen.processes import usable_processors
from synthgen.seeding import Stage, numpy_stream
from synthgen.subjects import SourceCohort
from synthgen.training.classification import ClassifierObjective
from synthgen.training.data import TrainingSlices, collect
from synthgen.training.loop import Objective, Progress, train
from synthgen.training.mixing import MixingObjective
from synthgen.training.objectives import PerceptualObjective, SpadeObjective, VaeObjective
from synthgen.training.pairs import collect_pairs
from synthgen.training.presets import PRESETS, Preset, SegmentorSettings
from synthgen.training.report import Report
from synthgen.training.sdnet import SdnetObjective
from synthgen.training.segmentor import SegmentorObjective
from synthgen.training.stage import Stages
from synthgen.volumes import Volume

_HELD_OUT = 5
"""One subject in so many of each class calibrates F instead of training it."""

_FLAT = 0.95
"""Share of the pixels around the heart in one factor from which on SDNet has learnt nothing about them."""

SHIPPED_BUNDLE = "default"
"""The bundle that comes with the package."""

SEGMENTOR_SOURCE = "segmentor_source"
"""In a bundle's provenance: the fingerprint of the virtual hearts that its segmentor learnt from."""


@dataclass(frozen=True, kw_only=True)
class _Settings:
    preset: Preset
    seed: int
    device: str


@dataclass(frozen=True, kw_only=True)
class _MixingNetworks:
    sdnet: SDNet
    classifier: PathologyClassifier
    injector: NoiseInjector


@dataclass(frozen=True, kw_only=True)
class _Networks:
    segmentor: Segmentor
    label_vae: LabelVAE
    spade: SpadeGenerator
    encoder: StyleEncoder
    mixing: _MixingNetworks | None

    def as_dict(self) -> dict[str, nn.Module]:
        """Return the networks by their names in a bundle."""
        found: dict[str, nn.Module] = {
            SEGMENTOR: self.segmentor, LABEL_VAE: self.label_vae, SPADE: self.spade, STYLE_ENCODER: self.encoder,
        }  # fmt: skip
        if self.mixing is None:
            return found
        mixing = self.mixing
        return found | {SDNET: mixing.sdnet, CLASSIFIER: mixing.classifier, INJECTOR: mixing.injector}


def fit(  # noqa: PLR0913 - a keyword for each option of the command
    cohort: SourceCohort,
    out: Path | str,
    *,
    preset: str = "small",
    budget: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    keep_anatomy: bool = False,
    mixing: bool = True,
    report: Report | None = None,
) -> Path:
    """Fit a generator on `cohort`; the same call goes on with an unfinished one.

    Stages: hearts, segmentor, prepare, perceptual, renderer, label_vae, sdnet, classifier, injector, bodies. Work lies
    in `out` + `.work`, which can be deleted afterwards; kept, it lets a fit with one changed setting reuse the stages
    before it. The segmentor, which learns from virtual hearts alone, labels the tissues around the experts' hearts
    when a cohort has no labels of them; for patients it is taken from the bundle that comes with the package if that
    was trained as the preset says.

    Parameters
    ----------
    out
        Folder of the bundle; must not exist.
    preset
        A row of `training.presets.PRESETS`.
    budget
        Factor on every training budget of the preset.
    device
        `auto`, `cpu` or a CUDA device.
    keep_anatomy
        Keep label maps and factors of patients in the bundle, which mixing needs; those of virtual hearts always are.
    mixing
        Whether to train what the method mix and the renderer sdnet need: SDNet, F and J, a third of a fit. Without
        anatomies, which they work on, they are never trained.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        If `out` exists, the preset is unknown, the cohort cannot be learnt from, or another process works there.
    PartialError
        If it was interrupted; the same call goes on.
    """
    out, report = Path(out), report or Report()
    if out.exists():
        hint = "Choose another --out"
        raise InputError(out, expected="a folder that does not exist yet", got="an existing one", hint=hint)
    if preset not in PRESETS:
        raise InputError("preset", expected=f"one of {', '.join(PRESETS)}", got=repr(preset))
    if not budget > 0:
        raise InputError("budget", expected="a factor above 0", got=f"{budget}")
    settings = _Settings(preset=PRESETS[preset].scaled(budget), seed=seed, device=device_of(device))
    _refuse_unlearnable(cohort)
    torch.set_num_threads(usable_processors())
    work = out.with_name(f"{out.name}.work")
    work.parent.mkdir(parents=True, exist_ok=True)
    with FolderLock(work), resumable(work):
        stages = Stages(work, report.stage)
        segmentor, taught_on = _segmentor(cohort, stages, settings, report)
        labelled = TissueCohort(cohort, segmentor) if cohort.label_scheme == "heart" else cohort
        subjects = _prepare("prepare", labelled, stages, settings, report)
        keep = keep_anatomy or not cohort.of_patients
        networks = _train(subjects, segmentor, stages, settings, report, mixing=mixing and keep)
        strangers = VirtualHearts(settings.preset.bodies, seed=seed, pathologies=[Pathology.NOR])
        bodies = subjects if keep else _prepare("bodies", strangers, stages, settings, report)
        report.stage("bundle: starting")  # no stage that can be done before: a bundle that is there was refused above
        _write_bundle(out, cohort, subjects, bodies, networks, settings, keep_anatomy=keep, segmentor_source=taught_on)
    return out


def _refuse_unlearnable(cohort: SourceCohort) -> None:
    """Refuse now what the last stage could not describe, hours later."""
    if Pathology.NOR not in cohort.subject_pathologies:
        hint = "New hearts grow out of normal ones"
        raise InputError(cohort.name, expected="at least one NOR subject", got="none", hint=hint)
    for vendor, count in Counter(cohort.subject_vendors).items():
        if count < 2:
            raise InputError(cohort.name, expected=f"at least 2 subjects of vendor {vendor}", got=f"{count}")


def _segmentor(cohort: SourceCohort, stages: Stages, settings: _Settings, report: Report) -> tuple[Segmentor, str]:
    """Return the segmentor in evaluation mode, trained here or before, and the hearts that it learnt from."""
    wanted = settings.preset.segmentor
    if cohort.of_patients:
        shipped = load_bundle(SHIPPED_BUNDLE)
        if trained_alike(shipped, wanted):
            report.stage(f"segmentor: that of the bundle {SHIPPED_BUNDLE}, trained alike")
            return segmentor_of(shipped), str(shipped.description.provenance[SEGMENTOR_SOURCE])
    hearts, pixel_mm = _segmentor_hearts(wanted, settings.seed), Segmentor(**wanted.network).pixel_mm
    store = _fill(hearts, stages, "hearts", (wanted.field_pixels, pixel_mm), report)
    objective = SegmentorObjective(collect(store), wanted, seed=settings.seed, device=settings.device)
    _run("segmentor", objective, stages, settings, report, after=("hearts",))
    return objective.segmentor.to("cpu").eval(), hearts.fingerprint()


def _segmentor_hearts(wanted: SegmentorSettings, seed: int) -> VirtualHearts:
    """Return the virtual hearts that a segmentor learns from."""
    pixel_mm = Segmentor(**wanted.network).pixel_mm
    return VirtualHearts(wanted.hearts, seed=seed, pixels=wanted.field_pixels, spacing_mm=pixel_mm)


def trained_alike(bundle: Bundle, wanted: SegmentorSettings) -> bool:
    """Return whether a bundle's segmentor was trained with these settings, on hearts of this version."""
    known = bundle.description.provenance
    trained, seed = known.get("settings"), known.get("seed")
    if not isinstance(trained, dict) or not isinstance(seed, int):
        return False
    alike = trained.get("segmentor") == json.loads(json.dumps(asdict(wanted)))
    return alike and known.get(SEGMENTOR_SOURCE) == _segmentor_hearts(wanted, seed).fingerprint()


def _prepare(
    name: str, cohort: SourceCohort, stages: Stages, settings: _Settings, report: Report
) -> list[PreparedSubject]:
    """Bring a cohort to the common grid in the stage `name`."""
    pixels = settings.preset.image_size
    return list(_fill(cohort, stages, name, (pixels, FIELD_OF_VIEW_MM / pixels), report))


def _fill(cohort: SourceCohort, stages: Stages, name: str, grid: tuple[int, float], report: Report) -> PreparedStore:
    """Prepare a cohort on a grid (pixels, mm) in the stage `name`, on all processors."""
    pixels, spacing_mm = grid

    def work(folder: Path) -> None:
        store = PreparedStore(folder, pixels=pixels, spacing_mm=spacing_mm)
        store.fill(cohort, progress=lambda done, total: report.count(name, done, total))

    described = {"cohort": cohort.name, "subjects": len(cohort), "source": cohort.fingerprint()}
    folder = stages.run(name, {**described, "pixels": pixels, "spacing_mm": spacing_mm}, work)
    return PreparedStore(folder, pixels=pixels, spacing_mm=spacing_mm)


def _run(
    name: str, objective: Objective, stages: Stages, settings: _Settings, report: Report, *, after: Sequence[str]
) -> None:
    """Train `objective` in the stage `name`, or load it when the stage was done before."""

    def count(progress: Progress) -> None:
        report.count(name, progress.samples, progress.total)

    def work(folder: Path) -> None:
        train(objective, work_dir=folder, report=count)

    described = {"settings": asdict(objective.settings), "seed": settings.seed}
    folder = stages.run(name, described, work, after=after)
    train(objective, work_dir=folder)  # loads the finished snapshot when the stage was done before


def _train(
    subjects: Sequence[PreparedSubject],
    segmentor: Segmentor,
    stages: Stages,
    settings: _Settings,
    report: Report,
    *,
    mixing: bool,
) -> _Networks:
    """Train the networks one after the other; finished ones load from their snapshots."""
    preset, seed, device = settings.preset, settings.seed, settings.device
    slices = collect(subjects)
    scanners = _scanners(subjects, slices)
    perceptual = PerceptualObjective(slices, preset.perceptual, scanners=scanners, seed=seed, device=device)
    # Slices without heart all look the same to the label VAE; they would only blunt the latent space.
    heart = np.isin(slices.labels, HEART).reshape(len(slices), -1)
    with_heart = slices.select(np.flatnonzero(heart.any(axis=1)))
    label_vae = VaeObjective(with_heart, preset.vae, seed=seed, device=device)

    def run(name: str, objective: Objective, *after: str) -> None:
        _run(name, objective, stages, settings, report, after=["prepare", *after])

    run("perceptual", perceptual)
    renderer = SpadeObjective(slices, preset.spade, features=perceptual.net, seed=seed, device=device)
    run("renderer", renderer, "perceptual")
    run("label_vae", label_vae)
    (generator, _), (encoder, _) = renderer.averaged
    return _Networks(
        segmentor=segmentor,
        label_vae=label_vae.vae.to("cpu").eval(),
        spade=cast("SpadeGenerator", generator.to("cpu").eval()),
        encoder=cast("StyleEncoder", encoder.to("cpu").eval()),
        mixing=_train_mixing(subjects, slices, settings, run, report) if mixing else None,
    )


def _scanners(subjects: Sequence[PreparedSubject], slices: TrainingSlices) -> NDArray[np.int64] | None:
    """Return the number of every slice's vendor, or None where there is one alone."""
    vendors = sorted({subject.vendor for subject in subjects})
    numbers = np.array([vendors.index(subject.vendor) for subject in subjects], np.int64)
    return numbers[slices.subjects] if len(vendors) > 1 else None


def _train_mixing(
    subjects: Sequence[PreparedSubject],
    slices: TrainingSlices,
    settings: _Settings,
    run: Callable[..., None],
    report: Report,
) -> _MixingNetworks:
    """Train what takes hearts apart and mixes them; `run(name, objective, *stages before)` trains one."""
    preset, seed, device = settings.preset, settings.seed, settings.device
    pairs = collect_pairs(subjects)
    factors = SdnetObjective(slices, preset.sdnet, seed=seed, device=device)
    run("sdnet", factors)
    if factors.name_channels().sameness > _FLAT:
        report.stage("sdnet: one factor holds all around the heart; images of --renderer sdnet show nothing there")
    known = pairs.select(~np.isin(pairs.subjects, _held_out(subjects, seed)))
    classifier = ClassifierObjective(known, preset.classifier, seed=seed, device=device)
    run("classifier", classifier)
    judge, model = classifier.classifier, factors.sdnet
    mixing = MixingObjective(pairs, preset.mixing, model=model, classifier=judge, seed=seed, device=device)
    run("injector", mixing, "sdnet", "classifier")
    return _MixingNetworks(
        sdnet=factors.sdnet.to("cpu").eval(),
        classifier=classifier.classifier.to("cpu").eval(),
        injector=mixing.injector.to("cpu").eval(),
    )


def _held_out(subjects: Sequence[PreparedSubject], seed: int) -> NDArray[np.int64]:
    """Return the numbers of the subjects that F is not trained on: a fifth of every class, none of one below 5."""
    out: list[int] = []
    for number, pathology in enumerate(Pathology):
        own = np.array([i for i, s in enumerate(subjects) if s.pathology is pathology], np.int64)
        order = numpy_stream(seed, number, 0, Stage.SPLIT).permutation(len(own))
        out += own[order[: len(own) // _HELD_OUT]].tolist()
    return np.array(sorted(out), np.int64)


def _write_bundle(
    out: Path,
    cohort: SourceCohort,
    subjects: Sequence[PreparedSubject],
    bodies: Sequence[PreparedSubject],
    networks: _Networks,
    settings: _Settings,
    *,
    keep_anatomy: bool,
    segmentor_source: str,
) -> None:
    """Describe the cohort in latent space, fit styles, calibrate gates, and write everything as one bundle."""
    names = {s.subject_id: _public_id(cohort, s.subject_id) for s in subjects}
    codec = LabelCodec(networks.label_vae)
    latents = [_encode(s, names[s.subject_id], codec) for s in subjects]
    normal = [[s for s in some if s.pathology is Pathology.NOR] for some in (subjects, bodies)]
    paired = zip(normal[0], cycle(normal[1]), strict=False)
    donors = [_donor(s, names[s.subject_id], body, own=keep_anatomy) for s, body in paired]
    gates = calibrate([_measure(s) for s in subjects])
    fields = {
        "preset": settings.preset.name,
        "label_scheme": "tissue",
        "image_size": settings.preset.image_size,
        "spacing_mm": FIELD_OF_VIEW_MM / settings.preset.image_size,
        "source": {
            "cohort": cohort.name,
            "licence": cohort.licence,
            "citation": cohort.citation,
            "subjects": len(subjects),
            "classes": dict(Counter(s.pathology.value for s in subjects)),
        },
        "gates": gates,
        "styles": fit_styles(_style_codes(subjects, networks.encoder)),
        "provenance": {
            "source": cohort.fingerprint(),
            SEGMENTOR_SOURCE: segmentor_source,
            "seed": settings.seed,
            "tissues": "the cohort's own" if cohort.label_scheme == "tissue" else "around the heart, by the segmentor",
            "settings": json.loads(json.dumps(asdict(settings.preset))),
            "perceptual_features": f"{TissueNet.__name__} trained on the cohort's own labels",
            "torch": torch.__version__,
        },
    }
    tensors = {LATENTS_FILE: LatentBank.of(latents).to_tensors(), DONORS_FILE: DonorBank.of(donors).to_tensors()}
    mixing = networks.mixing
    if mixing is not None:
        held_out = [subjects[i] for i in _held_out(subjects, settings.seed)]
        judged = [(s.pathology, confidence_in(mixing.classifier, s.images, s.labels)) for s in held_out]
        gates["confidence"] = calibrate_confidence(judged)
        fields["modalities"] = fit_styles(_modalities(subjects, mixing.sdnet))
        anatomies = [_anatomy(s, names[s.subject_id], mixing.sdnet) for s in subjects]
        tensors[ANATOMIES_FILE] = AnatomyBank.of(anatomies).to_tensors()
    save_bundle(out, fields, networks.as_dict(), tensors)


def _anatomy(subject: PreparedSubject, name: str, net: SDNet) -> Anatomy:
    """Return a subject's factors, the whole field of a normal one and the heart of any other."""
    heart = HeartCodes.of_channels(net.names)
    labels = np.stack([subject.labels[phase] for phase in Phase])
    images = torch.from_numpy(np.concatenate([subject.images[phase] for phase in Phase]))
    shown = codes_of(net.encode_images(images)[0].numpy()).reshape(labels.shape)
    codes = without_specks(imposed(shown, labels, heart), heart)
    if subject.pathology is not Pathology.NOR:
        codes = heart_only(codes, heart.show(codes))
    return Anatomy(subject_id=name, pathology=subject.pathology, codes=codes, spacing_mm=subject.spacing_mm)


def _modalities(subjects: Sequence[PreparedSubject], net: SDNet) -> dict[Vendor, NDArray[np.float64]]:
    """Return one modality vector per subject, the mean over its slices, `(subjects, n_z)` by vendor."""
    out: dict[Vendor, list[NDArray[np.float64]]] = {}
    for subject in subjects:
        images = torch.from_numpy(np.concatenate([subject.images[phase] for phase in Phase]))
        out.setdefault(subject.vendor, []).append(net.encode_images(images)[1].numpy().mean(axis=0, dtype=np.float64))
    return {vendor: np.stack(codes) for vendor, codes in out.items()}


def _encode(subject: PreparedSubject, name: str, codec: LabelCodec) -> SubjectLatents:
    def encode(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return codec.encode_labels(torch.from_numpy(labels)).numpy()

    return encode_subject(name, subject.pathology, subject.labels, subject.spacing_mm[0], encode)


def _donor(subject: PreparedSubject, name: str, body: PreparedSubject, *, own: bool) -> Donor:
    """Return a normal subject as a donor: its size, and the label map of `body`, its `own` or a virtual heart's."""
    return Donor(
        subject_id=name,
        vendor=subject.vendor,
        labels=body.labels,
        spacing_mm=body.spacing_mm,
        rotation=rotation_of(body.affine),
        body=subject.body,
        drawn_from=name if own else body.subject_id,
    )


def _measure(subject: PreparedSubject) -> Measurement:
    volumes = {
        phase: Volume(np.where(stack <= Tissue.RV, stack, 0).astype(np.uint8), subject.spacing_mm, subject.affine)
        for phase, stack in subject.labels.items()
    }
    return examine(subject.pathology, volumes, subject.body)


def _style_codes(subjects: Sequence[PreparedSubject], encoder: StyleEncoder) -> dict[Vendor, NDArray[np.floating]]:
    """Return one style vector per subject, the mean over its slices, by vendor."""
    codes: dict[Vendor, list[NDArray]] = {}
    for subject in subjects:
        slices = np.concatenate([subject.images[phase] for phase in Phase])
        code = encoder.encode_images(torch.from_numpy(slices)).mean(dim=0)
        codes.setdefault(subject.vendor, []).append(code.numpy())
    return {vendor: np.stack(values) for vendor, values in codes.items()}


def _public_id(cohort: SourceCohort, subject_id: str) -> str:
    """Return the id that a bundle may carry: a patient's is hashed."""
    if not cohort.of_patients:
        return subject_id
    return "p" + hashlib.sha256(f"{cohort.name}/{subject_id}".encode()).hexdigest()[:12]
