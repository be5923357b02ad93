"""OME-Zarr 0.5: one hierarchy with an image per subject, which viewers open as a collection or subject by subject.

The images are those of the project's own Zarr container; what is added is the root that lists them
(bioformats2raw layout) and the grey window in which to show them. Both phases are one image with a time axis.

Reference: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import json
from pathlib import Path

from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.store import StoredSubject
from synthgen.datasets.zarr_store import ZarrStore, group_path
from synthgen.exports.cases import Progress, described, json_bytes, write_file
from synthgen.exports.export import export


@export
def export_ome_zarr(source: StoredDataset, folder: Path, _name: str, progress: Progress | None) -> None:
    """Write `dataset` as the OME-Zarr hierarchy `out` and return it.

    Voxels are the stored integers; scale and offset to intensities, and the affine, which OME-Zarr 0.5 cannot say,
    stand in each subject's attributes under `synthgen`; what the dataset is and its licence in those of the root.
    """
    for number, subject_id in enumerate(source.ids):
        _write_subject(folder, source.stored(subject_id))
        if progress:
            progress(number + 1, len(source))
    manifest = source.manifest
    about = {"description": described(manifest), "disclaimer": manifest.disclaimer, "licence": manifest.legal.licence}
    layout = {"version": "0.5", "bioformats2raw.layout": 3}
    write_file(folder, "zarr.json", _group({"ome": layout, "synthgen": about}))
    series: dict[str, object] = {"ome": {"version": "0.5", "series": list(source.ids)}}
    write_file(folder, "OME/zarr.json", _group(series))


def _write_subject(folder: Path, subject: StoredSubject) -> None:
    group = group_path(subject.entry.id)
    for path, data in ZarrStore().encode(subject).items():
        content = _with_window(data, subject) if path == f"{group}/zarr.json" else data
        write_file(folder, f"{subject.entry.id}/{path.removeprefix(f'{group}/')}", content)


def _with_window(data: bytes, subject: StoredSubject) -> bytes:
    """Return a subject's metadata with the range of its voxels, so that a viewer need not look for it."""
    node = json.loads(data)
    images = subject.volumes["image"].values()
    low, high = min(int(image.min()) for image in images), max(int(image.max()) for image in images)
    window = {"min": low, "max": high, "start": low, "end": high}
    channel = {"label": "cine MRI", "color": "FFFFFF", "active": True, "window": window}
    node["attributes"]["ome"]["omero"] = {"channels": [channel], "rdefs": {"model": "greyscale"}}
    entry = subject.entry
    node["attributes"]["synthgen"] |= {
        "pathology": entry.pathology.value, "vendor": entry.vendor.value, "heart": entry.heart,
    }  # fmt: skip
    return json_bytes(node)


def _group(attributes: dict[str, object]) -> bytes:
    return json_bytes({"zarr_format": 3, "node_type": "group", "attributes": attributes})
