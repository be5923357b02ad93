"""What a cohort reads from a folder, as a short text: names and sizes, so that it is cheap for a large cohort."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def fingerprint(folder: Path, files: Iterable[Path]) -> str:
    """Return a SHA-256 over names and sizes of files; what else lies in their folder makes no difference.

    Parameters
    ----------
    folder
        What names are relative to, so that a cohort may move.
    files
        Those that the cohort reads; a link has its own name and the size of what it leads to. One that is missing is
        left out: reading it is what raises.
    """
    found = sorted({(Path(os.path.relpath(p, folder)).as_posix(), p.stat().st_size) for p in files if p.is_file()})
    return "sha256:" + hashlib.sha256(repr(found).encode()).hexdigest()
