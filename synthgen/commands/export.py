"""`synthgen export`: a dataset in another container, or in what other programs expect to find."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import click

from synthgen.commands.console import Reporter, emit
from synthgen.commands.options import FOLDER, json_option

_TARGETS: Mapping[str, str] = {
    "zarr": "synthgen.datasets.convert:to_zarr",
    "hdf5": "synthgen.datasets.convert:to_hdf5",
    "nifti": "synthgen.datasets.convert:to_nifti",
    "nnunet": "synthgen.exports.nnunet:export_nnunet",
    "monai": "synthgen.exports.datalist:export_datalist",
    "ome-zarr": "synthgen.exports.ome_zarr:export_ome_zarr",
    "croissant": "synthgen.exports.croissant:export_croissant",
    "huggingface": "synthgen.exports.hugging_face:export_hugging_face",
    "bids": "synthgen.exports.bids:export_bids",
}
"""`module:function` of each target: `function(dataset: Path, out: Path, *, progress) -> Path`, the path it made.

`progress` is called with (subjects done, subjects in all).
"""


@click.command()
@click.argument("dataset", type=FOLDER)
@click.option("--to", "target", type=click.Choice(list(_TARGETS)), required=True, help="What to make of it.")
@click.option("--out", type=FOLDER, required=True, help="Folder to make; must not exist.")
@json_option
def export(dataset: Path, target: str, out: Path, as_json: bool) -> None:
    """Write DATASET again as something else; DATASET itself is only read.

    zarr, hdf5 and nifti are datasets of this program with the same content, to the last bit and back again. The others
    hold the same voxels as their tools expect them, without the history of a subject:

    \b
    nnunet       raw dataset of nnU-Net v2, to be named DatasetNNN_NAME; copy its
                 splits_final.json to nnUNet_preprocessed/DatasetNNN_NAME, or
                 nnU-Net divides a subject between training and validation; of
                 fewer than five hearts it has fewer folds, of one it is not there:
                 train those alone, or fold `all`
    monai        NIfTI with a datalist for MONAI and Auto3DSeg, with folds
    ome-zarr     OME-Zarr 0.5, one image with both phases per subject
    croissant    NIfTI with a table of cases and its Croissant description
    huggingface  NIfTI with a table of cases and a dataset card, ready to upload
    bids         derivative with T2w as stand-in: BIDS has no cardiac suffix yet
    """  # noqa: D301 - click wants the character, not backslash and b
    module, function = _TARGETS[target].split(":")
    with Reporter("subjects", quiet=as_json) as reporter:
        made = getattr(import_module(module), function)(dataset, out, progress=reporter.progress)
    emit({"dataset": dataset, "to": target, "out": made}, f"{dataset} as {target} in {made}", as_json=as_json)
