"""What a cohort reads from a folder, as a short text that changes with it, cheap for a large cohort."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

_TRAILER = 8
"""Bytes at the end of a gzip file: CRC-32 and length of what is compressed in it (RFC 1952)."""


def fingerprint(folder: Path, files: Iterable[Path]) -> str:
    """Return a SHA-256 over names and content of files; what else lies in their folder makes no difference.

    Of a gzip file the content is known by its size and checksum, so that large volumes need not be read.

    Parameters
    ----------
    folder
        What names are relative to, so that a cohort may move.
    files
        Those that the cohort reads; a link has its own name and the content of what it leads to. One that is missing is
        left out: reading it is what raises.
    """
    found = sorted({(Path(os.path.relpath(p, folder)).as_posix(), _content(p)) for p in files if p.is_file()})
    return "sha256:" + hashlib.sha256(repr(found).encode()).hexdigest()


def _content(file: Path) -> str:
    """Return a text that changes with the content of a file."""
    with file.open("rb") as stream:
        if file.suffix != ".gz":
            return hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TRAILER))
        return f"{size} {stream.read().hex()}"
