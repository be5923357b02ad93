"""Cohorts that a bundle makes when asked for: generated subjects, and new images of the label maps of known ones.

They are what a trainer or a fit reads, without a dataset on disk in between; each subject depends on its plan alone.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from synthgen.cohorts.prepared import PreparedStore, Progress
from synthgen.cohorts.preprocess import prepare
from synthgen.engine.generate import SPADE, Generator
from synthgen.engine.plan import SubjectSpec
from synthgen.engine.render import StackRenderer
from synthgen.engine.styles import draw_style, vendors_of
from synthgen.engine.tissue_maps import TissueCohort, segmentor_of
from synthgen.engine.variation import draw_variation, vary
from synthgen.errors import InputError
from synthgen.indices import heart_digest
from synthgen.labels import HEART, Pathology, Phase, Tissue, Vendor
from synthgen.networks.bundle import Bundle, load_bundle
from synthgen.networks.spade import SpadeGenerator
from synthgen.processes import share_processors
from synthgen.seeding import Stage, numpy_stream
from synthgen.subjects import LabelScheme, SourceCohort, SourceSubject
from synthgen.volumes import Volume


class _FromBundle:
    """What both kinds share: a bundle's folder, which processes open for themselves, and whose terms hold."""

    def __init__(self, bundle: Bundle) -> None:
        source = bundle.description.source
        self.folder = bundle.folder
        self.name, self.licence, self.citation = f"made from {bundle.name}", source.licence, source.citation
        self.label_scheme: LabelScheme = bundle.description.label_scheme
        self.of_patients = False
        self.subject_pathologies: list[Pathology] = []
        self.subject_vendors: list[Vendor] = []
        self.weights = [entry.sha256 for _, entry in sorted(bundle.description.files.items())]

    def __len__(self) -> int:
        """Return the number of subjects."""
        return len(self.subject_pathologies)


class GeneratedCohort(_FromBundle):
    """Subjects that a generator makes (a `SourceCohort`).

    Parameters
    ----------
    bundle
        What makes them.
    specs
        Who is made, as `engine.plan.plan` plans it from this bundle.
    called
        Class that they are said to have; None: the one that they were made for. For control experiments.
    refine, select
        Whether J mends mixtures and F selects them. For ablations.
    """

    def __init__(
        self,
        bundle: Bundle,
        specs: Sequence[SubjectSpec],
        *,
        called: Pathology | None = None,
        refine: bool = True,
        select: bool = True,
    ) -> None:
        super().__init__(bundle)
        self.specs, self.called, self.refine, self.select = tuple(specs), called, refine, select
        self.subject_pathologies = [called or spec.pathology for spec in specs]
        self.subject_vendors = [spec.vendor for spec in specs]

    def fingerprint(self) -> str:
        """Return a text that changes when a subject would."""
        how = f"called {self.called}, J {self.refine}, F {self.select}"
        return f"{self.name}: {self.weights}, {how}: {[spec.as_dict() for spec in self.specs]}"

    def __getitem__(self, index: int) -> SourceSubject:
        """Make subject `index`; `UnreachableError` if no draw of it passes the gates."""
        made = _generator(self.folder, self.refine, self.select).generate(self.specs[index])
        return SourceSubject(
            subject_id=made.subject_id,
            pathology=self.subject_pathologies[index],
            vendor=made.vendor,
            body=made.body,
            images=made.images,
            labels=made.labels,
        )


class RerenderedCohort(_FromBundle):
    """Known subjects with new images in drawn styles: what SPADE alone can add (a `SourceCohort`).

    Parameters
    ----------
    bundle
        Whose renderer and styles are used.
    cohort
        Whose label maps are rendered, on the bundle's grid. Tissues that the bundle renders and the cohort has not
        labelled are labelled by the bundle's segmentor.
    wanted
        Number of a subject and the vendor whose style it gets; None takes the bundle's vendors in turn, for a subject
        that comes several times too.
    keys
        Number of each entry in the keys of its chance; None: its place. Entries of a subject with one key vary alike.
    seed
        Root of chance; every key has a style and noise of its own.
    varied
        Whether label maps are bent and hearts grow or shrink before they are rendered, each key in its own way.
    maps
        Place on the bundle's grid for subjects of which several entries are made, since labelling tissues takes longer
        than rendering; `keep_maps` fills it. None: every entry prepares its subject anew.
    device
        Where the renderer runs.

    Raises
    ------
    InputError
        If tissues are missing and the bundle has no segmentor, or a vendor has no style.
    """

    def __init__(
        self,
        bundle: Bundle,
        cohort: SourceCohort,
        wanted: Sequence[tuple[int, Vendor | None]],
        *,
        keys: Sequence[int] | None = None,
        seed: int = 0,
        varied: bool = False,
        maps: Path | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(bundle)
        if self.label_scheme == "tissue" and cohort.label_scheme == "heart":
            cohort = TissueCohort(cohort, segmentor_of(bundle))
        known = vendors_of(bundle.description.styles)
        missing = sorted({vendor for _, vendor in wanted if vendor is not None and vendor not in known})
        if missing:
            raise InputError(f"vendor {missing[0]}", expected=f"a style of the bundle ({', '.join(known)})", got="none")
        self.cohort, self.seed, self.varied, self.device = cohort, seed, varied, device
        self.keys = tuple(range(len(wanted)) if keys is None else keys)
        grid = bundle.description
        self._maps = (
            PreparedStore(maps, pixels=grid.image_size, spacing_mm=grid.spacing_mm, images=False) if maps else None
        )
        self.of_patients = cohort.of_patients  # their anatomy; only the grey is new
        self.licence = " and ".join(dict.fromkeys((cohort.licence, self.licence)))
        self.citation = "; ".join(dict.fromkeys((cohort.citation, self.citation)))
        self.numbers = [number for number, _ in wanted]
        self.subject_vendors = [vendor or known[turn % len(known)] for turn, (_, vendor) in _turns(wanted)]
        self.subject_pathologies = [cohort.subject_pathologies[number] for number in self.numbers]

    def fingerprint(self) -> str:
        """Return a text that changes when a subject would."""
        chosen = list(zip(self.numbers, map(str, self.subject_vendors), strict=True))
        how = f"seed {self.seed}{', varied' if self.varied else ''}"
        if self.keys != tuple(range(len(self.keys))):
            how += f", keys {self.keys}"
        return f"{self.name}: {self.weights}, {how}, {chosen} of {self.cohort.fingerprint()}"

    def keep_maps(self, progress: Progress | None = None, *, workers: int | None = None) -> None:
        """Bring every subject of the cohort to the bundle's grid, in `maps`, unless that was done before."""
        if self._maps is not None:
            self._maps.fill(self.cohort, workers=workers, progress=progress)

    def __getitem__(self, index: int) -> SourceSubject:
        """Render entry `index`."""
        renderer, bundle = _renderer(self.folder, self.device)
        grid, number, key = bundle.description, self.numbers[index], self.keys[index]
        if self._maps is None:
            known = prepare(self.cohort[number], pixels=grid.image_size, spacing_mm=grid.spacing_mm)
        else:
            known = self._maps[number]
        labels = dict(known.labels)
        if self.label_scheme == "heart":
            labels = {p: np.where(np.isin(s, HEART), s, Tissue.BACKGROUND).astype(np.uint8) for p, s in labels.items()}
        if self.varied:
            drawn = draw_variation(numpy_stream(self.seed, key, 0, Stage.VARIATION))
            labels = vary(labels, known.spacing_mm, drawn)
        vendor = self.subject_vendors[index]
        spec = SubjectSpec(
            subject_id=f"{known.subject_id}-{vendor}-{index + 1:04d}", seed=self.seed, key=key,
            pathology=known.pathology, vendor=vendor, recipient=known.subject_id, severity=1.0, correlation="class",
            max_attempts=1,
        )  # fmt: skip
        style = draw_style(grid.styles, vendor, numpy_stream(self.seed, key, 0, Stage.STYLE))
        with torch.inference_mode():
            images = renderer.render(labels, style, spec, 0)
        return SourceSubject(
            subject_id=spec.subject_id,
            pathology=known.pathology,
            vendor=vendor,
            body=known.body,
            images={phase: Volume(images[phase], known.spacing_mm, known.affine) for phase in Phase},
            labels={phase: Volume(labels[phase], known.spacing_mm, known.affine) for phase in Phase},
            made_from=heart_digest(known.indices),
        )


def _turns(wanted: Sequence[tuple[int, Vendor | None]]) -> Iterator[tuple[int, tuple[int, Vendor | None]]]:
    """Yield each entry after its turn: the subject's number, and one more each time that the subject comes again."""
    before: Counter[int] = Counter()
    for entry in wanted:
        yield entry[0] + before[entry[0]], entry
        before[entry[0]] += 1


@functools.lru_cache(maxsize=1)
def _generator(folder: Path, refine: bool, select: bool) -> Generator:
    share_processors()
    return Generator(load_bundle(folder), refine=refine, select=select)


@functools.lru_cache(maxsize=1)
def _renderer(folder: Path, device: str) -> tuple[StackRenderer, Bundle]:
    share_processors()
    bundle = load_bundle(folder)
    network = bundle.network(SPADE)
    if not isinstance(network, SpadeGenerator):
        raise InputError(f"bundle {bundle.name}", expected=f"a SPADE generator as {SPADE}", got=type(network).__name__)
    return StackRenderer(network, device), bundle
