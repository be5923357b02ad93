from __future__ import annotations

import json

import numpy as np
import pytest

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


def test_three_hundred_mutations_never_surprise(dataset):
    """Whatever happens to whichever file, reading gives InputError, DamageError or exactly the right data, and verify
    finds it.
    """
    rng = np.random.default_rng(1)
    good = contents(dataset)
    files = sorted(path for path in dataset.rglob("*") if path.is_file())
    weights = np.array([20.0 if path.suffix == ".json" and path.name != "zarr.json" else 1.0 for path in files])
    for number in range(300):
        path = files[rng.choice(len(files), p=weights / weights.sum())]
        raw = path.read_bytes()
        bad = mutate(raw, rng)
        if bad == raw:
            continue
        path.write_bytes(bad)
        try:
            assert contents(dataset) == good, (number, path)
        except (InputError, DamageError):
            pass
        assert number % 3 or verify(dataset), (number, path)
        path.write_bytes(raw)


def _mutate_json(value, rng):
    """Return a JSON value with one part replaced by something unexpected."""
    odd = (None, -1, 0, 1e308, 10**40, "", "../../etc/passwd", "\ud800", [], {}, True, [[[]]], "NaN")
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = sorted(value)[int(rng.integers(len(value)))]
        return {**value, key: _mutate_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = int(rng.integers(len(value)))
        return [*value[:place], _mutate_json(value[place], rng), *value[place + 1 :]]
    return odd[int(rng.integers(len(odd)))]


@pytest.mark.parametrize("name", ["manifest.json", "records/syn-0000.json"])
def test_forged_documents_never_surprise(dataset, name):
    """A manifest or record with an odd value and a digest that fits is refused or read; nothing else happens."""
    rng = np.random.default_rng(2)
    path = dataset / name
    content = json.loads(path.read_bytes())
    del content["digest"]
    for _ in range(150):
        try:
            path.write_bytes(render_document(_mutate_json(content, rng)))
        except UnicodeEncodeError:
            continue  # half a character cannot be written
        try:
            contents(dataset)
        except SynthgenError:
            pass
        assert verify(dataset) or name == "manifest.json"
