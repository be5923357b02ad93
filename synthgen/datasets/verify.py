"""`verify`: every byte of a dataset against its manifest."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen.datasets.containers import store_of
from synthgen.datasets.files import sha256_file, walk
from synthgen.datasets.manifest import MANIFEST, RECORDS, Manifest, RecordEntry, load_manifest, record_path
from synthgen.datasets.record import FileEntry, SubjectRecord, array_digest, content_id, subject_digest
from synthgen.datasets.store import KINDS, Store
from synthgen.errors import DamageError, InputError, SynthgenError
from synthgen.labels import Phase


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
    store = store_of(manifest.layout.container)
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
        found.extend(_disagreements(entry, record, store))
        expected.update((file.path, file) for file in record.files)
        if deep:
            found.extend(check_voxels(root, record, store))
    found.extend(_compare_tree(root, _owners(manifest, store), expected, unknown))
    if content_id([entry.subject_digest for entry in manifest.subjects]) != manifest.content_id:
        found.append(Damage(MANIFEST, f"{MANIFEST}: its content id is not that of its subjects."))
    return tuple(sorted(set(found)))


def _disagreements(entry: RecordEntry, record: SubjectRecord, store: Store) -> list[Damage]:
    if record.entry() != entry.entry():
        return [Damage(entry.id, f"{entry.record.path}: disagrees with {MANIFEST}.")]
    if subject_digest(record.model_dump(mode="json")) != record.subject_digest:
        return [Damage(entry.id, f"{entry.record.path}: its digest is not that of its content.")]
    strangers = [file.path for file in record.files if not belongs(file.path, store.pieces(record.id))]
    return [Damage(entry.id, f"{entry.record.path}: claims {path}.") for path in strangers]


def belongs(path: str, pieces: Sequence[str]) -> bool:
    """Return whether a path is one of these files or lies in one of these folders."""
    return any(path == piece or path.startswith(f"{piece}/") for piece in pieces)


def _owners(manifest: Manifest, store: Store) -> dict[str, str]:
    """Return the subject of each file or folder that belongs to one as a whole."""
    owners = {record_path(entry.id): entry.id for entry in manifest.subjects}
    owners |= {piece: entry.id for entry in manifest.subjects for piece in store.pieces(entry.id)}
    return owners | dict.fromkeys((RECORDS, *store.folders), "")


def _compare_tree(
    root: Path, owners: Mapping[str, str], expected: Mapping[str, FileEntry], unknown: Iterable[str]
) -> list[Damage]:
    skipped = set(unknown)
    found = []
    seen = set()
    folders = {path for path, owner in owners.items() if not owner}
    folders.update(parent for path in expected for parent in _parents(path))
    for path, status in walk(root):
        owner = _owner(path, owners)
        if path == MANIFEST and stat.S_ISREG(status.st_mode):
            continue  # its own first line has answered for it
        if owner in skipped and path != record_path(owner):
            continue
        if path in expected:
            seen.add(path)
            what = check_file(root, expected[path])
            found.extend([Damage(owner, what)] if what else [])
        elif not (stat.S_ISDIR(status.st_mode) and path in folders):
            found.append(Damage(owner, f"{path}: extra; nobody wrote it."))
    found.extend(Damage(_owner(path, owners), f"{path}: missing.") for path in expected if path not in seen)
    return found


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _owner(path: str, owners: Mapping[str, str]) -> str:
    """Return the id of the subject that a path belongs to, or the path itself."""
    return next((owners[part] for part in (*_parents(path), path) if owners.get(part)), path)


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


def check_voxels(root: Path, record: SubjectRecord, store: Store) -> list[Damage]:
    """Return the volumes of a subject whose decoded content is not what its record says."""
    found = []
    for phase in Phase:
        for kind in KINDS:
            try:
                digest = array_digest(store.read(root, record, phase, kind))
            except DamageError as error:
                found.append(Damage(record.id, str(error)))
                continue
            if digest != getattr(record.digests[phase], kind):
                found.append(Damage(record.id, f"{kind} at {phase}: its voxels are not those that were written."))
    return found


def is_whole(root: Path, record: SubjectRecord, store: Store) -> bool:
    """Return whether every file of a subject, and no other, lies in its pieces as it was written."""
    pieces = store.pieces(record.id)
    files = {file.path for file in record.files}
    allowed = files | {parent for path in files for parent in _parents(path)}
    present: set[str] = set()
    for piece in pieces:
        place = root / piece
        if place.is_dir() and not place.is_symlink():
            present.update(f"{piece}/{path}" for path, _ in walk(place))
    known = present <= allowed and all(belongs(path, pieces) for path in files)
    return known and not any(check_file(root, file) for file in record.files)
