"""`synthgen show`: say what is in a dataset or a bundle."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import click

from synthgen.commands.console import emit, table
from synthgen.commands.options import FOLDER, json_option
from synthgen.errors import InputError

if TYPE_CHECKING:
    from synthgen.datasets.manifest import Manifest, RecordEntry
    from synthgen.networks.bundle import Bundle

_INDICES = {
    "lv_edv_ml": "LV EDV, ml",
    "lv_esv_ml": "LV ESV, ml",
    "lv_ef_percent": "LV EF, %",
    "rv_edv_ml": "RV EDV, ml",
    "rv_esv_ml": "RV ESV, ml",
    "rv_ef_percent": "RV EF, %",
    "lv_mass_ed_g": "LV mass, g",
    "wall_ed_segment_max_mm": "thickest segment, mm",
}
"""The indices that a summary tells, and how it names them."""

_ROWS = 5
"""Subjects on a sheet, where `--rows` does not say."""


@click.command()
@click.argument("path", type=FOLDER)
@click.option("--sheet", type=FOLDER, default=None, help="Draw a preview of a dataset into this PNG file.")
@click.option(
    "--rows",
    type=click.IntRange(1, 100),
    default=None,
    help=f"Subjects on the sheet, of several classes and vendors.  [default: {_ROWS}]",
)
@json_option
def show(path: Path, sheet: Path | None, rows: int | None, as_json: bool) -> None:
    """Say what is in PATH: the folder of a dataset or a bundle, or the name of a bundle that comes with the program."""
    if rows is not None and sheet is None:
        raise InputError("--rows", expected="--sheet FILE.png beside it, which it is about", got="no --sheet")
    unfinished = bool(path.name) and path.with_name(f"{path.name}.partial").is_dir()
    there = path.exists() or unfinished
    if (path / "bundle.json").exists() or not there:
        from synthgen.networks.bundle import load_bundle, shipped_bundles

        if not there and str(path) not in shipped_bundles():
            expected = f"a dataset, a bundle or the name of one ({', '.join(shipped_bundles())})"
            raise InputError(path, expected=expected, got="nothing of that name")
        if sheet is not None:
            raise InputError("--sheet", expected="a dataset to draw", got=f"bundle {path}")
        bundle = load_bundle(str(path))
        emit(_describe_bundle(bundle), table(_tell_bundle(bundle)), as_json=as_json)
        return
    from synthgen.datasets.manifest import load_manifest

    manifest = load_manifest(path)
    picture = path / "preview.png"
    if sheet is not None:
        from synthgen.datasets.preview import save_sheet
        from synthgen.datasets.reader import StoredDataset

        _refuse_sheet(path, sheet)
        picture = save_sheet(StoredDataset(path), sheet, rows=rows or _ROWS)
    document = _describe_dataset(path, manifest, picture)
    emit(document, _tell_dataset(document), as_json=as_json)


def _refuse_sheet(dataset: Path, sheet: Path) -> None:
    """Refuse a picture that would not be what its name says, has no folder, or would lie in the dataset."""
    from synthgen.datasets.writer import refuse_inside

    if sheet.suffix.lower() != ".png":
        raise InputError("--sheet", expected="a name that ends in .png", got=repr(sheet.name))
    if not sheet.parent.is_dir():
        raise InputError("--sheet", expected="a file in a folder that exists", got=str(sheet))
    refuse_inside(dataset, sheet)


def _describe_dataset(path: Path, manifest: Manifest, picture: Path) -> dict[str, object]:
    """Return the facts of a dataset as JSON values."""
    subjects = manifest.subjects
    return {
        "dataset": str(path),
        "version": manifest.version + (f", grown from {manifest.parent.version}" if manifest.parent else ""),
        "format": manifest.layout.container,
        "content_id": manifest.content_id,
        "recipe_id": manifest.recipe_id,
        "subjects": len(subjects),
        "classes": Counter(str(s.pathology) for s in subjects),
        "vendors": Counter(f"{s.vendor} ({s.vendor.manufacturer})" for s in subjects),
        "slices": sum(s.shape[0] for s in subjects) * 2,
        "grids": Counter(f"{s.shape[2]} x {s.shape[1]} at {s.spacing_mm[2]:.2f} mm" for s in subjects),
        "megabytes": round(sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6, 1),
        "licence": manifest.legal.licence,
        "indices": {name: _by_class(subjects, name) for name in _INDICES},
        "preview": str(picture) if picture.exists() else "",
    }


def _by_class(subjects: Iterable[RecordEntry], name: str) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation of one index in each class; a single subject has no deviation."""
    values: dict[str, list[float]] = {}
    for subject in subjects:
        value = subject.indices.get(name)
        if value is not None:
            values.setdefault(str(subject.pathology), []).append(value)
    return {p: {"mean": fmean(v), "sd": stdev(v) if len(v) > 1 else None} for p, v in values.items()}


def _tell_dataset(document: dict[str, object]) -> str:
    """Return the facts of a dataset as one screen of text."""
    facts = {name: _phrase(value) for name, value in document.items() if name != "indices" and value}
    indices = document["indices"]
    assert isinstance(indices, dict)  # noqa: S101 - narrows the type; `_describe_dataset` made it
    rows = {
        _INDICES[name]: "   ".join(f"{p} {_spread(v)}" for p, v in classes.items())
        for name, classes in indices.items()
        if classes
    }
    return f"{table(facts)}\n\n{table(rows)}"


def _spread(value: Mapping[str, float | None]) -> str:
    """Return mean and standard deviation as `61.2 ± 4.0`."""
    return f"{value['mean']:.1f}" + ("" if value["sd"] is None else f" ± {value['sd']:.1f}")


def _describe_bundle(bundle: Bundle) -> dict[str, object]:
    """Return the description of a bundle as JSON values."""
    described: dict[str, object] = json.loads(bundle.description.model_dump_json(by_alias=True))
    return {"bundle": bundle.name, "folder": str(bundle.folder), **described}


def _tell_bundle(bundle: Bundle) -> dict[str, object]:
    """Return what matters of a bundle, by name; `--json` tells all."""
    description = bundle.description
    source, provenance = description.source, description.provenance
    size = sum(file.bytes for file in description.files.values())
    return {
        "bundle": bundle.name,
        "folder": bundle.folder,
        "preset": description.preset,
        "fitted on": f"{source.subjects} subjects of {source.cohort} ({_phrase(source.classes)})",
        "licence": source.licence,
        "citation": source.citation,
        "labels": description.label_scheme,
        "grid": f"{description.image_size} x {description.image_size} at {description.spacing_mm:.2f} mm",
        "networks": ", ".join(description.networks),
        "vendors": ", ".join(description.styles),
        "seed": provenance.get("seed", ""),
        "perceptual loss": provenance.get("perceptual_features", ""),
        "megabytes": f"{size / 1e6:.1f}",
    }


def _phrase(value: object) -> str:
    """Return a count table as `ARV 3, HCM 2`, anything else as it is written."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    return str(value)
