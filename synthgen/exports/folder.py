"""`new_folder`: a folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthgen.datasets.files import sync_folder
from synthgen.errors import InputError, writing_failed
from synthgen.lock import FolderLock


@contextmanager
def new_folder(out: Path | str) -> Iterator[Path]:
    """Give a folder to fill, which becomes `out` when the block ends well and disappears when it does not.

    It lies beside `out` as `.NAME.partial`; what a killed run left there is removed by the next one.

    Raises
    ------
    InputError
        If `out` exists or is `/`, or another process is writing it.
    SynthgenError
        If the file system refuses.
    """
    target = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link that the user means
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FolderLock(target):
            staged = target.with_name(f".{target.name}.partial")
            if target.exists() or target.is_symlink():
                hint = "An export never overwrites: choose another name or remove it"
                raise InputError(target, expected="a name that is free", got="one that exists", hint=hint)
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir()
            try:
                yield staged
                os.sync()  # one call instead of one per file: the name must not be on the disk before the content is
                staged.rename(target)
                sync_folder(target.parent)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
    except OSError as error:
        raise writing_failed(target, error) from error
