"""M&Ms' layout: written and read, rows that are not ours, and every way in which the table can be wrong."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from synthgen.cohorts.mnms import Mnms, write_cohort
from synthgen.cohorts.nifti import read_frames, read_volume, write_frames, write_volume
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Sex, Vendor
from synthgen.subjects import SourceCohort

TABLE = "M&Ms_Dataset_information.csv"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory, cohort):
    """Five subjects of vendor C in the layout of M&Ms; not to be changed."""
    place = tmp_path_factory.mktemp("pristine") / "mnms"
    write_cohort(cohort(vendor=Vendor.C), place)
    return place


@pytest.fixture
def folder(tmp_path, pristine):
    """A copy to spoil."""
    return Path(shutil.copytree(pristine, tmp_path / "mnms"))


def rows_of(folder):
    """Read the table."""
    with (folder / TABLE).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def rewrite(folder, rows, name=TABLE, encoding="utf-8"):
    """Write the table."""
    with (folder / name).open("w", encoding=encoding, newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def place(folder, code="heart0"):
    """Return the folder of one subject."""
    return folder / "Training/Labeled" / code


def test_a_written_cohort_reads_back(pristine, cohort):
    """Labels come back exactly, images within a level, class, vendor, sex and body too."""
    read = Mnms(pristine)
    assert isinstance(read, SourceCohort)
    assert read.subject_pathologies == [*Pathology]
    assert read.subject_vendors == [Vendor.C] * 5
    for index, subject in enumerate(cohort(vendor=Vendor.C)):
        back = read[index]
        assert (back.subject_id, back.pathology, back.vendor) == (subject.subject_id, subject.pathology, Vendor.C)
        assert back.body == subject.body
        assert back.body.sex is Sex.F
        for phase in Phase:
            np.testing.assert_array_equal(back.labels[phase].voxels, subject.labels[phase].voxels)
            np.testing.assert_allclose(back.images[phase].voxels, subject.images[phase].voxels, atol=0.05)
            np.testing.assert_allclose(back.labels[phase].affine, subject.labels[phase].affine, atol=1e-3)


def test_the_published_table_is_understood(folder):
    """An index column without a name, a byte order mark and the published file name make no difference."""
    rows = [{"": str(i), **row} for i, row in enumerate(rows_of(folder))]
    (folder / TABLE).unlink()
    rewrite(folder, rows, "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv", "utf-8-sig")
    assert len(Mnms(folder)) == 5


def test_frames_are_counted_from_zero_and_taken_from_the_table(folder):
    """With ED at frame 3 and ES at frame 1 of a longer cine those frames are read, and no other."""
    frames = {}
    for suffix, kind in (("", "image"), ("_gt", "label")):
        file = place(folder) / f"heart0_sa{suffix}.nii.gz"
        ed, es = read_frames(file, kind=kind, frames=[0, 1])
        frames[kind] = {Phase.ED: ed.voxels, Phase.ES: es.voxels}
        nothing = ed.with_voxels(np.zeros_like(ed.voxels))
        write_frames(file, [nothing, es, nothing, ed, nothing])
    rows = rows_of(folder)
    rows[0] |= {"ED": "3", "ES": "1"}
    rewrite(folder, rows)
    subject = Mnms(folder)[0]
    for phase in Phase:
        np.testing.assert_array_equal(subject.labels[phase].voxels, frames["label"][phase])
        np.testing.assert_allclose(subject.images[phase].voxels, frames["image"][phase], atol=0.05)
    rows[0] |= {"ED": "4"}
    rewrite(folder, rows)
    with pytest.raises(InputError, match=r"heart0_sa_gt\.nii\.gz.*label 1"):
        Mnms(folder)[0]
    rows[0] |= {"ED": "5"}
    rewrite(folder, rows)
    with pytest.raises(InputError, match="frame 5"):
        Mnms(folder)[0]


@pytest.mark.parametrize("frames", [{"ED": "1", "ES": "0"}, {"ES": "0"}], ids=["swapped", "the same"])
def test_phases_that_cannot_be_are_refused(folder, frames):
    """A left ventricle that grows, or stays as it is, from ED to ES is refused by name, with both volumes."""
    rows = rows_of(folder)
    rows[1] |= frames
    rewrite(folder, rows)
    with pytest.raises(
        InputError, match=r"heart1: expected .* [\d.]+ ml at ED, got [\d.]+ ml\. Perhaps ED and ES are swapped"
    ):
        Mnms(folder)[1]
    assert Mnms(folder)[0].subject_id == "heart0"


@pytest.mark.parametrize("view", ["sa", "SA"])
def test_stacks_per_phase_are_read_too(folder, view):
    """Files CODE_sa_ED.nii.gz and the like, as the second challenge has them, replace the cine."""
    expected = Mnms(folder)[0]
    for suffix, kind in (("", "image"), ("_gt", "label")):
        cine = place(folder) / f"heart0_sa{suffix}.nii.gz"
        for phase, volume in zip(Phase, read_frames(cine, kind=kind, frames=None), strict=True):
            write_volume(place(folder) / f"heart0_{view}_{phase}{suffix}.nii.gz", volume)
        cine.unlink()
    read = Mnms(folder)[0]
    for phase in Phase:
        np.testing.assert_array_equal(read.labels[phase].voxels, expected.labels[phase].voxels)
        np.testing.assert_allclose(read.images[phase].voxels, expected.images[phase].voxels, atol=0.1)


def test_the_fingerprint_is_of_what_is_read(folder):
    """A stray file makes no difference; another table, another size of a volume and a subject less do."""
    known = {Mnms(folder).fingerprint()}
    (folder / ".DS_Store").write_bytes(b"not read")
    assert Mnms(folder).fingerprint() in known
    with (place(folder) / "heart0_sa.nii.gz").open("ab") as file:
        file.write(b"more")
    known.add(Mnms(folder).fingerprint())
    (place(folder, "heart1") / "heart1_sa_gt.nii.gz").unlink()
    known.add(Mnms(folder).fingerprint())
    rewrite(folder, [row | {"Centre": "1"} for row in rows_of(folder)])
    known.add(Mnms(folder).fingerprint())
    assert len(known) == 4


def test_rows_that_are_not_ours_are_left_out_and_counted(folder):
    """Other diseases, missing folders and missing labels are counted by reason, not read and not an error."""
    rows = rows_of(folder)
    rows[0]["Pathology"] = "LVNC"
    rows[1]["Pathology"] = ""
    shutil.rmtree(place(folder, "heart2"))
    (place(folder, "heart3") / "heart3_sa_gt.nii.gz").unlink()
    rewrite(folder, rows)
    read = Mnms(folder)
    assert [read[i].subject_id for i in range(len(read))] == ["heart4"]
    assert read.skipped == {"pathology LVNC": 1, "pathology not stated": 1, "no folder": 1, "no labels": 1}
    rows[4]["Pathology"] = "HHD"
    rewrite(folder, rows)
    with pytest.raises(InputError, match="1 no folder, 1 no labels, 1 pathology HHD"):
        Mnms(folder)


def test_the_order_of_acdc_is_recognised(folder):
    """Labels in the order of ACDC are refused, and the message says so."""
    file = place(folder) / "heart0_sa_gt.nii.gz"
    swapped = [
        v.with_voxels(np.array([0, 3, 2, 1], np.uint8)[v.voxels]) for v in read_frames(file, kind="label", frames=None)
    ]
    write_frames(file, swapped)
    with pytest.raises(InputError, match=r"heart0_sa_gt.*as in ACDC"):
        Mnms(folder)[0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"Vendor": "E"}, "one of A, B, C, D"),
        ({"ED": ""}, "frame number at ED"),
        ({"ES": "-1"}, "frame number at ES"),
        ({"Height": "1.7e9"}, "height"),
    ],
)
def test_a_wrong_cell_is_named(folder, change, match):
    """A cell that cannot be understood raises one InputError that names the table."""
    rows = rows_of(folder)
    rows[0] |= change
    rewrite(folder, rows)
    with pytest.raises(InputError, match=match) as caught:
        Mnms(folder)[0]
    assert TABLE in str(caught.value)


def test_unknown_body_is_none(folder):
    """Without height or weight there is no body; an unknown sex alone is no obstacle."""
    rows = rows_of(folder)
    rows[0]["Weight"] = ""
    rows[1]["Sex"] = "N/A"
    rewrite(folder, rows)
    assert Mnms(folder)[0].body is None
    assert Mnms(folder)[1].body.sex is None


def test_subjects_below_a_linked_folder_are_found(folder, tmp_path_factory):
    """`Training` may be a link to another disk, and a link to the root itself is no endless way."""
    elsewhere = tmp_path_factory.mktemp("disk") / "Training"
    known = [subject.subject_id for subject in Mnms(folder)]
    shutil.move(folder / "Training", elsewhere)
    (folder / "Training").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder)
    assert [subject.subject_id for subject in Mnms(folder)] == known


@pytest.mark.parametrize("cell", ["N/A", "n/a", "-", "unknown", "0", "0.0"])
@pytest.mark.parametrize("column", ["Height", "Weight"])
def test_a_cell_that_says_unknown_is_no_error(folder, column, cell):
    """Each way of saying that height or weight is not known gives a subject without body."""
    rows = rows_of(folder)
    rows[0][column] = cell
    rewrite(folder, rows)
    assert Mnms(folder)[0].body is None


def test_what_spreadsheets_do_to_a_table_is_understood(folder):
    """Blank rows at the end, frames with a decimal and a companion file of macOS make no difference."""
    rows = rows_of(folder)
    rows[0] |= {"ED": "0.0", "ES": "1.0"}
    rewrite(folder, [*rows, {}, {}])
    (folder / f"._{TABLE}").write_bytes(b"\0\5\x16\7Mac OS X \xff\xfe")
    read = Mnms(folder)
    assert (len(read), read.skipped, read[0].subject_id) == (5, {}, "heart0")


def test_a_wrong_table_is_named(folder):
    """A repeated code, a missing column, another encoding and no table at all are one InputError each."""
    rows = rows_of(folder)
    rewrite(folder, [*rows, rows[0]])
    with pytest.raises(InputError, match="heart0 more than once"):
        Mnms(folder)
    rewrite(folder, [{k: v for k, v in row.items() if k != "ES"} for row in rows])
    with pytest.raises(InputError, match="column ES"):
        Mnms(folder)
    (folder / TABLE).write_bytes(b"External code,\xff\xfe\n")
    with pytest.raises(InputError, match="UTF-8"):
        Mnms(folder)
    (folder / TABLE).unlink()
    with pytest.raises(InputError, match="Information"):
        Mnms(folder)


def test_codes_that_collide_are_refused(tmp_path, subject, cohort):
    """Two ids that differ in punctuation only cannot both be written; nothing stays behind."""
    hearts = cohort(0)
    hearts.extend([subject("a-1", size=64), subject("a1", size=64)])
    with pytest.raises(InputError, match="a1"):
        write_cohort(hearts, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_frame_file_holds_the_codes_of_mnms(pristine):
    """On disk 1 is the left ventricle, and the cine has two frames."""
    ed, es = read_frames(place(pristine) / "heart0_sa_gt.nii.gz", kind="label", frames=None)
    label = Mnms(pristine)[0].labels
    np.testing.assert_array_equal(ed.voxels, label[Phase.ED].voxels)
    np.testing.assert_array_equal(es.voxels, label[Phase.ES].voxels)
    with pytest.raises(InputError, match="one volume"):
        read_volume(place(pristine) / "heart0_sa_gt.nii.gz", kind="label")
