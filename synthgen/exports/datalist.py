"""MONAI datalist: `datalist.json` in the form of the Medical Segmentation Decathlon, beside the files that it names.

`monai.data.load_decathlon_datalist(out / "datalist.json")` reads it, and so does Auto3DSeg, by its folds.
"""

from __future__ import annotations

from pathlib import Path

from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import SubjectEntry
from synthgen.datasets.store import Kind
from synthgen.exports.cases import Progress, described, json_bytes, label_values, write_cases, write_file
from synthgen.exports.export import export
from synthgen.exports.folds import assign_folds
from synthgen.labels import Phase


@export
def export_datalist(source: StoredDataset, folder: Path, name: str, progress: Progress | None) -> None:
    """Write `dataset` as NIfTI with a MONAI datalist into the new folder `out` and return it.

    Every item has `image`, `label` (paths relative to the list), `fold`, `subject`, `phase`, `pathology`, `vendor` and
    `heart`.
    """
    manifest = source.manifest
    cases = write_cases(source, folder, nifti_place, progress)
    fold_of = assign_folds(manifest.subjects)
    items = [
        {"image": case.image.path, "label": case.label.path, "fold": fold_of[case.entry.id], **case.facts}
        for case in cases
    ]
    content = {
        "name": name,
        "description": described(manifest),
        "reference": manifest.content_id,
        "licence": manifest.legal.licence,
        "release": manifest.version,
        "tensorImageSize": "3D",
        "modality": {"0": "MRI"},
        "labels": {str(value): name for name, value in label_values(cases).items()},
        "numTraining": len(items),
        "numTest": 0,
        "training": items,
        "test": [],
    }
    write_file(folder, "datalist.json", json_bytes(content))


def nifti_place(entry: SubjectEntry, phase: Phase, kind: Kind) -> str:
    """Return `images/ID_PHASE.nii.gz`, or the same below `labels/`."""
    return f"{kind}s/{entry.id}_{phase}.nii.gz"
