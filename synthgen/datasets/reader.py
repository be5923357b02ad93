"""`StoredDataset`: a published dataset as a lazy sequence of `SyntheticSubject`, without torch or torchio."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import overload

from numpy.typing import NDArray

from synthgen.datasets.containers import store_of
from synthgen.datasets.documents import MAX_DOCUMENT_BYTES, parse_document
from synthgen.datasets.files import read_bytes
from synthgen.datasets.manifest import MANIFEST, Manifest, RecordEntry, load_manifest
from synthgen.datasets.quantisation import dequantise
from synthgen.datasets.record import SubjectRecord, array_digest
from synthgen.datasets.store import KINDS, Kind, StoredSubject
from synthgen.errors import DamageError
from synthgen.labels import Phase
from synthgen.subjects import SyntheticSubject
from synthgen.volumes import Volume


def read_subject(root: Path, record: SubjectRecord, container: str) -> SyntheticSubject:
    """Read both phases of a subject from the dataset folder `root`, whose volumes are kept in `container`.

    Returns
    -------
    Images float32 (9-bit steps), labels uint8, each `(z, y, x)` on one grid.

    Raises
    ------
    DamageError
        If a volume is missing or changed.
    """

    def volumes(kind: Kind) -> dict[Phase, Volume]:
        stored = {phase: _checked_volume(container, root, record, phase, kind) for phase in Phase}
        voxels = {p: dequantise(v, record.intensity) if kind == "image" else v for p, v in stored.items()}
        return {phase: Volume(voxels[phase], record.spacing_mm, record.affine_ras) for phase in Phase}

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


def _checked_volume(container: str, root: Path, record: SubjectRecord, phase: Phase, kind: Kind) -> NDArray:
    """Read one volume as stored; DamageError also if it is a whole one, but another (two files that were exchanged)."""
    volume = store_of(container).read(root, record, phase, kind)
    if array_digest(volume) != getattr(record.digests[phase], kind):
        raise DamageError(f"{root.name}: {kind} of {record.id} at {phase} is not what was written.")
    return volume


class StoredDataset:
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

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest's bytes: the identity of this version in this container."""
        return hashlib.sha256(read_bytes(self.path, MANIFEST, MAX_DOCUMENT_BYTES)).hexdigest()

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

    def stored(self, subject_id: str) -> StoredSubject:
        """Read a subject as it is stored, checked voxel by voxel against its digests; DamageError if they differ."""
        record = self.record(subject_id)
        container = self.manifest.layout.container
        volumes = {
            kind: {phase: _checked_volume(container, self.path, record, phase, kind) for phase in record.digests}
            for kind in KINDS
        }
        return StoredSubject(entry=record.entry(), volumes=volumes, history=record.history)

    def _read(self, entry: RecordEntry) -> SyntheticSubject:
        return read_subject(self.path, self._record(entry), self.manifest.layout.container)

    def _record(self, entry: RecordEntry) -> SubjectRecord:
        where = f"{self.path.name}/{entry.record.path}"
        raw = read_bytes(self.path, entry.record.path, MAX_DOCUMENT_BYTES)
        if hashlib.sha256(raw).hexdigest() != entry.record.sha256:
            raise DamageError(f"{where}: is not the record that the manifest knows (its SHA-256 does not match).")
        record = parse_document(raw, SubjectRecord, where)
        if record.entry() != entry.entry():
            raise DamageError(f"{where}: disagrees with the manifest.")
        return record
