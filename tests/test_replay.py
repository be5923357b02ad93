"""Subjects made again from their records."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tiny_bundle import shared_bundle

from synthgen.build import build
from synthgen.engine.generate import Generator
from synthgen.engine.recipe import Condition, Recipe
from synthgen.errors import InputError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Pathology, Phase
from synthgen.replay import replay
from synthgen.simulate import simulate


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two built subjects, in NIfTI."""
    folder = tmp_path_factory.mktemp("built") / "cohort"
    condition = Condition(pathology=Pathology.ARV, count=2)
    build(Recipe(conditions=(condition,), bundle=str(shared_bundle()), format="nifti"), folder, workers=2)
    return folder


def test_subjects_come_out_the_same(built):
    """One named, and all when none is: every bit of voxels and facts."""
    (one,) = replay(built, ["ARV-B-0002"])
    assert (one.subject_id, one.same, one.difference.fields) == ("ARV-B-0002", True, ())
    assert [made.same for made in replay(built)] == [True, True]


def test_hearts_come_out_the_same(tmp_path):
    """A simulated subject is made again from seed and place."""
    folder = simulate(VirtualHearts(2, seed=4, pixels=64, spacing_mm=2.0), tmp_path / "hearts", workers=1)
    assert [made.same for made in replay(folder)] == [True, True]
    with pytest.raises(InputError, match="--bundle: expected none"):
        next(replay(folder, bundle="default"))


def test_a_bundle_may_have_moved(built, tmp_path):
    """The bundle is known by its bytes, not by its place; another subject id is an InputError."""
    moved = shutil.copytree(shared_bundle(), tmp_path / "moved")
    assert all(made.same for made in replay(built, ["ARV-A-0001"], bundle=str(moved)))
    with pytest.raises(InputError, match="an id of this dataset"):
        next(replay(built, ["nobody"]))
    with pytest.raises(InputError, match="--cohort: expected none"):
        next(replay(built, cohort=VirtualHearts(1, pixels=64, spacing_mm=2.0)))


def test_what_differs_is_told(built, monkeypatch):
    """Were the generator another one, the record says which facts, voxels and intensities differ, and by how much."""
    original = Generator.generate

    def other(self, spec):
        made = original(self, spec)
        made.labels[Phase.ED].voxels[0, 0, 0] = 8 - made.labels[Phase.ED].voxels[0, 0, 0]
        made.images[Phase.ES].voxels[0, 0, :2] += np.float32(0.5)
        return made

    monkeypatch.setattr(Generator, "generate", other)
    (made,) = replay(built, ["ARV-A-0001"])
    assert not made.same
    assert set(made.difference.fields) >= {"image", "label"}
    assert made.difference.label_voxels in {0, 1}
    assert made.difference.largest_intensity > 0.3
    assert made.as_dict()["difference"]["subject_id"] == "ARV-A-0001"
