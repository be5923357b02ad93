"""NIfTI files: what is written comes back, and what is damaged or implausible never comes through."""

import gzip

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthgen.cohorts.nifti import MAX_VOXELS, read_frames, read_volume, write_frames, write_volume
from synthgen.errors import InputError, SynthgenError
from synthgen.volumes import Volume, stack_affine

ARRAY = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)


def oblique(voxels, spacing=(8.0, 1.2, 1.3), seed=3):
    """A volume in some oblique direction."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return Volume(voxels, spacing, stack_affine(spacing, voxels.shape, rotation))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_labels_come_back_exactly(tmp_path, name):
    """A label map written and read again has the same voxels, spacing and affine."""
    volume = oblique(np.random.default_rng(0).integers(0, 9, (5, 40, 30)).astype(np.uint8))
    write_volume(tmp_path / name, volume)
    back = read_volume(tmp_path / name, kind="label")
    np.testing.assert_array_equal(back.voxels, volume.voxels)
    assert back.voxels.dtype == np.uint8
    np.testing.assert_allclose(back.spacing_mm, volume.spacing_mm, rtol=1e-6)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-4)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_images_come_back_within_half_a_level(tmp_path, low):
    """A real-valued image comes back within half of 1/65535 of its range, signed or not; without negatives 0 is 0."""
    volume = oblique(np.random.default_rng(1).uniform(low, 1.0, (5, 40, 30)).astype(np.float32))
    volume.voxels[0, 0, 0] = 0.0
    write_volume(tmp_path / "a.nii.gz", volume)
    back = read_volume(tmp_path / "a.nii.gz", kind="image")
    assert back.voxels.dtype == np.float32
    assert np.abs(back.voxels - volume.voxels).max() <= 0.501 * (1.0 - low) / 65535 + 1e-7
    assert back.voxels[0, 0, 0] == pytest.approx(0.0, abs=1e-5 if low else 0.0)


def test_one_very_bright_voxel_leaves_the_others_their_levels(tmp_path):
    """With one voxel a hundred times as bright as the rest, the rest still has hundreds of levels."""
    voxels = np.random.default_rng(1).uniform(0.0, 1.0, (5, 40, 30)).astype(np.float32)
    voxels[2, 3, 4] = 100.0
    write_volume(tmp_path / "a.nii.gz", oblique(voxels))
    back = read_volume(tmp_path / "a.nii.gz", kind="image").voxels
    assert len(np.unique(back[back < 2.0])) > 600


def test_whole_numbers_come_back_exactly(tmp_path):
    """An image of whole numbers, as scanners write, loses nothing."""
    volume = oblique(np.random.default_rng(1).integers(0, 3000, (5, 40, 30)).astype(np.float32))
    write_volume(tmp_path / "a.nii.gz", volume)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz", kind="image").voxels, volume.voxels)


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    """Writing twice gives equal files, under other names too, and leaves no other file behind."""
    volume = oblique(np.random.default_rng(2).random((5, 20, 30)).astype(np.float32))
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, volume)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    """The message names the file, and neither it nor a part of it is there."""

    def refuse(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(SynthgenError, match=r"x\.nii\.gz: cannot be written \(No space"):
        write_volume(tmp_path / "x.nii.gz", oblique(ARRAY))
    assert list(tmp_path.iterdir()) == []


def test_nibabel_reads_what_is_written(tmp_path):
    """The independent reader finds the same voxels, and sform and qform agree under code 1."""
    volume = oblique(np.random.default_rng(2).random((5, 20, 30)).astype(np.float32))
    write_volume(tmp_path / "a.nii.gz", volume)
    other = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(other.get_fdata().T, read_volume(tmp_path / "a.nii.gz", kind="image").voxels, rtol=1e-6)
    np.testing.assert_allclose(other.get_sform(), volume.affine, atol=1e-4)
    np.testing.assert_allclose(other.get_qform(), volume.affine, atol=1e-4)
    assert (int(other.header["sform_code"]), int(other.header["qform_code"])) == (1, 1)


def test_a_slanted_direction_is_made_orthonormal(tmp_path):
    """An affine that is off by rounding is written orthonormal to 1e-6, as ITK demands."""
    volume = oblique(np.zeros((4, 8, 8), np.uint8))
    noisy = Volume(volume.voxels, volume.spacing_mm, volume.affine + np.pad(np.full((3, 3), 2e-4), (0, 1)))
    write_volume(tmp_path / "a.nii", noisy)
    affine = nibabel.load(tmp_path / "a.nii").affine[:3, :3]
    directions = affine / np.linalg.norm(affine, axis=0)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-6)


def test_frames_share_one_scale_and_come_back_in_order(tmp_path):
    """Two frames written together come back one by one, with the intensities of both on one scale."""
    one = oblique(np.full((3, 8, 8), 0.25, np.float32))
    two = one.with_voxels(np.linspace(0, 1, 192, dtype=np.float32).reshape(3, 8, 8))
    write_frames(tmp_path / "a.nii.gz", [one, two])
    second, first = read_frames(tmp_path / "a.nii.gz", kind="image", frames=[1, 0])
    np.testing.assert_allclose(first.voxels, one.voxels, atol=2e-4)
    np.testing.assert_allclose(second.voxels, two.voxels, atol=2e-4)
    with pytest.raises(InputError, match="2 frames"):
        read_volume(tmp_path / "a.nii.gz", kind="image")
    with pytest.raises(InputError, match="frame 2"):
        read_frames(tmp_path / "a.nii.gz", kind="image", frames=[2])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_every_voxel_type_and_byte_order_is_read(tmp_path, order, dtype):
    """Integers and reals of either byte order give the same float32 image."""
    data = ARRAY.astype(np.dtype(dtype).newbyteorder(order))
    header = nibabel.Nifti1Header(endianness=order)
    nibabel.Nifti1Image(data, np.diag([1.5, 1.5, 10.0, 1.0]), header).to_filename(tmp_path / "a.nii.gz")
    back = read_volume(tmp_path / "a.nii.gz", kind="image")
    np.testing.assert_array_equal(back.voxels, ARRAY.T.astype(np.float32))


@pytest.mark.parametrize(("slope", "inter", "factor", "offset"), [(2, 5, 2, 5), (0, 7, 1, 0), (np.nan, np.nan, 1, 0)])
def test_the_intensity_scale_is_applied(tmp_path, nifti, slope, inter, factor, offset):
    """Slope and offset are applied; a slope of 0 or NaN means none."""
    (tmp_path / "a.nii").write_bytes(nifti(ARRAY, patch={"scl_slope": slope, "scl_inter": inter}))
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii", kind="image").voxels, ARRAY.T * factor + offset)


def test_directions_without_a_scale_take_their_scale_from_pixdim(tmp_path, nifti):
    """An sform of unit columns (as in ACDC) beside a true pixdim keeps its directions and takes the scale of pixdim."""
    (tmp_path / "a.nii").write_bytes(nifti(ARRAY, affine=np.diag([-1.0, -1.0, 1.0, 1.0])))
    volume = read_volume(tmp_path / "a.nii", kind="image")
    assert volume.spacing_mm == (10.0, 1.5, 1.5)
    np.testing.assert_allclose(volume.affine, np.diag([-1.5, -1.5, 10.0, 1.0]))


def test_a_flat_sform_beside_a_qform_is_not_taken(tmp_path, nifti):
    """Where a program set the code of the sform and not its rows, the qform says where the stack lies."""
    zero = {"srow_x": [0] * 4, "srow_y": [0] * 4, "srow_z": [0] * 4}
    turned = {"qform_code": 1, "quatern_b": 0.0, "quatern_c": 0.0, "quatern_d": 1.0, "qoffset_x": 7.0}
    (tmp_path / "a.nii").write_bytes(nifti(ARRAY, patch={**zero, **turned}))
    volume = read_volume(tmp_path / "a.nii", kind="image")
    expected = nibabel.load(tmp_path / "a.nii").header.get_qform()
    np.testing.assert_allclose(volume.affine, expected, atol=1e-6)
    assert volume.affine[0, 3] == 7.0


@pytest.mark.parametrize("cuts", [[100], [348], [500], [400, 401, 550]])
def test_a_stream_of_several_members_is_read(tmp_path, nifti, pack, cuts):
    """Some compressors write a file in blocks; cut anywhere, even in the header, it is the same volume."""
    whole = nifti(ARRAY)
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    packed = [pack(part) for part in parts]
    (tmp_path / "a.nii.gz").write_bytes(b"".join(packed))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz", kind="image").voxels, ARRAY.T)
    for spoilt in (b"".join(packed[:-1]), b"".join(packed)[:-3], b"".join([*packed, pack(b"more")])):
        (tmp_path / "b.nii.gz").write_bytes(spoilt)
        with pytest.raises(InputError, match=r"b\.nii\.gz"):
            read_volume(tmp_path / "b.nii.gz", kind="image")


DAMAGE = {
    "half of the file": lambda b: b[: len(b) // 2],
    "no checksum": lambda b: b[:-8],
    "half of the length": lambda b: b[:-2],
    "a flipped byte": lambda b: b[:-40] + bytes([b[-40] ^ 0x10]) + b[-39:],
    "bytes after the end": lambda b: b + b"more",
    "a second stream": lambda b: b + gzip.compress(b"more"),
    "nothing": lambda b: b"",
    "text": lambda b: b"not a scan at all" * 50,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_stream_is_refused(tmp_path, nifti, pack, damage):
    """A compressed file that is cut, changed or prolonged raises one InputError that names it."""
    rng = np.random.default_rng(0)
    whole = pack(nifti(rng.integers(0, 999, (20, 20, 6)).astype(np.int16)))
    (tmp_path / "scan.nii.gz").write_bytes(damage(whole))
    with pytest.raises(InputError, match=r"scan\.nii\.gz"):
        read_volume(tmp_path / "scan.nii.gz", kind="image")


@pytest.mark.parametrize("change", [-5, 5])
def test_a_plain_file_of_another_length_is_refused(tmp_path, nifti, change):
    """An uncompressed file that is shorter or longer than its header says is refused."""
    whole = nifti(ARRAY)
    (tmp_path / "scan.nii").write_bytes(whole[:change] if change < 0 else whole + bytes(change))
    with pytest.raises(InputError, match="as its header says"):
        read_volume(tmp_path / "scan.nii", kind="image")


_SEED = oblique(np.random.default_rng(5).integers(0, 200, (3, 9, 9)).astype(np.float32))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(tmp_path, place, flip):
    """Any one changed byte of a compressed file is refused, or changes nothing that is read."""
    write_volume(tmp_path / "a.nii.gz", _SEED)
    data = bytearray((tmp_path / "a.nii.gz").read_bytes())
    data[place % len(data)] ^= flip
    (tmp_path / "b.nii.gz").write_bytes(bytes(data))
    try:
        back = read_volume(tmp_path / "b.nii.gz", kind="image")
    except InputError:
        return
    np.testing.assert_array_equal(back.voxels, _SEED.voxels)
    np.testing.assert_allclose(back.affine, _SEED.affine, atol=1e-4)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(place=st.integers(0, 351), value=st.integers(0, 255))
def test_no_header_byte_crashes_the_reader(tmp_path, nifti, place, value):
    """Any header byte set to anything gives a volume with finite voxels and geometry, or one InputError."""
    data = bytearray(nifti(ARRAY))
    data[place] = value
    (tmp_path / "a.nii").write_bytes(bytes(data))
    try:
        volume = read_volume(tmp_path / "a.nii", kind="image")
    except InputError:
        return
    assert np.isfinite(volume.voxels).all()
    assert np.isfinite(volume.affine).all()


PIXDIM = [1.0, 1.5, 1.5, 10.0, 1, 1, 1, 1]


def pixdim(**changes):
    """A header patch with other spacings."""
    values = list(PIXDIM)
    for axis, value in changes.items():
        values["xyz".index(axis) + 1] = value
    return {"pixdim": values}


BAD_HEADERS = {
    "NaN spacing": pixdim(x=np.nan),
    "zero spacing": pixdim(y=0.0),
    "negative spacing": pixdim(z=-10.0),
    "spacing in micrometres": pixdim(x=1500.0, y=1500.0, z=10000.0),
    "spacing in centimetres": pixdim(x=0.15, y=0.15, z=1.0),
    "unit of micrometres": {"xyzt_units": 3},
    "negative size": {"dim": [3, -6, 5, 4, 1, 1, 1, 1]},
    "no size": {"dim": [3, 6, 0, 4, 1, 1, 1, 1]},
    "enormous size": {"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]},
    "two axes": {"dim": [2, 6, 20, 1, 1, 1, 1, 1]},
    "five axes": {"dim": [5, 6, 5, 2, 1, 2, 1, 1]},
    "wrong bits": {"bitpix": 8},
    "unknown type": {"datatype": 999},
    "complex numbers": {"datatype": 32, "bitpix": 64},
    "wrong magic": {"magic": b"ni1"},
    "wrong header size": {"sizeof_hdr": 540},
    "voxels inside the header": {"vox_offset": 100},
    "voxels nowhere": {"vox_offset": np.inf},
    "infinite slope": {"scl_slope": np.inf},
    "slope without offset": {"scl_slope": 2.0, "scl_inter": np.nan},
    "NaN affine": {"srow_x": [np.nan, 0, 0, 0]},
    "zero affine": {"srow_x": [0, 0, 0, 0], "srow_y": [0, 0, 0, 0], "srow_z": [0, 0, 0, 0]},
    "singular affine": {"srow_y": [1.5, 0, 0, 0]},
    "sheared affine": {"srow_x": [1.5, 0.3, 0, 0]},
    "affine of another spacing": {"srow_x": [3.0, 0, 0, 0]},
}


@pytest.mark.parametrize("patch", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_an_impossible_header_is_refused(tmp_path, nifti, patch):
    """Every header that cannot be right raises one InputError that names the file."""
    (tmp_path / "scan.nii").write_bytes(nifti(ARRAY, patch=patch))
    with pytest.raises(InputError, match=r"scan\.nii"):
        read_volume(tmp_path / "scan.nii", kind="image")


@pytest.mark.parametrize("spacing", [(1.5, 8.0, 1.5), (5.0, 1.25, 1.25), (1.5, 5.0, 3.0)])
def test_slices_along_another_axis_are_refused(tmp_path, nifti, spacing):
    """What reordering axes to left, front and top does to a stack is named, whatever the slice distance."""
    (tmp_path / "a.nii").write_bytes(nifti(ARRAY, spacing=spacing))
    with pytest.raises(InputError, match="along the third axis"):
        read_volume(tmp_path / "a.nii", kind="image")


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (3.0, 1.5, 2.0), (4.0, 1.5, 5.0), (2.0, 2.0, 1.0)])
def test_oblong_pixels_and_thin_slices_are_read(tmp_path, nifti, spacing):
    """Pixels up to twice as long as wide, or shorter than the slice distance, may be."""
    (tmp_path / "a.nii").write_bytes(nifti(ARRAY, spacing=spacing))
    assert read_volume(tmp_path / "a.nii", kind="image").spacing_mm == pytest.approx(spacing[::-1])


def test_a_stream_larger_than_its_header_says_is_not_unpacked(tmp_path, nifti, pack):
    """A small header before 64 MiB of zeros is refused; sizes above the cap are refused before memory is asked for."""
    (tmp_path / "bomb.nii.gz").write_bytes(pack(nifti(ARRAY) + bytes(2**26)))
    with pytest.raises(InputError, match="as its header says"):
        read_volume(tmp_path / "bomb.nii.gz", kind="image")
    (tmp_path / "huge.nii.gz").write_bytes(pack(nifti(ARRAY, patch={"dim": [4, 2048, 2048, 20, 40, 1, 1, 1]})))
    with pytest.raises(InputError, match=str(MAX_VOXELS)):
        read_volume(tmp_path / "huge.nii.gz", kind="image")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_numbers_are_refused(tmp_path, nifti, value):
    """One NaN or infinite voxel refuses an image and a label."""
    array = ARRAY.astype(np.float32)
    array[2, 2, 2] = value
    (tmp_path / "a.nii").write_bytes(nifti(array))
    for kind in ("image", "label"):
        with pytest.raises(InputError, match=r"a\.nii"):
            read_volume(tmp_path / "a.nii", kind=kind)


@pytest.mark.parametrize("value", [0.3, 1.5, -1.0, 256.0])
def test_labels_must_be_small_whole_numbers(tmp_path, nifti, value):
    """A label of 0.3, of -1 or of 256 is refused; the same volume is fine as an image."""
    array = np.zeros((6, 5, 4), np.float32)
    array[1, 1, 1] = value
    (tmp_path / "a.nii").write_bytes(nifti(array))
    with pytest.raises(InputError, match="labels"):
        read_volume(tmp_path / "a.nii", kind="label")
    assert read_volume(tmp_path / "a.nii", kind="image").voxels.max() >= 0


@pytest.mark.parametrize("stored", [np.uint8, np.int16, np.int32])
def test_labels_saved_as_reals_under_an_integer_header_are_read(tmp_path, stored):
    """Another writer scales them to the range of its integers; what comes back beside whole numbers is rounded."""
    image = nibabel.Nifti1Image((ARRAY % 4).astype(float), np.diag([1.5, 1.5, 10.0, 1.0]))
    image.set_data_dtype(stored)
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert nibabel.load(tmp_path / "a.nii.gz").dataobj.slope != 1.0
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz", kind="label").voxels, ARRAY.T % 4)


def test_a_label_that_is_not_whole_is_spelt_out(tmp_path, nifti):
    """The message has the digits that tell it from a whole number."""
    (tmp_path / "a.nii").write_bytes(nifti(np.full((6, 5, 4), 200.0015, np.float32)))
    with pytest.raises(InputError, match=r"whole numbers, got 200\.0015"):
        read_volume(tmp_path / "a.nii", kind="label")


def test_what_is_not_a_file_is_refused(tmp_path):
    """A folder, a missing file and a strange name raise InputErrors."""
    (tmp_path / "a.nii").mkdir()
    (tmp_path / "a.img").write_bytes(b"x")
    for name in ("a.nii", "b.nii.gz", "a.img"):
        with pytest.raises(InputError, match=name):
            read_volume(tmp_path / name, kind="image")


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path):
    """NaN voxels, another file type and frames on two grids are refused before a file appears."""
    good = oblique(np.zeros((3, 8, 8), np.float32))
    with pytest.raises(InputError, match="finite"):
        write_volume(tmp_path / "a.nii.gz", good.with_voxels(np.full((3, 8, 8), np.nan, np.float32)))
    with pytest.raises(InputError, match="ends in"):
        write_volume(tmp_path / "a.img", good)
    with pytest.raises(InputError, match="one grid"):
        write_frames(tmp_path / "a.nii.gz", [good, oblique(good.voxels, seed=4)])
    assert not list(tmp_path.iterdir())
