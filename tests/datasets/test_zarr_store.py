from __future__ import annotations

import contextlib
import math

import google_crc32c
import numcodecs.blosc
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.datasets.quantisation import LEVELS, dequantise, quantise
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import Intensity
from synthgen.datasets.zarr_store import (
    chunk_path,
    decode_chunk,
    encode_chunk,
    read_stored,
)
from synthgen.errors import DamageError, InputError
from synthgen.labels import Phase, Tissue


@given(
    low=st.floats(-1e6, 1e6, width=32),
    span=st.floats(2.0**-10, 1e6, width=32),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_quantisation_errs_by_half_a_step_at_most(low, span, seed):
    """Reading back differs by at most half of one of 511 steps, plus float32 rounding of the values themselves."""
    rng = np.random.default_rng(seed)
    images = {phase: (low + span * rng.random((2, 3, 4))).astype(np.float32) for phase in Phase}
    stored, intensity = quantise(images)
    extent = max(i.max() for i in images.values()) - min(i.min() for i in images.values())
    largest = max(float(np.abs(i).max()) for i in images.values())
    for phase, image in images.items():
        assert stored[phase].dtype == np.int16
        assert 0 <= stored[phase].min() <= stored[phase].max() <= LEVELS
        error = np.abs(dequantise(stored[phase], intensity).astype(np.float64) - image).max()
        assert error <= extent / LEVELS / 2 * 1.001 + 4 * largest * np.finfo(np.float32).eps


def test_quantising_again_changes_nothing(published):
    """Intensities that were read from a dataset are stored as the same integers again."""
    dataset = StoredDataset(published)
    for entry in dataset.manifest.subjects:
        subject = dataset.read(entry.id)
        stored, _ = quantise({phase: volume.voxels for phase, volume in subject.images.items()})
        for phase in Phase:
            assert np.array_equal(stored[phase], read_stored(published, entry, phase, "image"))


@pytest.mark.parametrize("value", [0.0, -3.25, 1e-42, 1e30])
def test_a_constant_image_comes_back_exactly(value):
    """An image without contrast is stored without dividing by zero."""
    image = np.full((1, 2, 2), value, np.float32)
    stored, intensity = quantise(dict.fromkeys(Phase, image))
    assert np.array_equal(dequantise(stored[Phase.ED], intensity), image)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38])
def test_intensities_that_cannot_be_stored_are_refused(value):
    """NaN, infinity and values at the edge of float32 are an InputError."""
    image = np.zeros((1, 2, 2), np.float32)
    image[0, 0, 0] = value
    with pytest.raises(InputError, match="finite"):
        quantise({Phase.ED: image, Phase.ES: np.zeros_like(image)})


def test_zarr_python_opens_what_is_written(published, phantom):
    """zarr-python reads every array: shape, axes, one chunk per phase, codecs, and voxels equal to ours."""
    group = zarr.open_group(published / "volumes.zarr", mode="r")
    dataset = StoredDataset(published)
    assert set(group) == set(dataset.ids)
    for number, entry in enumerate(dataset.manifest.subjects):
        image, label = group[f"{entry.id}/0"], group[f"{entry.id}/labels/tissue/0"]
        for array, dtype in ((image, np.int16), (label, np.uint8)):
            assert array.shape == (2, *entry.shape)
            assert array.chunks == (1, *entry.shape)
            assert array.dtype == dtype
            assert array.metadata.dimension_names == ("t", "z", "y", "x")
            assert [type(codec).__name__ for codec in array.compressors] == ["BloscCodec", "Crc32cCodec"]
        for time, phase in enumerate(Phase):
            assert np.array_equal(image[time], read_stored(published, entry, phase, "image"))
            assert np.array_equal(label[time], phantom(number).labels[phase].voxels)


def test_the_group_says_what_ome_zarr_asks_for(published):
    """Axes, scale in millimetres, labels with names and colours, and the affine under our own name."""
    group = zarr.open_group(published / "volumes.zarr" / "syn-0001", mode="r")
    entry = StoredDataset(published).manifest.subject("syn-0001")
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5"
    (scales,) = ome["multiscales"]
    assert [axis["name"] for axis in scales["axes"]] == ["t", "z", "y", "x"]
    assert [axis.get("unit") for axis in scales["axes"]] == [None, *["millimeter"] * 3]
    assert scales["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, *entry.spacing_mm]}]
    assert np.array_equal(group.attrs["synthgen"]["affine_ras"], entry.affine_ras)
    assert group["labels"].attrs["ome"]["labels"] == ["tissue"]
    label = group["labels/tissue"].attrs["ome"]["image-label"]
    assert {p["label-value"]: p["name"] for p in label["properties"]} == {t.value: t.name.lower() for t in Tissue}
    assert len(label["colors"]) == len(Tissue)


def test_a_stored_chunk_is_smaller_than_half(phantom):
    """Bit shuffling is on: a noisy 9-bit image takes less than 80 % of its bytes, a label less than 10 %."""
    subject = phantom(0, (8, 96, 96))
    stored, _ = quantise({phase: volume.voxels for phase, volume in subject.images.items()})
    assert len(encode_chunk(stored[Phase.ED])) < 0.8 * stored[Phase.ED].nbytes
    labels = subject.labels[Phase.ED].voxels
    assert len(encode_chunk(labels)) < 0.1 * labels.nbytes


def test_chunks_do_not_depend_on_threads():
    """Blosc runs on one thread per call, so that the same voxels give the same bytes."""
    assert numcodecs.blosc.use_threads is False


def _resealed(encoded: bytes) -> bytes:
    return encoded + google_crc32c.value(encoded).to_bytes(4, "little")


def test_any_changed_bit_of_a_chunk_is_found():
    """The checksum finds each single flipped bit."""
    raw = encode_chunk(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamageError, match="CRC-32C"):
            decode_chunk(bytes(changed), (2, 3, 4), "image", "chunk")


def test_a_chunk_with_a_forged_checksum_does_no_harm():
    """Chunks that lie about their size are refused before anything is allocated, others give an error or an array."""
    raw = encode_chunk(np.arange(600, dtype=np.int16).reshape(10, 6, 10))[:-4]
    rng = np.random.default_rng(0)
    for _ in range(2000):
        forged = bytearray(raw)
        forged[int(rng.integers(0, 40 if rng.random() < 0.5 else len(raw)))] = int(rng.integers(256))
        with contextlib.suppress(DamageError):
            assert decode_chunk(_resealed(bytes(forged)), (10, 6, 10), "image", "chunk").shape == (10, 6, 10)
    for short in (b"", b"1234", _resealed(b""), _resealed(raw[:10])):
        with pytest.raises(DamageError):
            decode_chunk(short, (10, 6, 10), "image", "chunk")


def test_a_chunk_of_another_shape_or_type_is_refused():
    """A valid chunk of the wrong size does not become a volume."""
    raw = encode_chunk(np.zeros((2, 3, 4), np.int16))
    for shape, kind in (((2, 3, 5), "image"), ((2, 3, 8), "label"), ((1, 1, 1), "image")):
        with pytest.raises(DamageError, match="not one volume"):
            decode_chunk(raw, shape, kind, "chunk")


def test_a_missing_chunk_is_damage_and_not_zeros(dataset):
    """zarr-python reads a missing chunk as zeros; we say that it is missing."""
    entry = StoredDataset(dataset).manifest.subjects[0]
    (dataset / chunk_path(entry.id, Phase.ES, "image")).unlink()
    with pytest.raises(DamageError, match="missing"):
        read_stored(dataset, entry, Phase.ES, "image")


def test_a_chunk_behind_a_link_is_not_read(dataset, published):
    """A link is refused even if what is behind it is the right chunk."""
    entry = StoredDataset(dataset).manifest.subjects[0]
    path = chunk_path(entry.id, Phase.ED, "label")
    (dataset / path).unlink()
    (dataset / path).symlink_to(published / path)
    with pytest.raises(DamageError, match="link"):
        read_stored(dataset, entry, Phase.ED, "label")


def test_intensity_needs_a_positive_scale():
    """A scale of zero would make every image constant."""
    with pytest.raises(ValueError, match="greater than 0"):
        Intensity(scale=0.0, offset=1.0)
