"""`convert`: a dataset in another container, with the same content, records and history, and back without a trace."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from synthgen.datasets.files import read_verified
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.writer import DatasetWriter
from synthgen.errors import InputError

Progress = Callable[[int, int], None]
"""Called with (subjects done, subjects in all)."""


def convert(dataset: Path | str, out: Path | str, container: str, *, progress: Progress | None = None) -> Path:
    """Write `dataset` again in another container and return the new folder.

    Voxels, geometry, records and manifest stay the same, `content_id` and `recipe_id` among them; only what says how
    volumes are stored differs. Converting back gives the first dataset byte for byte. An interrupted conversion goes on
    when it is called again.

    Parameters
    ----------
    dataset
        Folder of a published dataset, in any container.
    out
        Folder to publish; must not exist, nor lie in `dataset`.
    container
        `zarr`, `hdf5` or `nifti`.
    progress
        Called after every subject.

    Raises
    ------
    InputError
        If there is no dataset, `out` exists or lies in it, or an unfinished dataset of other content lies there.
    DamageError
        If a file of `dataset` is not what was written.
    PartialError
        If it was interrupted; the same call goes on.
    """
    source = StoredDataset(dataset)
    total = len(source)
    with DatasetWriter.like(out, source, container) as writer:
        for number, entry in enumerate(source.manifest.subjects):
            if entry.id not in writer.done:
                writer.add_stored(source.stored(entry.id))
            elif writer.entry(entry.id) != entry.entry():
                raise InputError(
                    writer.folder, expected=f"an unfinished copy of {source.path}", got=f"another {entry.id}"
                )
            if progress:
                progress(number + 1, total)
        for file in source.manifest.files:
            if "/" not in file.path:
                writer.add_file(file.path, read_verified(source.path, file.path, file.bytes, file.sha256))
        return writer.finish(preview_rows=0)


to_zarr = partial(convert, container="zarr")
to_hdf5 = partial(convert, container="hdf5")
to_nifti = partial(convert, container="nifti")
