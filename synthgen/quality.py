"""`compare_renderers`: how near rendered images are to those of held-out subjects, by labels, data and generator.

Section 4.4 of Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123): nine tissues against labels of the heart
alone, fewer training subjects, and SPADE against the generators before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.cohorts.prepared import PreparedStore
from synthgen.cohorts.preprocess import FIELD_OF_VIEW_MM, PreparedSubject
from synthgen.engine.tissue_maps import TissueCohort, segmentor_of
from synthgen.errors import InputError
from synthgen.evaluation.bootstrap import Interval, difference
from synthgen.evaluation.image_quality import MEASURES, image_quality
from synthgen.evaluation.overlap import Spread, summarise
from synthgen.evaluation.study_folder import RESULTS_FILE, claim_folder, read_scores, write_json
from synthgen.evaluation.subject_split import SubjectSplit, split_subjects
from synthgen.labels import HEART, Phase, Tissue
from synthgen.networks.batching import apply_together
from synthgen.networks.bundle import load_bundle
from synthgen.networks.device import device_of
from synthgen.networks.image_to_image import Pix2PixGenerator, Pix2PixHdGenerator
from synthgen.networks.spade import SpadeGenerator
from synthgen.networks.style_encoder import StyleEncoder
from synthgen.processes import usable_processors
from synthgen.seeding import Stage, torch_stream
from synthgen.subjects import SourceCohort
from synthgen.training.data import TrainingSlices, collect
from synthgen.training.loop import Objective, Progress, train
from synthgen.training.objectives import PerceptualObjective, Renderer, SpadeObjective
from synthgen.training.presets import PRESETS, SpadeSettings
from synthgen.training.report import Report

ARMS: Final = ("spade", "spade-heart", "spade-50", "spade-25", "spade-12", "pix2pixhd", "pix2pix")
"""What is compared unless something else is asked for."""

RENDERERS: Final[Mapping[str, Renderer]] = MappingProxyType(
    {"spade": SpadeGenerator, "pix2pixhd": Pix2PixHdGenerator, "pix2pix": Pix2PixGenerator}
)

_HEART, _PERCENT = "heart", ("50", "25", "12")
_SCORES_FILE = "scores.json"
_SUB_BATCH = 8
_TINY: Final[dict[str, dict[str, Any]]] = {
    "pix2pixhd": {"widths": [8, 16], "blocks": 1},
    "pix2pix": {"widths": [8, 16]},
}
"""Sizes of the other generators beside the preset `tiny`; elsewhere their own are about those of SPADE."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What an arm's name says.

    Attributes
    ----------
    renderer
        Key of `RENDERERS`.
    heart_only
        Labels of the heart alone; everything else is background.
    share
        Part of the training subjects.
    """

    renderer: str
    heart_only: bool
    share: float

    @classmethod
    def parse(cls, name: str) -> Setting:
        """Read `spade`, `pix2pix-heart`, `spade-heart-25` and the like; InputError if it is none of them."""
        renderer, *marks = name.split("-")
        percent = [mark for mark in marks if mark in _PERCENT]
        if renderer not in RENDERERS or marks not in ([], [_HEART], percent[:1], [_HEART, *percent[:1]]):
            expected = f"{', '.join(RENDERERS)}, with -{_HEART} or -{', -'.join(_PERCENT)} appended or both"
            raise InputError("arm", expected=expected, got=repr(name))
        return cls(renderer=renderer, heart_only=_HEART in marks, share=float(percent[0]) / 100 if percent else 1.0)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared.

    Attributes
    ----------
    preset
        A row of `training.presets.PRESETS`.
    arms
        Names that `Setting.parse` reads; differences are to the first.
    samples
        Slices that each generator sees; None: the preset's.
    pixels
        Edge of the square of `FIELD_OF_VIEW_MM`; None: the preset's.
    bundle
        Whose segmentor labels tissues when a cohort has only hearts labelled.
    seed, device
        Root of all chance, that of the split included; `auto`, `cpu` or a CUDA device.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    preset: str = "small"
    arms: tuple[str, ...] = ARMS
    samples: int | None = None
    pixels: int | None = None
    bundle: str = "default"
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, before any work."""
        device_of(self.device)
        if self.preset not in PRESETS:
            raise InputError("preset", expected=f"one of {', '.join(PRESETS)}", got=repr(self.preset))
        if not self.arms or len(set(self.arms)) != len(self.arms):
            raise InputError("arm", expected="different arms, at least one", got=", ".join(self.arms) or "none")
        for name in self.arms:
            Setting.parse(name)
        if self.grid < 32 or self.grid % 32:
            raise InputError("pixels", expected="a multiple of 32, at least 32", got=f"{self.grid}")

    @property
    def grid(self) -> int:
        """Edge of the images in pixels."""
        return self.pixels or PRESETS[self.preset].image_size

    def settings_of(self, renderer: str) -> SpadeSettings:
        """Return how a generator is trained: as its paper has it, L1 where the preset needs it.

        Nobody is asked for a scanner's noise and look: every measure here counts noise as an error.
        """
        settings = PRESETS[self.preset].spade
        settings = replace(settings, samples=self.samples or settings.samples, grain=0.0, look=0.0)
        if renderer == "spade":
            return settings
        settings = replace(settings, generator=_TINY[renderer] if self.preset == "tiny" else {})
        if renderer == "pix2pixhd":
            return settings
        discriminator = {**settings.discriminator, "scales": 1}
        return replace(settings, discriminator=discriminator, feature_matching=0.0, perceptual=0.0, l1=100.0)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One generator and how near its images are to the test subjects'.

    Attributes
    ----------
    name, trained
        As asked for, and how many subjects it was trained on.
    subjects
        `ssim`, `psnr_db` and `nrmse` by test subject, means over slices with heart.
    """

    name: str
    trained: int
    subjects: dict[str, dict[str, float]]

    @property
    def summary(self) -> dict[str, Spread]:
        """Mean and standard deviation over the test subjects."""
        return summarise(list(self.subjects.values()))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What `compare_renderers` found out: arms in the order asked for, `tested` subjects, differences to the first."""

    folder: Path
    tested: int
    arms: list[Arm]

    @property
    def differences(self) -> dict[str, dict[str, Interval]]:
        """Every other arm minus the first, paired by test subject, by measure."""
        first = self.arms[0]
        return {arm.name: {m: difference(_row(arm, m), _row(first, m)) for m in MEASURES} for arm in self.arms[1:]}


def _row(arm: Arm, measure: str) -> NDArray[np.float64]:
    return np.array([[scores[measure] for scores in arm.subjects.values()]])


def compare_renderers(
    cohort: SourceCohort, out: Path | str, study: Study | None = None, *, report: Report | None = None
) -> Outcome:
    """Train generators on some subjects and let them render the labels of others.

    Parameters
    ----------
    cohort
        Divided 70 : 30 by subject, stratified by class. Tissues that nobody labelled are labelled by the segmentor of
        `study.bundle`, those of test subjects too.
    out
        Folder of this study alone; what is finished in it stays, arms may be added later.

    Raises
    ------
    InputError
        If `out` holds something else or another study, or the cohort is too small to be divided.
    """
    out, study, report = Path(out), study or Study(), report or Report()
    run = _Run(cohort, out, study, report)
    outcome = Outcome(folder=out, tested=len(run.split.test), arms=[])
    for name in study.arms:
        outcome.arms.append(run.arm(name))
        write_json(out / RESULTS_FILE, _document(outcome, cohort, study))  # readable while the rest is trained
    return outcome


class _Run:
    """One study in its folder."""

    def __init__(self, cohort: SourceCohort, out: Path, study: Study, report: Report) -> None:
        self.out, self.study, self.report, self.device = out, study, report, device_of(study.device)
        self.split: SubjectSplit = split_subjects(cohort.subject_pathologies, seed=study.seed)
        labelled = cohort
        if cohort.label_scheme == "heart":
            labelled = TissueCohort(cohort, segmentor_of(load_bundle(study.bundle)))
        described = {"cohort": cohort.name, "fingerprint": labelled.fingerprint(), "pixels": study.grid}
        claim_folder(out, {**described, "seed": study.seed})
        torch.set_num_threads(usable_processors())
        store = PreparedStore(out / "prepared", pixels=study.grid, spacing_mm=FIELD_OF_VIEW_MM / study.grid)
        store.fill(labelled, progress=lambda done, total: report.count("subjects prepared", done, total))
        self.subjects: list[PreparedSubject] = list(store)

    def arm(self, name: str) -> Arm:
        """Train and test one arm, or read what was found before."""
        setting, folder = Setting.parse(name), self.out / name
        chosen = self.split.labelled(setting.share)
        self.report.stage(f"{name}: {len(chosen)} subjects")
        objective = SpadeObjective(
            self._slices(chosen, heart_only=setting.heart_only),
            self.study.settings_of(setting.renderer),
            renderer=RENDERERS[setting.renderer],
            features=self._features,
            seed=self.study.seed,
            device=self.device,
        )
        self._train(objective, folder, name)
        file = folder / _SCORES_FILE
        if not file.exists():
            tested = [(number, self.subjects[number]) for number in self.split.test]
            write_json(file, {s.subject_id: self._score(objective, setting, n, s) for n, s in tested})
        return Arm(name=name, trained=len(chosen), subjects=read_scores(file))

    @cached_property
    def _features(self) -> Any:  # noqa: ANN401 - a `FeatureNetwork`, which is a protocol of its training
        """The network whose features the perceptual loss compares, trained on all training subjects' tissues."""
        settings = PRESETS[self.study.preset].perceptual
        slices = self._slices(self.split.train, heart_only=False)
        objective = PerceptualObjective(slices, settings, seed=self.study.seed, device=self.device)
        self._train(objective, self.out / "perceptual", "perceptual network")
        return objective.net

    def _train(self, objective: Objective, folder: Path, name: str) -> None:
        def count(progress: Progress) -> None:
            self.report.count(f"samples of {name}", progress.samples, progress.total)

        train(objective, work_dir=folder, report=count)  # refuses the folder of another; loads a finished one

    def _slices(self, chosen: Sequence[int], *, heart_only: bool) -> TrainingSlices:
        """Return the slices with heart of some subjects."""
        slices = collect(self.subjects[number] for number in sorted(chosen))
        kept = slices.select(np.flatnonzero(np.isin(slices.labels, HEART).any(axis=(1, 2))))
        return replace(kept, labels=_hearts(kept.labels)) if heart_only else kept

    @torch.inference_mode()
    def _score(
        self, objective: SpadeObjective, setting: Setting, number: int, subject: PreparedSubject
    ) -> dict[str, float]:
        """Return how near one subject's slices with heart are, rendered in the style of its own images."""
        (generator, _), (encoder, _) = objective.averaged
        encoder = cast("StyleEncoder", encoder)
        labels = np.concatenate([subject.labels[phase] for phase in Phase])
        images = np.concatenate([subject.images[phase] for phase in Phase]).astype(np.float32)
        shown = np.isin(labels, HEART).any(axis=(1, 2))
        labels, images = labels[shown], images[shown]
        style = encoder.encode_images(torch.from_numpy(images).to(self.device)).mean(0, keepdim=True)
        stream = torch_stream(self.study.seed, number, stage=Stage.EVALUATION)
        noise = torch.randn((len(images), 1, *images.shape[1:]), generator=stream).to(self.device)
        given = torch.from_numpy(_hearts(labels) if setting.heart_only else labels).to(self.device)

        def render(part: torch.Tensor, grain: torch.Tensor) -> tuple[torch.Tensor]:
            return (generator(part, style.expand(len(part), -1), grain)[:, 0],)

        (made,) = apply_together(render, (given, noise), _SUB_BATCH)
        return image_quality(made.cpu().numpy(), images)


def _hearts(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(np.isin(labels, HEART), labels, Tissue.BACKGROUND).astype(np.uint8)


def _document(outcome: Outcome, cohort: SourceCohort, study: Study) -> dict[str, object]:
    """Return the results as JSON-able values, with all that they depend on."""
    arms = [
        {"name": arm.name, "trained": arm.trained, "subjects": arm.subjects,
         "summary": {measure: asdict(spread) for measure, spread in arm.summary.items()}}
        for arm in outcome.arms
    ]  # fmt: skip
    found = {name: {m: asdict(i) for m, i in row.items()} for name, row in outcome.differences.items()}
    return {
        "cohort": cohort.name, "tested": outcome.tested, "pixels": study.grid, "preset": study.preset,
        "samples": study.settings_of("spade").samples, "seed": study.seed, "torch": torch.__version__,
        "arms": arms, "differences": found,
    }  # fmt: skip
