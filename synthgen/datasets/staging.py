"""From a subject in memory to what is stored of it, and to files in a folder that is not part of the dataset yet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthgen.datasets.documents import plain, plain_object
from synthgen.datasets.files import write_new
from synthgen.datasets.quantisation import quantise
from synthgen.datasets.record import FileEntry, SubjectEntry, SubjectRecord, array_digest, subject_digest
from synthgen.datasets.store import Kind, Store, StoredSubject
from synthgen.errors import InputError
from synthgen.labels import Phase, Tissue
from synthgen.subjects import SyntheticSubject


def store_subject(subject: SyntheticSubject, index: int) -> StoredSubject:
    """Return a subject as every container holds it: quantised, digested.

    Parameters
    ----------
    index
        Place of the subject in the plan.

    Raises
    ------
    InputError
        If images and labels do not share one grid, an image is not finite, or a label is no code of `Tissue`.
    """
    _check_grid(subject)
    grid = subject.labels[Phase.ED]
    affine = grid.affine.astype(np.float32).astype(np.float64)  # what a NIfTI header keeps exactly
    images, intensity = quantise({phase: subject.images[phase].voxels for phase in Phase})
    labels = {phase: _checked_labels(subject, phase) for phase in Phase}
    volumes: dict[Kind, Mapping[Phase, NDArray]] = {"image": images, "label": labels}
    body = subject.body
    content = {
        "id": subject.subject_id,
        "index": index,
        "pathology": subject.pathology.value,
        "vendor": subject.vendor.value,
        "body": body and {"height_cm": body.height_cm, "weight_kg": body.weight_kg, "sex": body.sex},
        "phases": tuple(phase.value for phase in Phase),
        "shape": grid.shape,
        "spacing_mm": tuple(float(s) for s in grid.spacing_mm),
        "affine": affine.tolist(),
        "intensity": intensity.model_dump(),
        "indices": plain(subject.indices),
        "anatomy": subject.anatomy,
        "digests": {p.value: {"image": array_digest(images[p]), "label": array_digest(labels[p])} for p in Phase},
    }
    entry = SubjectEntry.model_validate({**content, "subject_digest": "0" * 64})
    entry = entry.model_copy(update={"subject_digest": subject_digest(entry.model_dump(mode="json"))})
    return StoredSubject(entry=entry, volumes=volumes, history=plain_object(subject.record))


def stage_subject(folder: Path, subject: StoredSubject, store: Store) -> SubjectRecord:
    """Write a subject's files below the new folder `folder`, at their paths in the dataset, and return its record."""
    folder.mkdir()
    content = store.encode(subject)
    for path, data in content.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_new(target, data)
    files = tuple(
        FileEntry(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()) for path, data in content.items()
    )
    return SubjectRecord(**dict(subject.entry), files=files, history=dict(subject.history))


def _check_grid(subject: SyntheticSubject) -> None:
    grid = subject.labels[Phase.ED]
    for volumes in (subject.images, subject.labels):
        for phase in Phase:
            volume = volumes[phase]
            if volume.shape != grid.shape or not np.allclose(volume.affine, grid.affine, rtol=0, atol=1e-6):
                raise InputError(
                    subject.subject_id,
                    expected="one grid for image and label at ED and ES",
                    got=f"another shape or affine at {phase}",
                )


def _checked_labels(subject: SyntheticSubject, phase: Phase) -> NDArray[np.uint8]:
    voxels = subject.labels[phase].voxels
    if voxels.dtype != np.uint8 or voxels.max() > max(Tissue):
        raise InputError(
            subject.subject_id,
            expected=f"uint8 labels from 0 to {int(max(Tissue))}",
            got=f"{voxels.dtype} up to {voxels.max()} at {phase}",
        )
    return voxels
