"""`synthgen evaluate`: experiments of papers, as commands that run on any cohort."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.commands.console import Reporter, emit
from synthgen.commands.fit import open_cohort
from synthgen.commands.options import FOLDER, device_option, json_option, seed_option

if TYPE_CHECKING:
    from synthgen.few_labels import Outcome


@click.group()
def evaluate() -> None:
    """Measure what networks learn from a cohort."""


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
    encoder. The table shows Dice coefficients in percent, mean and standard deviation over the test subjects.

    An interrupted study goes on when the same command is run again. OUT/results.json has every subject's numbers,
    OUT/split.json who was tested. This is section 5.1 of Chartsias et al. 2019 (doi 10.1016/j.media.2019.101535).
    """
    from synthgen.few_labels import FRACTIONS, RESULTS_FILE, Listener, Study, compare_with_few_labels

    study = Study(
        preset=preset,
        fractions=fractions or FRACTIONS,
        samples=samples,
        pixels=pixels,
        labelled_shapes=labelled_shapes,
        seed=seed,
        device=device,
    )
    source = open_cohort(cohort, seed=seed)
    with Reporter("samples", quiet=as_json) as reporter:
        listener = Listener(stage=reporter.announce, count=reporter.count)
        outcome = compare_with_few_labels(source, out, study, listener=listener)
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
