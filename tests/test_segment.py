"""`segment`: files and cohorts of real images in, nine tissues out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import shared_bundle

from synthgen import cli
from synthgen.cohorts.acdc import Acdc
from synthgen.cohorts.nifti import read_frames, write_frames
from synthgen.cohorts.nifti_folder import NiftiFolder
from synthgen.errors import InputError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART, Phase, Tissue, Vendor
from synthgen.networks.bundle import load_bundle, save_bundle
from synthgen.segment import segment_cohort, segment_image
from synthgen.simulate import simulate


@pytest.fixture(scope="module")
def acdc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients in the layout of ACDC, hearts labelled."""
    folder = tmp_path_factory.mktemp("cohort") / "acdc"
    hearts = VirtualHearts(3, seed=9, vendors=[Vendor.A], pixels=96, spacing_mm=2.0)
    return simulate(hearts, folder, layout="acdc", workers=1)


def test_a_cine_becomes_a_cine_of_labels(acdc: Path, tmp_path: Path) -> None:
    """Every frame is labelled on its own grid, in codes of tissues; the name says whose labels they are."""
    frames = [
        read_frames(file, kind="image", frames=None)[0] for file in sorted(acdc.glob("patient001/*frame??.nii.gz"))
    ]
    write_frames(tmp_path / "cine.nii.gz", frames)
    file = segment_image(tmp_path / "cine.nii.gz", tmp_path / "out")
    labels = read_frames(file, kind="label", frames=None)
    assert file.name == "cine_tissues.nii.gz"
    assert len(labels) == len(frames) == 2
    for label, frame in zip(labels, frames, strict=True):
        assert label.shape == frame.shape
        np.testing.assert_allclose(label.affine, frame.affine, atol=1e-4)
        assert set(HEART) | {Tissue.LUNG, Tissue.FAT} <= set(np.unique(label.voxels))
    with pytest.raises(InputError, match="name that is free"):
        segment_image(tmp_path / "cine.nii.gz", tmp_path / "out")


def test_a_cohort_gets_its_tissues(acdc: Path, tmp_path: Path) -> None:
    """Experts' hearts stay, the rest is labelled, the folder can be fitted on, and the agreement is written down."""
    seen: list[tuple[int, int]] = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    agreement = segment_cohort(Acdc(acdc), tmp_path / "out", workers=1, progress=progress)
    known, labelled = Acdc(acdc), NiftiFolder(tmp_path / "out", label_scheme="tissue")
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for number in range(3):
        before, after = known[number], labelled[number]
        assert (after.subject_id, after.pathology) == (before.subject_id, before.pathology)
        for phase in Phase:
            heart = before.labels[phase].voxels
            np.testing.assert_array_equal(np.where(np.isin(after.labels[phase].voxels, HEART), heart, 0), heart)
            assert after.labels[phase].voxels.max() > max(HEART)
    assert labelled.licence == known.licence
    written = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert written["subjects"] == agreement.subjects
    assert agreement.dice["lv"].mean > 0.8


def test_the_number_of_workers_does_not_matter(acdc: Path, tmp_path: Path) -> None:
    """One process or two, the files are the same to the byte."""
    for workers in (1, 2):
        segment_cohort(Acdc(acdc), tmp_path / str(workers), bundle=shared_bundle(), workers=workers)
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*") if p.is_file())
    assert len(files) == 3 + 3 * 4
    assert all((tmp_path / "1" / f).read_bytes() == (tmp_path / "2" / f).read_bytes() for f in files)


def test_the_command_says_how_well_hearts_are_found(acdc: Path, tmp_path: Path, capsys) -> None:
    """A cohort's table on one line; with `--json` one document; a file's name for a file."""
    tiny = ["--bundle", str(shared_bundle()), "--workers", "1"]
    assert cli.run(["segment", f"acdc:{acdc}", "--out", str(tmp_path / "a"), *tiny]) == 0
    assert "tissues of 3 subjects" in capsys.readouterr().out
    image = next(acdc.glob("patient001/*frame??.nii.gz"))
    assert cli.run(["segment", str(image), "--out", str(tmp_path / "b"), "--json"]) == 0
    assert Path(json.loads(capsys.readouterr().out)["file"]).is_file()


def test_what_cannot_be_segmented_is_named(acdc: Path, tmp_path: Path, capsys) -> None:
    """A bundle without a segmentor, a folder that holds something and a missing file end with one line and code 2."""
    whole = load_bundle(shared_bundle())
    fields = whole.description.model_dump(exclude={"networks", "files", "schema_"}) | {"name": "bare"}
    save_bundle(tmp_path / "bare", fields, {"spade": whole.network("spade")}, {})
    flat = tmp_path / "flat.nii.gz"
    frame = read_frames(next(acdc.glob("patient001/*frame??.nii.gz")), kind="image", frames=None)[0]
    write_frames(flat, [frame.with_voxels(np.full_like(frame.voxels, 7))])
    labels = next(acdc.glob("patient001/*_gt.nii.gz"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for words, named in (
        ([f"acdc:{acdc}", "--out", str(tmp_path / "c"), "--bundle", str(tmp_path / "bare")], "segmentor"),
        ([f"acdc:{acdc}", "--out", str(tmp_path / "full")], "full"),
        ([str(tmp_path / "none.nii.gz"), "--out", str(tmp_path / "d")], "none.nii.gz"),
        ([str(flat), "--out", str(tmp_path / "d")], "a scan with contrast, got a frame of one grey level"),
        ([str(labels), "--out", str(tmp_path / "d")], "a frame of 4 grey levels, as of a label map"),
        ([str(flat), "--out", str(tmp_path / "d"), "--workers", "2"], "--workers"),
        ([f"acdc:{acdc}", "--out", str(tmp_path / "d"), "--workers", "0"], "workers"),
        (["image.dcm", "--out", str(tmp_path / "d")], "IMAGE"),
    ):
        assert cli.run(["segment", *words]) == 2
        assert named in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
