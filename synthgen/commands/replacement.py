"""`synthgen evaluate replacement` and `transfer`: what segmentors learn from synthetic subjects alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.commands.cohorts import cohort_of
from synthgen.commands.console import emit, study_report
from synthgen.commands.options import FOLDER, device_option, json_option, seed_option
from synthgen.commands.tables import head, interval, intervals_over, millimetres, percent

if TYPE_CHECKING:
    from synthgen.replacement import Outcome

_TIER = click.option(
    "--tier",
    type=click.Choice(["small", "standard", "large"]),
    default="small",
    show_default=True,
    help="Row of the table of sizes and budgets: minutes, hours, or for a GPU.",
)
_BUDGET = click.option(
    "--budget",
    type=float,
    default=1.0,
    show_default=True,
    help="Factor on the steps of every U-Net; at the tier standard, 70 real subjects still gain from 4.",
)
_OUT = click.option("--out", type=FOLDER, required=True, help="Folder of the study: new, or one to go on with.")


@click.command()
@click.argument("cohort")
@_OUT
@click.option(
    "--arm",
    "arms",
    multiple=True,
    help="real, synthetic, latent, real+synthetic, real+latent, or in turn synthetic,real or hearts,real; repeatable.  "
    "[default: the first five]",
)
@click.option("--keep", type=int, help="Real subjects that train, classes in turn.  [default: all that do not test]")
@click.option("--copies", type=int, default=4, show_default=True, help="Synthetic subjects per training subject.")
@click.option("--seeds", type=int, default=3, show_default=True, help="Trainings in each arm.")
@click.option(
    "--recolour",
    is_flag=True,
    help="Let views differ in contrast, tone, sharpness and noise too; the paper's are turned, shifted and bent alone.",
)
@_TIER
@_BUDGET
@click.option(
    "--bundle",
    help="Generator; fit: one fitted here on the training subjects; default: that of virtual hearts, which has seen no "
    "patient.  [default: fit for patients, else default]",
)
@device_option
@seed_option
@json_option
def replacement(
    cohort: str,
    out: Path,
    arms: tuple[str, ...],
    keep: int | None,
    copies: int,
    seeds: int,
    recolour: bool,
    tier: str,
    budget: float,
    bundle: str | None,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Replace the training subjects of COHORT by synthetic ones, or add these, and measure a U-Net on real ones.

    COHORT is acdc:DIR, mnms:DIR, nifti:DIR or tissues:DIR, of which 30 % test and a generator is fitted on the rest, or
    hearts:100: so many virtual hearts train, others test. Arms: real; synthetic (the training subjects' label maps,
    bent and with larger or smaller hearts, with new images in all vendors' styles); latent (new anatomies of the same
    classes); real and synthetic or latent together, either kind seen equally often; or what commas join, one after the
    other, as many steps each: hearts,real goes on from the segmentor of the bundle that is handed in, else of the
    bundle default, which has learnt from virtual hearts. All have that segmentor's layers. With --keep fewer real
    subjects train, others are made from these alone, and the same ones test. The second table shows differences to
    real with 95 % intervals over trainings and test subjects.

    An interrupted study goes on when the same command is run again; OUT/results.json has every subject's numbers. This
    is section 4.6 of Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123).
    """
    from synthgen.evaluation.study_folder import RESULTS_FILE
    from synthgen.evaluation.tiers import TIERS
    from synthgen.hearts.virtual_hearts import VirtualHearts
    from synthgen.replacement import ARMS, MOVED, RECOLOURED, Study, measure_replacement
    from synthgen.study_sources import pseudo_real

    views = RECOLOURED if recolour else MOVED
    study = Study(
        arms=arms or ARMS, keep=keep, copies=copies, views=views, budget=budget, seeds=seeds, tier=tier, bundle=bundle,
        seed=seed, device=device,
    )  # fmt: skip
    source, test = cohort_of(cohort, seed=seed, quiet=as_json), None
    if isinstance(source, VirtualHearts):
        source, test = pseudo_real(len(source), seed=seed, test_count=TIERS[tier].test_hearts)
    with study_report(out, quiet=as_json) as report:
        outcome = measure_replacement(source, out, study, test=test, report=report)
    document = json.loads((out / RESULTS_FILE).read_text(encoding="utf-8"))
    emit(document, _tables(outcome, seed), as_json=as_json)


@click.command()
@click.argument("dataset", type=FOLDER)
@click.argument("cohort")
@_OUT
@click.option("--seeds", type=int, default=3, show_default=True, help="Trainings.")
@_TIER
@device_option
@seed_option
@json_option
def transfer(
    dataset: Path, cohort: str, out: Path, seeds: int, tier: str, device: str, seed: int, as_json: bool
) -> None:
    """Train a U-Net on DATASET alone and measure it on all subjects of COHORT, which it never saw.

    DATASET is what `synthgen build` or `render` wrote, in any format, not from subjects of COHORT: label maps of theirs
    and a generator that was fitted on COHORT itself are recognised and refused; one that was fitted on a part or a copy
    of it, such as the folder that `segment` wrote of it, is not. COHORT is acdc:DIR, mnms:DIR, nifti:DIR, tissues:DIR
    or hearts:100, virtual hearts that no bundle has seen. Windows are centred on the heart by its labels, in training
    and in testing.
    """
    from synthgen.datasets.published_cohort import PublishedCohort
    from synthgen.evaluation.study_folder import RESULTS_FILE
    from synthgen.hearts.virtual_hearts import VirtualHearts
    from synthgen.replacement import Study, measure_transfer
    from synthgen.study_sources import pseudo_real

    study = Study(seeds=seeds, tier=tier, seed=seed, device=device)
    made, source = PublishedCohort(dataset), cohort_of(cohort, seed=seed, quiet=as_json)
    if isinstance(source, VirtualHearts):
        source = pseudo_real(1, seed=seed, test_count=len(source))[1]
    with study_report(out, quiet=as_json) as report:
        outcome = measure_transfer(made, source, out, study, report=report)
    document = json.loads((out / RESULTS_FILE).read_text(encoding="utf-8"))
    emit(document, _tables(outcome, seed), as_json=as_json)


def _tables(outcome: Outcome, seed: int) -> str:
    """Return the arms, and their differences to `real`, as tables in Markdown."""
    first = outcome.arms[0]
    tested, trainings = len(first.subjects[0]), len(first.subjects)
    lines = [
        f"{tested} subjects tested, {trainings} trainings per arm; mean and standard deviation over the trainings",
        "Dice in percent, HD95 in mm",
        "",
        *head(["arm", "subjects", "Dice LV", "MYO", "RV", "mean", "HD95 mean", "of real's Dice"]),
    ]
    for arm in outcome.arms:
        summary, share = arm.summary(), outcome.share(arm)
        cells = [percent(summary[f"dice/{name}"]) for name in ("lv", "myo", "rv", "mean")]
        cells += [millimetres(summary["hd95_mm/mean"]), "n/a" if math.isnan(share) else f"{share:.3f}"]
        lines.append(f"| {arm.name} | {arm.trained} | {' | '.join(cells)} |")
    differences = outcome.differences(seed)
    if differences:
        lines += ["", intervals_over(trainings), ""]
        lines += head(["difference", "Dice", "HD95"])
    for name, found in differences.items():
        lines.append(f"| {name} - real | {interval(found['dice'], 100)} | {interval(found['hd95_mm'], 1)} |")
    return "\n".join([*lines, "", f"results in {outcome.folder}"])
