"""`synthgen segment`: nine tissues on real images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.commands.cohorts import cohort_of
from synthgen.commands.console import Reporter, emit
from synthgen.commands.options import FOLDER, json_option, workers_option
from synthgen.errors import InputError

if TYPE_CHECKING:
    from synthgen.segment import Agreement


@click.command()
@click.argument("what", metavar="IMAGE|COHORT")
@click.option("--out", type=FOLDER, required=True, help="Folder to write to; for a cohort, a new one.")
@click.option("--bundle", default="default", show_default=True, help="Bundle whose segmentor is used.")
@workers_option
@json_option
def segment(what: str, out: Path, bundle: str, workers: int | None, as_json: bool) -> None:
    """Label nine tissues on short-axis images, by a network that has seen simulated hearts alone.

    IMAGE is a NIfTI file, a stack or a cine; its label map gets the same name and `_tissues`. COHORT is acdc:DIR,
    mnms:DIR or nifti:DIR; the expert's heart stays, the other tissues are put around it, and the table says how well
    the network finds the heart by itself: Dice coefficients in percent, mean and standard deviation over subjects.
    `synthgen fit tissues:OUT` fits on the result.
    """
    from synthgen.segment import segment_cohort, segment_image

    if what.endswith((".nii", ".nii.gz")):
        if workers is not None:
            raise InputError("--workers", expected="a COHORT; one image is one process's work", got=what)
        file = segment_image(Path(what), out, bundle=bundle)
        emit({"file": str(file)}, f"tissues in {file}", as_json=as_json)
        return
    if ":" not in what:
        expected = "IMAGE.nii, IMAGE.nii.gz, acdc:DIR, mnms:DIR or nifti:DIR"
        raise InputError("IMAGE|COHORT", expected=expected, got=repr(what))
    cohort = cohort_of(what, quiet=as_json)
    with Reporter("subjects", quiet=as_json) as reporter:
        agreement = segment_cohort(cohort, out, bundle=bundle, workers=workers, progress=reporter.progress)
    emit({"folder": str(out), "dice": _means(agreement)}, _text(agreement), as_json=as_json)


def _means(agreement: Agreement) -> dict[str, float]:
    return {name: round(spread.mean, 4) for name, spread in agreement.dice.items()}


def _text(agreement: Agreement) -> str:
    shown = ", ".join(f"{n.upper()} {100 * s.mean:.1f} ± {100 * s.sd:.1f}" for n, s in agreement.dice.items())
    return (
        f"tissues of {len(agreement.subjects)} subjects in {agreement.folder}; hearts without the expert: Dice {shown}"
    )
