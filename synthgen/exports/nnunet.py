"""nnU-Net v2 raw: `imagesTr/`, `labelsTr/` and `dataset.json`, and the folds that keep a subject's phases together.

nnU-Net divides cases at random when it has no `splits_final.json`; end-diastole of a subject would then be trained on
and its end-systole judged. Copy the file into `nnUNet_preprocessed/DatasetNNN_NAME/` before training.

Reference: https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from synthgen.datasets.manifest import Manifest
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import SubjectEntry
from synthgen.datasets.store import Kind
from synthgen.errors import InputError
from synthgen.exports.cases import Case, Progress, described, json_bytes, label_values, write_cases, write_file
from synthgen.exports.export import export
from synthgen.exports.folds import assign_folds
from synthgen.labels import Phase

_NAME = re.compile(r"Dataset\d{3}_[A-Za-z0-9_-]+")


@export
def export_nnunet(source: StoredDataset, folder: Path, name: str, progress: Progress | None) -> None:
    """Write `dataset` as the raw dataset `out` of nnU-Net v2 and return it.

    Its folder is to be named the way nnU-Net wants it, `DatasetNNN_NAME`. Put it into `nnUNet_raw`.

    Raises
    ------
    InputError
        If `out` is named otherwise.
    """
    if not _NAME.fullmatch(name):
        raise InputError(name, expected="a name such as Dataset501_HEARTS, which nnU-Net asks for", got=repr(name))
    cases = write_cases(source, folder, _place, progress)
    write_file(folder, "dataset.json", json_bytes(_description(name, source.manifest, cases)))
    splits = _splits(cases)
    if len(splits) > 1:
        write_file(folder, "splits_final.json", json_bytes(splits))


def _place(entry: SubjectEntry, phase: Phase, kind: Kind) -> str:
    # the number is that of the channel, which labels do not have
    return f"imagesTr/{entry.id}_{phase}_0000.nii.gz" if kind == "image" else f"labelsTr/{entry.id}_{phase}.nii.gz"


def _description(name: str, manifest: Manifest, cases: Sequence[Case]) -> dict[str, object]:
    return {
        "name": name,
        "description": described(manifest),
        "reference": manifest.content_id,
        "licence": manifest.legal.licence,
        "release": manifest.version,
        "channel_names": {"0": "cine MRI"},  # anything but CT: each image is normalised by itself
        "labels": label_values(cases),
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }


def _splits(cases: Sequence[Case]) -> list[dict[str, list[str]]]:
    fold_of = assign_folds({case.entry.id: case.entry for case in cases}.values())
    return [
        {
            "train": [case.name for case in cases if fold_of[case.entry.id] != fold],
            "val": [case.name for case in cases if fold_of[case.entry.id] == fold],
        }
        for fold in sorted(set(fold_of.values()))
    ]
