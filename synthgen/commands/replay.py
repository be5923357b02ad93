"""`synthgen replay`: make subjects again from their records and compare."""

from __future__ import annotations

from pathlib import Path

import click

from synthgen.commands.cohorts import cohort_of
from synthgen.commands.console import Reporter, emit
from synthgen.commands.diff import describe
from synthgen.commands.options import FOLDER, cohort_option, device_option, json_option
from synthgen.errors import DamageError, InputError, SynthgenError


@click.command()
@click.argument("dataset", type=FOLDER)
@click.argument("subjects", nargs=-1, metavar="[SUBJECT]...")
@click.option("--all", "everyone", is_flag=True, help="Replay every subject.")
@click.option("--bundle", default=None, help="Where the bundle of DATASET is now.  [default: where it was]")
@cohort_option
@device_option
@json_option
def replay(
    dataset: Path,
    subjects: tuple[str, ...],
    everyone: bool,
    bundle: str | None,
    cohort: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Make SUBJECTs of DATASET again, from their records and its bundle, and compare every bit.

    The exit code is 1 if one does not come out the same, as on another kind of processor or with other versions.
    """
    if everyone == bool(subjects):
        raise InputError("SUBJECT", expected="ids of subjects, or --all", got="both" if everyone else "neither")
    from synthgen.datasets.reader import StoredDataset
    from synthgen.replay import replay as make_again

    total = len(subjects) or len(StoredDataset(dataset))
    replays, damage = [], None
    with Reporter("subjects", quiet=as_json) as reporter:
        known = cohort_of(cohort, quiet=as_json) if cohort else None
        try:
            for made in make_again(dataset, subjects, bundle=bundle, cohort=known, device=device):
                replays.append(made)
                reporter.progress(len(replays), total)
        except DamageError as error:
            damage = error  # those before it are told first
    differing = [made for made in replays if not made.same]
    document = {"dataset": dataset, "same": not (differing or damage), "replays": [made.as_dict() for made in replays]}
    lines = [f"{made.subject_id}: the same" if made.same else describe(made.difference) for made in replays]
    emit(document, "\n".join(lines), as_json=as_json)
    if damage is not None:
        raise damage
    if differing:
        raise SynthgenError(f"{dataset}: {len(differing)} of {total} subjects did not come out the same.")
