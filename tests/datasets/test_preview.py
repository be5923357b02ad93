from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthgen.datasets.manifest import COLOURS
from synthgen.datasets.preview import TILE, draw_sheet, heart_slice, overlay, png_bytes, save_sheet, varied
from synthgen.datasets.reader import StoredDataset
from synthgen.errors import InputError, SynthgenError
from synthgen.labels import Pathology, Tissue, Vendor


def test_a_sheet_has_a_row_per_subject_and_twelve_tiles(phantom):
    """Rows are in order of id; columns are basal, mid and apical at ED and ES, image beside labels."""
    sheet = draw_sheet([phantom(number) for number in (3, 1, 2)], rows=2)
    assert sheet.width > 12 * TILE
    assert 2 * TILE < sheet.height < 3 * TILE
    first_two = draw_sheet([phantom(1), phantom(2)], rows=2)
    assert png_bytes(sheet) == png_bytes(first_two)


def test_a_sheet_shows_what_a_cohort_is_made_of():
    """Classes come evenly, then vendors, then ids; a cohort of one kind shows its first, a small one all."""
    kinds = {f"{p}-{v}-{n:04d}": (p, v) for p in (Pathology.DCM, Pathology.HCM) for v in Vendor for n in range(1, 30)}
    assert varied(kinds, 4) == ["DCM-A-0001", "DCM-C-0001", "HCM-B-0001", "HCM-D-0001"]
    assert varied(kinds, 5) == ["DCM-A-0001", "DCM-B-0001", "DCM-C-0001", "HCM-B-0001", "HCM-D-0001"]
    alike = dict.fromkeys(["b", "c", "a"], (Pathology.NOR, Vendor.A))
    assert varied(alike, 2) == ["a", "b"]
    assert varied(alike, 9) == ["a", "b", "c"]


def test_a_stored_dataset_looks_like_its_subjects(published, phantom):
    """Drawing from disk and from memory gives nearly the same picture."""
    stored = np.asarray(draw_sheet(StoredDataset(published), rows=2), dtype=float)
    made = np.asarray(draw_sheet([phantom(0), phantom(1)]), dtype=float)
    assert stored.shape == made.shape
    assert np.abs(stored - made).mean() < 0.5


def test_the_published_preview_is_a_png(published, tmp_path):
    """The writer's preview opens; saving writes the same kind of file."""
    with Image.open(io.BytesIO((published / "preview.png").read_bytes())) as image:
        assert image.format == "PNG"
    with Image.open(save_sheet(StoredDataset(published), tmp_path / "sheet.png", rows=1)) as image:
        assert image.format == "PNG"


def test_a_full_disk_leaves_the_old_picture(published, tmp_path, monkeypatch):
    """What was there stays, nothing half written lies beside it, and the message names the picture."""
    (tmp_path / "sheet.png").write_bytes(b"old")

    def refuse(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(SynthgenError, match=r"sheet\.png: cannot be written"):
        save_sheet(StoredDataset(published), tmp_path / "sheet.png", rows=1)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("sheet.png", b"old")]


def test_a_published_preview_has_as_many_rows_as_asked_for(write_dataset, tmp_path):
    """More rows than `draw_sheet` draws by itself are drawn too."""
    with Image.open(write_dataset(tmp_path / "seven", 7, preview_rows=7, shape=(2, 8, 8)) / "preview.png") as image:
        assert 7 * TILE < image.height < 8 * TILE


def test_tiles_show_the_slices_that_hold_the_heart():
    """Base, middle and apex are taken from the slices with left ventricle; without any, from all slices."""
    labels = np.zeros((11, 4, 4), np.uint8)
    assert heart_slice(labels, 0.5) == 5
    labels[2:7, 1, 1] = Tissue.MYO
    assert [heart_slice(labels, depth) for depth in (0.0, 0.5, 1.0)] == [2, 4, 6]


def test_the_overlay_outlines_the_heart_and_leaves_the_background():
    """Cavities and wall have an edge in their own colour, background stays grey, image tiles carry no colour."""
    labels = np.zeros((20, 20), np.uint8)
    labels[4:16, 4:16] = Tissue.MYO
    labels[7:13, 7:13] = Tissue.LV
    picture = overlay(np.full((20, 20), 100, np.uint8), labels)
    assert tuple(picture[4, 10]) == COLOURS[Tissue.MYO]
    assert tuple(picture[7, 10]) == COLOURS[Tissue.LV]
    assert tuple(picture[6, 10]) != COLOURS[Tissue.MYO]
    assert tuple(picture[0, 0]) == (100, 100, 100)


def test_thick_and_single_slices_can_be_drawn(phantom):
    """One slice, oblong slices and a constant image do not break the sheet."""
    assert draw_sheet([phantom(0, (1, 10, 40))]).height > TILE
    assert draw_sheet([phantom(0, (4, 1, 1))]).height > TILE


def test_nothing_to_draw_is_bad_input():
    """A sheet of no subject is an InputError."""
    with pytest.raises(InputError):
        draw_sheet([])
