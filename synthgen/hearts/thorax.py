"""The body around the heart as implicit shapes: chest wall, lungs, abdomen, mediastinum, spine, great vessels.

Patient frame in mm: left, posterior, superior; the body axis is superior. One pass from the outside in, later shapes
cover earlier ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthgen.hearts.scene import Distance, FloatMap, Layer, Place, Scene, ellipsoid, smooth_minimum
from synthgen.hearts.signal import Fine
from synthgen.hearts.subject import ThoraxShape, VirtualSubject
from synthgen.labels import Sex

RIB_PERIOD_MM = 26.0
VERTEBRA_PERIOD_MM = 27.0


def paint_thorax(scene: Scene, subject: VirtualSubject, rng: np.random.Generator) -> None:
    """Paint everything but the heart. `scene` must hold the fields left, posterior, superior, moving, slow and quick.

    `moving` is the superior coordinate of what breathing moves; `slow` and `quick` are smooth random fields (sd 1).
    """
    torso = subject.thorax
    _add_wall_fields(scene, torso)
    _paint_arms(scene, torso)
    _paint_wall(scene, torso)
    _paint_bones(scene)
    _add_diaphragm(scene, torso)
    _paint_abdomen(scene, torso, rng)
    _paint_mediastinum(scene, torso)
    _paint_spine(scene, torso)
    _paint_great_vessels(scene, torso, 10.8 if subject.sex is Sex.F else 12.0)


def _intersection(a: Distance, b: Distance) -> Distance:
    return lambda v: np.maximum(a(v), b(v))


def _bump(x: FloatMap, centre: float, width: float) -> FloatMap:
    return np.exp(-(((x - centre) * (1.0 / width)) ** 2))


class Wall(NamedTuple):
    """Chest wall at some points: depth below the skin, fat, muscle and breast in mm; angle from the front in rad."""

    depth: FloatMap
    fat: FloatMap
    muscle: FloatMap
    away: FloatMap
    bump: FloatMap

    @property
    def cavity(self) -> FloatMap:
        """Distance to the chest cavity, negative inside."""
        return self.fat + self.muscle - self.depth


def chest_wall(torso: ThoraxShape, left: FloatMap, posterior: FloatMap, superior: FloatMap) -> Wall:
    """Evaluate the chest wall at points of the patient frame, without its random ripple."""
    above = np.maximum(superior - 60.0, 0.0)
    half_width = torso.half_width_mm * (1.0 + 0.012 * np.sin(superior * (1.0 / 37.0) + 1.3) + 0.0009 * above)
    half_depth = torso.half_depth_mm * (1.0 - 0.0011 * above)
    n = torso.exponent
    log_l, log_p = (n * np.log2(np.abs(q) / h + 1e-4) for q, h in ((left, half_width), (posterior, half_depth)))
    radius = np.exp2(np.log2(np.exp2(log_l) + np.exp2(log_p)) * (1.0 / n))
    depth = np.sqrt(left * left + posterior * posterior) * (1.0 / radius - 1.0)
    angle = np.arctan2(left * (1.0 / torso.half_width_mm), posterior * (-1.0 / torso.half_depth_mm))
    away = np.abs(angle)
    bump = np.zeros_like(left)
    if torso.breast_mm > 0.0:
        bump = torso.breast_mm * _bump(away, 0.75, 0.35) * _bump(superior, 5.0, 55.0)
    fat = torso.fat_mm * (1.0 - 0.30 * np.cos(2.0 * angle) + 0.12 * np.sin(3.0 * angle + 1.0)) + bump
    pectoral, erector = 0.35 * _bump(away, 0.75, 0.40) * (superior > -20.0), 0.5 * _bump(away, 2.75, 0.36)
    muscle = torso.muscle_mm * (1.0 + pectoral + erector - 0.35 * _bump(angle, 0.0, 0.25))
    return Wall(depth + bump, fat, muscle, away, bump)


def _add_wall_fields(scene: Scene, torso: ThoraxShape) -> None:
    p = scene.place
    wall = chest_wall(torso, p.left, p.posterior, p.superior)
    scene.add_field("depth", wall.depth)
    scene.add_field("fat", wall.fat * (1.0 + 0.10 * p.slow))
    scene.add_field("muscle", wall.muscle * (1.0 + 0.06 * p.quick))
    scene.add_field("away", wall.away)
    scene.add_field("bump", wall.bump)
    scene.add_field("cavity", scene.place.fat + scene.place.muscle - scene.place.depth)


def _paint_arms(scene: Scene, torso: ThoraxShape) -> None:
    for side in (1, -1):
        centre = side * (torso.half_width_mm + torso.arm_offset_mm)

        def arm(v: Place, side: int = side, centre: float = centre) -> FloatMap:
            left = v.left - centre + side * 0.35 * np.maximum(v.superior - 40.0, 0.0)
            return (
                np.sqrt((left / torso.arm_scale) ** 2 + (v.posterior - torso.arm_posterior_mm) ** 2)
                - 45.0
                + 2.0 * v.slow
            )

        layers = (
            Layer(Fine.FAT),
            Layer(Fine.MUSCLE, 7.0 + 0.5 * torso.fat_mm),
            Layer(Fine.BONE, 35.0),
            Layer(Fine.MARROW, 39.0),
        )
        scene.paint(arm, *layers)


def _paint_wall(scene: Scene, torso: ThoraxShape) -> None:
    scene.paint(lambda v: -v.depth, Layer(Fine.SKIN), Layer(Fine.FAT, 2.0))
    # Fibrous septa: the zero level of a random field, seen as dark lines through subcutaneous fat.
    scene.paint(
        lambda v: np.maximum(np.abs(v.quick + 0.6 * v.slow) * 3.0 - 0.35, np.maximum(3.0 - v.depth, v.depth - v.fat)),
        Layer(Fine.MUSCLE, 0.0, 0.45),
    )
    if torso.breast_mm > 0.0:  # gland lies in the middle of the bump and sends strands to the skin
        scene.paint(
            lambda v: np.maximum(9.0 - v.bump + 4.0 * v.quick, np.maximum(7.0 - v.depth, v.depth - v.fat + 4.0)),
            Layer(Fine.GLAND, 0.0, 0.8),
        )
    scene.paint(lambda v: v.fat - v.depth, Layer(Fine.MUSCLE))
    scene.paint(
        lambda v: np.abs(v.depth - v.fat - 0.40 * v.muscle - 1.2 * v.slow) - 0.5,
        Layer(Fine.FAT, 0.0, 0.7),
        weight=lambda v: np.clip(1.5 * v.quick + 0.2, 0.0, 1.0),
    )
    scene.paint(lambda v: v.cavity - 0.9 * v.quick, Layer(Fine.FAT, 0.0, 0.9), Layer(Fine.LUNG, 0.9))


def _paint_bones(scene: Scene) -> None:
    def ribs(v: Place) -> FloatMap:
        level = v.superior - 30.0 * np.cos(v.away) + 9.0 * v.away
        within = (level + RIB_PERIOD_MM / 2.0) % RIB_PERIOD_MM - RIB_PERIOD_MM / 2.0
        q = np.sqrt((within / 6.8) ** 2 + ((v.depth - v.fat - 0.76 * v.muscle) / 4.6) ** 2)
        return np.where((v.away > 0.24) & (v.superior > -115.0), (q - 1.0) * 4.6, np.float32(20.0))

    def sternum(v: Place) -> FloatMap:
        slab = np.maximum(np.abs(v.left) - 19.0, np.abs(v.depth - v.fat - 0.62 * v.muscle) - 5.5)
        return np.maximum(slab, -(v.superior + 55.0)) + np.where(v.posterior > 0.0, np.float32(50.0), np.float32(0.0))

    scene.paint(ribs, Layer(Fine.BONE), Layer(Fine.MARROW, 1.5))
    scene.paint(sternum, Layer(Fine.BONE), Layer(Fine.MARROW, 1.6))


def _add_diaphragm(scene: Scene, torso: ThoraxShape) -> None:
    """`below`: distance to what lies under the diaphragm; `above`: its complement."""
    p = scene.place

    def dome(left: float, posterior: float, top: float, width: float, depth: float) -> FloatMap:
        lateral = np.maximum(np.abs(p.left - left) - 12.0, 0.0) * (1.0 / width)
        sagittal = np.maximum(np.abs(p.posterior - posterior) - 12.0, 0.0) * (1.0 / depth)
        return top - 60.0 * (lateral**2 + sagittal**2)

    right, left = dome(-72.0, 0.0, torso.dome_right_mm, 62.0, 70.0), dome(85.0, 12.0, torso.dome_left_mm, 52.0, 66.0)
    centre = dome(22.0, -28.0, torso.dome_centre_mm, 60.0, 62.0)
    roof = -smooth_minimum(smooth_minimum(-right, -left, 10.0), -centre, 10.0) + 1.5 * p.slow
    scene.add_field("below", np.maximum(p.moving - roof, p.cavity + 1.0))
    scene.add_field("above", roof - p.moving)


def _inside_abdomen(shape: Distance, margin_mm: float, wobble_mm: float = 0.0) -> Distance:
    def distance(v: Place) -> FloatMap:
        field = shape(v) if wobble_mm == 0.0 else shape(v) + wobble_mm * v.slow
        return np.maximum(field, v.below + margin_mm)

    return distance


def _paint_abdomen(scene: Scene, torso: ThoraxShape, rng: np.random.Generator) -> None:
    scene.paint(lambda v: v.below, Layer(Fine.MUSCLE), Layer(Fine.VISCERAL_FAT, 2.6))
    contents = (Fine.BOWEL, Fine.BOWEL, Fine.BOWEL, Fine.GAS, Fine.STOMACH_FLUID)
    for _ in range(26):
        centre = (rng.uniform(-85.0, 105.0), rng.uniform(-80.0, 30.0), rng.uniform(-230.0, -105.0))
        r = rng.uniform(13.0, 25.0)
        radii = (r * rng.uniform(0.8, 1.7), r, r * rng.uniform(0.8, 1.5))
        loop = _inside_abdomen(ellipsoid(centre, radii), 3.5, rng.uniform(1.0, 4.0))
        scene.paint(loop, Layer(Fine.MUSCLE), Layer(contents[rng.integers(len(contents))], 2.0), grow_mm=6.0)
    for side in (1, -1):
        kidney = ellipsoid(
            (side * 62.0, 0.42 * torso.half_depth_mm, -128.0 - (12.0 if side < 0.0 else 0.0)), (27.0, 26.0, 52.0)
        )
        layers = (Layer(Fine.VISCERAL_FAT, -8.0), Layer(Fine.KIDNEY), Layer(Fine.VISCERAL_FAT, 15.0, 0.7))
        scene.paint(_inside_abdomen(kidney, 4.0, 0.8), *layers)
    spleen = ellipsoid((100.0, 0.42 * torso.half_depth_mm, -72.0), (38.0, 42.0, 50.0))
    scene.paint(_inside_abdomen(spleen, 3.0, 1.5), Layer(Fine.SPLEEN))
    _paint_stomach(scene, torso)
    lobes = (
        ellipsoid((-62.0, 0.0, -88.0), (108.0, 98.0, 92.0)),
        ellipsoid((18.0, -42.0, -72.0), (78.0, 48.0, 46.0)),
        ellipsoid((-20.0, -20.0, -75.0), (60.0, 60.0, 50.0)),
    )

    def liver(v: Place) -> FloatMap:
        right, left, middle = (lobe(v) for lobe in lobes)
        return smooth_minimum(np.minimum(right, left), middle, 8.0) + 1.2 * v.slow

    scene.paint(_inside_abdomen(liver, 3.0), Layer(Fine.LIVER))


def _paint_stomach(scene: Scene, torso: ThoraxShape) -> None:
    """Fluid lies posterior with a flat level (the patient is supine), gas anterior of it."""
    k = torso.stomach_size
    level = -48.0 * k + 96.0 * k * (1.0 - torso.stomach_fluid)
    stomach = _inside_abdomen(ellipsoid((70.0, -2.0, -76.0), (50.0 * k, 56.0 * k, 46.0 * k)), 3.0, 2.5)
    scene.paint(stomach, Layer(Fine.MUSCLE), Layer(Fine.STOMACH_FLUID, 3.5), grow_mm=4.0)
    scene.paint(lambda v: np.maximum(stomach(v) + 3.5, v.posterior - level - 0.6 * v.slow), Layer(Fine.GAS))


def _paint_mediastinum(scene: Scene, torso: ThoraxShape) -> None:
    depth = torso.half_depth_mm

    def fat(v: Place) -> FloatMap:
        half = (
            0.8
            + torso.anterior_mediastinum_mm * _bump(v.posterior, -0.84 * depth, 12.0)
            + 22.0 * _bump(v.posterior, 0.30 * depth, 26.0)
        )
        half = half + 20.0 * np.clip((v.superior - 30.0) / 40.0, 0.0, 1.0) * _bump(v.posterior, -10.0, 45.0)
        sheet = np.abs(v.left - 2.0 - 0.10 * np.maximum(-v.posterior, 0.0)) - half - 1.6 * v.slow
        return np.maximum(np.maximum(sheet, v.above), v.cavity + 0.5)

    scene.paint(fat, Layer(Fine.FAT, 0.0, 0.95))
    trunks = (  # superior vena cava, ascending aorta, pulmonary trunk, its left and right branch, aortic arch
        ((-28.0, -18.0, 95.0), (10.0, 10.0, 90.0)),
        ((2.0, -28.0, 75.0), (16.0, 16.0, 42.0)),
        ((34.0, -22.0, 70.0), (15.0, 17.0, 22.0)),
        ((28.0, 10.0, 62.0), (22.0, 11.0, 11.0)),
        ((-30.0, 8.0, 58.0), (24.0, 9.0, 9.0)),
        ((16.0, 12.0, 100.0), (15.0, 40.0, 14.0)),
    )
    for centre, radii in trunks:
        trunk = ellipsoid(centre, radii)
        scene.paint(
            _intersection(trunk, lambda v: v.above),
            Layer(Fine.FAT, -2.5, 0.6),
            Layer(Fine.MUSCLE, -0.6),
            Layer(Fine.VESSEL, 0.2),
        )


def _paint_spine(scene: Scene, torso: ThoraxShape) -> None:
    front = 0.60 * torso.half_depth_mm

    def cylinder(left: float, posterior: float, half_width: float, half_depth: float) -> Distance:
        scale = min(half_width, half_depth)
        return lambda v: (
            (np.sqrt(((v.left - left) / half_width) ** 2 + ((v.posterior - posterior) / half_depth) ** 2) - 1.0) * scale
        )

    def from_disc(v: Place) -> FloatMap:
        return np.abs(v.superior % VERTEBRA_PERIOD_MM - VERTEBRA_PERIOD_MM / 2.0)

    body = cylinder(0.0, front, 20.0, 16.0)
    scene.paint(body, Layer(Fine.FAT, -8.0, 0.8), weight=lambda v: (v.posterior < front + 8.0).astype(np.float32))
    for side in (1, -1):
        erector = cylinder(side * 34.0, front + 20.0, 30.0, 24.0)
        scene.paint(_intersection(erector, lambda v: v.fat - v.depth + 1.0), Layer(Fine.MUSCLE))

    def spinous(v: Place) -> FloatMap:
        return np.maximum(
            np.maximum(np.abs(v.left) - 4.0, np.abs(v.posterior - (front + 38.0)) - 16.0), from_disc(v) - 8.0
        )

    scene.paint(spinous, Layer(Fine.BONE, 0.0, 0.8), Layer(Fine.MARROW, 1.5))
    scene.paint(body, Layer(Fine.BONE), Layer(Fine.MARROW, 1.3))
    scene.paint(lambda v: np.maximum(body(v) + 0.5, from_disc(v) - 3.2), Layer(Fine.DISC))
    scene.paint(cylinder(0.0, front + 25.0, 10.0, 8.5), Layer(Fine.BONE, -3.0), Layer(Fine.CSF), Layer(Fine.CORD, 4.2))


def _paint_great_vessels(scene: Scene, torso: ThoraxShape, aorta_mm: float) -> None:
    front = 0.60 * torso.half_depth_mm

    def tube(left: float, posterior: float, radius: float, aspect: float = 1.0, lean: float = 0.0) -> Distance:
        def distance(v: Place) -> FloatMap:
            lateral = (v.left - left + lean * (v.superior + 60.0)) * (1.0 / aspect)
            return np.sqrt(lateral**2 + (v.posterior - posterior) ** 2) - radius

        return distance

    aorta, cava = tube(24.0, front - 26.0, aorta_mm, lean=0.06), tube(-26.0, front - 42.0, 10.5, aspect=1.15)
    scene.paint(aorta, Layer(Fine.FAT, -3.0, 0.7), Layer(Fine.MUSCLE, -1.2), Layer(Fine.VESSEL))
    scene.paint(lambda v: np.maximum(cava(v), v.moving - 5.0), Layer(Fine.MUSCLE, -1.0), Layer(Fine.VESSEL))
    scene.paint(tube(6.0, front - 32.0, 6.0, aspect=1.3), Layer(Fine.OESOPHAGUS))
    scene.paint(tube(-9.0, front - 19.0, 3.4), Layer(Fine.VESSEL))
