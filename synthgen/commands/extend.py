"""`synthgen extend`: the next version of a dataset, with more subjects."""

from __future__ import annotations

from pathlib import Path

import click

from synthgen.commands.cohorts import cohort_of
from synthgen.commands.console import Reporter, emit, table
from synthgen.commands.options import FOLDER, cohort_option, device_option, json_option, workers_option


@click.command()
@click.argument("dataset", type=FOLDER)
@click.option("--count", type=int, required=True, help="Subjects to add, counted as by the command that made DATASET.")
@click.option("--out", type=FOLDER, default=None, help="Folder to make.  [default: DATASET-vVERSION beside it]")
@click.option("--bundle", default=None, help="Where the bundle of DATASET is now.  [default: where it was]")
@cohort_option
@workers_option
@device_option
@json_option
def extend(
    dataset: Path,
    count: int,
    out: Path | None,
    bundle: str | None,
    cohort: str | None,
    workers: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Make the next version of DATASET with more subjects of the same request.

    DATASET is only read, and its subjects are in the new version byte for byte. The new version has the content of a
    cohort that was built as large from the start. An interrupted extension goes on when the same command is run again.
    """
    from synthgen.extend import extend as grow

    known = cohort_of(cohort, quiet=as_json) if cohort else None
    with Reporter("subjects", quiet=as_json) as reporter:
        made = grow(
            dataset, count, out, bundle=bundle, cohort=known, workers=workers, device=device, progress=reporter.progress
        ).as_dict()
    emit(made, table(made), as_json=as_json)
