"""`VirtualHearts`: a cohort of virtual patients, made on access. No patient, no download, no licence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, SupportsIndex

from synthgen.counts import LARGEST_COUNT, whole_number
from synthgen.errors import InputError
from synthgen.hearts import geometry as heart_geometry
from synthgen.hearts.population import sample
from synthgen.hearts.simulator import Simulation, simulate
from synthgen.hearts.stack import plan_stack
from synthgen.hearts.styles import ScannerStyle, draw_style
from synthgen.hearts.subject import Targets, VirtualSubject
from synthgen.labels import Pathology, Vendor
from synthgen.processes import one_thread
from synthgen.seeding import Stage, numpy_stream
from synthgen.subjects import LabelScheme, SourceSubject

DEFAULT_PIXELS: Final = 144
DEFAULT_PIXEL_MM: Final = 1.5

_VERSION: Final = 4
"""Counts up when the subjects of a seed change, so that nothing made from earlier ones is taken for theirs."""


class VirtualHearts:
    """A balanced cohort of simulated patients (a `SourceCohort`): ED and ES cine images with nine-tissue labels.

    Subject `i` depends on `(seed, i)`, the vocabularies and the grid; not on `count`.

    Parameters
    ----------
    count
        Number of subjects, from 1 to `LARGEST_COUNT`.
    seed
        Root seed, at least 0.
    pathologies, vendors
        Classes and styles to go through in turn: subject `i` has pathology `i mod n`, and every run of `n` subjects
        shares a vendor, so that all pairs occur equally often. None means all.
    pixels
        Rows and columns of the field of view, centred on the heart; at least 64.
    spacing_mm
        In-plane pixel size; None takes each style's own.
    artefacts
        False leaves out noise, ghosts, coil shading, off-resonance, texture and breath-hold shifts.

    Raises
    ------
    InputError
        If a number is out of range or not whole, or a vocabulary is empty or has an unknown name.
    """

    name = "virtual hearts"
    licence = "Apache-2.0"
    citation = "Simulated by synthgen; no patient data"
    label_scheme: LabelScheme = "tissue"
    of_patients = False

    def __init__(
        self,
        count: SupportsIndex,
        *,
        seed: SupportsIndex = 0,
        pathologies: Sequence[Pathology] | None = None,
        vendors: Sequence[Vendor] | None = None,
        pixels: SupportsIndex = DEFAULT_PIXELS,
        spacing_mm: float | None = DEFAULT_PIXEL_MM,
        artefacts: bool = True,
    ) -> None:
        self.pathologies = tuple(map(Pathology.parse, Pathology if pathologies is None else pathologies))
        self.vendors = tuple(map(Vendor.parse, Vendor if vendors is None else vendors))
        self.count = whole_number("count", count, 1, LARGEST_COUNT)
        self.seed = whole_number("seed", seed, 0)
        self.pixels = whole_number("pixels", pixels, 64)
        _require(spacing_mm is None or 0.5 <= spacing_mm <= 4.0, "spacing_mm", "0.5 to 4 mm", spacing_mm)
        _require(bool(self.pathologies), "pathologies", "at least one", "none")
        _require(bool(self.vendors), "vendors", "at least one", "none")
        self.subject_pathologies = [self.pathologies[i % len(self.pathologies)] for i in range(self.count)]
        turns = (i // len(self.pathologies) for i in range(self.count))
        self.subject_vendors = [self.vendors[turn % len(self.vendors)] for turn in turns]
        self.spacing_mm, self.artefacts = spacing_mm, artefacts

    def fingerprint(self) -> str:
        """Return everything that decides what the cohort holds; the size last, since it moves no subject."""
        parts = (*self.pathologies, *self.vendors, f"seed {self.seed}", f"{self.pixels} px", f"{self.spacing_mm} mm")
        made = f"virtual hearts, version {_VERSION}: {' '.join(parts)}"
        return f"{made}, artefacts {self.artefacts}, {self.count} subjects"

    def __len__(self) -> int:
        """Return the number of subjects."""
        return self.count

    def __iter__(self) -> Iterator[SourceSubject]:
        """Simulate one subject after the other."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> SourceSubject:
        """Simulate subject `index` (negative counts from the end).

        Raises
        ------
        IndexError
            If the cohort has no such subject.
        """
        with one_thread():  # or the bits would depend on the number of processors
            subject = self.draw(index)
            style = self.style(index)
            simulation = self._simulate(subject, style)
        return SourceSubject(
            subject_id=self.subject_id(index),
            pathology=subject.pathology,
            vendor=Vendor(style.name),
            body=subject.body,
            images=simulation.images,
            labels=simulation.labels,
            truth=truth(subject.targets),
        )

    def subject_id(self, index: int) -> str:
        """Return the id of subject `index`."""
        return f"heart-{self.seed}-{self._position(index):05d}"

    def draw(self, index: int) -> VirtualSubject:
        """Return the anatomy of subject `index` without simulating it."""
        position = self._position(index)
        return sample(self.seed, position, self.subject_pathologies[position])

    def style(self, index: int) -> ScannerStyle:
        """Return the drawn scanner style of subject `index`."""
        position = self._position(index)
        return draw_style(self.subject_vendors[position], numpy_stream(self.seed, position, 0, Stage.STYLE))

    def _simulate(self, subject: VirtualSubject, style: ScannerStyle) -> Simulation:
        geometry = heart_geometry.build(subject)
        grid = plan_stack(
            subject,
            geometry,
            pixels=self.pixels,
            pixel_mm=style.pixel_mm if self.spacing_mm is None else self.spacing_mm,
            thickness_mm=style.thickness_mm,
            gap_mm=style.gap_mm,
        )
        return simulate(subject, style, grid, geometry, artefacts=self.artefacts)

    def _position(self, index: int) -> int:
        position = index + self.count if index < 0 else index
        if not 0 <= position < self.count:
            raise IndexError(f"subject {index} of a cohort of {self.count}")
        return position


def truth(targets: Targets) -> dict[str, float]:
    """Return what the geometry was solved to, by the names of `indices.Indices`."""
    return {
        "lv_edv_ml": targets.lv_edv_ml,
        "lv_esv_ml": targets.lv_esv_ml,
        "lv_sv_ml": targets.lv_edv_ml - targets.lv_esv_ml,
        "lv_ef_percent": targets.lv_ef_percent,
        "rv_edv_ml": targets.rv_edv_ml,
        "rv_esv_ml": targets.rv_esv_ml,
        "rv_sv_ml": targets.rv_edv_ml - targets.rv_esv_ml,
        "rv_ef_percent": targets.rv_ef_percent,
        "lv_mass_ed_g": targets.lv_mass_g,
    }


def _require(holds: bool, option: str, expected: str, got: object) -> None:
    if not holds:
        raise InputError(option, expected=expected, got=str(got))
