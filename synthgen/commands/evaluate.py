"""`synthgen evaluate`: experiments of papers, as commands that run on any cohort."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.commands.cohorts import cohort_of
from synthgen.commands.console import emit, study_report
from synthgen.commands.options import FOLDER, device_option, json_option, seed_option
from synthgen.commands.replacement import replacement, transfer
from synthgen.commands.tables import head, interval, intervals_over, millimetres, percent
from synthgen.errors import InputError

if TYPE_CHECKING:
    from synthgen.evaluation.arms import Rarity
    from synthgen.few_labels import Outcome
    from synthgen.quality import Outcome as Compared
    from synthgen.rebalance import Outcome as Balanced
    from synthgen.vendor_check import Recognition


@click.group()
def evaluate() -> None:
    """Measure what networks learn from a cohort."""


evaluate.add_command(replacement)
evaluate.add_command(transfer)


@evaluate.command()
@click.argument("cohort")
@click.option("--out", type=FOLDER, required=True, help="Folder of the study: new, or one to go on with.")
@click.option(
    "--fraction",
    "fractions",
    type=float,
    multiple=True,
    help="Labelled part of the training subjects, above 0 and at most 1; repeatable.  [default: 1, 0.25, 0.06, 0.015]",
)
@click.option("--samples", type=int, help="Images that each SDNet sees.  [default: the preset's]")
@click.option("--preset", default="small", show_default=True, help="Row of the table of network sizes and budgets.")
@click.option("--pixels", type=int, help="Edge of the images, 192 mm, in pixels.  [default: the preset's]")
@click.option(
    "--labelled-shapes",
    is_flag=True,
    help="Show the mask discriminator masks of labelled subjects only, not those of all training subjects.",
)
@device_option
@seed_option
@json_option
def labels(
    cohort: str,
    out: Path,
    fractions: tuple[float, ...],
    samples: int | None,
    preset: str,
    pixels: int | None,
    labelled_shapes: bool,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Segment COHORT with few labels: SDNet, which learns from unlabelled images too, against a U-Net.

    COHORT is hearts:100 (that many virtual hearts), acdc:DIR, mnms:DIR or nifti:DIR. 70 % of the subjects train, 30 %
    test, stratified by class. Both networks make as many steps, on images moved alike; the U-Net is SDNet's anatomy
    encoder. SDNet's critic of shapes sees the masks of all training subjects unless --labelled-shapes is given. The
    table shows Dice coefficients in percent, mean and standard deviation over the test subjects.

    An interrupted study goes on when the same command is run again. OUT/results.json has every subject's numbers,
    OUT/split.json who was tested. This is section 5.1 of Chartsias et al. 2019 (doi 10.1016/j.media.2019.101535).
    """
    from synthgen.evaluation.study_folder import RESULTS_FILE
    from synthgen.few_labels import FRACTIONS, Study, compare_with_few_labels

    study = Study(
        preset=preset,
        fractions=fractions or FRACTIONS,
        samples=samples,
        pixels=pixels,
        labelled_shapes=labelled_shapes,
        seed=seed,
        device=device,
    )
    source = cohort_of(cohort, seed=seed, quiet=as_json)
    with study_report(out, quiet=as_json) as report:
        outcome = compare_with_few_labels(source, out, study, report=report)
    document = json.loads((out / RESULTS_FILE).read_text(encoding="utf-8"))
    emit(document, _table(outcome), as_json=as_json)


def _table(outcome: Outcome) -> str:
    """Return the arms as a table in Markdown."""
    lines = [
        f"{outcome.train} subjects trained, {outcome.test} tested; Dice in percent, mean and standard deviation",
        "",
        "| labelled | network | LV | MYO | RV | mean |",
        "|---|---|---|---|---|---|",
    ]
    for arm in outcome.arms:
        cells = [f"{100 * s.mean:.1f} ± {100 * s.sd:.1f}" for s in (arm.dice[n] for n in ("lv", "myo", "rv", "mean"))]
        lines.append(f"| {100 * arm.fraction:g} % ({arm.labelled}) | {arm.network} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"results in {outcome.folder}"])


@evaluate.command()
@click.argument("cohort")
@click.option("--out", type=FOLDER, required=True, help="Folder of the study: new, or one to go on with.")
@click.option(
    "--by",
    type=click.Choice(["class", "vendor", "set"]),
    default="class",
    show_default=True,
    help="What is under-represented; set: nothing is, a balanced set becomes twice as large.",
)
@click.option("--rare", help="The rare class, such as ARV, or the letter of the rare vendor.  [default: ARV or D]")
@click.option(
    "--keep", type=int, help="Rare training subjects that remain; with --by set, of each class.  [default: 4, or all]"
)
@click.option(
    "--fill",
    type=int,
    default=1,
    show_default=True,
    help="How many times over arms add what is missing; 2: twice as many subjects as would fill the gap.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    help="original, oversampling, mix, latent, rendered, oracle, wrong-class, spade, acgan; mix-without-j, "
    "mix-without-f, mix-without-both; repeatable.  [default: all possible of the first nine]",
)
@click.option("--seeds", type=int, default=3, show_default=True, help="Trainings of each network in each arm.")
@click.option(
    "--tier",
    type=click.Choice(["small", "standard", "large"]),
    default="small",
    show_default=True,
    help="Row of the table of sizes and budgets: minutes, hours, or for a GPU.",
)
@click.option(
    "--bundle",
    help="Generator; fit: one fitted here on the training subjects.  [default: fit for patients, else default]",
)
@device_option
@seed_option
@json_option
def rebalance(
    cohort: str,
    out: Path,
    by: str,
    rare: str | None,
    keep: int | None,
    fill: int,
    arms: tuple[str, ...],
    seeds: int,
    tier: str,
    bundle: str | None,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Make a class or a vendor of COHORT rare, fill the gap in several ways, and measure what each is worth.

    A residual classifier and a U-Net are trained on every arm, with as many steps each: original (the rare subjects as
    they are), oversampling (repeated), mix and latent (generated), rendered (as latent, but the original subjects too
    train in rendered images of their own label maps), oracle (more of the simulator's), wrong-class (generated subjects
    of another class that are said to be of the rare one), spade (new images of known label maps), acgan (levels of an
    AC-GAN that is trained on the same subjects; for the classifier alone). They are tested on held-out subjects; the
    second table shows differences with 95 % intervals over training seeds and test subjects.

    COHORT is acdc:DIR, mnms:DIR or nifti:DIR, of which 30 % test and a generator is fitted on the rest alone, or
    hearts:100: so many virtual hearts train, others test, at the scanners' own pixel size, which is not that of
    training. The default bundle has seen neither, but many of the rare class from the same simulator.

    An interrupted study goes on when the same command is run again; OUT/results.json has every subject's numbers. This
    is section 3 of Thermos et al. 2021 (doi 10.1007/978-3-030-87199-4_15).
    """
    from synthgen.evaluation.study_folder import RESULTS_FILE
    from synthgen.evaluation.tiers import TIERS
    from synthgen.hearts.virtual_hearts import VirtualHearts
    from synthgen.rebalance import Study
    from synthgen.rebalance import rebalance as run
    from synthgen.study_sources import pseudo_real

    rarity = replace(_rarity(by, rare, keep), fill=fill)
    study = Study(rarity=rarity, arms=arms or None, seeds=seeds, tier=tier, bundle=bundle, seed=seed, device=device)
    source, test = cohort_of(cohort, seed=seed, quiet=as_json), None
    if isinstance(source, VirtualHearts):
        source, test = pseudo_real(len(source), seed=seed, test_count=TIERS[tier].test_hearts)
    with study_report(out, quiet=as_json) as report:
        outcome = run(source, out, study, test=test, report=report)
    document = json.loads((out / RESULTS_FILE).read_text(encoding="utf-8"))
    emit(document, _balanced_tables(outcome), as_json=as_json)


@evaluate.command()
@click.argument("cohort")
@click.option("--out", type=FOLDER, required=True, help="Folder of the study: new, or one to go on with.")
@click.option(
    "--arm",
    "arms",
    multiple=True,
    help="spade, pix2pixhd or pix2pix; -heart appended: labels of the heart alone; -50, -25 or -12 appended: so many "
    "percent of the training subjects; repeatable.  [default: spade, spade-heart, spade-50, spade-25, spade-12, "
    "pix2pixhd, pix2pix]",
)
@click.option("--samples", type=click.IntRange(min=1), help="Slices that each generator sees.  [default: the preset's]")
@click.option("--preset", default="small", show_default=True, help="Row of the table of network sizes and budgets.")
@click.option("--pixels", type=int, help="Edge of the images, 192 mm, in pixels.  [default: the preset's]")
@click.option("--bundle", default="default", show_default=True, help="Bundle that labels tissues that nobody labelled.")
@device_option
@seed_option
@json_option
def quality(
    cohort: str,
    out: Path,
    arms: tuple[str, ...],
    samples: int | None,
    preset: str,
    pixels: int | None,
    bundle: str,
    device: str,
    seed: int,
    as_json: bool,
) -> None:
    """Render held-out subjects of COHORT from their labels and compare with their images: SSIM, PSNR and NRMSE.

    COHORT is hearts:100 (that many virtual hearts), acdc:DIR, mnms:DIR, nifti:DIR or tissues:DIR. 70 % of the subjects
    train, 30 % test, stratified by class; slices without heart are left out. Every arm makes as many steps with
    generators of about one size, in the style of the subject's own images. The second table shows paired differences
    to the first arm with 95 % intervals over the test subjects.

    An interrupted study goes on when the same command is run again. This is section 4.4 of Amirrajab et al. 2022 (doi
    10.1016/j.compmedimag.2022.102123).
    """
    from synthgen.evaluation.study_folder import RESULTS_FILE
    from synthgen.quality import ARMS, Study, compare_renderers

    study = Study(
        preset=preset, arms=arms or ARMS, samples=samples, pixels=pixels, bundle=bundle, seed=seed, device=device
    )
    source = cohort_of(cohort, seed=seed, quiet=as_json)
    with study_report(out, quiet=as_json) as report:
        outcome = compare_renderers(source, out, study, report=report)
    document = json.loads((out / RESULTS_FILE).read_text(encoding="utf-8"))
    emit(document, _quality_tables(outcome), as_json=as_json)


def _quality_tables(outcome: Compared) -> str:
    """Return the arms and their differences to the first as tables in Markdown."""
    lines = [f"{outcome.tested} subjects tested; mean and standard deviation over them", ""]
    lines += head(["arm", "trained on", "SSIM", "PSNR dB", "NRMSE"])
    for arm in outcome.arms:
        s = arm.summary
        cells = [f"{s['ssim'].mean:.3f} ± {s['ssim'].sd:.3f}", f"{s['psnr_db'].mean:.1f} ± {s['psnr_db'].sd:.1f}"]
        lines.append(
            f"| {arm.name} | {arm.trained} | {' | '.join(cells)} | {s['nrmse'].mean:.3f} ± {s['nrmse'].sd:.3f} |"
        )
    lines += ["", *head([f"difference to {outcome.arms[0].name}", "SSIM", "PSNR dB", "NRMSE"])]
    for name, found in outcome.differences.items():
        cells = [interval(i, 1, digits=3) for i in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"results in {outcome.folder}"])


@evaluate.command()
@click.argument("dataset", type=FOLDER)
@click.argument("cohort")
@click.option("--out", type=FOLDER, required=True, help="Folder of the study: new, or one to go on with.")
@click.option("--samples", type=click.IntRange(min=1), default=48_000, show_default=True, help="Levels learnt from.")
@device_option
@seed_option
@json_option
def vendors(dataset: Path, cohort: str, out: Path, samples: int, device: str, seed: int, as_json: bool) -> None:
    """Ask a classifier of vendors, trained on COHORT, what it takes the subjects of DATASET for.

    COHORT is what the generator of DATASET was fitted on: hearts:320, acdc:DIR, mnms:DIR, nifti:DIR or tissues:DIR.
    30 % of its subjects are held out; the first row of each vendor is about those, and tells what the classifier is
    worth.
    """
    from synthgen.datasets.published_cohort import PublishedCohort
    from synthgen.vendor_check import recognise_vendors

    made, source = PublishedCohort(dataset), cohort_of(cohort, seed=seed, quiet=as_json)
    with study_report(out, quiet=as_json) as report:
        found = recognise_vendors(made, source, out, samples=samples, seed=seed, device=device, report=report)
    document = json.loads(found.file.read_text(encoding="utf-8"))
    emit(document, _recognition_table(found), as_json=as_json)


def _recognition_table(found: Recognition) -> str:
    """Return both confusion tables in Markdown."""
    from synthgen.vendor_check import VENDORS, recognised

    lines = head(["said to be", "subjects", *(f"taken for {v}" for v in VENDORS), "recognised"])
    for part, confusion in (("held out", found.held_out), ("dataset", found.dataset)):
        for vendor, row in confusion.items():
            counts = [str(row.get(v.value, 0)) for v in VENDORS]
            share = f"{100 * recognised(confusion, vendor):.1f} %"
            lines.append(f"| {vendor}, {part} | {sum(row.values())} | {' | '.join(counts)} | {share} |")
    shares = [f"{100 * recognised(c):.1f} %" for c in (found.held_out, found.dataset)]
    return "\n".join([*lines, "", f"recognised: {shares[0]} of the held out, {shares[1]} of the dataset"])


def _rarity(by: str, rare: str | None, keep: int | None) -> Rarity:
    """Return what is rare as the options say it."""
    from synthgen.evaluation.arms import Rarity
    from synthgen.labels import Pathology, Vendor

    if by == "class":
        return Rarity(by="class", rare=Pathology.parse(rare or Pathology.ARV, subject="--rare"), keep=keep)
    if by == "vendor":
        return Rarity(by="vendor", rare=Vendor.parse(rare or Vendor.D, subject="--rare"), keep=keep)
    if rare is not None:
        raise InputError("--rare", expected="nothing with --by set", got=repr(rare))
    return Rarity(by="set", rare=None, keep=keep)


def _balanced_tables(outcome: Balanced) -> str:
    """Return the arms, and their differences to the controls, as tables in Markdown."""
    rare = outcome.rarity.rare
    of_rare = [] if rare is None else ["recall " + rare if outcome.rarity.by == "class" else "accuracy " + rare]
    header = ["arm", "subjects", "added", "accuracy", *of_rare, "Dice LV", "MYO", "RV", "HD95 LV", "MYO", "RV"]
    places = [f"{kind}/{name}" for kind in ("dice", "hd95_mm") for name in ("lv", "myo", "rv")]
    tested, trainings = len(outcome.arms[0].subjects[0]), len(outcome.arms[0].subjects)
    lines = [
        f"{tested} subjects tested, {trainings} trainings per arm; mean and standard deviation over the trainings",
        "Accuracy and Dice in percent, HD95 in mm",
        "",
        *head(header),
    ]
    for arm in outcome.arms:
        summary = arm.summary()
        right = [summary["accuracy"], *([summary["rare_accuracy"]] if of_rare else [])]
        cells = [percent(s) for s in (*right, *(summary[place] for place in places[:3]))]
        cells += [millimetres(summary[place]) for place in places[3:]]
        lines.append(f"| {arm.name} | {arm.trained} | {arm.added} | {' | '.join(cells)} |")
    rare_dice = [] if rare is None else [f"Dice {rare}"]
    names = [
        "accuracy",
        *(["rare_accuracy"] if of_rare else []),
        "dice",
        *(["rare_dice"] if of_rare else []),
        "hd95_mm",
    ]
    lines += ["", intervals_over(trainings), ""]
    lines += head(["difference", "accuracy", *of_rare, "Dice", *rare_dice, "HD95"])
    for control, arms in outcome.differences.items():
        for name, found in arms.items():
            cells = [interval(found[measure], 1 if measure == "hd95_mm" else 100) for measure in names]
            lines.append(f"| {name} - {control} | {' | '.join(cells)} |")
    lines += [f"\n{name} left out: {reason}" for name, reason in outcome.left_out.items()]
    return "\n".join([*lines, "", f"results in {outcome.folder}"])
