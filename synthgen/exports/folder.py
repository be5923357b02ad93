"""`export`: what every export does around its own files. `new_folder`: a folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from synthgen.datasets.files import sync_folder, writing_failed
from synthgen.datasets.lock import FolderLock
from synthgen.datasets.reader import StoredDataset
from synthgen.errors import InputError
from synthgen.exports.cases import Progress


@runtime_checkable
class Export(Protocol):
    """What `export` makes of a function that fills a folder."""

    def __call__(self, dataset: Path | str, out: Path | str, *, progress: Progress | None = None) -> Path:
        """Write the published dataset in folder `dataset` into the new folder `out` and return it.

        Parameters
        ----------
        dataset
            Folder of a published dataset.
        out
            Folder to make; must not exist.
        progress
            Called after every subject.

        Raises
        ------
        InputError
            If there is no dataset, or `out` exists.
        DamageError
            If a volume of `dataset` is not what was written.
        """


def export(fill: Callable[[StoredDataset, Path, str, Progress | None], None]) -> Export:
    """Make an export of `fill(source, folder, name, progress)`, which writes `source` into `folder`, called `name`."""

    def exported(dataset: Path | str, out: Path | str, *, progress: Progress | None = None) -> Path:
        source = StoredDataset(dataset)
        with new_folder(out) as folder:
            fill(source, folder, Path(out).name, progress)
        return Path(out)

    # not `wraps`, which would show the signature of `fill`
    exported.__module__, exported.__name__, exported.__doc__ = fill.__module__, fill.__name__, fill.__doc__
    return exported


@contextmanager
def new_folder(out: Path | str) -> Iterator[Path]:
    """Give a folder to fill, which becomes `out` when the block ends well and disappears when it does not.

    It lies beside `out` as `.NAME.partial`; what a killed run left there is removed by the next one.

    Raises
    ------
    InputError
        If `out` exists, or another process is writing it.
    SynthgenError
        If the file system refuses.
    """
    target = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link that the user means
    staged = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FolderLock(target):
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
