"""`verify`: every byte of a dataset against its manifest."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthgen.datasets.files import sha256_file, walk
from synthgen.datasets.manifest import MANIFEST, RECORDS, VOLUMES, Manifest, RecordEntry, load_manifest
from synthgen.datasets.record import FileEntry, SubjectRecord, array_digest, content_id, subject_digest
from synthgen.datasets.zarr_store import KINDS, read_stored
from synthgen.errors import DamageError, InputError, SynthgenError
from synthgen.labels import Phase

_SUBJECT_DEPTH = 2  # records/ID.json, volumes.zarr/ID/...


@dataclass(frozen=True, order=True)
class Damage:
    """One fault of a dataset.

    Attributes
    ----------
    where
        Id of the subject it belongs to, or path of a file that belongs to none.
    what
        One line that names the file and what is wrong with it.
    """

    where: str
    what: str


def verify(path: Path | str, *, deep: bool = False) -> tuple[Damage, ...]:
    """Return everything in a dataset folder that is missing, changed or extra; empty if it is what was written.

    Parameters
    ----------
    path
        Folder of a published dataset.
    deep
        Also decode every volume and compare it with its array digest. It finds faults of the program that wrote, not of
        the disk.

    Raises
    ------
    InputError
        If there is no folder at `path`.
    """
    root = Path(path)
    if not root.is_dir():
        raise InputError(root, expected="a dataset folder", got="no folder of that name")
    try:
        manifest = load_manifest(root)
    except SynthgenError as error:
        return (Damage(MANIFEST, str(error)),)
    found: list[Damage] = []
    expected: dict[str, FileEntry] = {entry.path: entry for entry in manifest.files}
    unknown: set[str] = set()  # subjects whose files cannot be told right from wrong
    for entry in manifest.subjects:
        expected[entry.record.path] = entry.record
        try:
            record = SubjectRecord.read(root, entry.record.path)
        except SynthgenError as error:
            found.append(Damage(entry.id, f"{error} Its volumes cannot be checked without it."))
            unknown.add(entry.id)
            continue
        found.extend(_disagreements(entry, record))
        expected.update((file.path, file) for file in record.files)
        if deep:
            found.extend(check_voxels(root, record))
    found.extend(_compare_tree(root, manifest, expected, unknown))
    if content_id([entry.subject_digest for entry in manifest.subjects]) != manifest.content_id:
        found.append(Damage(MANIFEST, f"{MANIFEST}: its content id is not that of its subjects."))
    return tuple(sorted(set(found)))


def _disagreements(entry: RecordEntry, record: SubjectRecord) -> list[Damage]:
    if record.entry() != entry.entry():
        return [Damage(entry.id, f"{entry.record.path}: disagrees with {MANIFEST}.")]
    if subject_digest(record.model_dump(mode="json")) != record.subject_digest:
        return [Damage(entry.id, f"{entry.record.path}: its digest is not that of its content.")]
    return []


def _compare_tree(
    root: Path, manifest: Manifest, expected: Mapping[str, FileEntry], unknown: Iterable[str]
) -> list[Damage]:
    ids = {entry.id for entry in manifest.subjects}
    skipped = set(unknown)
    found = []
    seen = set()
    folders = {RECORDS, VOLUMES, *(parent for path in expected for parent in _parents(path))}
    for path, status in walk(root):
        owner = _owner(path, ids)
        if path == MANIFEST and stat.S_ISREG(status.st_mode):
            continue  # its own first line has answered for it
        if owner in skipped and path.startswith(f"{VOLUMES}/"):
            continue
        if path in expected:
            seen.add(path)
            what = check_file(root, expected[path])
            found.extend([Damage(owner, what)] if what else [])
        elif not (stat.S_ISDIR(status.st_mode) and path in folders):
            found.append(Damage(owner, f"{path}: extra; nobody wrote it."))
    found.extend(Damage(_owner(path, ids), f"{path}: missing.") for path in expected if path not in seen)
    return found


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _owner(path: str, ids: Iterable[str]) -> str:
    """Return the id of the subject that a path belongs to, or the path itself."""
    parts = path.split("/")
    if len(parts) >= _SUBJECT_DEPTH and parts[0] in {RECORDS, VOLUMES}:
        name = parts[1].removesuffix(".json") if parts[0] == RECORDS else parts[1]
        if name in ids:
            return name
    return path


def check_file(root: Path, entry: FileEntry) -> str:
    """Return what is wrong with one file of the dataset `root`, or an empty text."""
    path = root / entry.path
    try:
        status = path.lstat()
    except OSError:
        return f"{entry.path}: missing."
    if not stat.S_ISREG(status.st_mode):
        return f"{entry.path}: is no plain file."
    if status.st_size != entry.bytes:
        return f"{entry.path}: {status.st_size} bytes instead of {entry.bytes}."
    try:
        same = sha256_file(path) == entry.sha256
    except OSError as error:
        return f"{entry.path}: cannot be read ({error.strerror})."
    return "" if same else f"{entry.path}: changed since it was written (its SHA-256 does not match)."


def check_voxels(root: Path, record: SubjectRecord) -> list[Damage]:
    """Return the volumes of a subject whose decoded content is not what its record says."""
    found = []
    for phase in Phase:
        for kind in KINDS:
            try:
                digest = array_digest(read_stored(root, record, phase, kind))
            except DamageError as error:
                found.append(Damage(record.id, str(error)))
                continue
            if digest != getattr(record.digests[phase], kind):
                found.append(Damage(record.id, f"{kind} at {phase}: its voxels are not those that were written."))
    return found


def is_whole(root: Path, record: SubjectRecord) -> bool:
    """Return whether every file of a subject, and no other, lies in its group as it was written."""
    group = root / VOLUMES / record.id
    if not group.is_dir() or group.is_symlink():
        return False
    present = {f"{VOLUMES}/{record.id}/{path}" for path, _ in walk(group)}
    files = {file.path for file in record.files}
    folders = {parent for path in files for parent in _parents(path)} - {VOLUMES, f"{VOLUMES}/{record.id}"}
    return present == files | folders and not any(check_file(root, file) for file in record.files)
