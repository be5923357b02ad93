"""What studies are made of: trainings, virtual hearts that no bundle has seen, prepared subjects, and a generator.

A generator is handed in and checked, or fitted on the training subjects of the study and on nobody else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from synthgen.cohorts.prepared import PreparedStore
from synthgen.cohorts.preprocess import PreparedSubject
from synthgen.cohorts.selection import Selection
from synthgen.engine.donors import DonorBank
from synthgen.engine.generate import DONORS_FILE
from synthgen.errors import InputError
from synthgen.evaluation.study_folder import claim_folder
from synthgen.evaluation.tiers import TIERS, Tier
from synthgen.fit import fit
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.networks.bundle import Bundle, load_bundle
from synthgen.networks.device import device_of
from synthgen.subjects import SourceCohort
from synthgen.training.report import Report

FIT = "fit"
"""Instead of a bundle's name: fit one here, on the training subjects."""

SET_FILE = "set.json"
"""Tells what a folder of made subjects was made from."""

_TRAININGS = 1_000
"""Training seeds of a study lie so far from those of the next."""

_TRAIN_SEED, _TEST_SEED = 1_000, 2_000
"""Added to a study's seed for its virtual hearts; the default bundle's are those of seed 0."""


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """What studies of trained networks share.

    Attributes
    ----------
    seeds
        Trainings of each network in each arm, from seed 0.
    tier
        A row of `evaluation.tiers.TIERS`.
    bundle
        Name or folder of the generator, which has seen the study's training subjects alone, or no patient; or `FIT`;
        None: that for patients, `default` for virtual hearts.
    seed
        Root of all other chance: split, synthetic subjects, intervals.
    device
        `auto`, `cpu` or a CUDA device; for training.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    seeds: int = 3
    tier: str = "small"
    bundle: str | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before any work."""
        if self.tier not in TIERS:
            raise InputError("tier", expected=f"one of {', '.join(TIERS)}", got=repr(self.tier))
        device_of(self.device)
        if self.seeds < 1:
            raise InputError("seeds", expected="at least 1", got=f"{self.seeds}")

    @property
    def processor(self) -> str:
        """Where networks are trained: the device asked for, with `auto` decided."""
        return device_of(self.device)

    @property
    def sizes(self) -> Tier:
        """The row of the table."""
        return TIERS[self.tier]


def pseudo_real(count: int, *, seed: int = 0, test_count: int) -> tuple[VirtualHearts, VirtualHearts]:
    """Return virtual hearts to train on and to test on, none of which the default bundle has seen.

    The test hearts have another seed and another setting of the simulator: they are imaged at each scanner's own pixel
    size (1.1 to 1.55 mm, drawn per subject), those to train on at 1.5 mm. Anatomy and contrast are of one population.
    """
    test = VirtualHearts(test_count, seed=_TEST_SEED + seed, pixels=176, spacing_mm=None)
    return VirtualHearts(count, seed=_TRAIN_SEED + seed), test


def hearts_of(cohort: SourceCohort) -> VirtualHearts | None:
    """Return the virtual hearts that a cohort is, or was chosen from; None for any other."""
    while isinstance(cohort, Selection):
        cohort = cohort.cohort
    return cohort if isinstance(cohort, VirtualHearts) else None


def prepare_parts(
    parts: Mapping[str, SourceCohort], out: Path, sizes: Tier, report: Report
) -> dict[str, list[PreparedSubject]]:
    """Bring the parts of a study, `train` and `test` among them, to the grid of its tier, below `out/prepared`.

    Raises
    ------
    InputError
        If a subject is in both.
    """
    prepared: dict[str, list[PreparedSubject]] = {}
    for name, part in parts.items():
        store = PreparedStore(out / "prepared" / name, pixels=sizes.pixels, spacing_mm=sizes.spacing_mm)
        store.fill(part, progress=partial(report.count, f"{name} subjects prepared"))
        prepared[name] = list(store)
    shared = sorted(set.intersection(*({s.subject_id for s in prepared[name]} for name in ("train", "test"))))
    if shared:
        raise InputError("test subjects", expected="none that trains", got=f"{len(shared)}, such as {shared[0]}")
    return prepared


def prepare_set(cohort: SourceCohort, folder: Path, sizes: Tier, report: Report, noun: str) -> list[PreparedSubject]:
    """Make the subjects of a cohort that a bundle or the simulator makes, on the grid of a tier, now or before.

    Raises
    ------
    InputError
        If `folder` holds what another cohort made.
    """
    claim_folder(folder, {"fingerprint": hashlib.sha256(cohort.fingerprint().encode()).hexdigest()}, file=SET_FILE)
    store = PreparedStore(folder, pixels=sizes.pixels, spacing_mm=sizes.spacing_mm)
    store.fill(cohort, progress=partial(report.count, noun))
    return list(store)


def training_seed(study_seed: int, number: int) -> int:
    """Return the root seed of training `number` of a study; no two studies share one."""
    return _TRAININGS * study_seed + number


def bundle_name(asked: str | None, cohort: SourceCohort) -> str:
    """Return the generator of a study: as asked for, else `default` for virtual hearts, `FIT` for any other cohort."""
    return asked or ("default" if hearts_of(cohort) is not None else FIT)


def open_bundle(name: str, train: SourceCohort) -> Bundle | None:
    """Return the bundle that was handed in, None if one is to be fitted.

    Raises
    ------
    InputError
        If there is none of this name, or the training subjects are patients and it was fitted on others.
    """
    if name == FIT:
        return None
    bundle = load_bundle(name)
    source = str(bundle.description.provenance.get("source"))
    if train.of_patients and source != train.fingerprint() and not source.startswith(f"{VirtualHearts.name}, "):
        raise InputError(
            f"bundle {bundle.name}",
            expected="one that was fitted on the training subjects of this study alone, or on virtual hearts",
            got="one fitted on others",
            hint=f"With --bundle {FIT} the study fits one",
        )
    return bundle


def refuse_if_seen(bundle: Bundle, tested: list[PreparedSubject]) -> None:
    """Refuse a bundle that holds a test subject; of virtual hearts, whose ids it keeps, one is enough to tell."""
    donors = set(DonorBank.from_tensors(bundle.tensors(DONORS_FILE)).ids)
    seen = sorted(donors.intersection(subject.subject_id for subject in tested))
    if seen:
        raise InputError(f"bundle {bundle.name}", expected="one that saw no test subject", got=f"{seen[0]} in it")


def fit_bundle(
    train: SourceCohort, out: Path, sizes: Tier, *, seed: int, device: str, report: Report, mixing: bool = True
) -> Bundle:
    """Return the generator in `out/bundle`, fitted on the training subjects now or before; see `fit` for `mixing`."""
    folder = out / "bundle"
    if not folder.exists():
        report.stage(f"fitting a generator on {len(train)} training subjects")
        fit(
            train, folder, preset=sizes.preset, budget=sizes.budget, seed=seed, device=device, keep_anatomy=True,
            mixing=mixing, report=report,
        )  # fmt: skip
    return load_bundle(folder)


def origin(bundle: Bundle) -> dict[str, object]:
    """Return what a bundle was fitted on, for the reader to judge who saw what."""
    described = bundle.description
    return {"name": bundle.name, "fitted_on": described.provenance.get("source"), **described.source.model_dump()}
