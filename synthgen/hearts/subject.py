"""`VirtualSubject`: everything that was drawn for one virtual heart, as plain numbers that survive JSON exactly."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthgen.errors import InputError
from synthgen.labels import Pathology, Sex
from synthgen.subjects import Body


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The clinical indices that the geometry is solved to."""

    lv_edv_ml: float
    lv_esv_ml: float
    rv_edv_ml: float
    rv_esv_ml: float
    lv_mass_g: float

    @property
    def lv_ef_percent(self) -> float:
        """Left-ventricular ejection fraction in percent."""
        return 100.0 * (1.0 - self.lv_esv_ml / self.lv_edv_ml)

    @property
    def rv_ef_percent(self) -> float:
        """Right-ventricular ejection fraction in percent."""
        return 100.0 * (1.0 - self.rv_esv_ml / self.rv_edv_ml)


@dataclass(frozen=True, kw_only=True)
class RadialMode:
    """One harmonic of the endocardial radius: `amplitude * cos(order * (angle - phase) + twist * level)`."""

    order: int
    amplitude: float
    phase_rad: float
    twist_rad: float


@dataclass(frozen=True, kw_only=True)
class Hypertrophy:
    """Where the wall is thick: `kind` is septal, concentric or apical; `gain` is relative to the base wall."""

    kind: str
    gain: float
    angle_rad: float
    width_rad: float


@dataclass(frozen=True, kw_only=True)
class Infarct:
    """A scarred territory: thin at ED, without thickening and hardly moving at ES."""

    territory: str
    angle_rad: float
    width_rad: float
    level: float
    height: float
    thinning: float
    bulge: float


@dataclass(frozen=True, kw_only=True)
class Papillary:
    """One papillary muscle head: a blood-free island in the cavity, `stretch` is its tangential elongation."""

    angle_rad: float
    radius_mm: float
    stretch: float
    level_from: float
    level_to: float
    offset: float


@dataclass(frozen=True, kw_only=True)
class Ripple:
    """One plane-wave shear of the in-plane deformation: wave vector `kx`, `ky` and its drift with z `kz` in rad/mm."""

    kx: float
    ky: float
    kz: float
    phase_rad: float
    amplitude_mm: float


@dataclass(frozen=True, kw_only=True)
class LeftShape:
    """Shape of the left ventricle; lengths in mm, angles in the heart frame (0 lateral, 90 degrees inferior).

    From ED to ES the base plane moves towards the apex by `descent_mm` and the cavity's apex towards the base by
    `apex_rise_mm`; the muscle that readers draw becomes `systolic_muscle` times as much.
    """

    length_mm: float
    descent_mm: float
    apex_rise_mm: float
    systolic_muscle: float
    equator: float
    bluntness: float
    ellipticity: float
    ellipse_angle_rad: float
    septal_flattening_ed: float
    septal_flattening_es: float
    apical_thinning: float
    basal_thickening: float
    radial_modes: tuple[RadialMode, ...]
    wall_modes: tuple[RadialMode, ...]
    hypertrophy: Hypertrophy | None
    infarct: Infarct | None
    papillaries: tuple[Papillary, ...]
    trabeculation: float


@dataclass(frozen=True, kw_only=True)
class RightShape:
    """Shape of the right ventricle; `length_fraction` is relative to the LV length.

    `fullness` is the exponent of its narrowing from base to apex (high: wide until late), `height` a factor on its
    extent across the septum, which its depth makes up for.

    `rise_mm` is how far the base lies above the LV's at ED, `descent_mm` how far it moves towards the apex until ES.
    `band_level` (0 base, 1 apex) and `band_angle_rad` place the moderator band.
    """

    length_fraction: float
    fullness: float
    height: float
    rotation_rad: float
    rise_mm: float
    descent_mm: float
    wall_mm: float
    band_level: float
    band_angle_rad: float
    outline_modes: tuple[RadialMode, ...]


@dataclass(frozen=True, kw_only=True)
class Chamber:
    """An atrium: an ellipsoid with a lobed outline, cut at its valve's plane.

    `offset_mm` is its centre (image right, down, and towards the apex), the last from the valve's plane; `radii_mm`
    are along the same axes. `lobes` make its outline less of an ellipse; `wall_mm` is the wall around its blood.
    """

    offset_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    lobes: tuple[RadialMode, ...]
    wall_mm: float


@dataclass(frozen=True, kw_only=True)
class Tube:
    """A great vessel or outflow tract: an ellipse in the plane of the valves that moves as it climbs.

    `start_mm` is its centre in the plane that it begins at and `climb` how far that moves per mm upwards, both image
    right and down; `radii_mm` are along the same axes.
    """

    start_mm: tuple[float, float]
    climb: tuple[float, float]
    radii_mm: tuple[float, float]
    wall_mm: float


@dataclass(frozen=True, kw_only=True)
class BaseShape:
    """What lies above the ventricles: atria and left auricle, the right outflow tract, the aortic root.

    The base is no plane: from none on the septal side the left ventricle's muscle goes on by `rim_mm` above it at
    `rim_angle_rad`, which readers leave out where it encloses less than half of the cavity.
    """

    rim_mm: float
    rim_angle_rad: float
    right_atrium: Chamber
    left_atrium: Chamber
    auricle: Chamber
    outflow: Tube
    aorta: Tube


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How the heart lies in the body and how the stack was planned.

    `azimuth_rad` and `elevation_rad` turn the LV axis in the patient frame (left, posterior, superior), `rotation_rad`
    turns the image about it, `position_mm` is the LV mid-point in that frame. `axis_slope` is the drift of the LV
    centre through the stack (mm per mm along image right and down): the axis is never quite normal to the slices.
    """

    azimuth_rad: float
    elevation_rad: float
    rotation_rad: float
    position_mm: tuple[float, float, float]
    axis_slope: tuple[float, float]
    ripples: tuple[Ripple, ...]


@dataclass(frozen=True, kw_only=True)
class ThoraxShape:
    """Shape of the body around the heart, all lengths in mm.

    The trunk is the superellipse `|L/half_width|^n + |P/half_depth|^n = 1` with `n = exponent`; `dome_*_mm` are the
    heights of the diaphragm's domes; the stomach has a gas-fluid level at `stomach_fluid` of its depth.
    """

    half_width_mm: float
    half_depth_mm: float
    exponent: float
    fat_mm: float
    muscle_mm: float
    breast_mm: float
    arm_offset_mm: float
    arm_posterior_mm: float
    arm_scale: float
    anterior_mediastinum_mm: float
    dome_right_mm: float
    dome_left_mm: float
    dome_centre_mm: float
    stomach_fluid: float
    stomach_brightness: float
    stomach_size: float
    epicardial_fat_mm: float
    paracardial_fat_mm: float


@dataclass(frozen=True, kw_only=True)
class VirtualSubject:
    """One draw from the virtual population: a pure function of `(seed, index, pathology)`.

    `attempt` is the number of draws that the class rule refused before this one. Streams of later stages
    (texture, acquisition) belong to the key `(seed, index, attempt)`.
    """

    seed: int
    index: int
    attempt: int
    pathology: Pathology
    sex: Sex
    height_cm: float
    weight_kg: float
    targets: Targets
    left: LeftShape
    right: RightShape
    base: BaseShape
    placement: Placement
    thorax: ThoraxShape

    @property
    def body(self) -> Body:
        """Height, weight and sex, for indexing."""
        return Body(height_cm=self.height_cm, weight_kg=self.weight_kg, sex=self.sex)

    def to_dict(self) -> dict[str, Any]:
        """Return nested dicts, lists, numbers and strings; `from_dict` restores an equal record, also through JSON."""
        return dict(_plain(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VirtualSubject:
        """Rebuild the record that `to_dict` wrote.

        Raises
        ------
        InputError
            If a field is missing, unknown or of the wrong kind.
        """
        return _restore(cls, data, "virtual subject")


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Pathology | Sex) else value


def _restore(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any JSON value, any field type
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _restore(arguments[0], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(where, expected="a list", got=repr(value))
        return tuple(_restore(arguments[0], item, where) for item in value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if not isinstance(value, Mapping) or set(value) != set(hints):
            got = sorted(value) if isinstance(value, Mapping) else repr(value)
            raise InputError(where, expected=f"the fields {', '.join(hints)}", got=str(got))
        return kind(**{name: _restore(hint, value[name], f"{where}, {name}") for name, hint in hints.items()})
    if kind in (Pathology, Sex):
        return kind.parse(str(value), subject=where)
    accepted = (int, float) if kind is float else kind
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise InputError(where, expected=f"a value of type {kind.__name__}", got=repr(value))
    return kind(value)
