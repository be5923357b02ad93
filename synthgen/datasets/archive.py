"""One file for a dataset: a ZIP archive without compression, equal bytes for equal datasets, read back without trust.

Volumes are compressed already, so files are stored as they are and any of them can be read without unpacking the rest.
The manifest comes first and says what else there is.
"""

from __future__ import annotations

import os
import shutil
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from synthgen.datasets.documents import MAX_DOCUMENT_BYTES, parse_document
from synthgen.datasets.files import read_bytes, read_verified, sync_folder, write_new
from synthgen.datasets.manifest import MANIFEST, Manifest
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import FileEntry, SubjectRecord
from synthgen.datasets.verify import verify
from synthgen.datasets.writer import refuse_inside
from synthgen.errors import DamageError, InputError, writing_failed
from synthgen.lock import FolderLock

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that ZIP can say: nothing in a dataset depends on time
_PLAIN_FILE = 0o100644 << 16
_UNIX = 3
_ENCRYPTED = 1

_NO_ARCHIVE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError),
    *(ValueError, OverflowError, OSError, struct.error),  # of places that lead outside the file
)


def pack(dataset: Path | str, file: Path | str) -> Path:
    """Write a dataset into one ZIP file and return its path. The same dataset gives the same bytes.

    Parameters
    ----------
    file
        Must end in `.zip`, not exist and lie outside the dataset; it appears when it is whole.

    Raises
    ------
    InputError
        If `dataset` is none, or `file` exists, ends otherwise or lies in it.
    DamageError
        If a file of the dataset is not what was written.
    """
    source, target = StoredDataset(dataset), Path(file)
    if target.suffix != ".zip":
        raise InputError(target, expected="a name that ends in .zip", got=repr(target.name))
    refuse_inside(source.path, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FolderLock(target):
            _refuse_taken(target)
            _write_archive(source, target)
    except OSError as error:
        raise writing_failed(target, error) from error
    return target


def _refuse_taken(target: Path) -> None:
    """Refuse a name that exists; asked under its lock, for another process may just have made it."""
    if target.exists() or target.is_symlink():
        raise InputError(target, expected="a name that is free", got="one that exists")


def _write_archive(source: StoredDataset, target: Path) -> None:
    """Write the archive beside `target`, then give it its name; to be called under the lock of `target`."""
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_member(MANIFEST), read_bytes(source.path, MANIFEST, MAX_DOCUMENT_BYTES))
            for entry in _files(source.manifest, map(source.record, source.ids)):
                archive.writestr(_member(entry.path), read_verified(source.path, entry.path, entry.bytes, entry.sha256))
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.rename(target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _files(manifest: Manifest, records: Iterator[SubjectRecord]) -> Iterator[FileEntry]:
    """Yield every file of a dataset but its manifest, in an order that depends on the dataset alone."""
    yield from manifest.files
    for entry, record in zip(manifest.subjects, records, strict=True):
        yield entry.record
        yield from record.files


def _member(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _LONG_AGO)
    info.external_attr, info.create_system = _PLAIN_FILE, _UNIX
    return info


def unpack(file: Path | str, out: Path | str) -> Path:
    """Make a dataset of a file that `pack` wrote, verify it, and return its folder.

    Only files that the archive's own manifest and records name are written, and no more bytes than the archive has:
    whatever else an archive says, nothing lands outside `out`.

    Parameters
    ----------
    out
        Folder to publish; must not exist; it appears when it is whole and verified.

    Raises
    ------
    InputError
        If `file` is not such an archive or `out` exists.
    DamageError
        If what is in it is not what was packed.
    """
    source, target = Path(file), Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link
    if not source.is_file():
        raise InputError(source, expected="an archive made by `pack`", got="no file of that name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FolderLock(target):
            _refuse_taken(target)
            _unpack_verified(source, target)
    except OSError as error:
        raise writing_failed(target, error) from error
    return target


def _unpack_verified(source: Path, target: Path) -> None:
    """Unpack beside `target`, verify, then give it its name; to be called under the lock of `target`."""
    temporary = target.with_name(f".{target.name}.unpacking")
    _remove_folder(temporary)  # of a run that was killed
    try:
        temporary.mkdir()
        _extract(source, temporary)
        faults = verify(temporary)
        if faults:
            raise DamageError(f"{source}: {len(faults)} faults, the first in {faults[0].where}: {faults[0].what}")
        os.sync()
        temporary.rename(target)
        sync_folder(target.parent)
    finally:
        _remove_folder(temporary)


def _remove_folder(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


def _extract(file: Path, folder: Path) -> None:
    with _opened(file) as archive:
        members = _members(archive, file)
        raw = _read(archive, members, MANIFEST, MAX_DOCUMENT_BYTES, file)
        manifest = parse_document(raw, Manifest, f"{file.name}/{MANIFEST}")
        write_new(folder / MANIFEST, raw)
        for entry in manifest.files:
            _write(folder, entry, _read(archive, members, entry.path, entry.bytes, file))
        for subject in manifest.subjects:
            data = _read(archive, members, subject.record.path, subject.record.bytes, file)
            _write(folder, subject.record, data)
            record = parse_document(data, SubjectRecord, f"{file.name}/{subject.record.path}")
            for entry in record.files:
                _write(folder, entry, _read(archive, members, entry.path, entry.bytes, file))
    if members:
        raise InputError(file, expected="an archive of one dataset", got=f"another file in it: {min(members)[:200]!r}")


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _NO_ARCHIVE as error:
        raise DamageError(f"{file}: is no whole archive ({error}).") from None


def _members(archive: zipfile.ZipFile, file: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's members by name; refuse what `pack` never writes."""
    members = {info.filename: info for info in archive.infolist()}
    plain = all(
        info.compress_type == zipfile.ZIP_STORED
        and info.compress_size == info.file_size
        and not info.flag_bits & _ENCRYPTED
        and info.external_attr == _PLAIN_FILE
        for info in members.values()
    )
    size = sum(info.file_size for info in members.values())
    if not plain or len(members) != len(archive.infolist()) or size > file.stat().st_size or MANIFEST not in members:
        raise InputError(file, expected="an archive made by `pack`", got="another one")
    return members


def _read(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: str, limit: int, file: Path) -> bytes:
    """Return a member's bytes and strike it off; DamageError if it is missing or larger than it may be."""
    info = members.pop(path, None)
    if info is None or info.file_size > limit:
        raise DamageError(f"{file}: {path} is missing, twice, or larger than {limit} bytes.")
    try:
        return archive.read(info)
    except _NO_ARCHIVE as error:
        raise DamageError(f"{file}: {path} cannot be read ({error}).") from None


def _write(folder: Path, entry: FileEntry, data: bytes) -> None:
    target = folder / entry.path  # checked to stay inside when the entry was read
    target.parent.mkdir(parents=True, exist_ok=True)
    write_new(target, data)
