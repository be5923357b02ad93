from __future__ import annotations

import copy
import inspect
import math
import multiprocessing
import pickle  # noqa: TID251 - torch's loaders pickle datasets; what is read here was written here
import warnings

import numpy as np
import pytest
import torch
import torchio as tio

import synthgen.datasets.cohort as module
from synthgen.datasets.cohort import StoreImage, StoreLabel, SyntheticCohort, open_dataset
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import array_digest
from synthgen.errors import DamageError, InputError
from synthgen.labels import Pathology, Phase


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_dataset):
    """A dataset of ten subjects, four slices of 24 x 28."""
    return write_dataset(tmp_path_factory.mktemp("cohort") / "cohort", 10, shape=(4, 24, 28))


@pytest.fixture
def cohort(folder):
    """The dataset, opened."""
    return open_dataset(folder)


@pytest.fixture
def reads(monkeypatch):
    """Count the volumes that are read."""
    calls = []
    real = module.read_volume

    def counted(*arguments):
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(module, "read_volume", counted)
    return calls


def test_1_it_is_a_subjects_dataset(cohort):
    """It is a `SubjectsDataset` of one item per phase; int, numpy, tensor and negative indices work, slices raise."""
    assert isinstance(cohort, tio.SubjectsDataset)
    assert len(cohort) == 20
    for index in (3, np.int64(3), torch.tensor(3), -17):
        subject = cohort[index]
        assert (subject["subject_id"], subject["phase"]) == ("syn-0001", "ES")
    with pytest.raises(ValueError, match="int"):
        cohort[0:2]


def test_2_the_dry_list_is_a_sequence_that_reads_nothing(folder, reads):
    """`dry_iter` gives the list itself, no pixel is read by it, and using the dataset does not load it."""
    cohort = open_dataset(folder)
    dry = cohort.dry_iter()
    assert len(dry) == 20
    assert dry[0]["pathology"] == "NOR"
    repr(dry[0]["image"])
    assert reads == []
    cohort[0]
    assert len(reads) == 2
    assert not dry[0]["image"]._loaded


def test_3_geometry_is_known_without_reading(cohort, reads):
    """Shape, spacing, orientation and consistency need no pixel, and loading does not change them."""
    for subject in cohort.dry_iter():
        subject.check_consistent_space()
        lazy = subject.spatial_shape, subject.spacing, subject["image"].orientation, subject["image"].affine
        assert reads == []
        loaded = copy.deepcopy(subject)
        loaded.load()
        assert lazy[:3] == (loaded.spatial_shape, loaded.spacing, loaded["image"].orientation)
        assert np.array_equal(lazy[3], loaded["image"].affine)
        reads.clear()


def test_4_image_and_label_fit(cohort, folder):
    """Image float32 and label uint8 share shape `(1, x, y, z)` and affine, and hold the voxels of the dataset."""
    stored = StoredDataset(folder)
    for item, subject in enumerate(cohort):
        image, label = subject["image"], subject["label"]
        assert (image.data.dtype, label.data.dtype) == (torch.float32, torch.uint8)
        assert image.shape == label.shape == (1, 28, 24, 4)
        assert np.allclose(image.affine, label.affine, rtol=0, atol=1e-6)
        made = stored[item // 2]
        phase = list(Phase)[item % 2]
        assert np.array_equal(image.numpy()[0].transpose(2, 1, 0), made.images[phase].voxels)
        assert np.array_equal(label.numpy()[0].transpose(2, 1, 0), made.labels[phase].voxels)
        assert np.array_equal(image.affine, made.images[phase].affine)


def test_5_items_are_independent(cohort):
    """Writing into one item does not reach the next."""
    before = cohort[3]["image"].data.clone()
    cohort[3]["image"].data.zero_()
    assert torch.equal(cohort[3]["image"].data, before)


def _sum(batch):
    return float(batch["image"][tio.DATA].sum())


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (1, "spawn"), (1, "forkserver")])
def test_6_loaders_make_batches(folder, workers, start):
    """`SubjectsLoader` gives the same batches without workers and with each start method, also after the parent has
    read (12), and `from_batch` brings type and metadata back.
    """
    cohort = open_dataset(folder).subset(range(8))
    expected = [float(torch.stack([cohort[i + k]["image"].data for k in range(4)]).sum()) for i in (0, 4)]
    context = multiprocessing.get_context(start) if start else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of fork in a process with threads
        batches = list(tio.SubjectsLoader(cohort, batch_size=4, num_workers=workers, multiprocessing_context=context))
    assert [_sum(batch) for batch in batches] == pytest.approx(expected, rel=1e-6)
    assert batches[0]["subject_id"] == ["syn-0000", "syn-0000", "syn-0001", "syn-0001"]
    again = SyntheticCohort.from_batch(batches[0])
    assert isinstance(again, SyntheticCohort)
    assert again.class_counts == {"NOR": 1, "MINF": 1}
    assert isinstance(again[0]["label"], tio.LabelMap)
    assert again[1]["phase"] == "ES"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "sampler",
    [
        tio.UniformSampler((8, 8, 2)),
        tio.LabelSampler((8, 8, 2), label_name="label", label_probabilities={1: 1, 2: 1}),
        tio.WeightedSampler((8, 8, 2), probability_map="label"),
    ],
)
def test_7_queues_give_patches(folder, sampler, workers):
    """`Queue` works with each sampler, its length is the sum of samples, `num_samples` is respected."""
    cohort = open_dataset(folder).subset(range(4))
    for number, subject in enumerate(cohort.dry_iter()):
        subject["num_samples"] = 1 + number % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        queue = tio.Queue(cohort, max_length=6, samples_per_volume=2, sampler=sampler, num_workers=workers)
        assert len(queue) == 6
        patches = [patch for batch in tio.SubjectsLoader(queue, batch_size=2) for patch in batch["image"][tio.DATA]]
    assert [tuple(patch.shape) for patch in patches] == [(1, 8, 8, 2)] * 6


def test_8_grids_reproduce_the_volume(cohort, reads):
    """`GridSampler` takes an unloaded subject, and `GridAggregator` puts its patches back exactly."""
    subject = cohort.dry_iter()[5]
    sampler = tio.GridSampler(copy.deepcopy(subject), patch_size=(10, 10, 3), patch_overlap=(2, 2, 0))
    aggregator = tio.GridAggregator(sampler)
    for batch in tio.SubjectsLoader(sampler, batch_size=4):
        aggregator.add_batch(batch["image"][tio.DATA], batch[tio.LOCATION])
    assert torch.equal(aggregator.get_output_tensor(), cohort[5]["image"].data)


def test_9_transforms_work_and_are_remembered(folder):
    """A long pipeline of spatial and intensity transforms runs, keeps its history and can be inverted."""
    pipeline = tio.Compose(
        [
            tio.ToCanonical(),
            tio.Resample(2.0),
            tio.RandomAffine(degrees=5),
            tio.RandomFlip(axes=0, flip_probability=1),
            tio.RandomNoise(),
            tio.RandomBiasField(),
            tio.ZNormalization(),
            tio.RescaleIntensity((0, 1)),
            tio.CropOrPad((24, 24, 8)),
            tio.OneHot(num_classes=9),
        ]
    )
    subject = open_dataset(folder, transform=pipeline)[0]
    assert subject["image"].shape == (1, 24, 24, 8)
    assert subject["label"].shape == (9, 24, 24, 8)
    assert len(subject.history) >= 9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchio warns that noise and resampling cannot be undone
        subject.apply_inverse_transform()


def test_10_it_pickles_small_and_copies(cohort, folder):
    """Datasets and subjects survive pickling and copying without pixels or handles, also after reading."""
    cohort[0]
    raw = pickle.dumps(cohort)
    assert len(raw) < 4000 * len(cohort)
    again = pickle.loads(raw)  # noqa: S301 - as above
    assert torch.equal(again[4]["image"].data, cohort[4]["image"].data)
    image = cohort.dry_iter()[0]["image"]
    for same in (copy.copy(image), copy.deepcopy(image), copy.copy(cohort[0]["image"])):
        assert isinstance(same, StoreImage)
        assert same.shape == image.shape
        assert torch.equal(same.data, cohort[0]["image"].data)
    assert isinstance(copy.deepcopy(cohort[0])["label"], StoreLabel)
    loaded = cohort[0]["image"]
    loaded.unload()
    assert loaded.shape == image.shape
    assert torch.equal(loaded[:, :, 1].data, cohort[0]["image"].data[..., 1:2])


def test_11_labels_have_the_digest_of_the_manifest(cohort, folder):
    """What torchio hands out has the array digest of the record, so every container can be compared with it."""
    manifest = StoredDataset(folder).manifest
    for item, subject in enumerate(cohort):
        digests = manifest.subjects[item // 2].digests[list(Phase)[item % 2]]
        assert array_digest(subject["label"].numpy()[0].transpose(2, 1, 0)) == digests.label


def test_both_phases_can_be_one_subject(folder):
    """With `phases="both"` a subject has image and label of ED and ES, and the metadata but no phase."""
    cohort = open_dataset(folder, phases="both")
    assert len(cohort) == 10
    subject = cohort[2]
    assert subject.get_images_names() == ["image_ED", "label_ED", "image_ES", "label_ES"]
    assert "phase" not in subject
    each = open_dataset(folder)
    assert torch.equal(subject["image_ES"].data, each[5]["image"].data)
    assert cohort.class_counts == each.class_counts
    with pytest.raises(InputError):
        open_dataset(folder, phases="one")


def test_metadata_is_flat_and_alike(cohort):
    """Every subject has the same keys; values are texts and numbers, NaN and empty where unknown."""
    keys = {tuple(subject) for subject in cohort.dry_iter()}
    assert len(keys) == 1
    for subject in cohort.dry_iter():
        facts = {name: value for name, value in subject.items() if name not in {"image", "label"}}
        assert all(isinstance(value, str | float) for value in facts.values())
    first, third = cohort.dry_iter()[0], cohort.dry_iter()[4]
    assert (first["sex"], first["height_cm"], first["manufacturer"]) == ("M", 170.0, "Siemens")
    assert third["sex"] == ""
    assert math.isnan(third["weight_kg"])
    assert first["lv_ef_percent"] == 55.0
    assert math.isnan(first["rv_ef_percent"])


def test_it_tells_labels_classes_and_weights(cohort):
    """Names of labels, subjects per class, and weights that balance the classes."""
    assert cohort.label_names[2] == "myo"
    assert len(cohort.label_names) == 9
    assert cohort.class_counts == {pathology.value: 2 for pathology in Pathology}
    assert set(cohort.class_weights.values()) == {1.0}
    part = cohort.subset(range(6))
    counts, weights = part.class_counts, part.class_weights
    assert counts == {"NOR": 1, "MINF": 1, "DCM": 1}
    uneven = cohort.subset(subject_ids=["syn-0000", "syn-0005", "syn-0001"])
    assert uneven.class_weights == {"NOR": 0.75, "MINF": 1.5}
    assert sum(weights[name] * counts[name] for name in counts) == pytest.approx(sum(counts.values()))


def test_subsets_are_cohorts(cohort, reads):
    """Subsets by place, class, vendor, phase and id combine, read nothing, and keep the transform."""
    cohort.set_transform(tio.CropOrPad(8))
    part = cohort.subset(pathology="arv", phase=Phase.ES)
    assert isinstance(part, SyntheticCohort)
    assert {(s["pathology"], s["phase"]) for s in part.dry_iter()} == {("ARV", "ES")}
    assert len(cohort.subset([0, 3], vendor="A")) == 1
    assert reads == []
    assert part[0]["image"].shape == (1, 8, 8, 8)
    with pytest.raises(InputError, match="at least one"):
        cohort.subset(subject_ids=["nobody"])
    with pytest.raises(InputError, match="one of"):
        cohort.subset(pathology="flu")


@pytest.mark.parametrize(
    "wrong",
    [
        {"indices": [True, False]},
        {"indices": [20]},
        {"subject_ids": "syn-0001"},
        {"subject_ids": ["syn-0001", "nobody"]},
        {"subject_ids": [["syn-0001"], 3]},
        {"subject_ids": 3},
        {"indices": torch.tensor([True] * 10)},
        {"indices": np.array([True] * 10)},
        {"indices": [1.5]},
        {"indices": ["1"]},
        {"indices": "1"},
        {"indices": 3},
        {"indices": torch.tensor(3)},
        {"indices": torch.zeros(2, 3, dtype=torch.int64)},
        {"indices": iter([0, 20])},
        {"indices": []},
    ],
)
def test_what_is_no_place_and_no_id_is_refused(cohort, wrong):
    """A mask is not taken for the places 0 and 1, a text not for a list of letters, an unknown id not dropped."""
    with pytest.raises(InputError, match="subset"):
        inspect.unwrap(SyntheticCohort.subset)(cohort, **wrong)  # without the tests' own type checker
    assert [s["subject_id"] for s in cohort.subset([0, -1]).dry_iter()] == ["syn-0000", "syn-0009"]


@pytest.mark.parametrize("kind", [iter, tuple, np.array, torch.tensor])
def test_places_and_ids_come_in_any_list(cohort, kind):
    """An iterator is not used up by the check, and numbers of numpy and torch are places."""
    assert [s["subject_id"] for s in cohort.subset(kind([4, -1])).dry_iter()] == ["syn-0002", "syn-0009"]
    if kind is not torch.tensor:
        assert cohort.subset(subject_ids=kind(["syn-0003", "syn-0001"])).subject_ids == ("syn-0001", "syn-0003")


@pytest.mark.parametrize("name", ["pathology", "vendor", "phase"])
@pytest.mark.parametrize("wrong", ["", 0, False, ["HCM"], b"A"])
def test_a_condition_that_is_no_name_is_refused(cohort, name, wrong):
    """Neither an empty name nor what is no text is taken for no condition."""
    with pytest.raises(InputError, match=f"{name}: expected one of"):
        inspect.unwrap(SyntheticCohort.subset)(cohort, **{name: wrong})


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, None])
def test_a_split_refuses_a_seed_that_is_none(cohort, seed):
    """A seed is a whole number from 0, of numpy too."""
    with pytest.raises(InputError, match="seed: expected a whole number from 0"):
        inspect.unwrap(SyntheticCohort.split)(cohort, 0.5, 0.5, seed=seed)
    assert cohort.split(0.5, seed=np.int64(3))[0].subject_ids == cohort.split(0.5, seed=3)[0].subject_ids


def test_splits_divide_subjects_class_by_class(cohort):
    """Parts are disjoint, complete, of the right size and repeatable; both phases of a subject stay together."""
    train, test = cohort.split(0.5, 0.5)
    assert set(train.subject_ids) | set(test.subject_ids) == set(cohort.subject_ids)
    assert not set(train.subject_ids) & set(test.subject_ids)
    assert train.class_counts == test.class_counts == {pathology.value: 1 for pathology in Pathology}
    assert len(train) == len(test) == 10
    assert cohort.split(0.5, 0.5)[0].subject_ids == train.subject_ids
    assert len({cohort.split(0.5, 0.5, seed=seed)[0].subject_ids for seed in range(5)}) > 1
    assert [len(part.subject_ids) for part in cohort.split(0.6, 0.2, 0.2)] == [6, 2, 2]
    assert [len(part.subject_ids) for part in cohort.split(0.4, 0.3)] == [4, 3]
    for wrong in ((), (0.5, 0.6), (0.5, -0.1), (0.99, 0.01), (float("nan"),)):
        with pytest.raises(InputError, match="split"):
            cohort.split(*wrong)


def test_damage_is_found_when_pixels_are_asked_for(dataset):
    """A dataset with a damaged chunk opens; the damaged subject raises DamageError that names it, others are read."""
    chunk = next((dataset / "volumes.zarr" / "syn-0001" / "0").rglob("c/0/0/0/0"))
    chunk.write_bytes(chunk.read_bytes()[::-1])
    cohort = open_dataset(dataset)
    with pytest.raises(DamageError, match="syn-0001"):
        cohort[2]
    assert cohort[4]["image"].data.numel()


def test_relative_paths_survive_a_change_of_folder(folder, monkeypatch, tmp_path):
    """A cohort opened by a relative path can be read after the working folder has changed."""
    monkeypatch.chdir(folder.parent)
    cohort = open_dataset(folder.name)
    monkeypatch.chdir(tmp_path)
    assert cohort[0]["image"].data.numel()
