from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest

from synthgen.datasets.containers import CONTAINERS
from synthgen.datasets.convert import convert
from synthgen.datasets.documents import render_document
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.errors import DamageError, InputError, SynthgenError
from synthgen.labels import Phase


def contents(folder):
    """Return everything that a reader can learn from a dataset."""
    dataset = StoredDataset(folder)
    subjects = []
    for subject in dataset:
        arrays = [v.voxels.tobytes() for volumes in (subject.images, subject.labels) for v in volumes.values()]
        subjects.append((subject.subject_id, arrays, subject.labels[Phase.ED].affine.tobytes(), repr(subject.record)))
    return repr(dataset.manifest), subjects


def test_it_is_a_lazy_sequence(published):
    """Length, ids, index, negative index, slice and id give subjects; opening reads no record and no chunk."""
    dataset = StoredDataset(published)
    assert len(dataset) == 5
    assert dataset[-1].subject_id == dataset.ids[4] == "syn-0004"
    assert [s.subject_id for s in dataset[1:3]] == list(dataset.ids[1:3])
    assert dataset.read("syn-0002").subject_id == "syn-0002"
    assert dataset.record("syn-0002").history["attempts"][0]["seed"] == 2
    with pytest.raises(IndexError):
        dataset[5]
    with pytest.raises(InputError, match="syn-0009"):
        dataset.read("syn-0009")


def test_a_damaged_record_is_not_read(dataset):
    """A record that is not the one that the manifest knows is DamageError."""
    record = dataset / "records" / "syn-0001.json"
    content = json.loads(record.read_bytes())
    del content["digest"]
    content["vendor"] = "D"
    record.write_bytes(render_document(content))
    with pytest.raises(DamageError, match="syn-0001"):
        StoredDataset(dataset).read("syn-0001")


def mutate(raw: bytes, rng: np.random.Generator) -> bytes:
    """Return `raw` with one of six kinds of damage."""
    place, length = int(rng.integers(len(raw))), int(rng.integers(1, 20))
    kind = rng.integers(6)
    if kind == 0:
        return raw[:place]
    if kind == 1:
        return raw[:place] + rng.bytes(length) + raw[place:]
    if kind == 2:
        return raw[:place] + raw[place + length :]
    if kind == 3:
        return raw[:place] + bytes(length) + raw[place + length :]
    if kind == 4:
        return raw[:place] + raw[:place][-length:] + raw[place:]
    return raw[:place] + bytes([raw[place] ^ int(rng.integers(1, 256))]) + raw[place + 1 :]


@pytest.mark.parametrize("container", CONTAINERS)
def test_whole_volumes_in_each_others_place_are_not_read(small_dataset, tmp_path, container):
    """Files that were exchanged fit their own checksums; reading compares voxels with the record and refuses them."""
    folder = convert(small_dataset, tmp_path / "dataset", container)
    record = StoredDataset(folder).record("syn-0000")
    paths = [folder / f.path for f in record.files if "label" in f.path and not f.path.endswith(".json")]
    if container == "hdf5":  # both phases of a subject are in one file
        paths = sorted((folder / "volumes.hdf5").glob("syn-*.h5"))
    first, second = (path.read_bytes() for path in paths)
    assert first != second
    paths[0].write_bytes(second)
    paths[1].write_bytes(first)
    with pytest.raises(DamageError, match="not what was written"):
        StoredDataset(folder).read("syn-0000")


def test_three_hundred_mutations_never_surprise(small_dataset):
    """Whatever happens to whichever file, reading gives InputError, DamageError or the right data."""
    rng = np.random.default_rng(1)
    good = contents(small_dataset)
    files = sorted(path for path in small_dataset.rglob("*") if path.is_file())
    weights = np.array([8.0 if path.suffix == ".json" and path.name != "zarr.json" else 1.0 for path in files])
    for number in range(300):
        path = files[rng.choice(len(files), p=weights / weights.sum())]
        raw = path.read_bytes()
        bad = mutate(raw, rng)
        if bad == raw:
            continue
        path.write_bytes(bad)
        with contextlib.suppress(InputError, DamageError):
            assert contents(small_dataset) == good, (number, path)
        assert number % 3 or verify(small_dataset), (number, path)
        path.write_bytes(raw)


def _mutate_json(value, rng):
    """Return a JSON value with one part replaced by something unexpected."""
    odd = (None, -1, 0, 1e308, 10**40, "", "../../etc/passwd", "\0", [], {}, True, [[[]]], "NaN")
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = sorted(value)[int(rng.integers(len(value)))]
        return {**value, key: _mutate_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = int(rng.integers(len(value)))
        return [*value[:place], _mutate_json(value[place], rng), *value[place + 1 :]]
    return odd[int(rng.integers(len(odd)))]


@pytest.mark.parametrize("name", ["manifest.json", "records/syn-0000.json"])
def test_forged_documents_never_surprise(small_dataset, name):
    """A manifest or record with an odd value and a digest that fits is refused or read; nothing else happens."""
    rng = np.random.default_rng(2)
    path = small_dataset / name
    content = json.loads(path.read_bytes())
    del content["digest"]
    for _ in range(100):
        forged = _mutate_json(content, rng)
        if forged == content or not isinstance(forged, dict):
            continue
        path.write_bytes(render_document(forged))
        with contextlib.suppress(SynthgenError):
            contents(small_dataset)
        assert verify(small_dataset) or name == "manifest.json"
