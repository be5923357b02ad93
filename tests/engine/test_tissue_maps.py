"""Tissue maps: hearts of experts stay, nothing is left empty, and it crosses to other processes."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest

from synthgen.engine.tissue_maps import TissueCohort, TissueMap, label_tissues, segmentor_of, tissue_map
from synthgen.evaluation.overlap import dice
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART, Phase, Tissue
from synthgen.networks.bundle import load_bundle
from synthgen.networks.initialise import initialise
from synthgen.networks.segmentor import Segmentor
from synthgen.seeding import torch_stream
from synthgen.subjects import SourceSubject


@pytest.fixture(scope="module")
def net() -> Segmentor:
    """The segmentor that comes with the package."""
    return segmentor_of(load_bundle("default"))


@pytest.fixture(scope="module")
def subject() -> SourceSubject:
    """A virtual heart that no bundle was fitted on, on a grid that is not the segmentor's."""
    return VirtualHearts(1, seed=77, pixels=160, spacing_mm=1.4)[0]


def test_an_experts_heart_replaces_the_networks() -> None:
    """The expert's heart is there to the pixel; what only the network took for heart gets another tissue."""
    likeliest = np.array([[[1, 2, 3, 4, 5]]], np.uint8)
    around = np.array([[[8, 5, 4, 4, 5]]], np.uint8)
    expert = np.array([[[0, 1, 2, 3, 0]]], np.uint8)
    assert TissueMap(likeliest, around, 10.0).with_heart(expert).tolist() == [[[8, 1, 2, 3, 5]]]


def test_only_the_largest_part_of_the_stack_is_heart() -> None:
    """A patch that was taken for heart elsewhere is none."""
    likeliest = np.zeros((2, 6, 8), np.uint8)
    likeliest[:, 1:5, 1:4], likeliest[0, 2, 6] = Tissue.LV, Tissue.RV
    heart = TissueMap(likeliest, np.zeros_like(likeliest), 10.0).heart
    assert (heart[:, 1:5, 1:4] == Tissue.LV).all()
    assert heart.sum() == 24


def test_the_heart_is_in_the_middle() -> None:
    """Of two parts that were taken for heart, the one that the stack was planned on is it, however large the other."""
    likeliest = np.zeros((2, 40, 40), np.uint8)
    likeliest[:, 18:24, 17:23] = Tissue.LV
    likeliest[:, 30:38, 3:11] = Tissue.LV
    heart = TissueMap(likeliest, np.zeros_like(likeliest), 10.0).heart
    assert (heart[:, 18:24, 17:23] == Tissue.LV).all()
    assert heart.sum() == 72


def test_of_each_tissue_one_part_counts() -> None:
    """A ventricle is one piece: a second one that touches the heart is none."""
    likeliest = np.zeros((2, 40, 40), np.uint8)
    likeliest[:, 14:28, 14:28] = Tissue.MYO
    likeliest[:, 18:24, 18:24] = Tissue.LV
    likeliest[:, 14:28, 4:14] = Tissue.RV
    likeliest[0, 29, 20], likeliest[0, 28, 20] = Tissue.RV, Tissue.MYO
    heart = TissueMap(likeliest, np.zeros_like(likeliest), 10.0).heart
    assert heart[0, 29, 20] == 0
    assert heart[0, 28, 20] == Tissue.MYO
    assert (heart == Tissue.RV).sum() == 2 * 14 * 10


def test_the_left_cavity_is_the_one_that_muscle_closes_around() -> None:
    """However much of a large right ventricle is taken for a left one."""
    likeliest = np.zeros((2, 40, 40), np.uint8)
    likeliest[:, 8:30, 10:30] = Tissue.RV
    likeliest[:, 12:26, 20:34] = Tissue.MYO
    likeliest[:, 16:22, 24:30] = Tissue.LV
    likeliest[:, 14:26, 11:20] = Tissue.LV
    heart = TissueMap(likeliest, np.zeros_like(likeliest), 10.0).heart
    assert (heart[:, 16:22, 24:30] == Tissue.LV).all()
    assert (heart == Tissue.LV).sum() == 72


def test_the_phase_is_heeded() -> None:
    """At end-systole the right ventricle begins below the left, by one slice of 10 mm and by none of 20."""
    likeliest = np.zeros((3, 40, 40), np.uint8)
    likeliest[:, 14:28, 14:28] = Tissue.MYO
    likeliest[:, 18:24, 18:24] = Tissue.LV
    likeliest[:, 14:28, 4:14] = Tissue.RV
    for phase, slice_mm, first in ((Phase.ED, 10.0, 0), (Phase.ES, 10.0, 1), (Phase.ES, 20.0, 0), (None, 10.0, 0)):
        heart = TissueMap(likeliest, np.zeros_like(likeliest), slice_mm).heart_at(phase)
        assert [bool((z == Tissue.RV).any()) for z in heart] == [number >= first for number in range(3)]


def test_a_virtual_heart_is_found(net: Segmentor, subject: SourceSubject) -> None:
    """On images of the kind that it learnt from, on another grid, the network finds the heart and the lung."""
    truth = subject.labels[Phase.ED].voxels
    found = tissue_map(net, subject.images[Phase.ED])
    assert all(dice(found.heart, truth, structure) > 0.75 for structure in HEART)
    assert dice(found.likeliest, truth, Tissue.LUNG) > 0.8


def test_labelled_subjects_keep_their_hearts(net: Segmentor, subject: SourceSubject) -> None:
    """Heart voxels are the expert's at both phases, the others are tissues that are not heart."""
    labelled, _ = label_tissues(net, subject)
    for phase in Phase:
        known, made = subject.labels[phase].voxels, labelled.labels[phase].voxels
        heart = np.isin(known, HEART)
        np.testing.assert_array_equal(made[heart], known[heart])
        assert not np.isin(made[~heart], HEART).any()


def test_a_labelled_cohort_crosses_to_other_processes(subject: SourceSubject) -> None:
    """It opens no file when it is sent, and labels there what it labels here."""
    net = initialise(Segmentor(widths=[4, 8, 8]), torch_stream(1)).eval()
    hearts = VirtualHearts(1, seed=77, pixels=64, spacing_mm=3.0)
    cohort = TissueCohort(hearts, net)
    files = Path("/proc/self/fd")  # Linux
    before = len(list(files.iterdir())) if files.exists() else 0
    sent = [ForkingPickler.dumps(cohort) for _ in range(3)]
    if before:
        assert len(list(files.iterdir())) == before
    there = ForkingPickler.loads(sent[0])
    assert there.fingerprint() == cohort.fingerprint()
    np.testing.assert_array_equal(there[0].labels[Phase.ED].voxels, cohort[0].labels[Phase.ED].voxels)
