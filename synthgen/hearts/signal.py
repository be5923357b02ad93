"""Balanced steady-state free precession signal of 27 fine tissues, in the complex plane.

Complex because fat falls in the neighbouring pass-band and has the opposite phase: summed over a voxel it draws the
dark line at every border of fat and water that a magnitude model cannot have.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synthgen.labels import Tissue

FAT_SHIFT_HZ_PER_TESLA: Final = -220.0 / 1.5
"""Chemical shift of the main methylene line of fat against water (about -3.4 ppm)."""


class Fine(IntEnum):
    """Tissues as the simulator paints them; `CODES` folds them into the nine classes of `Tissue`."""

    AIR = 0
    LV_BLOOD = 1
    MYOCARDIUM = 2
    RV_BLOOD = 3
    LUNG = 4
    MUSCLE = 5
    FAT = 6
    LIVER = 7
    VESSEL = 8
    SKIN = 9
    BONE = 10
    MARROW = 11
    SPLEEN = 12
    STOMACH_FLUID = 13
    GAS = 14
    CSF = 15
    CORD = 16
    DISC = 17
    KIDNEY = 18
    BOWEL = 19
    RV_WALL = 20
    PAPILLARY = 21
    SCAR = 22
    PERICARDIUM = 23
    ATRIUM = 24
    OESOPHAGUS = 25
    VISCERAL_FAT = 26
    GLAND = 27


class Band(IntEnum):
    """Off-resonance profile that a tissue follows: its shape depends on T1/T2 and on the chemical shift only."""

    WATER = 0
    LONG_T2 = 1
    FAT = 2


class Texture(IntEnum):
    """Which random field modulates a tissue."""

    GRAIN = 0
    FIBRE = 1
    FLOW = 2


@dataclass(frozen=True)
class TissueRow:
    """MR properties of one tissue.

    Attributes
    ----------
    t1_ms, t2_ms
        Relaxation times at (1.5 T, 3 T).
    proton_density
        Relative to free water.
    magnetisation_transfer
        Factor on the bSSFP signal (1 = no bound pool).
    inflow
        Factor for unsaturated blood that enters the slice.
    texture
        Standard deviation of the multiplicative texture, and its field.
    code
        Class of the nine-tissue label map.
    source
        Where the times come from.
    """

    t1_ms: tuple[float, float]
    t2_ms: tuple[float, float]
    proton_density: float
    magnetisation_transfer: float
    texture: float
    code: Tissue
    source: str
    field: Texture = Texture.GRAIN
    band: Band = Band.WATER
    inflow: float = 1.0


_STANISZ = "Stanisz 2005, doi 10.1002/mrm.20605"
_BAZELAIRE = "de Bazelaire 2004, doi 10.1148/radiol.2303021331"
_GRANITZ = "Granitz 2019, doi 10.1007/s00508-018-1411-3"
_XCMR = "Roy 2019 XCAT-to-MR tables, doi 10.1002/mrm.27665"
_MRXCAT = "Wissmann 2014 MRXCAT, doi 10.1186/s12968-014-0063-3"
_CHOSEN = "set to the grey value seen in cine images"
_FLOW, _FIBRE = Texture.FLOW, Texture.FIBRE
_T = Tissue

# fmt: off
TISSUES: Final[dict[Fine, TissueRow]] = {
    Fine.LV_BLOOD: TissueRow((1550., 1850.), (245., 200.), 0.95, 1., 0.06, _T.LV, _XCMR, _FLOW, Band.LONG_T2, 1.10),
    Fine.RV_BLOOD: TissueRow((1550., 1850.), (165., 125.), 0.95, 1., 0.07, _T.RV, _XCMR, _FLOW, Band.LONG_T2, 1.04),
    Fine.VESSEL: TissueRow((1550., 1850.), (220., 170.), 0.95, 1., 0.06, _T.VESSEL, _XCMR, _FLOW, Band.LONG_T2, 1.10),
    Fine.ATRIUM: TissueRow((1550., 1850.), (210., 160.), 0.95, 1., 0.07, _T.VESSEL, _XCMR, _FLOW, Band.LONG_T2, 1.10),
    Fine.MYOCARDIUM: TissueRow((1000., 1180.), (54., 48.), 0.80, 0.92, 0.06, _T.MYO, _GRANITZ, _FIBRE),
    Fine.PAPILLARY: TissueRow((1000., 1180.), (54., 48.), 0.80, 0.92, 0.05, _T.LV, _GRANITZ),
    Fine.RV_WALL: TissueRow((1000., 1180.), (52., 47.), 0.80, 0.92, 0.06, _T.MUSCLE, _GRANITZ),
    Fine.SCAR: TissueRow((1090., 1280.), (60., 54.), 0.80, 0.98, 0.06, _T.MYO, _CHOSEN, _FIBRE),
    Fine.LUNG: TissueRow((1200., 1270.), (40., 35.), 0.50, 0.95, 0.10, _T.LUNG, _CHOSEN),
    Fine.MUSCLE: TissueRow((980., 1230.), (38., 34.), 0.78, 0.90, 0.16, _T.MUSCLE, _XCMR, _FIBRE),
    Fine.OESOPHAGUS: TissueRow((980., 1200.), (45., 40.), 0.80, 0.90, 0.10, _T.MUSCLE, _CHOSEN),
    Fine.FAT: TissueRow((300., 370.), (56., 50.), 0.90, 1., 0.12, _T.FAT, _BAZELAIRE, Texture.GRAIN, Band.FAT),
    Fine.VISCERAL_FAT: TissueRow((320., 390.), (56., 50.), 0.82, 1., 0.22, _T.FAT, _BAZELAIRE, Texture.GRAIN, Band.FAT),
    Fine.SKIN: TissueRow((500., 600.), (35., 32.), 0.60, 0.90, 0.10, _T.FAT, _CHOSEN),
    Fine.PERICARDIUM: TissueRow((900., 900.), (25., 22.), 0.35, 0.80, 0.10, _T.FAT, _CHOSEN),
    Fine.GLAND: TissueRow((900., 1100.), (60., 55.), 0.75, 0.95, 0.20, _T.FAT, _CHOSEN),
    Fine.LIVER: TissueRow((580., 810.), (46., 36.), 0.82, 0.90, 0.09, _T.ABDOMEN, _BAZELAIRE),
    Fine.SPLEEN: TissueRow((1050., 1320.), (78., 62.), 0.85, 0.95, 0.06, _T.ABDOMEN, _BAZELAIRE),
    Fine.KIDNEY: TissueRow((960., 1150.), (75., 70.), 0.90, 0.95, 0.08, _T.ABDOMEN, _BAZELAIRE),
    Fine.BOWEL: TissueRow((900., 1100.), (70., 60.), 0.80, 0.95, 0.30, _T.ABDOMEN, _CHOSEN),
    Fine.STOMACH_FLUID: TissueRow((1800., 2200.), (500., 400.), 0.85, 1., 0.22, _T.ABDOMEN, _CHOSEN, band=Band.LONG_T2),
    Fine.GAS: TissueRow((1000., 1000.), (2., 2.), 0.02, 1., 0.30, _T.ABDOMEN, _CHOSEN),
    Fine.CSF: TissueRow((3500., 4000.), (1200., 1200.), 1., 1., 0.03, _T.MUSCLE, _STANISZ, band=Band.LONG_T2),
    Fine.CORD: TissueRow((750., 990.), (74., 78.), 0.75, 0.90, 0.03, _T.MUSCLE, _STANISZ),
    Fine.DISC: TissueRow((1000., 1200.), (60., 55.), 0.70, 0.90, 0.08, _T.MUSCLE, _STANISZ),
    Fine.BONE: TissueRow((400., 400.), (2., 2.), 0.15, 1., 0.20, _T.MUSCLE, _MRXCAT),
    Fine.MARROW: TissueRow((430., 480.), (55., 50.), 0.75, 1., 0.16, _T.MUSCLE, _BAZELAIRE),
}
# fmt: on
"""Every tissue but air. Proton density and magnetisation transfer are relative and hand-set throughout."""

CODES: Final = np.array([TISSUES[t].code if t in TISSUES else Tissue.BACKGROUND for t in Fine], np.uint8)
"""Fine tissue -> class of the nine-tissue label map; index it with a fine label map."""

TEXTURE_SD: Final = np.array([TISSUES[t].texture if t in TISSUES else 0.0 for t in Fine], np.float32)
TEXTURE_FIELD: Final = np.array([TISSUES[t].field if t in TISSUES else Texture.GRAIN for t in Fine], np.uint8)

_JITTER: Final[dict[Fine, tuple[float, float]]] = {
    Fine.LUNG: (0.70, 2.60),
    Fine.MUSCLE: (0.80, 1.30),
    Fine.LIVER: (0.60, 1.10),
    Fine.SPLEEN: (0.50, 1.20),
    Fine.KIDNEY: (0.50, 1.20),
    Fine.BOWEL: (0.50, 1.20),
    Fine.MARROW: (0.70, 1.20),
    Fine.FAT: (0.45, 1.40),
    Fine.VISCERAL_FAT: (0.80, 1.40),
    Fine.MYOCARDIUM: (0.88, 1.20),
    Fine.GLAND: (0.70, 1.20),
}
"""Range of a factor on proton density per subject; without it a network learns that grey value is tissue.
Set beside 34 ACDC patients: median myocardium 0.40 +- 0.11 of LV blood, RV blood 0.76 +- 0.09."""

_LIVER_T2_JITTER: Final = (0.60, 1.15)
"""Hepatic iron shortens T2 in many patients."""

_BLOOD_T2_JITTER: Final = (0.55, 1.05)
"""Haematocrit and oxygenation: one factor for all blood of a patient; contrast to muscle then varies as in ACDC."""

_MUSCLES: Final = (Fine.PAPILLARY, Fine.RV_WALL, Fine.SCAR)
"""Share the myocardium's factor on proton density: their contrast to it is that of the table."""


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """A bSSFP protocol: repetition and echo time in ms, flip angle in degrees, field strength in tesla."""

    tr_ms: float
    te_ms: float
    flip_deg: float
    field_tesla: float = 1.5

    @property
    def high_field(self) -> bool:
        """Whether the 3 T column of the tissue table applies."""
        return self.field_tesla > 2.0

    @property
    def fat_shift_hz(self) -> float:
        """Off-resonance of fat."""
        return FAT_SHIFT_HZ_PER_TESLA * self.field_tesla


def bssfp(
    t1_ms: float | NDArray[np.floating],
    t2_ms: float | NDArray[np.floating],
    sequence: Sequence,
    off_resonance_hz: float | NDArray[np.floating] = 0.0,
) -> NDArray[np.complex128]:
    """Return the complex bSSFP steady state of unit proton density, RF phase alternating (pass-band centre at 0 Hz).

    Freeman and Hill 1971, doi 10.1016/0022-2364(71)90039-3; signal nulls lie at +-1/(2 TR).

    Parameters
    ----------
    t1_ms, t2_ms, off_resonance_hz
        Broadcast against each other.
    sequence
        Protocol.
    """
    t1, t2, hertz = (np.asarray(v, np.float64) for v in (t1_ms, t2_ms, off_resonance_hz))
    flip = np.deg2rad(sequence.flip_deg)
    e1, e2 = np.exp(-sequence.tr_ms / t1), np.exp(-sequence.tr_ms / t2)
    phase = 2 * np.pi * hertz * sequence.tr_ms * 1e-3 + np.pi
    c = e2 * (e1 - 1) * (1 + np.cos(flip))
    d = 1 - e1 * np.cos(flip) - (e1 - np.cos(flip)) * e2**2
    steady = (1 - e1) * np.sin(flip) * (1 - e2 * np.exp(-1j * phase)) / (c * np.cos(phase) + d)
    return np.asarray(steady * np.exp(-sequence.te_ms / t2) * np.exp(2j * np.pi * hertz * sequence.te_ms * 1e-3))


def bssfp_on_resonance(t1_ms: float, t2_ms: float, sequence: Sequence) -> float:
    """Return the short-TR approximation on resonance, as MRXCAT uses it (doi 10.1186/s12968-014-0063-3)."""
    cosine, sine = np.cos(np.deg2rad(sequence.flip_deg)), np.sin(np.deg2rad(sequence.flip_deg))
    ratio = t1_ms / t2_ms
    return float(sine * np.exp(-sequence.te_ms / t2_ms) / ((ratio + 1) - cosine * (ratio - 1)))


@dataclass(frozen=True, eq=False)
class TissueDraw:
    """Per-subject factors on T1, T2 and proton density, indexed by `Fine`: the patient's, not the scanner's."""

    t1: NDArray[np.float64]
    t2: NDArray[np.float64]
    proton_density: NDArray[np.float64]


def draw_tissues(rng: np.random.Generator) -> TissueDraw:
    """Draw one subject's tissue properties: 3 % on all times, wide ranges outside the heart."""
    n = len(Fine)
    t1, t2 = rng.normal(1.0, 0.03, (2, n))
    density = np.ones(n)
    for tissue, (low, high) in _JITTER.items():
        density[tissue] = rng.uniform(low, high)
    density[list(_MUSCLES)] = density[Fine.MYOCARDIUM]
    t2[Fine.LIVER] *= rng.uniform(*_LIVER_T2_JITTER)
    t2[[Fine.LV_BLOOD, Fine.RV_BLOOD, Fine.VESSEL, Fine.ATRIUM]] *= rng.uniform(*_BLOOD_T2_JITTER)
    return TissueDraw(t1, t2, density)


def on_resonance_signals(sequence: Sequence, draw: TissueDraw | None = None) -> NDArray[np.complex64]:
    """Return the signal of every fine tissue in the centre of its own pass-band, `(len(Fine),)`; LV blood is 1.

    Fat's chemical shift is not in here but in `band_profiles`, which multiplies it.
    """
    column = 1 if sequence.high_field else 0
    signals = np.zeros(len(Fine), np.complex128)
    for tissue, row in TISSUES.items():
        t1, t2, density = row.t1_ms[column], row.t2_ms[column], row.proton_density
        if draw is not None:
            t1, t2, density = t1 * draw.t1[tissue], t2 * draw.t2[tissue], density * draw.proton_density[tissue]
        signals[tissue] = density * row.magnetisation_transfer * row.inflow * bssfp(t1, t2, sequence)
    return (signals / np.abs(signals[Fine.LV_BLOOD])).astype(np.complex64)


_BAND_TIMES: Final = {Band.WATER: (0, (1000.0, 55.0)), Band.LONG_T2: (0, (1550.0, 220.0)), Band.FAT: (1, (300.0, 56.0))}


def band_profiles(off_resonance_hz: NDArray[np.float32], sequence: Sequence) -> NDArray[np.complex64]:
    """Return the effect of off-resonance on each `Band`, relative to its pass-band centre: `(len(Band), *shape)`."""
    out = np.empty((len(Band), *off_resonance_hz.shape), np.complex64)
    for band, (shifted, (t1, t2)) in _BAND_TIMES.items():
        hertz = off_resonance_hz + shifted * sequence.fat_shift_hz
        out[band] = bssfp(t1, t2, sequence, hertz) / bssfp(t1, t2, sequence)
    return out


BANDS: Final = np.array([TISSUES[t].band if t in TISSUES else Band.WATER for t in Fine], np.uint8)
"""Fine tissue -> `Band`."""
