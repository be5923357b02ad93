"""`synthgen hearts`: simulate a labelled population of virtual hearts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.commands.console import Reporter, emit
from synthgen.commands.options import (
    FOLDER,
    format_option,
    json_option,
    pathologies,
    seed_option,
    vendors,
    workers_option,
)

if TYPE_CHECKING:
    from synthgen.simulate import Layout


@click.command()
@click.option("--count", type=int, required=True, help="Subjects in all; classes and vendors take turns.")
@click.option("--out", type=FOLDER, required=True, help="Folder to make; must not exist.")
@click.option(
    "--layout",
    type=click.Choice(["dataset", "acdc", "mnms"]),
    default="dataset",
    show_default=True,
    help="A synthgen dataset with nine tissues, or the files and heart labels of ACDC or M&Ms.",
)
@click.option(
    "--target", "targets", multiple=True, help="Class (NOR, MINF, DCM, HCM, ARV); repeat for several.  [default: all]"
)
@click.option(
    "--vendor", "styles", multiple=True, help="Vendor style (A, B, C, D); repeat for several.  [default: all]"
)
@format_option
@seed_option
@workers_option
@json_option
def hearts(
    count: int,
    out: Path,
    layout: Layout,
    targets: tuple[str, ...],
    styles: tuple[str, ...],
    container: str | None,
    seed: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """Simulate a population of virtual hearts: anatomy, images and labels from physics, without a patient or a network.

    Each subject has an end-diastolic and an end-systolic stack whose true volumes and mass are known.
    """
    classes, letters = pathologies(targets), vendors(styles)
    from synthgen.hearts.virtual_hearts import VirtualHearts
    from synthgen.simulate import simulate

    cohort = VirtualHearts(count, seed=seed, pathologies=classes or None, vendors=letters or None)
    with Reporter("hearts", quiet=as_json) as reporter:
        folder = simulate(cohort, out, layout=layout, container=container, workers=workers, progress=reporter.progress)
    emit({"folder": folder, "layout": layout, "subjects": count}, f"{count} hearts in {folder}", as_json=as_json)
