"""The containers by name. Each is imported when it is needed: a dataset in Zarr needs no HDF5 library."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import get_args

from numpy.typing import NDArray

from synthgen.datasets.manifest import Container
from synthgen.datasets.quantisation import dequantise
from synthgen.datasets.record import SubjectEntry
from synthgen.datasets.store import Kind, Store
from synthgen.errors import InputError
from synthgen.labels import Phase

CONTAINERS: tuple[Container, ...] = get_args(Container)

_STORES: Mapping[str, str] = {
    "zarr": "synthgen.datasets.zarr_store:ZarrStore",
    "hdf5": "synthgen.datasets.hdf5_store:Hdf5Store",
    "nifti": "synthgen.datasets.nifti_store:NiftiStore",
}


@cache
def store_of(container: str) -> Store:
    """Return the store of a container; InputError if there is none of that name."""
    if container not in _STORES:
        raise InputError("format", expected=f"one of {', '.join(_STORES)}", got=repr(container))
    module, name = _STORES[container].split(":")
    store: Store = getattr(import_module(module), name)()
    return store


def read_volume(container: str, root: Path, entry: SubjectEntry, phase: Phase, kind: Kind) -> NDArray:
    """Return one volume `(z, y, x)`: float32 intensities, or uint8 labels. Raises as `Store.read`."""
    stored = store_of(container).read(root, entry, phase, kind)
    return dequantise(stored, entry.intensity) if kind == "image" else stored
