"""`render`: new images of the label maps of known subjects, as a dataset: label-informed synthesis.

Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123): a patient's label maps, tissues around the heart
included, are varied and rendered in the style of a vendor. Here the result is a dataset like any other, in which
subjects that go back to one patient share an `anatomy`, so that nobody trains on the one and tests on the other.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from synthgen.cohorts.prefetched import Prefetched
from synthgen.counts import LARGEST_COUNT, whole_number
from synthgen.datasets.manifest import MANIFEST, Container, Manifest
from synthgen.datasets.published_cohort import HEART_DIGEST
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.writer import DatasetWriter
from synthgen.engine.made_cohort import RerenderedCohort
from synthgen.engine.styles import vendors_of
from synthgen.errors import InputError
from synthgen.indices import measure
from synthgen.labels import Vendor
from synthgen.networks.bundle import Bundle, bundle_of, load_bundle
from synthgen.networks.device import device_of
from synthgen.processes import one_torch_thread
from synthgen.subjects import SourceCohort, SyntheticSubject
from synthgen.training.report import Report
from synthgen.whole_file import left_over, whole_file

RENDERED = "subjects rendered"
"""What is counted once label maps are prepared."""

_MAPS_FILE = "maps.json"
"""Tells whose label maps lie in a folder."""


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What is rendered of each subject of a cohort.

    Attributes
    ----------
    copies
        Renderings of each subject, in each vendor's style if vendors are named.
    vendors
        Whose styles, each once; letters will do. None named: one vendor per copy, those of the bundle in turn.
    varied
        Whether every copy has label maps of its own: bent, and with a larger or smaller heart. They are the same in
        the styles of all vendors.
    seed
        Root of all chance, from 0 to 2^63 - 1.
    bundle
        Name or folder of the generator.

    Raises
    ------
    InputError
        If a number is out of range or not whole, `varied` is no truth value, or a vendor is unknown.
    """

    copies: int = 1
    vendors: tuple[Vendor, ...] = ()
    varied: bool = True
    seed: int = 0
    bundle: str = "default"

    def __post_init__(self) -> None:
        """Refuse what cannot be made, and take numbers of numpy as plain ones."""
        object.__setattr__(self, "copies", whole_number("copies", self.copies, 1, LARGEST_COUNT))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0, (1 << 63) - 1))
        if not isinstance(self.varied, bool):
            raise InputError("varied", expected="True or False", got=repr(self.varied))
        object.__setattr__(self, "vendors", tuple(dict.fromkeys(Vendor.parse(letter) for letter in self.vendors)))

    def of(
        self, cohort: SourceCohort, bundle: Bundle, *, maps: Path | None = None, device: str = "cpu"
    ) -> RerenderedCohort:
        """Return the subjects to be made, copy after copy, so that more copies come last; raises as it does."""
        known = vendors_of(bundle.description.styles)
        wanted, keys = [], []
        for copy in range(self.copies):
            for number in range(len(cohort)):
                styles = self.vendors or (known[(number + copy) % len(known)],)
                wanted += [(number, vendor) for vendor in styles]
                keys += [copy * LARGEST_COUNT + number] * len(styles)
        return RerenderedCohort(
            bundle, cohort, wanted, keys=keys, seed=self.seed, varied=self.varied, maps=maps, device=device
        )


def render(
    cohort: SourceCohort,
    out: Path | str,
    rendering: Rendering | None = None,
    *,
    container: Container = "zarr",
    parent: StoredDataset | None = None,
    workers: int | None = None,
    device: str | None = None,
    report: Report | None = None,
) -> Path:
    """Render every subject of `cohort` into the new dataset `out` and return it; the same call goes on with it.

    A subject is the same whatever the number of copies and vendors, the order and the workers. Where several are made
    of a patient whose tissues have to be labelled first, that is done once, in `out.maps`, which is removed at the end.

    Parameters
    ----------
    cohort
        Label maps of hearts, around which the bundle's segmentor labels the other tissues on their images, or of all
        nine tissues, with class, vendor and body of each subject.
    out
        Folder to publish. Until then the work lies in `out.partial`.
    rendering
        What is rendered of each; `Rendering()` when None.
    container
        How voxels are kept.
    parent
        A dataset with fewer copies of the same, whose subjects are taken over as they are; see `extend`.
    workers
        Processes; one per core when None, one on a GPU.
    device
        `auto`, `cpu` or a CUDA device; None is `auto`.
    report
        Where progress is told.

    Raises
    ------
    InputError
        If the bundle cannot render the cohort or a vendor, a subject cannot be read, `workers` is below 1, or `out` is
        taken.
    PartialError
        If it was interrupted or a worker process was killed; the same call goes on.
    """
    rendering, report, place = rendering or Rendering(), report or Report(), device_of(device)
    if workers is not None and workers < 1:
        raise InputError("workers", expected="at least 1", got=str(workers))
    bundle, out = load_bundle(rendering.bundle), Path(out)
    crew = workers or (1 if place != "cpu" else None)
    plan = _plan(rendering, cohort, bundle)
    bare = rendering.of(cohort, bundle, device=place)
    ids = [_identifier(bare, index) for index in range(len(bare))]
    with DatasetWriter.open(out, plan=plan, subject_ids=ids, container=container, parent=parent) as writer:
        missing = [index for index, subject_id in enumerate(ids) if subject_id not in writer.done]
        beside = out.with_name(out.name + ".maps")
        several = len({bare.numbers[index] for index in missing}) < len(missing)
        maps = _claimed(beside, {"cohort": plan["cohort"], "bundle": plan["bundle"]}) if several else None
        made = rendering.of(cohort, bundle, maps=maps, device=place)
        made.keep_maps(lambda done, total: report.count("label maps prepared", done, total), workers=workers)
        told = Prefetched(made, missing, workers=crew, progress=partial(report.count, RENDERED))
        with one_torch_thread(), told as ahead:
            for index in missing:
                writer.add(_finished(ahead, made, index))
        if (beside / _MAPS_FILE).is_file():  # nothing of a patient stays beside what is published
            shutil.rmtree(beside)
        return writer.finish(_extra(cohort, made, bundle, place))


def _claimed(folder: Path, described: dict[str, object]) -> Path:
    """Return the folder for label maps, those of an abandoned run of another cohort or bundle removed.

    Raises
    ------
    InputError
        If something else lies there.
    """
    note = folder / _MAPS_FILE
    if note.is_file() and note.read_text(encoding="utf-8") != json.dumps(described):
        shutil.rmtree(folder)
    if not note.is_file():
        if folder.exists() and not (folder.is_dir() and set(folder.iterdir()) <= left_over(note)):
            raise InputError(
                folder, expected="a free name, for label maps while they are rendered", got="something else"
            )
        folder.mkdir(exist_ok=True)
        with whole_file(note) as staged:
            staged.write_text(json.dumps(described), encoding="utf-8")
    return folder


def rendering_of(
    manifest: Manifest, cohort: SourceCohort | None, *, bundle: str | None = None
) -> tuple[Rendering, SourceCohort]:
    """Return what a dataset is a rendering of, held against the cohort and the bundle that are there now.

    Raises
    ------
    InputError
        If `render` did not make the dataset, or cohort or bundle are not given or others.
    """
    try:
        rendering = TypeAdapter(Rendering).validate_python(manifest.plan.get("rendering"))
    except ValidationError as error:
        raise InputError(MANIFEST, expected="a dataset that `render` made", got="another") from error
    if bundle is not None:
        rendering = replace(rendering, bundle=bundle)
    if cohort is None:
        raise InputError("--cohort", expected="the cohort whose label maps were rendered, such as acdc:DIR", got="none")
    there = _plan(rendering, cohort, bundle_of(rendering.bundle, manifest.plan.get("bundle")))
    if there["cohort"] != manifest.plan.get("cohort"):
        raise InputError(f"cohort {cohort.name}", expected="the one that was rendered", got="another, or changed files")
    return rendering, cohort


def refuse_unused(manifest: Manifest, *, cohort: SourceCohort | None, bundle: str | None) -> None:
    """Refuse a cohort or a bundle for a dataset that was made without one.

    Raises
    ------
    InputError
        If one is given that would not be used.
    """
    if cohort is not None and "rendering" not in manifest.plan:
        raise InputError("--cohort", expected="none: DATASET is not one of `render`", got=cohort.name)
    if bundle is not None and not {"rendering", "recipe"} & set(manifest.plan):
        raise InputError("--bundle", expected="none: DATASET is not one of `build` or `render`", got=bundle)


def rendered(made: RerenderedCohort, index: int) -> SyntheticSubject:
    """Return subject `index` as the dataset has it."""
    with one_torch_thread():
        return _finished(made, made, index)


def _plan(rendering: Rendering, cohort: SourceCohort, bundle: Bundle) -> dict[str, object]:
    """Return everything that decides what the subjects are."""
    fingerprint = hashlib.sha256(cohort.fingerprint().encode()).hexdigest()
    return {
        "rendering": asdict(rendering),
        "cohort": {"name": cohort.name, "subjects": len(cohort), "fingerprint": fingerprint},
        "bundle": {name: entry.sha256 for name, entry in sorted(bundle.description.files.items())},
    }


def _identifier(made: RerenderedCohort, index: int) -> str:
    return f"{made.subject_pathologies[index]}-{made.subject_vendors[index]}-{index + 1:04d}"


def _finished(source: SourceCohort, made: RerenderedCohort, index: int) -> SyntheticSubject:
    """Return a subject with its indices measured and its history; nobody's name is in it, only a number."""
    subject, (copy, number) = source[index], divmod(made.keys[index], LARGEST_COUNT)
    return SyntheticSubject(
        subject_id=_identifier(made, index),
        pathology=subject.pathology,
        vendor=subject.vendor,
        body=subject.body,
        images=subject.images,
        labels=subject.labels,
        indices=measure(subject.labels, subject.body).as_dict(),
        record={
            "label_maps_of": made.cohort.name,
            "subject": number + 1,
            "copy": copy + 1,
            HEART_DIGEST: subject.made_from,
        },
        anatomy=f"anatomy-{number + 1:04d}",
    )


def _extra(cohort: SourceCohort, made: RerenderedCohort, bundle: Bundle, device: str) -> dict[str, object]:
    """Return what the manifest says beside request and content: models, terms, and the arithmetic that made voxels."""
    source = bundle.description.source
    return {
        "models": [bundle.description],
        "legal": {
            "licence": made.licence,
            "source_data": [
                {"name": cohort.name, "licence": cohort.licence, "citation": cohort.citation, "use": "label maps"},
                {"name": source.cohort, "licence": source.licence, "citation": source.citation},
            ],
        },
        "compute": {"device": device, "cpu": torch.backends.cpu.get_cpu_capability()},
    }
