"""`measure_replacement`: whether a segmentor trained on synthetic subjects is as good as one trained on real ones.

Section 4.6 of Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123) on any cohort: real subjects are replaced,
joined or preceded by new images of their own varied label maps in drawn vendor styles, or by subjects with new anatomy.
And `measure_transfer`: a segmentor that never saw a subject of the cohort that tests it.

Who saw what. Test subjects are seen by nobody, the generator included, which is fitted on the training subjects alone;
see `study_sources`. Every training and every set lies in a folder of its own; made again, the same call goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from synthgen.cohorts.preprocess import PreparedSubject
from synthgen.cohorts.selection import Selection
from synthgen.datasets.published_cohort import PublishedCohort
from synthgen.engine.made_cohort import GeneratedCohort, RerenderedCohort
from synthgen.engine.plan import plan
from synthgen.engine.recipe import Condition, Recipe
from synthgen.engine.tissue_maps import segmentor_of
from synthgen.errors import InputError
from synthgen.evaluation.arm_scores import ArmScores
from synthgen.evaluation.bootstrap import Interval
from synthgen.evaluation.observer import Observer
from synthgen.evaluation.study_folder import RESULTS_FILE, SPLIT_FILE, claim_folder, write_json
from synthgen.evaluation.subject_split import split_subjects
from synthgen.evaluation.tiers import Tier
from synthgen.fit import SHIPPED_BUNDLE
from synthgen.indices import heart_digest
from synthgen.labels import Pathology
from synthgen.networks.bundle import Bundle, load_bundle
from synthgen.networks.unet import UNet
from synthgen.processes import usable_processors
from synthgen.study_sources import (
    FIT,
    Trainings,
    bundle_name,
    fit_bundle,
    open_bundle,
    origin,
    prepare_parts,
    prepare_set,
    refuse_if_seen,
    training_seed,
)
from synthgen.subjects import SourceCohort
from synthgen.training.randomisation import Ranges
from synthgen.training.report import Report

REAL, SYNTHETIC, LATENT = "real", "synthetic", "latent"
"""Training subjects as they are; their varied label maps with new images; new anatomies of the same classes."""

HEARTS = "hearts"
"""The virtual hearts that the segmentor of the bundle has learnt from: a network that goes on from it."""

ARMS = (REAL, SYNTHETIC, LATENT, f"{REAL}+{SYNTHETIC}", f"{REAL}+{LATENT}")
"""What is compared unless something else is asked for. Arms joined by commas are learnt one after the other."""

MOVED = Ranges(
    rotation_degrees=25.0, zoom=0.0, aspect=0.0, shift=0.08, tissue_share=0.0, mottling=0.0, border=0.0, shading=0.0,
    gamma=0.0, noise=0.0, blurred=0.0, sharpened=0.0,
)  # fmt: skip
"""What the paper's U-Net sees: turned, shifted and bent slices, of which "we do not apply any contrast transformations,
to better inspect the influence of synthetic data". It mirrors them too, which puts the right ventricle on the left."""

RECOLOURED = Ranges(rotation_degrees=25.0, zoom=0.15, aspect=0.1, shift=0.08, tissue=0.15, mottling=0.1)
"""Views with other contrast, tone, sharpness and noise too: less than the segmentor of nine tissues learns from.

One that never saw the cohort sees all of `Ranges()`: on 100 ACDC patients, mean Dice 81.1 against 79.7 with these, in
one training each on the same 400 synthetic subjects at 2 mm.
"""

_UNSEEN = "one that is made without the subjects that test it"

_NARROWEST = 16
"""Channels of the U-Net, at least: with 8, a structure or the background was lost in six trainings of six."""

TRANSFER = "transfer"
"""Name of the one arm of `measure_transfer`."""


@dataclass(frozen=True, kw_only=True)
class Study(Trainings):
    """What is compared.

    Attributes
    ----------
    arms
        Of `ARMS`, or some of them after one another, `HEARTS` first if at all: `synthetic,real`, `hearts,real`.
        Differences are to `real`.
    keep
        How many real subjects train, classes in turn; None: all that do not test.
    copies
        Synthetic subjects per training subject, in every arm that has any.
    views
        How different what a U-Net sees may be from its training subjects.
    budget
        Factor on the U-Net's steps.
    """

    arms: tuple[str, ...] = ARMS
    keep: int | None = None
    copies: int = 4
    views: Ranges = MOVED
    budget: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before any work."""
        super().__post_init__()
        if self.keep is not None and self.keep < 1:
            raise InputError("keep", expected="at least 1 subject", got=f"{self.keep}")
        if self.copies < 1:
            raise InputError("copies", expected="at least 1", got=f"{self.copies}")
        if not 0 < self.budget <= 1000:
            raise InputError("budget", expected="more than 0, at most 1000", got=f"{self.budget}")
        if not self.arms or len(set(self.arms)) != len(self.arms):
            raise InputError("arm", expected="different arms, at least one", got=", ".join(self.arms) or "none")
        for arm in self.arms:
            if not set(_taught(arm)) <= set(ARMS):
                expected = (
                    f"{', '.join(ARMS)}, or some after one another, such as {SYNTHETIC},{REAL} or {HEARTS},{REAL}"
                )
                raise InputError("arm", expected=expected, got=repr(arm))

    @property
    def sizes(self) -> Tier:
        """The row of the table, its U-Net trained for images of other scanners than those that it learns from.

        Three times as many steps as where real subjects remain: at fewer it is still learning when it stops.
        """
        row = super().sizes
        unet = row.segmentation
        widths = [max(width, _NARROWEST) for width in unet.network["widths"]]
        views = replace(self.views, pixels=row.pixels)
        samples = max(unet.batch_size, round(3 * self.budget * unet.samples))
        return replace(row, segmentation=replace(unet, network={"widths": widths}, samples=samples, views=views))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was found out.

    Attributes
    ----------
    folder
        Where everything lies.
    arms
        Scores, in the order asked for.
    """

    folder: Path
    arms: list[ArmScores]

    def differences(self, seed: int = 0) -> dict[str, dict[str, Interval]]:
        """Return the intervals of `dice` and `hd95_mm` of every other arm minus `real`; none without that arm."""
        by_name = {arm.name: arm for arm in self.arms}
        if REAL not in by_name:
            return {}
        others = [arm for arm in self.arms if arm.name != REAL]
        found = {arm.name: arm.against(by_name[REAL], seed=seed) for arm in others}
        return {name: {measure: row[measure] for measure in ("dice", "hd95_mm")} for name, row in found.items()}

    def share(self, arm: ArmScores) -> float:
        """Return an arm's mean Dice over that of `real`; NaN without that arm, or if it found nothing."""
        real = [other.spread("dice/mean").mean for other in self.arms if other.name == REAL]
        return arm.spread("dice/mean").mean / real[0] if real and real[0] > 0 else float("nan")


def measure_replacement(
    cohort: SourceCohort,
    out: Path | str,
    study: Study | None = None,
    *,
    test: SourceCohort | None = None,
    report: Report | None = None,
) -> Outcome:
    """Train a U-Net in every arm with every seed, and measure it on held-out subjects.

    Parameters
    ----------
    cohort
        Whose subjects train; tissues that nobody labelled are labelled by the bundle's segmentor for rendering.
    out
        Folder of this study alone. What is finished in it stays; arms and seeds may be added later.
    test
        Who tests; None: 30 % of `cohort`, stratified by class.

    Raises
    ------
    InputError
        If `out` holds something else or another study, or the bundle does not fit the cohort.
    UnreachableError
        If an arm needs a subject that the generator does not reach.
    """
    out, study, report = Path(out), study or Study(), report or Report()
    torch.set_num_threads(usable_processors())
    train, tested = _divided(cohort, test, study)
    name = bundle_name(study.bundle, train)
    wanted = {kind: None for arm in study.arms for part in _taught(arm) for kind in part.split("+")}  # in order
    makes = set(wanted) != {REAL}
    bundle = open_bundle(name, train) if makes else None
    started = load_bundle(SHIPPED_BUNDLE if name == FIT else name)
    start = segmentor_of(started).unet
    sizes = _sizes_of(study, start)
    described = _described(train, tested, study) | {"bundle": name, "copies": study.copies}
    claim_folder(out, described)
    parts = prepare_parts({"train": train, "test": tested}, out, sizes, report)
    ids = {part: [subject.subject_id for subject in subjects] for part, subjects in parts.items()}
    write_json(out / SPLIT_FILE, {**described, **ids})
    if any(arm.startswith(f"{HEARTS},") for arm in study.arms):
        refuse_if_seen(started, parts["test"])
    if bundle is not None:
        refuse_if_seen(bundle, parts["test"])
    elif makes:
        bundle = fit_bundle(train, out, sizes, seed=study.seed, device=study.device, report=report, mixing=False)
    subjects = {REAL: parts["train"]}
    for kind in wanted:
        if kind != REAL and bundle is not None:
            subjects[kind] = _made(kind, train, bundle, out, study, report)
    observer = Observer(sizes, parts["test"], device=study.processor, count=report.count)
    outcome = Outcome(folder=out, arms=[])
    for arm in study.arms:
        outcome.arms.append(_trained(arm, subjects, observer, out, study, report, start=start))
        document = _document(outcome, train, study, sizes, bundle)
        if any(name.startswith(f"{HEARTS},") for name in study.arms):
            document["hearts"] = origin(started)
        write_json(out / RESULTS_FILE, document)  # readable while the rest is trained
    return outcome


def measure_transfer(
    train: SourceCohort,
    test: SourceCohort,
    out: Path | str,
    study: Study | None = None,
    *,
    report: Report | None = None,
) -> Outcome:
    """Train a U-Net on one cohort, such as a synthetic one, and measure it on all subjects of another.

    The arm is called `transfer`; of `study`, seeds, tier, seed and device count. Views are as different as those that
    the segmentor of nine tissues learns from.

    Raises
    ------
    InputError
        If `out` holds something else or another study, or `train` was made from `test`.
    """
    out, study, report = Path(out), replace(study or Study(), views=Ranges()), report or Report()
    if isinstance(train, PublishedCohort) and train.was_made_from(test):
        got = f"one of a generator that was fitted on {test.name}"
        raise InputError(f"dataset {train.name}", expected=_UNSEEN, got=got)
    torch.set_num_threads(usable_processors())
    described = _described(train, test, study) | {"transfer": True}
    claim_folder(out, described)
    parts = prepare_parts({"train": train, "test": test}, out, study.sizes, report)
    if isinstance(train, PublishedCohort):
        seen = train.rendered_hearts().intersection(heart_digest(subject.indices) for subject in parts["test"])
        if seen:
            got = f"one with label maps of {len(seen)} of them"
            raise InputError(f"dataset {train.name}", expected=_UNSEEN, got=got)
    observer = Observer(study.sizes, parts["test"], device=study.processor, count=report.count)
    trained = _trained(TRANSFER, {TRANSFER: parts["train"]}, observer, out, study, report)
    outcome = Outcome(folder=out, arms=[trained])
    write_json(out / RESULTS_FILE, _document(outcome, train, study, study.sizes, None))
    return outcome


def _divided(cohort: SourceCohort, test: SourceCohort | None, study: Study) -> tuple[SourceCohort, SourceCohort]:
    """Return who trains and who tests."""
    train, tested = cohort, test
    if tested is None:
        split = split_subjects(cohort.subject_pathologies, seed=study.seed)
        train, tested = Selection(cohort, split.train), Selection(cohort, split.test)
    if study.keep is None:
        return train, tested
    if study.keep > len(train):
        raise InputError("keep", expected=f"at most the {len(train)} subjects that may train", got=f"{study.keep}")
    return Selection(train, range(study.keep)), tested


def _sizes_of(study: Study, start: UNet) -> Tier:
    """Return the row of the table with the segmentor's layers, which all arms then share, go they on from it or not."""
    row = study.sizes
    network = {name: value for name, value in start.arguments.items() if name != "classes"}
    return replace(row, segmentation=replace(row.segmentation, network=network))


def _described(train: SourceCohort, test: SourceCohort, study: Study) -> dict[str, object]:
    """Return what a study must share with the folder that it goes on in."""
    return {
        "cohort": train.name, "train_fingerprint": train.fingerprint(), "test_fingerprint": test.fingerprint(),
        "tier": study.tier, "seed": study.seed,
    }  # fmt: skip


def _made(
    kind: str, train: SourceCohort, bundle: Bundle, out: Path, study: Study, report: Report
) -> list[PreparedSubject]:
    """Return the synthetic subjects of one kind, made now or before."""
    if kind == SYNTHETIC:
        wanted = [(number, None) for _ in range(study.copies) for number in range(len(train))]
        maps = out / "prepared" / "maps"
        known = RerenderedCohort(bundle, train, wanted, seed=study.seed, varied=True, maps=maps)
        known.keep_maps(partial(report.count, "label maps prepared"))
        cohort: SourceCohort = known
    else:
        counts = Counter(train.subject_pathologies)
        conditions = tuple(Condition(pathology=p, count=study.copies * counts[p]) for p in Pathology if counts[p])
        cohort = GeneratedCohort(bundle, plan(Recipe(conditions=conditions, seed=study.seed), bundle))
    return prepare_set(cohort, out / "sets" / kind, study.sizes, report, f"{kind} subjects made")


def _taught(arm: str) -> list[str]:
    """Return what an arm learns here, one after the other."""
    return arm.removeprefix(f"{HEARTS},").split(",")


def _trained(
    arm: str,
    subjects: Mapping[str, list[PreparedSubject]],
    observer: Observer,
    out: Path,
    study: Study,
    report: Report,
    *,
    start: UNet | None = None,
) -> ArmScores:
    """Train with every seed on the subjects of an arm, part after part, and return the scores.

    Two arms that begin alike share the trainings that they begin with.
    """
    taught = _taught(arm)
    seen = {part: _together([subjects[kind] for kind in part.split("+")]) for part in taught}
    count = len({subject.subject_id for part in seen.values() for subject in part})
    rows = []
    for seed in range(study.seeds):
        report.stage(f"{arm}, seed {seed}: {count} subjects")
        net, learnt = (start, [HEARTS]) if arm.startswith(f"{HEARTS},") else (None, [])
        for part in taught:
            learnt.append(part)
            folder = out / "arms" / ",".join(learnt) / f"seed-{seed}"
            scores, net = observer.segment(seen[part], folder, training_seed(study.seed, seed), start=net)
        rows.append(scores)
    return ArmScores(name=arm, trained=count, added=0, subjects=rows)


def _together(kinds: Sequence[list[PreparedSubject]]) -> list[PreparedSubject]:
    """Return the subjects of all kinds, those of smaller ones repeated, so that either is seen equally often."""
    most = max(map(len, kinds))
    return [subject for kind in kinds for subject in kind * max(1, round(most / len(kind)))]


def _document(
    outcome: Outcome, train: SourceCohort, study: Study, sizes: Tier, bundle: Bundle | None
) -> dict[str, object]:
    """Return the results as JSON-able values, with all that they depend on."""
    arms = [
        {"name": arm.name, "trained": arm.trained, "share_of_real": outcome.share(arm),
         "summary": {name: asdict(s) for name, s in arm.summary().items() if name.startswith(("dice/", "hd95_mm/"))},
         "seeds": arm.subjects}
        for arm in outcome.arms
    ]  # fmt: skip
    found = {name: {m: asdict(i) for m, i in row.items()} for name, row in outcome.differences(study.seed).items()}
    return {
        "cohort": train.name, "train": len(train), "test": len(outcome.arms[0].subjects[0]), "copies": study.copies,
        "tier": study.tier, "sizes": asdict(sizes), "seeds": study.seeds, "seed": study.seed,
        "bundle": origin(bundle) if bundle else None, "torch": torch.__version__, "differences": found, "arms": arms,
    }  # fmt: skip
