"""`synthgen verify`: check every byte of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.commands.console import emit
from synthgen.commands.options import FOLDER, json_option
from synthgen.errors import DamageError, InputError

if TYPE_CHECKING:
    from synthgen.datasets.verify import Damage


@click.command()
@click.argument("dataset", type=FOLDER)
@click.option("--deep", is_flag=True, help="Also decode every volume and compare it with its digest.")
@json_option
def verify(dataset: Path, deep: bool, as_json: bool) -> None:
    """Check that DATASET is what was written: nothing missing, changed or extra.

    Each fault is one line that names its subject; the exit code is then 4.
    """
    from synthgen.datasets.manifest import MANIFEST, RECORDS
    from synthgen.datasets.verify import verify as find_damage

    if dataset.is_dir() and not any((dataset / name).exists() for name in (MANIFEST, RECORDS)):
        # with records it is a dataset that lost its manifest, which is damage
        raise InputError(dataset, expected="a dataset folder", got=f"a folder without {MANIFEST}")
    faults = find_damage(dataset, deep=deep)
    document = {"dataset": dataset, "whole": not faults, "damage": [{"where": f.where, "what": f.what} for f in faults]}
    lines = "\n".join(map(_tell, faults)) or f"{dataset}: whole"
    emit(document, lines, as_json=as_json)
    if faults:
        places = list(dict.fromkeys(fault.where for fault in faults))
        number = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise DamageError(f"{dataset}: {number} in {', '.join(places[:8])}{' ...' if len(places) > 8 else ''}.")


def _tell(fault: Damage) -> str:
    """Return the line of a fault, after the name of its subject; a file of no subject is named by the fault itself."""
    return fault.what if f"{fault.where}: " in fault.what else f"{fault.where}: {fault.what}"
