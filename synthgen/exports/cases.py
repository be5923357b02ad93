"""`Case`: one phase of a subject as a pair of NIfTI files, which is what trainers call a case."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen.datasets.card import provisos
from synthgen.datasets.files import write_new
from synthgen.datasets.manifest import Manifest
from synthgen.datasets.nifti_store import encode_nifti
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import FileEntry, SubjectEntry
from synthgen.datasets.store import Kind
from synthgen.labels import Phase, Tissue

Progress = Callable[[int, int], None]
"""Called with (subjects done, subjects in all)."""

Place = Callable[[SubjectEntry, Phase, Kind], str]
"""Path of a volume's file, relative to the folder that is filled."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One phase of one subject, written.

    Attributes
    ----------
    image, label
        The two files: int16 with the scale and offset of its intensities in the header, and uint8.
    highest_label
        Largest label value that occurs.
    """

    entry: SubjectEntry
    phase: Phase
    image: FileEntry
    label: FileEntry
    highest_label: int

    @property
    def name(self) -> str:
        """Id of subject and phase."""
        return f"{self.entry.id}_{self.phase}"

    @property
    def facts(self) -> dict[str, str]:
        """Subject, phase, class, vendor and heart as texts; cases of one heart must be on one side of any split."""
        entry = self.entry
        return {
            "subject": entry.id,
            "phase": self.phase.value,
            "pathology": entry.pathology.value,
            "vendor": entry.vendor.value,
            "heart": entry.heart,
        }


def write_cases(
    dataset: StoredDataset, folder: Path, place: Place, progress: Progress | None = None
) -> tuple[Case, ...]:
    """Write every phase of every subject as `.nii.gz` below `folder`, with the voxels that are stored, to the last bit.

    Raises
    ------
    DamageError
        If a volume of the dataset is not what was written.
    """
    cases = []
    for number, known in enumerate(dataset.manifest.subjects):
        stored = dataset.stored(known.id)
        for phase in Phase:
            files = {}
            for kind, volumes in stored.volumes.items():
                path = place(stored.entry, phase, kind)
                files[kind] = write_file(folder, path, encode_nifti(volumes[phase], stored.entry, kind))
            highest = int(stored.volumes["label"][phase].max())
            cases.append(Case(entry=stored.entry, phase=phase, highest_label=highest, **files))
        if progress:
            progress(number + 1, len(dataset))
    return tuple(cases)


def described(manifest: Manifest) -> str:
    """Return what a dataset is, with what must be known of it."""
    first = f"Synthetic short-axis cardiac MR by synthgen {manifest.generator.version}"
    return ". ".join((first, *(line.removesuffix(".") for line in provisos(manifest))))


def write_file(folder: Path, path: str, data: bytes) -> FileEntry:
    """Write a new file below `folder` and return its path, size and SHA-256."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    write_new(target, data)
    return FileEntry(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def json_bytes(content: object) -> bytes:
    """Return the file of a JSON value, indented."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def label_values(cases: Iterable[Case]) -> dict[str, int]:
    """Return the labels by name, without the last ones if no case has them (a generator of hearts only)."""
    highest = max(case.highest_label for case in cases)
    return {tissue.name.lower(): tissue.value for tissue in Tissue if tissue.value <= highest}


def index_names(entries: Iterable[SubjectEntry]) -> list[str]:
    """Return the names of the clinical indices that any subject has."""
    return sorted({name for entry in entries for name in entry.indices})


def body_facts(entry: SubjectEntry) -> dict[str, str | float]:
    """Return sex, height in cm and weight in kg; empty where unknown."""
    body = entry.body
    if body is None:
        return {"sex": "", "height_cm": "", "weight_kg": ""}
    return {"sex": body.sex.value if body.sex else "", "height_cm": body.height_cm, "weight_kg": body.weight_kg}


def table_rows(cases: Sequence[Case]) -> list[dict[str, str | int | float]]:
    """Return a row per case: names, files with SHA-256, class, vendor, heart, body, grid, indices; empty if unknown."""
    names = index_names(case.entry for case in cases)
    rows = []
    for case in cases:
        entry = case.entry
        row: dict[str, str | int | float] = {"case": case.name, **case.facts}
        row |= {"manufacturer": entry.vendor.manufacturer, **body_facts(entry)}
        row |= {"image": case.image.path, "image_sha256": case.image.sha256}
        row |= {"label": case.label.path, "label_sha256": case.label.sha256}
        row |= dict(zip(("slices", "rows", "columns"), entry.shape, strict=True))
        row |= dict(zip(("spacing_z_mm", "spacing_y_mm", "spacing_x_mm"), entry.spacing_mm, strict=True))
        for name in names:
            value = entry.indices.get(name)
            row[name] = "" if value is None else value
        rows.append(row)
    return rows


def separated(rows: Sequence[Mapping[str, str | int | float]], delimiter: str = ",") -> bytes:
    """Return rows with equal keys as a text table (CSV, or TSV with a tab) with a header line."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
