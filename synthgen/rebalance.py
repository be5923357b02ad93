"""`rebalance`: what generated subjects are worth to networks that are trained with them, beside fair controls.

The main experiment of Thermos et al. 2021 (DAA-GAN, doi 10.1007/978-3-030-87199-4_15, section 3) on any cohort: a
class or a vendor is made rare among the training subjects (or a balanced set is taken), the gap is filled in several
ways, and a classifier and a segmentor trained on each are measured on subjects that nothing has seen.

Who saw what. Test subjects are seen by nobody: not by the classifier and the segmentor, nor by a generator that is
fitted here, which sees the thinned training subjects alone. A patients' bundle that is handed in must have been fitted
on exactly those. Virtual hearts may be studied with the default bundle: it was fitted on other hearts of the same
simulator, with many of the rare class, so it knows more of that class than the few training subjects tell; a gain then
shows what its subjects are worth, not that it could have been fitted on so few. The oracle arm is the simulator itself.

Every training and every generated set lies in a folder of its own; made again, the same call skips the finished ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from synthgen.cohorts.preprocess import PreparedSubject
from synthgen.cohorts.selection import Selection
from synthgen.engine.anatomies import ANATOMIES_FILE
from synthgen.engine.generate import UnreachableError
from synthgen.engine.made_cohort import GeneratedCohort, RerenderedCohort
from synthgen.engine.plan import plan, require_factors
from synthgen.engine.recipe import Recipe
from synthgen.engine.styles import vendors_of
from synthgen.engine.tissue_maps import SEGMENTOR
from synthgen.errors import InputError
from synthgen.evaluation.arm_scores import ArmScores
from synthgen.evaluation.arms import (
    ABLATIONS,
    MIX,
    ORACLE,
    ORIGINAL,
    OVERSAMPLING,
    RENDERED,
    SPADE,
    UNSEGMENTED,
    Arm,
    Rarity,
    plan_arm,
)
from synthgen.evaluation.bootstrap import Interval
from synthgen.evaluation.observer import Observer
from synthgen.evaluation.study_folder import RESULTS_FILE, SPLIT_FILE, claim_folder, write_json
from synthgen.evaluation.subject_split import split_subjects
from synthgen.factors.latents import LATENTS_FILE, LatentBank
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Pathology, Vendor
from synthgen.networks.bundle import Bundle
from synthgen.networks.classifier import CLASSES
from synthgen.processes import usable_processors
from synthgen.study_sources import (
    Trainings,
    bundle_name,
    fit_bundle,
    hearts_of,
    open_bundle,
    origin,
    prepare_parts,
    prepare_set,
    refuse_if_seen,
    training_seed,
)
from synthgen.subjects import SourceCohort
from synthgen.training.acgan import AcganObjective
from synthgen.training.loop import train
from synthgen.training.pairs import LevelPairs
from synthgen.training.report import Report

CONTROLS = (ORIGINAL, OVERSAMPLING)
"""Arms that all others are compared with."""

_ORACLE_SEED = 1_000_000
"""Added to the seed of the oracle's virtual hearts."""


@dataclass(frozen=True, kw_only=True)
class Study(Trainings):
    """What is compared.

    Attributes
    ----------
    rarity
        What is under-represented.
    arms
        Of `evaluation.arms.ARMS`; None: all that the rarity, the bundle and the cohort allow.
    """

    rarity: Rarity
    arms: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before any work."""
        super().__post_init__()
        for arm in self.arms or ():
            if arm not in (*self.rarity.arms, *ABLATIONS):
                expected = f"one of {', '.join((*self.rarity.arms, *ABLATIONS))} by {self.rarity.by}"
                raise InputError("arm", expected=expected, got=repr(arm))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What `rebalance` found out.

    Attributes
    ----------
    folder
        Where everything lies.
    rarity
        What was rare.
    arms
        Scores, in the order in which the arms were trained.
    differences
        By control and arm: intervals of `accuracy`, `dice` and `hd95_mm`, and of these on rare test subjects.
    left_out
        Arms that were not asked for by name and cannot be done, with the reason.
    """

    folder: Path
    rarity: Rarity
    arms: list[ArmScores]
    differences: dict[str, dict[str, dict[str, Interval]]]
    left_out: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class _Data:
    """The divided cohort, thinned and prepared."""

    cohort: SourceCohort
    train: list[PreparedSubject]
    test: list[PreparedSubject]


def rebalance(
    cohort: SourceCohort,
    out: Path | str,
    study: Study,
    *,
    test: SourceCohort | None = None,
    report: Report | None = None,
) -> Outcome:
    """Train the classifier and the segmentor in every arm with every seed, and measure them on held-out subjects.

    Parameters
    ----------
    cohort
        Whose subjects train.
    out
        Folder of this study alone. What is finished in it stays; arms and seeds may be added later.
    test
        Who tests; None: 30 % of `cohort`, stratified by class, or by vendor where a vendor is rare.

    Raises
    ------
    InputError
        If `out` holds something else or another study, an arm cannot be done, or the bundle does not fit the cohort.
    UnreachableError
        If an arm that was asked for by name needs a subject that the generator does not reach.
    """
    out, report = Path(out), report or Report()
    torch.set_num_threads(usable_processors())
    thinned, tested = _divide(cohort, test, study)
    kinds = list(zip(thinned.subject_pathologies, thinned.subject_vendors, strict=True))
    names, left_out = _possible(study, thinned)
    plans = [plan_arm(name, kinds, study.rarity) for name in names]
    makes = any(arm.generated or arm.rerendered for arm in plans)  # AC-GAN is no bundle
    bundle = open_bundle(bundle_name(study.bundle, thinned), thinned) if makes else None
    if bundle is not None and study.arms is not None and {MIX, *ABLATIONS} & set(study.arms):
        require_factors(bundle)
    data = _prepare(thinned, tested, out, study, report)
    if bundle is not None:
        refuse_if_seen(bundle, data.test)
    elif makes:
        bundle = fit_bundle(thinned, out, study.sizes, seed=study.seed, device=study.device, report=report)
    if bundle is not None and study.arms is None:
        left_out |= _beyond(bundle, thinned, plans)
    plans = [arm for arm in plans if arm.name not in left_out]
    sets = {arm.name: _made(arm, data, bundle, study) for arm in plans}  # what cannot be made is refused here
    outcome = Outcome(folder=out, rarity=study.rarity, arms=[], differences={}, left_out=left_out)
    for arm in plans:
        try:
            outcome.arms.append(_run_arm(arm, sets[arm.name], data, out, study, report))
        except UnreachableError as error:  # every time: the other arms are worth having without it
            if study.arms is not None:
                raise
            left_out[arm.name] = str(error)
        _compare(outcome, study)
        write_json(out / RESULTS_FILE, _document(outcome, data, study, bundle))  # readable while the rest is trained
    return outcome


def _divide(cohort: SourceCohort, test: SourceCohort | None, study: Study) -> tuple[Selection, SourceCohort]:
    """Return who trains, the rare ones made rare, and who tests."""
    if test is None:
        kinds_of = cohort.subject_vendors if study.rarity.by == "vendor" else cohort.subject_pathologies
        split = split_subjects(kinds_of, seed=study.seed)
        cohort, test = Selection(cohort, split.train), Selection(cohort, split.test)
    kinds = list(zip(cohort.subject_pathologies, cohort.subject_vendors, strict=True))
    return Selection(cohort, study.rarity.thin(kinds)), test


def _prepare(thinned: SourceCohort, test: SourceCohort, out: Path, study: Study, report: Report) -> _Data:
    """Write down who does what, and bring all to the common grid."""
    described = {
        "cohort": thinned.name, "train_fingerprint": thinned.fingerprint(), "test_fingerprint": test.fingerprint(),
        "by": study.rarity.by, "rare": study.rarity.rare and str(study.rarity.rare), "fill": study.rarity.fill,
        "tier": study.tier, "seed": study.seed, "bundle": bundle_name(study.bundle, thinned),
    }  # fmt: skip
    claim_folder(out, described)
    parts = prepare_parts({"train": thinned, "test": test}, out, study.sizes, report)
    ids = {name: [subject.subject_id for subject in subjects] for name, subjects in parts.items()}
    write_json(out / SPLIT_FILE, {**described, **ids})
    return _Data(cohort=thinned, train=parts["train"], test=parts["test"])


def _possible(study: Study, cohort: SourceCohort) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the arms to try, and those left out since the cohort cannot do them."""
    if hearts_of(cohort) is not None:
        return _asked(study) or study.rarity.arms, {}
    reason = "there is no simulator of patients"
    if study.arms is not None and ORACLE in study.arms:
        raise InputError(f"arm {ORACLE}", expected="virtual hearts", got=f"{cohort.name}: {reason}")
    return _asked(study) or tuple(a for a in study.rarity.arms if a != ORACLE), {} if study.arms else {ORACLE: reason}


def _asked(study: Study) -> tuple[str, ...]:
    return tuple(dict.fromkeys(study.arms or ()))


def _beyond(bundle: Bundle, cohort: SourceCohort, plans: Sequence[Arm]) -> dict[str, str]:
    """Return the arms that the bundle cannot do, with the reason."""
    known = LatentBank.from_tensors(bundle.tensors(LATENTS_FILE)).statistics
    out = {
        arm.name: f"bundle {bundle.name} was fitted on fewer than two {wanted.pathology} subjects"
        for arm in plans
        for wanted in arm.generated
        if wanted.pathology not in known
    }
    if ANATOMIES_FILE not in bundle.description.files:
        out[MIX] = f"bundle {bundle.name} has no anatomies to mix"
    schemes = (bundle.description.label_scheme, cohort.label_scheme)
    if schemes == ("tissue", "heart") and SEGMENTOR not in bundle.description.networks:
        reason = f"bundle {bundle.name} renders tissues that nobody labelled, and has no segmentor"
        out |= {SPADE: reason, RENDERED: reason}
    strange = set(cohort.subject_vendors).difference(vendors_of(bundle.description.styles))
    if strange:
        out[RENDERED] = f"bundle {bundle.name} has no style of vendor {min(strange)}"
    return out


def _run_arm(arm: Arm, sets: Sequence[SourceCohort], data: _Data, out: Path, study: Study, report: Report) -> ArmScores:
    """Make what the arm adds, train with every seed, and return the scores.

    AC-GAN is trained on the arm's own training levels, with each seed anew.
    """
    extra = [data.train[number] for number in arm.repeated]
    for number, cohort in enumerate(sets):
        folder = out / "sets" / f"{arm.name}-{number}"
        extra += prepare_set(cohort, folder, study.sizes, report, f"subjects of {arm.name} made")
    subjects = extra if arm.redrawn else [data.train[number] for number in arm.kept] + extra
    observer = Observer(study.sizes, data.test, study.rarity, device=study.processor, count=report.count)
    rows = []
    for seed in range(study.seeds):
        report.stage(f"{arm.name}, seed {seed}: {len(arm.kept) + arm.added} subjects, {arm.added} of them added")
        folder = out / "arms" / arm.name / f"seed-{seed}"
        root = training_seed(study.seed, seed)
        imitate = partial(_imitated, arm=arm, data=data, folder=folder, study=study, seed=root, report=report)
        segment = arm.name not in UNSEGMENTED
        rows.append(observer.observe(subjects, folder, root, segment=segment, imitate=imitate))
    return ArmScores(name=arm.name, trained=len(arm.kept) + arm.added, added=arm.added, subjects=rows)


def _imitated(
    levels: LevelPairs, *, arm: Arm, data: _Data, folder: Path, study: Study, seed: int, report: Report
) -> LevelPairs:
    """Return the levels and what AC-GAN makes for the arm: as many per subject as the training subjects have."""
    if not arm.imitated:
        return levels
    vendors = list(Vendor)
    of_subject = [vendors.index(data.train[number].vendor) for number in arm.kept]
    labels = np.stack([levels.classes, np.array(of_subject, np.int64)[levels.subjects]], axis=1)
    codes = (len(CLASSES), len(vendors))
    objective = AcganObjective(levels, study.sizes.acgan, labels=labels, codes=codes, seed=seed, device=study.processor)
    train(
        objective, work_dir=folder / "acgan",
        report=lambda p: report.count(f"samples of {arm.name} generator", p.samples, p.total),
    )  # fmt: skip
    each = round(len(levels) / len(arm.kept))
    present = sorted({vendors[number] for number in of_subject})
    wanted = [
        (CLASSES.index(condition.pathology), vendors.index(condition.vendor or present[number % len(present)]))
        for condition in arm.imitated
        for number in range(condition.count)
        for _ in range(each)
    ]
    made = np.array(wanted, np.int64)
    return levels.with_imitations(objective.draw(made, seed), made[:, 0])


def _made(arm: Arm, data: _Data, bundle: Bundle | None, study: Study) -> list[SourceCohort]:
    """Return the cohorts that the arm adds; nothing is made yet."""
    hearts = hearts_of(data.cohort)
    if arm.simulated and hearts is not None:
        return [
            VirtualHearts(
                wanted.count,
                seed=_ORACLE_SEED + len(Pathology) * hearts.seed + number,
                pathologies=[wanted.pathology],
                vendors=[wanted.vendor] if wanted.vendor else hearts.vendors,
                pixels=hearts.pixels,
                spacing_mm=hearts.spacing_mm,
                artefacts=hearts.artefacts,
            )
            for number, wanted in enumerate(arm.simulated)
        ]
    if bundle is None:
        return []
    sets: list[SourceCohort] = []
    wanted = arm.rerendered
    if arm.redrawn:
        wanted += tuple((number, data.cohort.subject_vendors[number]) for number in arm.kept)
    if wanted:
        sets.append(RerenderedCohort(bundle, data.cohort, wanted, seed=study.seed))
    if arm.generated:
        recipe = Recipe(conditions=arm.generated, seed=study.seed)
        specs = plan(recipe, bundle)
        sets.append(GeneratedCohort(bundle, specs, called=arm.called, refine=arm.refine, select=arm.select))
    return sets


def _compare(outcome: Outcome, study: Study) -> None:
    """Compare every arm with `original` and with `oversampling`, as far as they are there."""
    for control in outcome.arms:
        if control.name in CONTROLS:
            others = [arm for arm in outcome.arms if arm.name not in (control.name, ORIGINAL)]
            found = {arm.name: arm.against(control, seed=study.seed) for arm in others}
            outcome.differences[control.name] = found


def _document(outcome: Outcome, data: _Data, study: Study, bundle: Bundle | None) -> dict[str, object]:
    """Return the results as JSON-able values, with all that they depend on."""
    arms = [
        {"name": arm.name, "trained": arm.trained, "added": arm.added,
         "summary": {name: asdict(spread) for name, spread in arm.summary().items()}, "seeds": arm.subjects}
        for arm in outcome.arms
    ]  # fmt: skip
    intervals = {
        control: {arm: {name: asdict(interval) for name, interval in found.items()} for arm, found in by_arm.items()}
        for control, by_arm in outcome.differences.items()
    }
    kept = Counter(str(subject.pathology) for subject in data.train)
    return {
        "cohort": data.cohort.name, "train": dict(kept), "test": len(data.test), "rarity": asdict(study.rarity),
        "tier": study.tier, "sizes": asdict(study.sizes), "seeds": study.seeds, "seed": study.seed,
        "bundle": origin(bundle) if bundle else None, "left_out": outcome.left_out, "torch": torch.__version__,
        "differences": intervals, "arms": arms,
    }  # fmt: skip
