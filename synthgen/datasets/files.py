"""Files of a dataset folder: read without trust, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from synthgen.errors import DamageError, InputError

IDENTIFIER = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?$"
"""What a subject id may look like, because it becomes a folder name: no separators, no leading or trailing dot."""

_IDENTIFIER = re.compile(IDENTIFIER)
_CHUNK = 1 << 20


def check_identifier(subject_id: str) -> str:
    """Return `subject_id` if it can be a folder name everywhere.

    Raises
    ------
    InputError
        If it has other characters than letters, digits, `.`, `_` and `-`, or more than 64 of them.
    """
    if not _IDENTIFIER.fullmatch(subject_id):
        raise InputError(
            "subject id",
            expected="1 to 64 letters, digits, '.', '_' or '-', a letter or digit first",
            got=repr(subject_id),
        )
    return subject_id


def check_relative(path: str) -> str:
    """Return `path` if it is a plain relative POSIX path that stays inside its folder.

    Raises
    ------
    ValueError
        If it is absolute, empty, has `..`, `.`, a backslash or a control character (pydantic reports it as invalid).
    """
    parts = PurePosixPath(path).parts
    plain = path and "\\" not in path and all(c.isprintable() for c in path) and "/".join(parts) == path
    if not plain or path.startswith("/") or ".." in parts or "." in parts:
        raise ValueError(f"not a relative path inside the dataset: {path!r}")
    return path


def read_bytes(root: Path, relative: str, limit: int) -> bytes:
    """Return the bytes of one file inside `root`, following no link and reading at most `limit` bytes.

    Raises
    ------
    DamageError
        If the file is missing, reached through a link, no plain file, or larger than `limit`.
    """
    where = f"{root.name}/{relative}"
    if os.path.realpath(root / relative) != os.path.join(os.path.realpath(root), *relative.split("/")):  # noqa: PTH118
        raise DamageError(f"{where}: is reached through a link; a dataset holds plain files only.")
    try:
        # O_NONBLOCK: opening a FIFO that someone left there must not hang.
        handle = os.open(root / relative, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DamageError(f"{where}: missing.") from None
    except OSError as error:
        raise DamageError(f"{where}: cannot be opened ({error.strerror}).") from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise DamageError(f"{where}: is no plain file.")
        if found.st_size > limit:
            raise DamageError(f"{where}: {found.st_size} bytes, at most {limit} expected.")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read(limit + 1)
    finally:
        os.close(handle)


def read_verified(root: Path, relative: str, size: int, sha256: str) -> bytes:
    """Return the bytes of one file inside `root` that must be what was written.

    Raises
    ------
    DamageError
        As `read_bytes`, and if the SHA-256 is another one.
    """
    data = read_bytes(root, relative, size)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamageError(f"{root.name}/{relative}: changed since it was written (its SHA-256 does not match).")
    return data


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a plain file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (relative POSIX path, lstat) of everything below `root`, folders included, sorted, no link followed."""

    def below(folder: str) -> Iterator[tuple[str, os.stat_result]]:
        try:
            with os.scandir(root / folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:  # what cannot be looked into counts as missing
            return
        for entry in found:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            yield relative, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                yield from below(relative)

    return below("")


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet."""
    with path.open("xb") as stream:
        stream.write(data)


def write_atomic(path: Path, data: bytes, *, staging: Path, durable: bool = False) -> None:
    """Give `path` the content `data` at once: staged in folder `staging` (same file system), then renamed.

    With `durable`, content and name are on the disk when the call returns.
    """
    temporary = staging / f"{path.name}.tmp"
    with temporary.open("wb") as stream:
        stream.write(data)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())
    temporary.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in `folder` on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
