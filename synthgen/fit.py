"""`fit`: from a source cohort to a bundle, in named stages that resume, or are skipped when nothing changed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.cohorts.prepared import PreparedStore
from synthgen.cohorts.preprocess import FIELD_OF_VIEW_MM, PreparedSubject
from synthgen.engine.donors import Donor, DonorBank, rotation_of
from synthgen.engine.gate import Measurement, calibrate, examine
from synthgen.engine.generate import DONORS_FILE, LABEL_VAE, LATENTS_FILE, SPADE
from synthgen.engine.styles import fit_styles
from synthgen.errors import InputError
from synthgen.factors.latents import LatentBank, SubjectLatents, encode_subject
from synthgen.labels import HEART, Pathology, Phase, Tissue, Vendor
from synthgen.networks.bundle import save_bundle
from synthgen.networks.label_vae import LabelCodec, LabelVAE
from synthgen.networks.perceptual import TissueNet
from synthgen.networks.spade import SpadeGenerator
from synthgen.networks.style_encoder import StyleEncoder
from synthgen.processes import usable_processors
from synthgen.subjects import SourceCohort
from synthgen.training.data import TrainingSlices, collect
from synthgen.training.loop import Progress, train
from synthgen.training.objectives import PerceptualObjective, SpadeObjective, VaeObjective
from synthgen.training.presets import PRESETS, Preset
from synthgen.training.stage import Stages
from synthgen.volumes import Volume

STYLE_ENCODER = "style_encoder"
"""Name of the third network in a bundle: it turns a named reference image into a style."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where a fit tells what it does.

    Attributes
    ----------
    stage
        Called with one line when a stage starts, resumes or is skipped.
    count
        Called with the name of a stage, what is done and what there is to do.
    """

    stage: Callable[[str], None] = lambda _: None
    count: Callable[[str, int, int], None] = lambda *_: None


@dataclass(frozen=True, kw_only=True)
class _Settings:
    preset: Preset
    seed: int
    device: str


@dataclass(frozen=True, kw_only=True)
class _Networks:
    label_vae: LabelVAE
    spade: SpadeGenerator
    encoder: StyleEncoder


def fit(
    cohort: SourceCohort,
    out: Path | str,
    *,
    preset: str = "small",
    budget: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    report: Report | None = None,
) -> Path:
    """Fit a generator on `cohort`; the same call goes on with an unfinished one.

    Stages: prepare, perceptual, renderer, label_vae, bundle. Work lies in `out` + `.work`, which can be deleted
    afterwards; kept, it lets a fit with one changed setting reuse the stages before it.

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

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        If `out` exists, the preset is unknown, or the cohort cannot be learnt from.
    """
    out, report = Path(out), report or Report()
    if out.exists():
        hint = "Choose another --out"
        raise InputError(out, expected="a folder that does not exist yet", got="an existing one", hint=hint)
    if preset not in PRESETS:
        raise InputError("preset", expected=f"one of {', '.join(PRESETS)}", got=repr(preset))
    if not budget > 0:
        raise InputError("budget", expected="a factor above 0", got=f"{budget}")
    place = device if device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    settings = _Settings(preset=PRESETS[preset].scaled(budget), seed=seed, device=place)
    torch.set_num_threads(usable_processors())
    stages = Stages(out.with_name(f"{out.name}.work"), report.stage)
    subjects = _prepare(cohort, stages, settings, report)
    slices = collect(subjects)
    networks = _train(slices, stages, settings, report)
    stages.run(
        "bundle",
        {"scheme": cohort.label_scheme},
        lambda _: _write_bundle(out, cohort, subjects, networks, settings),
        after=["prepare", "label_vae", "renderer"],
    )
    return out


def _prepare(cohort: SourceCohort, stages: Stages, settings: _Settings, report: Report) -> list[PreparedSubject]:
    """Bring the cohort to the common grid, on all processors."""
    pixels = settings.preset.image_size
    spacing_mm = FIELD_OF_VIEW_MM / pixels

    def work(folder: Path) -> None:
        store = PreparedStore(folder, pixels=pixels, spacing_mm=spacing_mm)
        store.fill(cohort, progress=lambda done, total: report.count("prepare", done, total))

    grid = {"pixels": pixels, "spacing_mm": spacing_mm}
    described = {"cohort": cohort.name, "subjects": len(cohort), "source": cohort.fingerprint(), **grid}
    folder = stages.run("prepare", described, work)
    return list(PreparedStore(folder, pixels=pixels, spacing_mm=spacing_mm))


def _train(slices: TrainingSlices, stages: Stages, settings: _Settings, report: Report) -> _Networks:
    """Train the networks one after the other; finished ones load from their snapshots."""
    preset, seed, device = settings.preset, settings.seed, settings.device
    perceptual = PerceptualObjective(slices, preset.perceptual, seed=seed, device=device)
    # Slices without heart all look the same to the label VAE; they would only blunt the latent space.
    heart = np.isin(slices.labels, HEART).reshape(len(slices), -1)
    with_heart = slices.select(np.flatnonzero(heart.any(axis=1)))
    label_vae = VaeObjective(with_heart, preset.vae, seed=seed, device=device)

    def run(name: str, objective: PerceptualObjective | VaeObjective | SpadeObjective, *after: str) -> None:
        def count(progress: Progress) -> None:
            report.count(name, progress.samples, progress.total)

        described = {"settings": asdict(objective.settings), "seed": seed}

        def work(folder: Path) -> None:
            train(objective, work_dir=folder, report=count)

        folder = stages.run(name, described, work, after=["prepare", *after])
        train(objective, work_dir=folder)  # loads the finished snapshot when the stage was done before

    run("perceptual", perceptual)
    renderer = SpadeObjective(slices, preset.spade, features=perceptual.net, seed=seed, device=device)
    run("renderer", renderer, "perceptual")
    run("label_vae", label_vae)
    (generator, _), (encoder, _) = renderer.averaged
    return _Networks(
        label_vae=label_vae.vae.to("cpu").eval(),
        spade=cast("SpadeGenerator", generator.to("cpu").eval()),
        encoder=cast("StyleEncoder", encoder.to("cpu").eval()),
    )


def _write_bundle(
    out: Path,
    cohort: SourceCohort,
    subjects: Sequence[PreparedSubject],
    networks: _Networks,
    settings: _Settings,
) -> None:
    """Describe the cohort in latent space, fit styles, calibrate gates, and write everything as one bundle."""
    names = {s.subject_id: _public_id(cohort, s.subject_id) for s in subjects}
    codec = LabelCodec(networks.label_vae)
    latents = [_encode(s, names[s.subject_id], codec) for s in subjects]
    donors = [_donor(s, names[s.subject_id], cohort) for s in subjects if s.pathology is Pathology.NOR]
    fields = {
        "preset": settings.preset.name,
        "label_scheme": cohort.label_scheme,
        "image_size": settings.preset.image_size,
        "spacing_mm": FIELD_OF_VIEW_MM / settings.preset.image_size,
        "source": {
            "cohort": cohort.name,
            "licence": cohort.licence,
            "citation": cohort.citation,
            "subjects": len(subjects),
            "classes": dict(Counter(s.pathology.value for s in subjects)),
        },
        "gates": calibrate([_measure(s) for s in subjects]),
        "styles": fit_styles(_style_codes(subjects, networks.encoder)),
        "provenance": {
            "source": cohort.fingerprint(),
            "seed": settings.seed,
            "settings": json.loads(json.dumps(asdict(settings.preset))),
            "perceptual_features": f"{TissueNet.__name__} trained on the cohort's own labels",
            "torch": torch.__version__,
        },
    }
    tensors = {LATENTS_FILE: LatentBank.of(latents).to_tensors(), DONORS_FILE: DonorBank.of(donors).to_tensors()}
    named = {LABEL_VAE: networks.label_vae, SPADE: networks.spade, STYLE_ENCODER: networks.encoder}
    save_bundle(out, fields, named, tensors)


def _encode(subject: PreparedSubject, name: str, codec: LabelCodec) -> SubjectLatents:
    def encode(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return codec.encode_labels(torch.from_numpy(labels)).numpy()

    return encode_subject(name, subject.pathology, subject.labels, subject.spacing_mm[0], encode)


def _donor(subject: PreparedSubject, name: str, cohort: SourceCohort) -> Donor:
    """Return a normal subject as a donor: its body when it is virtual; of a patient only which slices carry heart."""
    labels = subject.labels
    if cohort.of_patients:
        labels = {phase: _footprint(stack) for phase, stack in labels.items()}
    return Donor(
        subject_id=name,
        vendor=subject.vendor,
        labels=labels,
        spacing_mm=subject.spacing_mm,
        rotation=rotation_of(subject.affine),
        body=subject.body,
    )


def _footprint(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a stack that says which structures each slice shows and nothing of their shape: one pixel each."""
    out = np.zeros_like(stack)
    for column, structure in enumerate(HEART):
        out[(stack == structure).any(axis=(1, 2)), 0, column] = structure
    return out


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
