"""The virtual cohort: identity, labels, geometry and truth."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from synthgen.counts import LARGEST_COUNT
from synthgen.errors import InputError
from synthgen.hearts import geometry as heart_geometry
from synthgen.hearts.population import sample
from synthgen.hearts.simulator import simulate
from synthgen.hearts.stack import ImageFrame, heart_axes, heart_origin, plan_stack
from synthgen.hearts.styles import draw_style
from synthgen.hearts.thorax import chest_wall
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART, Pathology, Phase, Sex, Tissue, Vendor
from synthgen.sources import open_cohort
from synthgen.subjects import SourceCohort


@pytest.fixture(scope="module")
def cohort() -> VirtualHearts:
    """Return one subject per class, each with another vendor where possible."""
    return VirtualHearts(5, seed=7, pixels=128)


@pytest.fixture(scope="module")
def subjects(cohort):
    """Return all subjects of the cohort."""
    return [cohort[i] for i in range(len(cohort))]


def test_is_a_source_cohort(cohort) -> None:
    """The cohort fulfils the protocol of source cohorts and says that it has all nine tissues."""
    assert isinstance(cohort, SourceCohort)
    assert cohort.label_scheme == "tissue"
    assert len(cohort) == 5


def test_every_class_has_a_heart_in_both_phases(subjects) -> None:
    """All five classes have LV, myocardium and RV at ED and ES, a body around them, and 8 to 15 slices."""
    assert {s.pathology for s in subjects} == set(Pathology)
    for s in subjects:
        assert 8 <= s.labels[Phase.ED].shape[0] <= 15
        for phase in Phase:
            found = set(np.unique(s.labels[phase].voxels).tolist())
            assert {*HEART, Tissue.LUNG, Tissue.FAT, Tissue.MUSCLE, Tissue.ABDOMEN, Tissue.VESSEL} <= found
            assert s.labels[phase].voxels.dtype == np.uint8
            assert s.images[phase].voxels.dtype == np.float32
            assert np.isfinite(s.images[phase].voxels).all()
            assert s.images[phase].voxels.min() >= 0


def test_stack_orientation(subjects) -> None:
    """The first slice is basal, RV lies left of LV in the image, lung above and abdomen below the heart."""
    for s in subjects:
        labels = s.labels[Phase.ED].voxels
        lv_areas = (labels == Tissue.LV).sum((1, 2))
        present = np.flatnonzero(lv_areas)
        assert lv_areas[present[: len(present) // 2]].sum() > lv_areas[present[len(present) // 2 :]].sum()
        column = {t: np.nonzero(labels == t)[2].mean() for t in (Tissue.LV, Tissue.RV)}
        row = {t: np.nonzero(labels == t)[1].mean() for t in (Tissue.LV, Tissue.LUNG, Tissue.ABDOMEN)}
        assert column[Tissue.RV] < column[Tissue.LV]
        assert row[Tissue.LUNG] < row[Tissue.LV] < row[Tissue.ABDOMEN]


def test_affine_is_true(cohort, subjects) -> None:
    """The affine is orthogonal, carries the spacing, puts the heart on the left, and rows point towards the feet."""
    for index, s in enumerate(subjects):
        volume = s.labels[Phase.ED]
        directions = volume.affine[:3, :3] / np.array(volume.spacing_mm[::-1])
        np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-6)
        assert directions[2, 1] < -0.5
        z, y, x = (i.mean() for i in np.nonzero(volume.voxels == Tissue.LV))
        centre = volume.affine @ [x, y, z, 1]
        placed = np.array(cohort.draw(index).placement.position_mm) * [-1, -1, 1]
        assert centre[0] < 0
        assert np.linalg.norm(centre[:3] - placed) < 65


def test_reproducible_and_independent_of_count(subjects) -> None:
    """Subject 2 of a cohort of 3 is, voxel by voxel, subject 2 of a cohort of 5, and another seed gives another one."""
    again, other = VirtualHearts(3, seed=7, pixels=128)[2], VirtualHearts(3, seed=8, pixels=128)[-1]
    for phase in Phase:
        np.testing.assert_array_equal(again.images[phase].voxels, subjects[2].images[phase].voxels)
        np.testing.assert_array_equal(again.labels[phase].voxels, subjects[2].labels[phase].voxels)
    assert again.truth == subjects[2].truth
    assert again.truth != other.truth


def test_threads_of_linear_algebra_do_not_reach_the_bits() -> None:
    """A heart is the same however many threads the caller computes with, and the caller keeps them."""
    cohort = VirtualHearts(3, seed=3, pixels=128)
    with threadpool_limits(2, user_api="blas"):
        two = cohort[2]
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {2}
    with threadpool_limits(1, user_api="blas"):
        one = cohort[2]
    for phase in Phase:
        assert np.array_equal(one.images[phase].voxels, two.images[phase].voxels)
        assert np.array_equal(one.labels[phase].voxels, two.labels[phase].voxels)


def test_style_never_moves_the_anatomy() -> None:
    """On one grid, labels of all styles are identical and images are not."""
    subject = sample(3, 1, Pathology.MINF)
    solved = heart_geometry.build(subject)
    grid = plan_stack(subject, solved, pixels=72, pixel_mm=2.0, thickness_mm=10.0, gap_mm=2.0)
    results = [simulate(subject, draw_style(name, np.random.default_rng(1)), grid, solved) for name in ("A", "B", "S3")]
    for other in results[1:]:
        for phase in Phase:
            np.testing.assert_array_equal(other.labels[phase].voxels, results[0].labels[phase].voxels)
            assert not np.array_equal(other.images[phase].voxels, results[0].images[phase].voxels)


def test_phases_share_the_body() -> None:
    """ED and ES have the same labels far from the heart: only the heart moves."""
    subject = sample(3, 2, Pathology.DCM)
    solved = heart_geometry.build(subject)
    grid = plan_stack(subject, solved, pixels=80, pixel_mm=4.0, thickness_mm=8.0, gap_mm=2.0)
    labels = simulate(subject, draw_style("A", np.random.default_rng(1)), grid, solved).labels
    far = np.ones(grid.shape, bool)
    far[:, 10:70, 10:70] = False
    np.testing.assert_array_equal(labels[Phase.ED].voxels[far], labels[Phase.ES].voxels[far])


@pytest.mark.parametrize(("index", "pathology"), [(0, Pathology.NOR), (4, Pathology.ARV)])
def test_thin_slices_hold_the_sampled_volumes(index: int, pathology: Pathology) -> None:
    """In 2 mm slices without artefacts, label volumes are the sampled ones within 2 % (RV at ES: 4 %)."""
    subject = sample(11, index, pathology)
    solved = heart_geometry.build(subject)
    grid = plan_stack(subject, solved, pixels=96, pixel_mm=1.5, thickness_mm=2.0, gap_mm=0.0, clinical=False)
    result = simulate(subject, draw_style("A", np.random.default_rng(0)), grid, solved, artefacts=False)
    t = subject.targets
    expected = {
        Phase.ED: (t.lv_edv_ml, t.lv_mass_g / 1.05, t.rv_edv_ml),
        Phase.ES: (t.lv_esv_ml, subject.left.systolic_muscle * t.lv_mass_g / 1.05, t.rv_esv_ml),
    }
    for phase, targets in expected.items():
        volume = result.labels[phase]
        for tissue, target in zip(HEART, targets, strict=True):
            measured = (volume.voxels == tissue).sum() * volume.voxel_ml
            loose = tissue is Tissue.RV and phase is Phase.ES
            assert measured == pytest.approx(target, rel=0.04 if loose else 0.02), (phase, tissue)


def test_contrast_is_that_of_cine_images(subjects) -> None:
    """LV blood is 1.6 to 4.5 times as bright as myocardium; lung, grey in many scans, is far darker than blood."""
    for s in subjects:
        image, labels = s.images[Phase.ED].voxels, s.labels[Phase.ED].voxels
        level = {t: float(np.median(image[labels == t])) for t in Tissue if (labels == t).any()}
        assert 1.6 < level[Tissue.LV] / level[Tissue.MYO] < 4.5
        assert level[Tissue.LV] > 2.5 * level[Tissue.LUNG]
        assert level[Tissue.MYO] > 0.8 * level[Tissue.LUNG]


def test_heart_is_inside_the_chest() -> None:
    """Hearts placed too far in front are moved: at most one of twenty touches the wall, none by more than 8 mm."""
    reach = []
    for index in range(20):
        subject = sample(5, index, list(Pathology)[index % 5])
        ed = heart_geometry.build(subject)[Phase.ED]
        axes, origin = np.stack(heart_axes(subject.placement)), heart_origin(subject, ed)
        level, column = np.nonzero((ed.pericardium > 0) & (ed.z_mm[:, None] >= ed.rv_base_mm))
        angle, radius = column * 2 * np.pi / ed.pericardium.shape[1], ed.pericardium[level, column]
        points = np.stack([radius * np.cos(angle), radius * np.sin(angle), ed.z_mm[level]], 1) @ axes + origin
        left, posterior, superior = points.astype(np.float32).T
        reach.append(float(chest_wall(subject.thorax, left, posterior, superior).cavity.max()))
    assert sum(r > 0 for r in reach) <= 1
    assert max(reach) < 8


def test_frame_and_affine_agree() -> None:
    """The pixel that a patient-frame point falls on is the voxel that the affine puts at that point."""
    subject = sample(5, 0, Pathology.NOR)
    solved = heart_geometry.build(subject)
    grid = plan_stack(subject, solved, pixels=96, pixel_mm=2.0, thickness_mm=8.0, gap_mm=2.0)
    frame = ImageFrame(subject, solved[Phase.ED], grid)
    ras = (frame.affine @ np.array([17.0, 40.0, 3.0, 1.0]))[:3]
    column, row, level = frame.to_pixels((ras * [-1, -1, 1])[None])[0]
    assert (column, row) == (pytest.approx(17.0), pytest.approx(40.0))
    assert level == pytest.approx(grid.levels_mm[3])


def test_classes_and_vendors_are_balanced() -> None:
    """Twenty subjects cover each pair of class and vendor once, and the cohort can be narrowed."""
    cohort = VirtualHearts(20)
    pairs = {(cohort.pathologies[i % 5], cohort.style(i).name) for i in range(20)}
    assert len(pairs) == 20
    narrow = VirtualHearts(4, pathologies=[Pathology.HCM], vendors=[Vendor.B, Vendor.D])
    assert [narrow.style(i).name for i in range(4)] == ["B", "D", "B", "D"]
    assert all(narrow.draw(i).pathology is Pathology.HCM for i in range(4))
    assert narrow.draw(0).sex in Sex


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"count": 1, "seed": -1},
        {"count": 1, "pixels": 8},
        {"count": 1, "spacing_mm": 9.0},
        {"count": LARGEST_COUNT + 1},
        {"count": 10**11},
        {"count": True},
        {"count": torch.tensor(True)},
        {"count": 2.0},
        {"count": "2"},
        {"count": 2, "seed": 1.5},
        {"count": 2, "pixels": 64.5},
    ],
)
def test_wrong_arguments_are_refused(wrong) -> None:
    """Numbers out of range, and what is no whole number, are input errors that name the option."""
    option = list(wrong)[-1]
    with pytest.raises(InputError, match=f"{option}: expected"):
        inspect.unwrap(VirtualHearts.__init__)(object.__new__(VirtualHearts), **wrong)  # without the tests' own checker


def test_the_largest_cohort_can_be_had() -> None:
    """Its vocabularies are told without a subject being made."""
    assert len(VirtualHearts(LARGEST_COUNT).subject_vendors) == LARGEST_COUNT


@pytest.mark.parametrize("kind", [np.int64, np.uint8, torch.tensor])
def test_whole_numbers_of_numpy_and_torch_are_taken(kind) -> None:
    """They give the cohort that plain numbers give."""
    assert VirtualHearts(kind(3), seed=kind(7)).fingerprint() == VirtualHearts(3, seed=7).fingerprint()


@pytest.mark.parametrize("text", [None, 3, Path("hearts"), "hearts:99999999999", "hearts:" + 5000 * "9", "hearts:-1"])
def test_what_names_no_cohort_is_refused(text) -> None:
    """What is no text, and a count that nobody can want, are input errors."""
    with pytest.raises(InputError, match="expected"):
        inspect.unwrap(open_cohort)(text)


def test_a_path_is_taken_as_its_text() -> None:
    """`Path("hearts:2")` is `hearts:2`."""
    assert len(open_cohort(Path("hearts:2"))) == 2


def test_index_beyond_the_end() -> None:
    """Asking for a subject that is not there is an IndexError, so that iteration ends."""
    with pytest.raises(IndexError):
        VirtualHearts(2)[2]
