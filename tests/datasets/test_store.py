"""One contract for all containers: the same subjects, whatever holds them."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import warnings

import numpy as np
import pytest
import torch
import torchio as tio

from synthgen.datasets.cohort import open_dataset
from synthgen.datasets.containers import CONTAINERS, read_volume, store_of
from synthgen.datasets.preview import draw_sheet
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import array_digest
from synthgen.datasets.store import DTYPES, KINDS, Store
from synthgen.datasets.verify import verify
from synthgen.datasets.writer import DatasetWriter
from synthgen.errors import DamageError, InputError
from synthgen.labels import Phase

PLAN = {"recipe": "phantoms", "seed": 0}


def write(out, phantom, container, numbers=range(3), shape=(3, 24, 28)):
    """Write phantoms in a container and publish them."""
    subjects = [phantom(number, shape) for number in numbers]
    ids = [subject.subject_id for subject in subjects]
    with DatasetWriter.open(out, plan=PLAN, subject_ids=ids, container=container) as writer:
        for subject in subjects:
            if subject.subject_id not in writer.done:
                writer.add(subject)
        return writer.finish(preview_rows=1)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory, phantom):
    """The same three phantoms in every container, by its name."""
    folder = tmp_path_factory.mktemp("containers")
    return {container: write(folder / container, phantom, container) for container in CONTAINERS}


@pytest.fixture(params=CONTAINERS)
def container(request):
    """The name of each container in turn."""
    return request.param


def test_every_container_is_a_store(container):
    """Each name gives a store of that name; another name is an InputError."""
    store = store_of(container)
    assert isinstance(store, Store)
    assert store.container == store.layout().container == container
    with pytest.raises(InputError, match="zarr, hdf5, nifti"):
        store_of("tape")


def test_content_does_not_depend_on_the_container(datasets):
    """Content id, recipe id, subject digests and every voxel are the same in all containers."""
    manifests = {name: StoredDataset(path).manifest for name, path in datasets.items()}
    assert len({manifest.content_id for manifest in manifests.values()}) == 1
    assert len({manifest.recipe_id for manifest in manifests.values()}) == 1
    assert {name: manifest.layout.container for name, manifest in manifests.items()} == {n: n for n in CONTAINERS}
    entries = [[entry.entry() for entry in manifest.subjects] for manifest in manifests.values()]
    assert entries[0] == entries[1] == entries[2]


def test_volumes_are_those_of_the_digests(datasets, container):
    """Stored volumes have the type, the shape and the digest of the manifest and may be written to."""
    root = datasets[container]
    for entry in StoredDataset(root).manifest.subjects:
        for phase in Phase:
            for kind in KINDS:
                volume = store_of(container).read(root, entry, phase, kind)
                assert (volume.dtype, volume.shape) == (DTYPES[kind], entry.shape)
                assert array_digest(volume) == getattr(entry.digests[phase], kind)
                volume[0] = 0
            image = read_volume(container, root, entry, phase, "image")
            assert image.dtype == np.float32


def test_it_is_whole_and_says_when_it_is_not(datasets, container, tmp_path):
    """A dataset verifies deeply; one changed byte in any file is found and names the subject or the file."""
    root = shutil.copytree(datasets[container], tmp_path / "copy")
    assert verify(root, deep=True) == ()
    owners = {piece: f"syn-000{n}" for n in range(3) for piece in store_of(container).pieces(f"syn-000{n}")}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = path.relative_to(root).as_posix()
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        owner = next((owner for piece, owner in owners.items() if name == piece or name.startswith(f"{piece}/")), None)
        owner = name.split("/")[1].removesuffix(".json") if name.startswith("records/") else owner or name
        assert {damage.where for damage in verify(root)} == {owner}, name
        path.write_bytes(good)
        stranger = path.with_name("stranger")
        stranger.write_bytes(b"")
        assert any("extra" in damage.what for damage in verify(root)), name
        stranger.unlink()
    assert verify(root) == ()


def read_all(container, root, entry):
    """Read every volume of a subject."""
    for phase in Phase:
        for kind in KINDS:
            store_of(container).read(root, entry, phase, kind)


def test_a_lost_file_and_a_link_are_damage(datasets, container, tmp_path):
    """A missing file is never read as zeros, and a link is not followed."""
    root = shutil.copytree(datasets[container], tmp_path / "copy")
    entry = StoredDataset(root).manifest.subjects[1]
    for piece in store_of(container).pieces(entry.id):
        (root / piece).rename(tmp_path / "elsewhere")
        with pytest.raises(DamageError, match="missing"):
            read_all(container, root, entry)
        (root / piece).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DamageError, match="link"):
            read_all(container, root, entry)
        (root / piece).unlink()
        (tmp_path / "elsewhere").rename(root / piece)


def mutate(raw, rng):
    """Return bytes with one of four kinds of damage."""
    place, length = int(rng.integers(len(raw))), int(rng.integers(1, 20))
    return (
        raw[:place],
        raw[:place] + rng.bytes(length) + raw[place:],
        raw[:place] + raw[place + length :],
        raw[:place] + bytes([raw[place] ^ int(rng.integers(1, 256))]) + raw[place + 1 :],
    )[int(rng.integers(4))]


def test_mutations_never_surprise(datasets, container, tmp_path):
    """Whatever happens to a file of volumes, reading gives DamageError or the right voxels."""
    root = shutil.copytree(datasets[container], tmp_path / "copy")
    rng, store = np.random.default_rng(0), store_of(container)
    entry = StoredDataset(root).manifest.subjects[0]
    files = [file.path for file in StoredDataset(root).record(entry.id).files]
    for _ in range(200):
        path = root / files[int(rng.integers(len(files)))]
        good = path.read_bytes()
        path.write_bytes(mutate(good, rng))
        for phase in Phase:
            for kind in KINDS:
                with contextlib.suppress(DamageError):
                    digest = array_digest(store.read(root, entry, phase, kind))
                    assert digest == getattr(entry.digests[phase], kind)
        path.write_bytes(good)


def test_a_claim_of_a_giant_is_refused(datasets, container):
    """A manifest that claims a huge shape costs nothing: refused by size, or the file does not hold that much."""
    entry = StoredDataset(datasets[container]).manifest.subjects[0].entry()
    for shape in ((4096, 4096, 4096), (64, 2048, 2048)):
        giant = entry.model_copy(update={"shape": shape})
        with pytest.raises((InputError, DamageError)):
            store_of(container).read(datasets[container], giant, Phase.ED, "image")


def test_interruption_does_not_show(tmp_path, phantom, container, datasets, tree):
    """Half a dataset, with leftovers of a killed run, becomes the bytes of an uninterrupted one."""
    subjects = [phantom(number) for number in range(3)]
    ids = [subject.subject_id for subject in subjects]
    with DatasetWriter.open(tmp_path / "cohort", plan=PLAN, subject_ids=ids, container=container) as writer:
        for subject in subjects[:2]:
            writer.add(subject)
        folder = writer.folder
    (folder / "records" / "syn-0000.json").unlink()
    for name in store_of(container).folders:
        (folder / name / "stranger").write_text("x")
    other = next(name for name in CONTAINERS if name != container)
    with pytest.raises(InputError, match="remove"):
        DatasetWriter.open(tmp_path / "cohort", plan=PLAN, subject_ids=ids, container=other)
    assert tree(write(tmp_path / "cohort", phantom, container)) == tree(datasets[container])


@pytest.mark.parametrize(("workers", "start"), [(0, None), (1, "fork"), (1, "spawn")])
def test_cohorts_load_from_every_container(datasets, container, workers, start):
    """`SyntheticCohort` hands out the same tensors from each container, also in forked and spawned workers."""
    cohort = open_dataset(datasets[container])
    reference = open_dataset(datasets["zarr"])
    assert torch.equal(cohort[0]["image"].data, reference[0]["image"].data)  # the parent has read before it forks
    context = multiprocessing.get_context(start) if start else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loader = tio.SubjectsLoader(cohort, batch_size=2, num_workers=workers, multiprocessing_context=context)
        batches = [(batch["image"][tio.DATA].clone(), batch["label"][tio.DATA].clone()) for batch in loader]
    for place, (images, labels) in enumerate(batches):
        for number in range(2):
            subject = reference[2 * place + number]
            assert torch.equal(images[number], subject["image"].data)
            assert torch.equal(labels[number], subject["label"].data)


def test_a_preview_can_be_drawn_from_every_container(datasets, container):
    """The preview does not show what container it comes from."""
    assert (
        draw_sheet(StoredDataset(datasets[container])).tobytes()
        == draw_sheet(StoredDataset(datasets["zarr"])).tobytes()
    )
