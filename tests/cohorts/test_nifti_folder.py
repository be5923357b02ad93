"""A folder of NIfTI files with a table."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from synthgen.cohorts.nifti import write_volume
from synthgen.cohorts.nifti_folder import TABLE, NiftiFolder, write_subjects
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Sex, Tissue, Vendor
from synthgen.subjects import Body, SourceCohort


def save(folder, subject):
    """Write the volumes of a subject and return its row of the table."""
    row = {
        "subject_id": subject.subject_id,
        "pathology": subject.pathology.value,
        "vendor": subject.vendor.value,
        "height_cm": "172",
        "weight_kg": "71.5",
        "sex": "F",
    }
    for phase in Phase:
        for kind, volumes in (("image", subject.images), ("label", subject.labels)):
            name = f"volumes/{subject.subject_id}_{phase}_{kind}.nii.gz"
            write_volume(folder / name, volumes[phase])
            row[f"{phase.lower()}_{kind}"] = name
    return row


def dressed(subject):
    """Return the subject with fat wherever there was nothing."""
    fat = np.uint8(Tissue.FAT)
    labels = {p: v.with_voxels(np.where(v.voxels == 0, fat, v.voxels)) for p, v in subject.labels.items()}
    return replace(subject, labels=labels)


def tabulate(folder, rows, encoding="utf-8"):
    """Write the table."""
    with (folder / TABLE).open("w", encoding=encoding, newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


@pytest.fixture
def rows(tmp_path, subject):
    """Two subjects on disk and their rows."""
    (tmp_path / "volumes").mkdir()
    made = [subject("one", Pathology.DCM, vendor=Vendor.D, size=64), subject("two.b", Pathology.HCM, size=64, slices=9)]
    rows = [save(tmp_path, s) for s in made]
    tabulate(tmp_path, rows)
    return rows


def test_a_folder_reads_back(tmp_path, rows, subject):
    """Ids, class, vendor, body and labels are those of the table and the files."""
    read = NiftiFolder(tmp_path)
    assert isinstance(read, SourceCohort)
    assert (len(read), read.label_scheme, read.name) == (2, "heart", tmp_path.name)
    got = read[0]
    assert (got.subject_id, got.pathology, got.vendor, got.body.sex) == ("one", Pathology.DCM, Vendor.D, Sex.F)
    np.testing.assert_array_equal(got.labels[Phase.ES].voxels, subject(size=64).labels[Phase.ES].voxels)


def test_the_fingerprint_is_of_what_is_read(tmp_path, rows):
    """A stray file makes no difference; a volume of another size and one less do."""
    known = {NiftiFolder(tmp_path).fingerprint()}
    (tmp_path / ".DS_Store").write_bytes(b"not read")
    assert NiftiFolder(tmp_path).fingerprint() in known
    file = tmp_path / rows[0]["ed_image"]
    file.write_bytes(file.read_bytes() + b"more")
    known.add(NiftiFolder(tmp_path).fingerprint())
    file.unlink()
    known.add(NiftiFolder(tmp_path).fingerprint())
    assert len(known) == 3


@pytest.mark.parametrize("scheme", ["heart", "tissue"])
def test_what_is_written_reads_back(tmp_path, subject, scheme):
    """Ids, class, vendor, body and voxels of written subjects are those that are read, under either scheme."""
    made = [subject("one", Pathology.DCM, vendor=Vendor.D, size=64), subject("two.b", Pathology.HCM, size=64)]
    if scheme == "tissue":
        made = [dressed(one) for one in made]
    made[1] = replace(made[1], body=Body(height_cm=165.4475, weight_kg=52.2661))
    write_subjects(iter(made), tmp_path, {"name": "those", "licence": "theirs", "citation": "them"})
    read = NiftiFolder(tmp_path, label_scheme=scheme)
    assert (read.name, read.licence, read.citation) == ("those", "theirs", "them")
    for number, known in enumerate(made):
        got = read[number]
        assert (got.subject_id, got.pathology, got.vendor) == (known.subject_id, known.pathology, known.vendor)
        assert got.body == known.body
        for phase in Phase:
            np.testing.assert_array_equal(got.labels[phase].voxels, known.labels[phase].voxels)
            np.testing.assert_allclose(got.images[phase].affine, known.images[phase].affine, atol=1e-4)


@pytest.mark.parametrize("ids", [("../one",), ("one", "one")])
def test_ids_that_cannot_name_folders_are_not_written(tmp_path, subject, ids):
    """A path in an id and an id that comes twice are refused."""
    with pytest.raises(InputError, match="an id of its own"):
        write_subjects((subject(name, size=64) for name in ids), tmp_path, {})


@pytest.mark.parametrize("text", ["{", "[]", '{"licence": 1}', "[" * 100_000])
def test_a_folder_that_says_nonsense_about_itself_is_refused(tmp_path, rows, text):
    """What is no JSON, no object, or not of texts is named."""
    (tmp_path / "cohort.json").write_text(text)
    with pytest.raises(InputError, match=r"cohort\.json"):
        NiftiFolder(tmp_path)


def test_tissue_labels_need_the_tissue_scheme(tmp_path, rows, subject):
    """A label above 3 is refused under `heart` and kept under `tissue`."""
    labels = dressed(subject("one", size=64)).labels
    for phase in Phase:
        write_volume(tmp_path / rows[0][f"{phase.lower()}_label"], labels[phase])
    with pytest.raises(InputError, match=r"one_ED_label.*6"):
        NiftiFolder(tmp_path)[0]
    tissue = NiftiFolder(tmp_path, label_scheme="tissue")
    assert tissue.label_scheme == "tissue"
    for phase in Phase:
        np.testing.assert_array_equal(tissue[0].labels[phase].voxels, labels[phase].voxels)


def test_hearts_alone_are_no_tissues(tmp_path, rows):
    """Labels 0 to 3 are refused under `tissue`: a bundle would learn hearts in empty space."""
    with pytest.raises(InputError, match=r"one_ED_label.*labels 4 to 8.*nifti:DIR"):
        NiftiFolder(tmp_path, label_scheme="tissue")[0]


@pytest.mark.parametrize("scheme", ["heart", "tissue"])
def test_the_order_of_acdc_is_recognised(tmp_path, rows, subject, scheme):
    """Labels in ACDC's order are refused under either scheme, and the message says whose they look like."""
    label = subject("one", size=64).labels[Phase.ED]
    write_volume(tmp_path / rows[0]["ed_label"], label.with_voxels(np.array([0, 3, 2, 1], np.uint8)[label.voxels]))
    with pytest.raises(InputError, match="as in ACDC"):
        NiftiFolder(tmp_path, label_scheme=scheme)[0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"pathology": "RV"}, "one of NOR, MINF, DCM, HCM, ARV"),
        ({"vendor": "Siemens"}, "one of A, B, C, D"),
        ({"sex": "x"}, "one of F, M"),
        ({"height_cm": "tall"}, "height"),
        ({"subject_id": "../one"}, "ids of letters"),
        ({"subject_id": "two.b"}, "two.b more than once"),
        ({"ed_image": "../outside.nii.gz"}, "inside the folder"),
        ({"ed_image": "/etc/hostname"}, "inside the folder"),
        ({"ed_image": "volumes/none.nii.gz"}, r"none\.nii\.gz"),
        ({"es_label": "volumes/two.b_ES_label.nii.gz"}, "shape"),
        ({"es_label": "volumes/one_ED_label.nii.gz"}, "one: expected a smaller LV cavity at ES"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path, rows, change, match):
    """A cell outside its vocabulary, a path outside the folder and a file that is missing or another's are refused."""
    tabulate(tmp_path, [rows[0] | change, rows[1]])
    with pytest.raises(InputError, match=match):
        NiftiFolder(tmp_path)[0]


def test_a_link_that_goes_in_a_circle_is_named(tmp_path, rows):
    """A file that links to itself is an InputError like any file that is not there."""
    tabulate(tmp_path, rows)
    file = tmp_path / rows[0]["ed_image"]
    file.unlink()
    file.symlink_to(file.name)
    with pytest.raises(InputError, match=file.name):
        NiftiFolder(tmp_path)[0]


def test_empty_body_cells_mean_unknown(tmp_path, rows):
    """Empty height, weight and sex, or words for it, give a subject without; a byte order mark is no obstacle."""
    tabulate(tmp_path, [rows[0] | {"height_cm": "", "sex": ""}, rows[1]], "utf-8-sig")
    assert NiftiFolder(tmp_path)[0].body is None
    tabulate(tmp_path, [rows[0] | {"sex": "N/A"}, rows[1] | {"height_cm": "unknown"}])
    assert NiftiFolder(tmp_path)[0].body == Body(height_cm=172.0, weight_kg=71.5)
    assert NiftiFolder(tmp_path)[1].body is None


def test_a_wrong_table_is_named(tmp_path, rows):
    """No table, no rows, a missing column and another encoding are one InputError each."""
    table = tmp_path / TABLE
    tabulate(tmp_path, [{k: v for k, v in row.items() if k != "vendor"} for row in rows])
    with pytest.raises(InputError, match="no column vendor"):
        NiftiFolder(tmp_path)
    table.write_text(",".join(rows[0]))
    with pytest.raises(InputError, match="at least one subject"):
        NiftiFolder(tmp_path)
    for cell in (b"\0", b"x" * 200_000):
        table.write_bytes(",".join(rows[0]).encode() + b"\n" + cell + b"\n")
        with pytest.raises(InputError, match=r"subjects\.csv"):
            NiftiFolder(tmp_path)
    table.write_bytes(b"subject_id\n\xff\n")
    with pytest.raises(InputError, match="UTF-8"):
        NiftiFolder(tmp_path)
    table.unlink()
    with pytest.raises(InputError, match=r"subjects\.csv"):
        NiftiFolder(tmp_path)
