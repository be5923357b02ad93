"""ACDC's layout: written and read, its traps, and every way in which a patient's folder can be wrong."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from synthgen.cohorts.acdc import Acdc, write_cohort
from synthgen.cohorts.conventions import ACDC_CODES, from_tissue
from synthgen.cohorts.nifti import read_volume, write_volume
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Tissue, Vendor
from synthgen.subjects import SourceCohort


@pytest.fixture(scope="module")
def pristine(tmp_path_factory, cohort):
    """Five patients, one per class, in ACDC's layout; not to be changed."""
    place = tmp_path_factory.mktemp("pristine") / "acdc"
    write_cohort(cohort(), place)
    return place


@pytest.fixture
def folder(tmp_path, pristine):
    """A copy of the five patients to spoil."""
    return Path(shutil.copytree(pristine, tmp_path / "acdc"))


def test_a_written_cohort_reads_back(tmp_path, cohort):
    """Labels come back exactly, images within a level, class and body too, in the order of the cohort."""
    written = cohort()
    names = write_cohort(written, tmp_path / "acdc")
    read = Acdc(tmp_path / "acdc")
    assert isinstance(read, SourceCohort)
    assert names == ["patient001", "patient002", "patient003", "patient004", "patient005"]
    for index, subject in enumerate(written):
        back = read[index]
        assert (back.subject_id, back.pathology, back.vendor) == (names[index], subject.pathology, Vendor.A)
        assert (back.body.height_cm, back.body.weight_kg) == (172.0, 71.5)
        for phase in Phase:
            np.testing.assert_array_equal(back.labels[phase].voxels, subject.labels[phase].voxels)
            np.testing.assert_allclose(back.images[phase].voxels, subject.images[phase].voxels, atol=0.05)
            np.testing.assert_allclose(back.labels[phase].affine, subject.labels[phase].affine, atol=1e-3)


def test_the_fingerprint_changes_with_the_cohort(folder, pristine):
    """A cohort has one fingerprint, which another cohort of the same folder does not have."""
    before = Acdc(folder).fingerprint()
    assert Acdc(folder).fingerprint() == before
    shutil.rmtree(folder / "patient005")
    assert Acdc(folder).fingerprint() != before


def test_the_fingerprint_is_of_what_is_read(folder, tmp_path):
    """A patient's folder may be a link; files that are not read make no difference, and a frame of another size does.

    A fit whose own output lies in the folder must find the cohort that it began with.
    """
    before = Acdc(folder).fingerprint()
    (folder / "patient002").rename(tmp_path / "elsewhere")
    (folder / "patient002").symlink_to(tmp_path / "elsewhere")
    (folder / "fitted.work").mkdir()
    for name in (".DS_Store", "fitted.work/done.json", "patient001/patient001_4d.nii.gz"):
        (folder / name).write_bytes(b"not read")
    assert Acdc(folder).fingerprint() == before
    with (tmp_path / "elsewhere/patient002_frame02.nii.gz").open("ab") as file:
        file.write(b"more")
    assert Acdc(folder).fingerprint() != before


def test_the_class_rv_is_arv(folder):
    """The file says RV, the vocabulary ARV."""
    assert "Group: RV" in (folder / "patient005/Info.cfg").read_text()
    assert Acdc(folder).subject_pathologies == [*Pathology]


def test_the_file_uses_the_codes_of_acdc(folder):
    """On disk 1 is the right ventricle and 3 the left; in memory the codes are those of `Tissue`."""
    stored = read_volume(folder / "patient001/patient001_frame01_gt.nii.gz", kind="label").voxels
    label = Acdc(folder)[0].labels[Phase.ED].voxels
    np.testing.assert_array_equal(stored == 1, label == Tissue.RV)
    np.testing.assert_array_equal(stored == 3, label == Tissue.LV)


def test_end_diastole_is_the_frame_of_the_config_and_not_the_first(folder):
    """With ED at frame 4 and ES at frame 11 those files are read, though a frame 1 lies beside them."""
    patient = folder / "patient001"
    for old, new in (("01", "04"), ("02", "11")):
        for suffix in ("", "_gt"):
            stem = "patient001_frame"
            shutil.copy(patient / f"{stem}{old}{suffix}.nii.gz", patient / f"{stem}{new}{suffix}.nii.gz")
    ed = Acdc(folder)[0].labels[Phase.ED].voxels
    for suffix in ("", "_gt"):
        (patient / f"patient001_frame01{suffix}.nii.gz").write_bytes(b"not to be read")
    config = patient / "Info.cfg"
    config.write_text(config.read_text().replace("ED: 1", "ED: 4").replace("ES: 2", "ES: 11"))
    np.testing.assert_array_equal(Acdc(folder)[0].labels[Phase.ED].voxels, ed)


def test_reading_is_lazy(folder):
    """The cohort opens with a damaged volume in it and fails only when that patient is asked for."""
    (folder / "patient002/patient002_frame01.nii.gz").write_bytes(b"damaged")
    read = Acdc(folder)
    assert len(read) == 5
    assert read[0].subject_id == "patient001"
    with pytest.raises(InputError, match=r"patient002_frame01\.nii\.gz"):
        read[1]


def test_the_folder_above_training_is_understood(folder):
    """The patients may lie in `training` below the folder that is given."""
    folder.rename(folder.with_name("training"))
    assert len(Acdc(folder.parent)) == 5


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("ED: 1\n", "", "frame number at ED"),
        ("ES: 2", "ES: end", "frame number at ES"),
        ("ES: 2", "ES: 0", "frame number at ES"),
        ("ES: 2", "ES: 1", "different frames"),
        ("ES: 2", "ES: 7", r"frame07\.nii\.gz"),
        ("Group: NOR\n", "", "Group"),
        ("Group: NOR", "Group: HEALTHY", "HEALTHY"),
        ("Height: 172.0", "Height: 1.72", "height"),
        ("Weight: 71.5", "Weight: heavy", "weight"),
        ("Weight: 71.5", "Weight: nan kg", "weight"),
    ],
)
def test_a_wrong_config_is_named(folder, old, new, match):
    """A line of `Info.cfg` that is missing or wrong raises one InputError that names file and line."""
    config = folder / "patient001/Info.cfg"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(InputError, match=match) as caught:
        Acdc(folder)[0]
    assert "patient001" in str(caught.value)


def test_a_missing_or_binary_config_is_named(folder, tmp_path):
    """No `Info.cfg`, or one that is no text, or no patient at all, is one InputError."""
    config = folder / "patient003/Info.cfg"
    config.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="patient003"):
        Acdc(folder)
    config.unlink()
    with pytest.raises(InputError, match="patient003"):
        Acdc(folder)
    os.mkfifo(config)  # reading it would wait for ever
    with pytest.raises(InputError, match="patient003"):
        Acdc(folder)
    config.unlink()
    config.write_bytes(b"x" * 2**17)
    with pytest.raises(InputError, match="larger"):
        Acdc(folder)
    for empty in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="patient001"):
            Acdc(empty)


def test_a_patient_without_body_size_has_no_body(folder):
    """Height and weight may be missing; the indices are then not indexed."""
    config = folder / "patient001/Info.cfg"
    lines = [line for line in config.read_text().splitlines() if not line.startswith(("Height", "Weight"))]
    config.write_text("\n".join(lines))
    assert Acdc(folder)[0].body is None


def replace_label(folder, change):
    """Change the ED label of the first patient on disk."""
    file = folder / "patient001/patient001_frame01_gt.nii.gz"
    volume = read_volume(file, kind="label")
    write_volume(file, volume.with_voxels(change(volume.voxels)))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda v: np.array([0, 3, 2, 1], np.uint8)[v], "as in M&Ms"),
        (lambda v: np.where(v == 1, 5, v).astype(np.uint8), r"labels \[0, 2, 3, 5\]"),
        (lambda v: np.where(v == 1, 0, v).astype(np.uint8), "label 1"),
        (np.zeros_like, "label"),
    ],
    ids=["swapped", "strange", "no right ventricle", "empty"],
)
def test_wrong_labels_are_named(folder, change, match):
    """Labels of another cohort, unknown codes and missing structures raise one InputError that names the file."""
    replace_label(folder, change)
    with pytest.raises(InputError, match=match) as caught:
        Acdc(folder)[0]
    assert "patient001_frame01_gt.nii.gz" in str(caught.value)


def test_image_and_label_on_two_grids_are_refused(folder):
    """A label of another shape, spacing or place than its image is refused by name."""
    file = folder / "patient001/patient001_frame01_gt.nii.gz"
    label = read_volume(file, kind="label")
    moved = label.affine.copy()
    moved[0, 3] += 30
    stretched = label.affine @ np.diag([1.1, 1.0, 1.0, 1.0])
    wrong = {
        "shape": type(label)(label.voxels[1:], label.spacing_mm, label.affine),
        "spacing": type(label)(label.voxels, (10.0, 1.5, 1.65), stretched),
        "place": type(label)(label.voxels, label.spacing_mm, moved),
    }
    for match, volume in wrong.items():
        write_volume(file, volume)
        with pytest.raises(InputError, match=match) as caught:
            Acdc(folder)[0]
        assert "frame01_gt" in str(caught.value)


def test_writing_over_something_is_refused_and_a_failure_leaves_nothing(tmp_path, cohort, folder):
    """An existing cohort is not overwritten; a cohort that fails midway leaves no folder behind."""
    with pytest.raises(InputError, match="empty folder"):
        write_cohort(cohort(), folder)
    broken = cohort(2)
    image = broken[1].images[Phase.ES]
    broken[1].images[Phase.ES] = image.with_voxels(np.full(image.shape, np.nan, np.float32))
    with pytest.raises(InputError, match="finite"):
        write_cohort(broken, tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["acdc"]


def test_tissues_outside_the_heart_are_not_written(tmp_path, cohort):
    """A nine-tissue label map is written with its heart only."""
    hearts = cohort(1)
    label = hearts[0].labels[Phase.ED]
    hearts[0].labels[Phase.ED] = label.with_voxels(np.where(label.voxels == 0, 4, label.voxels).astype(np.uint8))
    write_cohort(hearts, tmp_path / "acdc")
    stored = read_volume(tmp_path / "acdc/patient001/patient001_frame01_gt.nii.gz", kind="label").voxels
    np.testing.assert_array_equal(stored, from_tissue(label.voxels, ACDC_CODES))


@pytest.mark.acdc
def test_every_real_patient_is_read(acdc_folder):
    """All 100 patients are read, 20 per class, base first, right ventricle left; patient090 has ED at frame 4."""
    read = Acdc(acdc_folder)
    assert [read.subject_pathologies.count(p) for p in Pathology] == [20] * 5
    for index in range(len(read)):
        subject = read[index]
        label = subject.labels[Phase.ED].voxels
        x = {t: np.argwhere(label == t)[:, 2].mean() for t in (Tissue.LV, Tissue.RV)}
        assert x[Tissue.RV] < x[Tissue.LV], subject.subject_id
        areas = ((label > 0) | (subject.labels[Phase.ES].voxels > 0)).sum(axis=(1, 2))
        areas = areas[areas > 0]
        assert areas[: len(areas) // 2].sum() > areas[-(len(areas) // 2) :].sum(), subject.subject_id
    ed = read_volume(acdc_folder / "patient090/patient090_frame04.nii.gz", kind="image")
    np.testing.assert_array_equal(read[89].images[Phase.ED].voxels, ed.voxels)


@pytest.mark.acdc
def test_real_volumes_agree_with_the_published_table(acdc_folder):
    """Class means of EDV and EF equal those of the public feature table within half a unit."""
    from synthgen.indices import measure

    read = Acdc(acdc_folder)
    table = {"NOR": (130, 60.3), "MINF": (172, 31.0), "DCM": (285, 18.4), "HCM": (129, 67.4), "ARV": (107, 54.7)}
    rows = [measure(s.labels, s.body) for s in (read[i] for i in range(len(read)))]
    for pathology, (edv, ef) in table.items():
        mine = [r for r, p in zip(rows, read.subject_pathologies, strict=True) if p == pathology]
        assert np.mean([r.lv_edv_ml for r in mine]) == pytest.approx(edv, abs=0.6)
        assert np.mean([r.lv_ef_percent for r in mine]) == pytest.approx(ef, abs=0.1)
