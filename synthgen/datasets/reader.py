"""`StoredDataset`: a published dataset as a lazy sequence of `SyntheticSubject`, without torch or torchio."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from synthgen.datasets.documents import MAX_DOCUMENT_BYTES, parse_document
from synthgen.datasets.files import read_bytes
from synthgen.datasets.manifest import Manifest, RecordEntry, load_manifest
from synthgen.datasets.record import SubjectRecord
from synthgen.datasets.zarr_store import Kind, read_volume
from synthgen.errors import DamageError
from synthgen.labels import Phase
from synthgen.subjects import SyntheticSubject
from synthgen.volumes import Volume


def read_subject(root: Path, record: SubjectRecord) -> SyntheticSubject:
    """Read both phases of a subject from the dataset folder `root`.

    Returns
    -------
    Images float32 (12-bit steps), labels uint8, each `(z, y, x)` on one grid.

    Raises
    ------
    DamageError
        If a chunk is missing or changed.
    """

    def volumes(kind: Kind) -> dict[Phase, Volume]:
        return {
            phase: Volume(read_volume(root, record, phase, kind), record.spacing_mm, record.affine_ras)
            for phase in Phase
        }

    return SyntheticSubject(
        subject_id=record.id,
        pathology=record.pathology,
        vendor=record.vendor,
        body=record.to_body(),
        images=volumes("image"),
        labels=volumes("label"),
        indices={name: float("nan") if value is None else value for name, value in record.indices.items()},
        record=record.history,
    )


class StoredDataset(Sequence[SyntheticSubject]):
    """A published dataset. Opening reads the manifest only; a subject is read when it is indexed.

    Raises
    ------
    InputError
        If `path` is no dataset.
    DamageError
        If its manifest was changed.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest: Manifest = load_manifest(self.path)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the subjects, in order."""
        return tuple(entry.id for entry in self.manifest.subjects)

    def __len__(self) -> int:
        return len(self.manifest.subjects)

    @overload
    def __getitem__(self, index: int) -> SyntheticSubject: ...

    @overload
    def __getitem__(self, index: slice) -> list[SyntheticSubject]: ...

    def __getitem__(self, index: int | slice) -> SyntheticSubject | list[SyntheticSubject]:
        """Read a subject by its place, or a list of them."""
        if isinstance(index, slice):
            return [self._read(entry) for entry in self.manifest.subjects[index]]
        return self._read(self.manifest.subjects[index])

    def read(self, subject_id: str) -> SyntheticSubject:
        """Read a subject by its id; InputError if there is none of that id."""
        return self._read(self.manifest.subject(subject_id))

    def record(self, subject_id: str) -> SubjectRecord:
        """Read a subject's record, its history included."""
        return self._record(self.manifest.subject(subject_id))

    def _read(self, entry: RecordEntry) -> SyntheticSubject:
        return read_subject(self.path, self._record(entry))

    def _record(self, entry: RecordEntry) -> SubjectRecord:
        where = f"{self.path.name}/{entry.record.path}"
        raw = read_bytes(self.path, entry.record.path, MAX_DOCUMENT_BYTES)
        if hashlib.sha256(raw).hexdigest() != entry.record.sha256:
            raise DamageError(f"{where}: is not the record that the manifest knows (its SHA-256 does not match).")
        record = parse_document(raw, SubjectRecord, where)
        if record.entry() != entry.entry():
            raise DamageError(f"{where}: disagrees with the manifest.")
        return record
