"""What a folder of source data holds, as a short text: names and sizes, so that it is cheap for a large cohort."""

from __future__ import annotations

import hashlib
from pathlib import Path


def fingerprint(folder: Path) -> str:
    """Return a SHA-256 over the relative names and sizes of all files below `folder`."""
    files = sorted((p.relative_to(folder).as_posix(), p.stat().st_size) for p in folder.rglob("*") if p.is_file())
    return "sha256:" + hashlib.sha256(repr(files).encode()).hexdigest()
