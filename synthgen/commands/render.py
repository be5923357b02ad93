"""`synthgen render`: new images of the label maps of a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from synthgen.commands.cohorts import cohort_of
from synthgen.commands.console import Reporter, emit
from synthgen.commands.options import (
    FOLDER,
    device_option,
    format_option,
    json_option,
    vendors,
    workers_option,
)

if TYPE_CHECKING:
    from synthgen.datasets.manifest import Container


@click.command()
@click.argument("cohort")
@click.option("--out", type=FOLDER, required=True, help="Folder to make; must not exist.")
@click.option("--copies", type=click.IntRange(min=1), default=1, show_default=True, help="Variations of each subject.")
@click.option(
    "--vendor",
    "styles",
    multiple=True,
    help="Style of every copy, A, B, C or D; several: A,B.  [default: one per copy, in turn]",
)
@click.option("--no-variation", is_flag=True, help="Label maps as they are: not bent, and hearts no larger or smaller.")
@click.option("--bundle", default="default", show_default=True, help="Name or folder of the fitted generator.")
@format_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Root of styles, noise and variation; hearts:COUNT are those of seed 0.",
)
@workers_option
@device_option
@json_option
def render(
    cohort: str,
    out: Path,
    copies: int,
    styles: tuple[str, ...],
    no_variation: bool,
    bundle: str,
    container: str | None,
    seed: int,
    workers: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Make a dataset of new images of COHORT's own label maps, varied, in the styles of vendors.

    COHORT is acdc:DIR, mnms:DIR, nifti:DIR, tissues:DIR or hearts:COUNT. Tissues around hearts are labelled by the
    bundle's segmentor. Each copy has the same label maps in the styles of all vendors named; without --vendor the first
    copy of a subject has the style of one vendor, its second that of the next, and so on. What is made carries anatomy,
    height and weight of COHORT's subjects, and their terms. An interrupted run goes on when the same command is run
    again; until then label maps of COHORT may lie in OUT.maps.

    This is the label-informed synthesis of Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123).
    """
    letters, source = vendors(styles), cohort_of(cohort, quiet=as_json)
    from synthgen.render import Rendering
    from synthgen.render import render as render_labels
    from synthgen.training.report import Report

    rendering = Rendering(copies=copies, vendors=letters, varied=not no_variation, seed=seed, bundle=bundle)
    with Reporter("subjects", quiet=as_json) as reporter:
        folder = render_labels(
            source,
            out,
            rendering,
            container=cast("Container", container or "zarr"),
            workers=workers,
            device=device,
            report=Report(count=reporter.count),
        )
    subjects = len(source) * copies * max(len(letters), 1)
    emit({"dataset": str(folder), "subjects": subjects}, f"{subjects} subjects in {folder}", as_json=as_json)
