"""`few_labels`: how well SDNet and a U-Net segment when only a part of the training subjects is labelled.

The semi-supervised experiment of Chartsias et al. 2019 (doi 10.1016/j.media.2019.101535, section 5.1, Table 1) on any
cohort. Every training lies in a folder of its own; made again, the same call goes on with the unfinished and skips the
finished ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.cohorts.prepared import PreparedStore
from synthgen.cohorts.preprocess import FIELD_OF_VIEW_MM, PreparedSubject
from synthgen.errors import InputError
from synthgen.evaluation.overlap import Spread, dice_of_subject, summarise
from synthgen.evaluation.study_folder import RESULTS_FILE, SPLIT_FILE, claim_folder, read_scores, write_json
from synthgen.evaluation.subject_split import SubjectSplit, split_subjects
from synthgen.labels import Phase
from synthgen.networks.device import device_of
from synthgen.processes import usable_processors
from synthgen.subjects import SourceCohort
from synthgen.training.data import TrainingSlices, collect
from synthgen.training.loop import Progress, train
from synthgen.training.presets import PRESETS, SdnetSettings
from synthgen.training.report import Report
from synthgen.training.sdnet import SdnetObjective, Supervision
from synthgen.training.segmentation import SegmentationObjective

SDNET, UNET = "sdnet", "unet"
"""Names of the two networks that are compared."""

FRACTIONS = (1.0, 0.25, 0.06, 0.015)
"""Labelled parts of the training subjects: four rows of the paper's Table 1. Of 70 subjects the last is one."""

_FEWEST = 4
"""Subjects that can be divided: one of four tests."""

ARM_FILE = "dice.json"


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared.

    Attributes
    ----------
    preset
        A row of `training.presets.PRESETS`: its `sdnet` and the U-Net that is its `supervised` counterpart.
    fractions
        Labelled parts of the training subjects, each in (0, 1]; at least one subject each.
    samples
        Images of either kind that SDNet sees; None: the preset's. Steps of the U-Net are as many as SDNet's.
    pixels
        Edge of the square of `FIELD_OF_VIEW_MM` that is learnt, in pixels; None: the preset's.
    labelled_shapes
        The mask discriminator sees the masks of labelled subjects alone. Otherwise it sees, as in the published code,
        those of all training subjects, without their images.
    seed
        Root of all chance, that of the split included.
    device
        `auto`, `cpu` or a CUDA device.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    preset: str = "small"
    fractions: tuple[float, ...] = FRACTIONS
    samples: int | None = None
    pixels: int | None = None
    labelled_shapes: bool = False
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, before any work."""
        device_of(self.device)
        if self.preset not in PRESETS:
            raise InputError("preset", expected=f"one of {', '.join(PRESETS)}", got=repr(self.preset))
        if not self.fractions or not all(0 < fraction <= 1 for fraction in self.fractions):
            got = ", ".join(f"{fraction:g}" for fraction in self.fractions) or "none"
            raise InputError("fraction", expected="parts above 0 and at most 1", got=got, hint="6 % is 0.06")
        if self.samples is not None and self.samples < 1:
            raise InputError("samples", expected="at least 1", got=f"{self.samples}")
        step = 2 ** (len(self.sdnet.network.get("widths", range(5))) - 1)
        if self.grid < 2 * step or self.grid % step:
            raise InputError("pixels", expected=f"a multiple of {step}, at least {2 * step}", got=f"{self.grid}")

    @property
    def grid(self) -> int:
        """Edge of what is learnt in pixels."""
        return PRESETS[self.preset].image_size if self.pixels is None else self.pixels

    @property
    def spacing_mm(self) -> float:
        """Edge of a pixel."""
        return FIELD_OF_VIEW_MM / self.grid

    @property
    def sdnet(self) -> SdnetSettings:
        """Settings of SDNet: the preset's, with the budget asked for and shifts that are as long on every grid.

        Logits are the paper's. Normalised, as where images are drawn from factors, they segment worse when one of 70
        patients is labelled: on 30 others of ACDC mean Dice 45 and 13 % in two trainings, the paper's 55 and 65.
        """
        preset = PRESETS[self.preset]
        shift = preset.sdnet.shift_pixels * self.grid / preset.image_size
        network = {**preset.sdnet.network, "logit_norm": "none"}
        return replace(preset.sdnet, network=network, samples=self.samples or preset.sdnet.samples, shift_pixels=shift)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One training and how well it segments the test subjects.

    Attributes
    ----------
    network
        `SDNET` or `UNET`.
    fraction, labelled
        Part of the training subjects whose labels were read, and how many these are.
    subjects
        Dice coefficients in [0, 1] by test subject: `lv`, `myo`, `rv` and their `mean`.
    """

    network: str
    fraction: float
    labelled: int
    subjects: dict[str, dict[str, float]]

    @property
    def dice(self) -> dict[str, Spread]:
        """Mean and standard deviation over the test subjects."""
        return summarise(list(self.subjects.values()))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What `compare_with_few_labels` found out.

    Attributes
    ----------
    folder
        Where the trainings, `split.json` and `results.json` lie.
    train, test
        Number of subjects.
    arms
        One per fraction and network.
    """

    folder: Path
    train: int
    test: int
    arms: list[Arm]


@dataclass(frozen=True, kw_only=True)
class _Data:
    """The divided cohort; training slices in the order of labelling, so that the first subjects are the labelled."""

    split: SubjectSplit
    slices: TrainingSlices
    test: list[PreparedSubject]


def compare_with_few_labels(
    cohort: SourceCohort, out: Path | str, study: Study | None = None, *, report: Report | None = None
) -> Outcome:
    """Train SDNet and a U-Net with few labels and measure both on subjects that neither has seen.

    Easier than the paper's experiment in one respect: windows are centred on the heart by its labels
    (`cohorts.preprocess.prepare`), those of unlabelled and of test subjects too, so that both networks may learn from
    few labels where to look.

    Parameters
    ----------
    cohort
        Divided 70 : 30 by subject, stratified by class.
    out
        Folder of this study alone: `split.json`, `prepared`, one folder per training, `results.json`, which has the
        fractions of the last call. What is finished in it stays; fractions may be added later.

    Raises
    ------
    InputError
        If `out` holds something else, or a study of another cohort, seed, grid or other settings; if the cohort is too
        small to be divided.
    """
    out, study, report = Path(out), study or Study(), report or Report()
    data = _prepare(cohort, out, study, report)
    torch.set_num_threads(usable_processors())
    fractions = {len(data.split.labelled(fraction)): fraction for fraction in sorted(study.fractions)}
    outcome = Outcome(folder=out, train=len(data.split.train), test=len(data.test), arms=[])
    for labelled, fraction in sorted(fractions.items(), reverse=True):
        for network in (SDNET, UNET):
            subjects = _train_and_test(network, labelled, data, out, study, report)
            outcome.arms.append(Arm(network=network, fraction=fraction, labelled=labelled, subjects=subjects))
            write_json(out / RESULTS_FILE, _document(outcome, cohort, study))  # readable while the rest is trained
    return outcome


def _prepare(cohort: SourceCohort, out: Path, study: Study, report: Report) -> _Data:
    """Divide the cohort, write down how, and bring it to the common grid."""
    if len(cohort) < _FEWEST:
        raise InputError("cohort", expected=f"at least {_FEWEST} subjects", got=f"{len(cohort)}")
    described = {"cohort": cohort.name, "fingerprint": cohort.fingerprint(), "pixels": study.grid, "seed": study.seed}
    claim_folder(out, described)
    store = PreparedStore(out / "prepared", pixels=study.grid, spacing_mm=study.spacing_mm)
    store.fill(cohort, progress=lambda done, total: report.count("subjects prepared", done, total))
    subjects = list(store)
    split = split_subjects([subject.pathology for subject in subjects], seed=study.seed)
    names = {part: [subjects[i].subject_id for i in getattr(split, part)] for part in ("train", "test")}
    write_json(out / SPLIT_FILE, {**described, **names})
    slices = collect(subjects[i] for i in split.train)
    return _Data(split=split, slices=slices, test=[subjects[i] for i in split.test])


def _train_and_test(
    network: str, labelled: int, data: _Data, out: Path, study: Study, report: Report
) -> dict[str, dict[str, float]]:
    """Return the Dice coefficients of the test subjects after training with the first `labelled` subjects' labels."""
    name = f"{network}-{labelled:03d}"
    folder = out / name
    done = (folder / ARM_FILE).exists()
    who = f"{labelled} of {len(data.split.train)} subjects labelled"
    report.stage(f"{name}: {'done before' if done else 'training'}, {who}")
    objective = _objective(network, labelled, data, study)

    def count(progress: Progress) -> None:
        report.count(f"samples of {name}", progress.samples, progress.total)

    train(objective, work_dir=folder, report=count)  # refuses the folder of another training; loads a finished one
    if done:
        return read_scores(folder / ARM_FILE)
    scores = {subject.subject_id: _score(objective, subject) for subject in data.test}
    write_json(folder / ARM_FILE, scores)
    return scores


def _objective(network: str, labelled: int, data: _Data, study: Study) -> SdnetObjective | SegmentationObjective:
    """Return the training: SDNet sees all images, the U-Net those of labelled subjects."""
    device = device_of(study.device)
    known = data.slices.subjects < labelled
    if network == UNET:
        settings = study.sdnet.supervised()
        return SegmentationObjective(data.slices.select(known), settings, seed=study.seed, device=device)
    supervision = Supervision(known, shapes=known if study.labelled_shapes else np.ones_like(known))
    return SdnetObjective(data.slices, study.sdnet, supervision=supervision, seed=study.seed, device=device)


def _score(objective: SdnetObjective | SegmentationObjective, subject: PreparedSubject) -> dict[str, float]:
    def guess(images: NDArray[np.float32]) -> NDArray[np.uint8]:
        labels: NDArray[np.uint8] = objective.segment(torch.from_numpy(images).to(objective.device)).cpu().numpy()
        return labels

    return dice_of_subject({phase: guess(subject.images[phase]) for phase in Phase}, subject.labels)


def _document(outcome: Outcome, cohort: SourceCohort, study: Study) -> dict[str, object]:
    """Return the results as JSON-able values, with all that they depend on."""
    arms = [
        {"network": arm.network, "fraction": arm.fraction, "labelled": arm.labelled,
         "dice": {name: asdict(spread) for name, spread in arm.dice.items()}, "subjects": arm.subjects}
        for arm in outcome.arms
    ]  # fmt: skip
    return {
        "cohort": cohort.name, "train": outcome.train, "test": outcome.test, "pixels": study.grid,
        "spacing_mm": study.spacing_mm, "preset": study.preset, "seed": study.seed, "settings": asdict(study.sdnet),
        "shapes": "of labelled subjects" if study.labelled_shapes else "of all training subjects",
        "torch": torch.__version__, "arms": arms,
    }  # fmt: skip
