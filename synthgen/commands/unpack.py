"""`synthgen unpack`: a dataset from one file."""

from __future__ import annotations

from pathlib import Path

import click

from synthgen.commands.console import emit
from synthgen.commands.options import FOLDER, json_option
from synthgen.errors import InputError


@click.command()
@click.argument("file", type=FOLDER)
@click.option("--out", type=FOLDER, default=None, help="Folder to make.  [default: the name of FILE without .zip]")
@json_option
def unpack(file: Path, out: Path | None, as_json: bool) -> None:
    """Make a dataset of FILE, which `pack` wrote, and verify it. Nothing is written but what its manifest names."""
    if out is None and file.suffix.lower() != ".zip":
        raise InputError(file, expected="a name that ends in .zip, or --out", got=repr(file.name))
    from synthgen.datasets.archive import unpack as extract

    made = extract(file, file.with_suffix("") if out is None else out)
    emit({"file": file, "dataset": made}, f"{file} unpacked into {made}: whole", as_json=as_json)
