"""`synthgen pack`: a dataset as one file."""

from __future__ import annotations

from pathlib import Path

import click

from synthgen.commands.console import emit
from synthgen.commands.options import FOLDER, json_option


@click.command()
@click.argument("dataset", type=FOLDER)
@click.argument("file", type=FOLDER)
@json_option
def pack(dataset: Path, file: Path, as_json: bool) -> None:
    """Write DATASET into one ZIP file, checking every byte on the way. The same dataset gives the same file."""
    from synthgen.datasets.archive import pack as archive

    made = archive(dataset, file)
    size = made.stat().st_size
    emit(
        {"dataset": dataset, "file": made, "bytes": size}, f"{dataset} in {made}, {size / 1e6:.1f} MB", as_json=as_json
    )
