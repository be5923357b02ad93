"""`synthgen fit`: fit a generator on patients or virtual hearts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.commands.cohorts import cohort_of
from synthgen.commands.console import Reporter, emit
from synthgen.commands.options import FOLDER, device_option, json_option, seed_option, vendors
from synthgen.errors import InputError

if TYPE_CHECKING:
    from synthgen.labels import Vendor
    from synthgen.subjects import SourceCohort


@click.command()
@click.argument("cohort")
@click.option("--out", type=FOLDER, required=True, help="Folder of the bundle; must not exist.")
@click.option(
    "--preset",
    default="small",
    show_default=True,
    help="Sizes and lengths of trainings: small; paper, for a GPU; tiny, seconds for tests, too little to build from.",
)
@click.option("--budget", type=float, default=1.0, show_default=True, help="Factor on the length of every training.")
@click.option("--vendor", "letters", multiple=True, help="Fit on subjects of this vendor alone; repeat for several.")
@click.option(
    "--keep-anatomy", is_flag=True, help="Keep label and factor maps of patients in the bundle, for --method mix."
)
@click.option(
    "--no-mixing", is_flag=True, help="Leave out what --method mix and --renderer sdnet need, a third of the time."
)
@device_option
@seed_option
@json_option
def fit(
    cohort: str,
    out: Path,
    preset: str,
    budget: float,
    letters: tuple[str, ...],
    keep_anatomy: bool,
    no_mixing: bool,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Fit a generator on COHORT and write it as a bundle, from which `synthgen build --bundle` makes cohorts.

    COHORT is hearts:400 (that many virtual hearts), acdc:DIR, mnms:DIR, nifti:DIR, or tissues:DIR, which is nifti:DIR
    with labels of all nine tissues, such as `synthgen segment` writes. An interrupted fit goes on when
    the same command is run again. One generator renders all vendors of COHORT; with --vendor A it is one for vendor A,
    as Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123) have one each. A bundle that was fitted on patients
    falls under their terms; it says so itself.
    """
    source = _of_vendors(cohort_of(cohort, seed=seed, quiet=as_json), vendors(letters))
    from synthgen.fit import fit as fit_bundle
    from synthgen.training.report import Report

    with Reporter("samples", quiet=as_json) as reporter:
        report = Report(stage=reporter.announce, count=reporter.count)
        folder = fit_bundle(
            source,
            out,
            preset=preset,
            budget=budget,
            seed=seed,
            device=device,
            keep_anatomy=keep_anatomy,
            mixing=not no_mixing,
            report=report,
        )
    emit({"bundle": str(folder), "preset": preset, "cohort": cohort}, f"bundle in {folder}", as_json=as_json)


def _of_vendors(cohort: SourceCohort, wanted: tuple[Vendor, ...]) -> SourceCohort:
    """Return the subjects of some vendors, all if none is named; InputError if a vendor has none."""
    if not wanted:
        return cohort
    from synthgen.cohorts.selection import Selection

    missing = sorted(set(wanted) - set(cohort.subject_vendors))
    if missing:
        raise InputError("--vendor", expected=f"one that {cohort.name} has subjects of", got=f"{missing[0]}")
    return Selection(cohort, [i for i, vendor in enumerate(cohort.subject_vendors) if vendor in wanted])
