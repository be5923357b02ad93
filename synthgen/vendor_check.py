"""Whether synthetic vendor D is vendor D: a classifier of vendors, trained on the source cohort, looks at a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from synthgen.cohorts.prepared import PreparedStore
from synthgen.cohorts.preprocess import FIELD_OF_VIEW_MM, PreparedSubject, prepare
from synthgen.errors import InputError
from synthgen.evaluation.study_folder import claim_folder, write_json
from synthgen.evaluation.subject_split import split_subjects
from synthgen.labels import Vendor
from synthgen.networks.classifier import subject_confidence
from synthgen.networks.device import device_of
from synthgen.processes import usable_processors
from synthgen.subjects import SourceCohort
from synthgen.training.diagnosis import DiagnosisObjective
from synthgen.training.loop import Progress, train
from synthgen.training.pairs import LevelPairs, collect_pairs
from synthgen.training.presets import DiagnosisSettings
from synthgen.training.report import Report

VENDORS = tuple(Vendor)

PIXELS = 128
"""Edge of the field of view that is looked at: sharpness and noise, which tell scanners apart, must survive."""

_SAMPLES = 48_000

Confusion = dict[str, dict[str, int]]
"""Vendor that a subject is said to be of, to how many subjects are taken for which vendor."""


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """What the classifier takes subjects for.

    Attributes
    ----------
    file
        JSON with both tables, beside the training; one for each dataset.
    held_out
        Of the source cohort's subjects that it was not trained on: what it is worth.
    dataset
        Of the dataset's subjects.
    """

    file: Path
    held_out: Confusion
    dataset: Confusion


def recognised(confusion: Confusion, vendor: str | None = None) -> float:
    """Return the share of subjects, of one vendor or of all, that are taken for what they are said to be."""
    rows = {name: row for name, row in confusion.items() if vendor in (None, name)}
    total = sum(sum(row.values()) for row in rows.values())
    return sum(row.get(name, 0) for name, row in rows.items()) / total if total else float("nan")


def recognise_vendors(
    dataset: SourceCohort,
    cohort: SourceCohort,
    out: Path | str,
    *,
    samples: int = _SAMPLES,
    seed: int = 0,
    device: str = "auto",
    report: Report | None = None,
) -> Recognition:
    """Train a classifier of vendors on `cohort` and let it look at its held-out subjects and at `dataset`.

    Levels that show the left ventricle in both phases vote. In training they are neither moved nor changed in contrast:
    interpolation would take away the noise and the sharpness that are looked for.

    Parameters
    ----------
    dataset
        Synthetic subjects.
    cohort
        What their generator was fitted on; 30 % of the subjects, stratified by vendor, are held out.
    out
        Folder of this study alone; what is finished in it stays.
    samples
        Levels that the classifier sees.

    Raises
    ------
    InputError
        If `cohort` has one vendor only, `dataset` one that it lacks, or `out` holds something else.
    """
    out, report = Path(out), report or Report()
    split = split_subjects(cohort.subject_vendors, seed=seed)
    _refuse(dataset, cohort, {cohort.subject_vendors[number] for number in split.train})
    claim_folder(out, {"cohort": cohort.fingerprint(), "seed": seed, "samples": samples})
    torch.set_num_threads(usable_processors())
    known = _prepared(cohort, out / "prepared", report)
    settings = DiagnosisSettings(
        network={"classes": len(VENDORS)}, samples=samples, ema=0.99, intensity=0.0, rotation_degrees=0.0,
        shift_pixels=0.0, zoom=0.0,
    )  # fmt: skip
    pairs = _by_vendor([known[number] for number in split.train])
    objective = DiagnosisObjective(pairs, settings, seed=seed, device=device_of(device))

    def count(progress: Progress) -> None:
        report.count("levels of the classifier", progress.samples, progress.total)

    train(objective, work_dir=out / "classifier", report=count)
    # What a generator of this grid has made is not interpolated again, as the source's subjects were once.
    step = FIELD_OF_VIEW_MM / PIXELS
    made = [prepare(dataset[n], pixels=PIXELS, spacing_mm=step, whole_pixels=True) for n in range(len(dataset))]
    found = Recognition(
        file=out / f"results-{dataset.fingerprint()[:16]}.json",
        held_out=_confusion(objective, [known[number] for number in split.test]),
        dataset=_confusion(objective, made),
    )
    document = {"held_out": found.held_out, "dataset": found.dataset}
    shares = {part: {"all": recognised(c)} | {v: recognised(c, v) for v in c} for part, c in document.items()}
    write_json(found.file, {"cohort": cohort.name, "name": dataset.name, **document, "recognised": shares})
    return found


def _refuse(dataset: SourceCohort, cohort: SourceCohort, known: Set[Vendor]) -> None:
    """Refuse a cohort whose training subjects are of one vendor, and vendors that none of them has."""
    if len(known) < 2:
        raise InputError(cohort.name, expected="training subjects of at least two vendors", got=f"{len(known)}")
    strange = sorted({*dataset.subject_vendors, *cohort.subject_vendors} - known)
    if strange:
        got = f"vendor {strange[0]}"
        expected = f"vendors of the training subjects of {cohort.name}: {', '.join(sorted(known))}"
        raise InputError(dataset.name, expected=expected, got=got)


def _prepared(cohort: SourceCohort, folder: Path, report: Report) -> list[PreparedSubject]:
    store = PreparedStore(folder, pixels=PIXELS, spacing_mm=FIELD_OF_VIEW_MM / PIXELS)
    store.fill(cohort, progress=lambda done, total: report.count(f"subjects of {cohort.name}", done, total))
    return list(store)


def _by_vendor(subjects: Sequence[PreparedSubject]) -> LevelPairs:
    """Return the levels of subjects, their classes being vendors."""
    pairs = collect_pairs(subjects)
    vendors = np.array([VENDORS.index(subject.vendor) for subject in subjects], np.int64)
    return replace(pairs, classes=vendors[pairs.subjects])


def _confusion(objective: DiagnosisObjective, subjects: Sequence[PreparedSubject]) -> Confusion:
    pairs, guesses = collect_pairs(subjects), []
    for number in range(len(subjects)):
        images = torch.from_numpy(pairs.images[pairs.subjects == number]).to(objective.device)
        votes = subject_confidence(objective.classifier.probabilities(images))
        guesses.append(VENDORS[int(votes.argmax())])
    out: Confusion = {}
    for vendor in VENDORS:
        row = Counter(g.value for s, g in zip(subjects, guesses, strict=True) if s.vendor is vendor)
        if row:
            out[vendor.value] = dict(sorted(row.items()))
    return out
