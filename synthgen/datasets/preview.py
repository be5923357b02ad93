"""Preview sheet: a few subjects at a glance, image beside image with labels, basal to apical, ED and ES."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from synthgen.datasets.manifest import COLOURS
from synthgen.datasets.reader import StoredDataset
from synthgen.errors import InputError
from synthgen.labels import HEART, Pathology, Phase, Tissue, Vendor
from synthgen.subjects import SyntheticSubject
from synthgen.whole_file import whole_file

TILE = 144
_CAPTION = 150
_HEADER = 34
_GAP = 2
_LEGEND = 22
_LEVELS = (("basal", 0.15), ("mid", 0.5), ("apical", 0.85))
_TINT = 0.25
_BACKGROUND = (18, 18, 20)
_INK = (235, 235, 235)
_DIM = (165, 165, 170)


def draw_sheet(subjects: Sequence[SyntheticSubject] | StoredDataset, *, rows: int = 5) -> Image.Image:
    """Return the preview of `rows` subjects, by id: of several classes and vendors if there are any; see `varied`.

    Parameters
    ----------
    subjects
        In memory, or a `StoredDataset`, of which only the drawn subjects are read.

    Raises
    ------
    InputError
        If there is no subject to draw.
    """
    shown = _shown(subjects, rows)
    if not shown:
        raise InputError("preview", expected="at least one subject and one row", got=f"{len(subjects)} and {rows}")
    width = _CAPTION + 2 * len(_LEVELS) * 2 * (TILE + _GAP)
    height = _HEADER + len(shown) * (TILE + _GAP) + _LEGEND
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    _draw_header(draw)
    for row, subject in enumerate(shown):
        _draw_row(sheet, draw, subject, _HEADER + row * (TILE + _GAP))
    _draw_legend(draw, height - _LEGEND)
    return sheet


def save_sheet(subjects: Sequence[SyntheticSubject] | StoredDataset, path: Path | str, *, rows: int = 5) -> Path:
    """Write the preview as a PNG file, whole or not at all, and return its path; SynthgenError if that fails."""
    target = Path(path)
    data = png_bytes(draw_sheet(subjects, rows=rows))
    with whole_file(target) as staged:
        staged.write_bytes(data)
    return target


def png_bytes(sheet: Image.Image) -> bytes:
    """Return the PNG file of a sheet; the same picture gives the same bytes."""
    stream = io.BytesIO()
    sheet.save(stream, format="PNG", compress_level=4)
    return stream.getvalue()


def varied(kinds: Mapping[str, tuple[Pathology, Vendor]], rows: int) -> list[str]:
    """Return `rows` ids of subjects, or all, in order: of every class as many as can be, then of every vendor.

    Parameters
    ----------
    kinds
        Class and vendor of every subject by its id.
    """
    left, chosen, shown = sorted(kinds), list[str](), Counter[object]()
    while left and len(chosen) < rows:
        rarest = min(left, key=lambda name: [shown[kind] for kind in (*kinds[name], kinds[name])])
        left.remove(rarest)
        chosen.append(rarest)
        shown.update([*kinds[rarest], kinds[rarest]])
    return sorted(chosen)


def _shown(subjects: Sequence[SyntheticSubject] | StoredDataset, rows: int) -> list[SyntheticSubject]:
    if isinstance(subjects, StoredDataset):
        kinds = {entry.id: (entry.pathology, entry.vendor) for entry in subjects.manifest.subjects}
        return [subjects.read(subject_id) for subject_id in varied(kinds, rows)]
    by_id = {subject.subject_id: subject for subject in subjects}
    kinds = {name: (subject.pathology, subject.vendor) for name, subject in by_id.items()}
    return [by_id[name] for name in varied(kinds, rows)]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _columns() -> list[tuple[Phase, str, float]]:
    return [(phase, name, depth) for phase in Phase for name, depth in _LEVELS]


def _draw_header(draw: ImageDraw.ImageDraw) -> None:
    for column, (phase, name, _) in enumerate(_columns()):
        centre = _CAPTION + (2 * column + 1) * (TILE + _GAP)
        draw.text((centre, _HEADER // 2), f"{phase} {name}", _INK, font=_font(15), anchor="mm")


def _draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, subject: SyntheticSubject, top: int) -> None:
    lines = _caption(subject)
    draw.text((8, top + 14), lines[0], _INK, font=_font(14))
    for number, line in enumerate(lines[1:]):
        draw.text((8, top + 38 + 18 * number), line, _DIM, font=_font(12))
    window = _window(subject)
    for column, (phase, _, depth) in enumerate(_columns()):
        labels = subject.labels[phase].voxels
        level = heart_slice(labels, depth)
        image = _grey(subject.images[phase].voxels[level], window)
        aspect = subject.labels[phase].spacing_mm[1] / subject.labels[phase].spacing_mm[2]
        left = _CAPTION + 2 * column * (TILE + _GAP)
        plain_tile = _fit(image, aspect, Image.Resampling.BICUBIC)
        label_tile = np.asarray(_fit(labels[level], aspect, Image.Resampling.NEAREST))
        sheet.paste(plain_tile.convert("RGB"), (left, top))
        sheet.paste(Image.fromarray(overlay(np.asarray(plain_tile), label_tile)), (left + TILE + _GAP, top))


def _caption(subject: SyntheticSubject) -> list[str]:
    def number(name: str, unit: str) -> str:
        value = subject.indices.get(name, math.nan)
        return f"{value:.0f} {unit}" if math.isfinite(value) else "unknown"

    return [
        subject.subject_id[:20],
        f"{subject.pathology}   {subject.vendor} {subject.vendor.manufacturer}",
        f"LV EF {number('lv_ef_percent', '%')}",
        f"LV EDV {number('lv_edv_ml', 'mL')}",
        f"RV EF {number('rv_ef_percent', '%')}",
    ]


def _draw_legend(draw: ImageDraw.ImageDraw, top: int) -> None:
    left = _CAPTION
    for tissue in Tissue:
        if tissue is Tissue.BACKGROUND:
            continue
        draw.rectangle((left, top + 6, left + 12, top + 18), fill=COLOURS[tissue])
        name = tissue.name if tissue in HEART else tissue.name.lower()
        draw.text((left + 18, top + 12), name, _DIM, font=_font(12), anchor="lm")
        left += 110


def heart_slice(labels: NDArray[np.uint8], depth: float) -> int:
    """Return the slice at `depth` (0 base, 1 apex) of those that show the left ventricle, or of all if none does."""
    shows = np.flatnonzero(np.isin(labels, (Tissue.LV, Tissue.MYO)).any(axis=(1, 2)))
    if shows.size == 0:
        shows = np.arange(len(labels))
    return int(shows[round(depth * (shows.size - 1))])


def _window(subject: SyntheticSubject) -> tuple[float, float]:
    """Return the grey window of a subject, one for all its tiles, so that ED and ES compare."""
    values = np.concatenate([subject.images[phase].voxels.ravel()[::7] for phase in Phase])
    low, high = np.percentile(values, (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def _grey(image: NDArray, window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    return (np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _fit(pixels: NDArray[np.uint8], aspect: float, resampling: Image.Resampling) -> Image.Image:
    """Return a slice scaled into a square tile, true to its pixel aspect (height over width)."""
    rows, columns = pixels.shape
    scale = TILE / max(rows * aspect, columns)
    size = max(1, round(columns * scale)), max(1, round(rows * aspect * scale))
    tile = Image.new("L", (TILE, TILE))
    tile.paste(Image.fromarray(pixels).resize(size, resampling), ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return tile


def overlay(grey: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture `(y, x, 3)`: the slice tinted by tissue, the heart's three regions outlined."""
    palette = np.array([COLOURS[tissue] for tissue in Tissue], dtype=np.float32)
    base = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    tinted = np.where((labels > 0)[..., None], (1 - _TINT) * base + _TINT * palette[labels], base)
    heart = np.where(np.isin(labels, HEART), labels, 0)
    padded = np.pad(heart, 1)
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    # the line between cavity and wall is drawn once, on the side of the cavity
    differs = [(heart != other) & ~((heart == Tissue.MYO) & (other != 0)) for other in neighbours]
    edge = (heart > 0) & np.any(differs, axis=0)
    tinted[edge] = palette[heart[edge]]
    return tinted.astype(np.uint8)
