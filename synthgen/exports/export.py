"""`export`: what every export does around its own files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.writer import refuse_inside
from synthgen.exports.cases import Progress
from synthgen.exports.folder import new_folder


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
            Folder to make; must not exist, nor lie in `dataset`.
        progress
            Called after every subject.

        Raises
        ------
        InputError
            If there is no dataset, or `out` exists or lies in it.
        DamageError
            If a volume of `dataset` is not what was written.
        """


def export(fill: Callable[[StoredDataset, Path, str, Progress | None], None]) -> Export:
    """Make an export of `fill(source, folder, name, progress)`, which writes `source` into `folder`, called `name`."""

    def exported(dataset: Path | str, out: Path | str, *, progress: Progress | None = None) -> Path:
        source = StoredDataset(dataset)
        refuse_inside(source.path, Path(out))
        with new_folder(out) as folder:
            fill(source, folder, Path(out).name, progress)
        return Path(out)

    # not `wraps`, which would show the signature of `fill`
    exported.__module__, exported.__name__, exported.__doc__ = fill.__module__, fill.__name__, fill.__doc__
    return exported
