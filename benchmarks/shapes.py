"""Shape of the labelled hearts of two cohorts, level by level through the left ventricle, per class and phase.

Levels are fifths of the way from the first slice with left cavity (0) to the last (1). The table has the mean of both
cohorts, and in brackets the standard deviation: areas in mm2; of the right ventricle the depth, its extent along the
line from the left one's centre to its own at mid-ventricle, and the height, across it, in mm. `--picture FILE` draws
how often each place is left cavity (red), muscle (green) and right cavity (blue) in subjects of a class that are laid
over one another: left centre on left centre, right ventricles on the left; per phase the first cohort above the second.

    python benchmarks/shapes.py hearts:200 acdc:DIR
    python benchmarks/shapes.py hearts:200 acdc:DIR --picture FILE --only NOR
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthgen.labels import HEART, Pathology, Phase, Tissue
from synthgen.sources import open_cohort
from synthgen.volumes import Volume

LEVELS = np.linspace(0.0, 1.0, 6)
LEAST_AREA_MM2 = 60.0
"""Of a right ventricle's slice, for its extent to be measured."""

PIXEL_MM, LEFT_MM, RIGHT_MM, HALF_HEIGHT_MM = 1.5, 105.0, 60.0, 67.5
"""Pixel of the picture, and how much of the heart's surroundings it shows."""

MEASURES = ("LV + MYO mm2", "RV mm2", "RV depth mm", "RV height mm")


class Heart:
    """The labels of one phase from base to apex, in a frame whose origin is the LV and whose RV lies at negative x."""

    def __init__(self, labels: Volume) -> None:
        voxels = labels.voxels
        area = np.isin(voxels, (Tissue.LV, Tissue.MYO)).sum(axis=(1, 2))
        ventricle = area[np.flatnonzero(area)]
        part = max(1, len(ventricle) // 3)
        self.voxels = voxels if ventricle[:part].sum() >= ventricle[-part:].sum() else voxels[::-1]
        self.spacing_mm = np.asarray(labels.spacing_mm[1:])
        slices = np.flatnonzero((self.voxels == Tissue.LV).any(axis=(1, 2)))
        self.at = [self.voxels[round(slices[0] + level * (slices[-1] - slices[0]))] for level in LEVELS]
        middle = self.voxels[(slices[0] + slices[-1]) // 2]
        down, right = self.centre(middle, Tissue.RV) - self.centre(middle, Tissue.LV, Tissue.MYO)
        self.turn = np.arctan2(down, right) - np.pi if np.isfinite(down) else 0.0

    def centre(self, labels: NDArray[np.uint8], *tissues: Tissue) -> NDArray[np.float64]:
        """Return the centre of tissues in a slice, (y, x) in mm; NaN where there are none."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return np.argwhere(np.isin(labels, tissues)).mean(axis=0) * self.spacing_mm

    def measures(self) -> NDArray[np.float64]:
        """Return `(MEASURES, LEVELS)`; NaN where there is no right ventricle to measure."""
        out = np.full((len(MEASURES), len(LEVELS)), np.nan)
        pixel_mm2 = float(self.spacing_mm.prod())
        for column, labels in enumerate(self.at):
            out[0, column] = np.isin(labels, (Tissue.LV, Tissue.MYO)).sum() * pixel_mm2
            out[1, column] = (labels == Tissue.RV).sum() * pixel_mm2
            if out[1, column] >= LEAST_AREA_MM2:
                down, right = (np.argwhere(labels == Tissue.RV) * self.spacing_mm).T
                out[2, column] = np.ptp(right * np.cos(self.turn) + down * np.sin(self.turn))
                out[3, column] = np.ptp(down * np.cos(self.turn) - right * np.sin(self.turn))
        return out

    def masks(self) -> NDArray[np.bool_]:
        """Return where each tissue of the heart is, `(LEVELS, HEART, rows, columns)` of the picture."""
        x, y = np.meshgrid(
            np.arange(-LEFT_MM, RIGHT_MM, PIXEL_MM), np.arange(-HALF_HEIGHT_MM, HALF_HEIGHT_MM, PIXEL_MM)
        )
        turned = np.stack(
            [y * np.cos(self.turn) + x * np.sin(self.turn), x * np.cos(self.turn) - y * np.sin(self.turn)]
        )
        out = []
        for labels in self.at:
            centre = self.centre(labels, Tissue.LV, Tissue.MYO)[:, None, None]
            row, column = np.rint((turned + centre) / self.spacing_mm[:, None, None]).astype(int)
            there = (row >= 0) & (row < labels.shape[0]) & (column >= 0) & (column < labels.shape[1])
            seen = np.where(there, labels[row.clip(0, labels.shape[0] - 1), column.clip(0, labels.shape[1] - 1)], 0)
            out.append([seen == tissue for tissue in HEART])
        return np.array(out)


def hearts(text: str, only: Pathology | None) -> dict[tuple[Pathology, Phase], list[Heart]]:
    """Read the cohort written as for `synthgen fit`, by class and phase."""
    cohort = open_cohort(text)
    out: dict[tuple[Pathology, Phase], list[Heart]] = defaultdict(list)
    for number, pathology in enumerate(cohort.subject_pathologies):
        if only in (None, pathology):
            labels = cohort[number].labels
            for phase in Phase:
                out[pathology, phase].append(Heart(labels[phase]))
    return out


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--only", type=click.Choice([p.value for p in Pathology]), help="One class alone.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG to write.")
def main(first: str, second: str, only: str | None, picture: Path | None) -> None:
    """Print the table."""
    cohorts = [hearts(text, Pathology(only) if only else None) for text in (first, second)]
    rows = []
    for key in [(p, phase) for p in Pathology for phase in Phase if all((p, phase) in c for c in cohorts)]:
        click.echo(f"\n{key[0]} {key[1]}: {' and '.join(str(len(c[key])) for c in cohorts)} subjects")
        values = [np.stack([heart.measures() for heart in cohort[key]]) for cohort in cohorts]
        for number, name in enumerate(MEASURES):
            for text, value in zip((first, second), values, strict=True):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    spread = np.nanmean(value[:, number], axis=0), np.nanstd(value[:, number], axis=0)
                cells = "".join(f"{mean:8.0f} ({sd:.0f})".rjust(14) for mean, sd in zip(*spread, strict=True))
                click.echo(f"{name:14}{text.split(':')[0]:8}{cells}")
        if picture:
            for cohort in cohorts:
                mean = np.mean([heart.masks() for heart in cohort[key]], axis=0)
                rows.append(np.concatenate(list(mean.transpose(0, 2, 3, 1)), axis=1))
    if picture:
        Image.fromarray((255 * np.concatenate(rows)).astype(np.uint8)).save(picture)


if __name__ == "__main__":
    sys.exit(main())
