"""Growth: a new version with the old subjects untouched."""

from __future__ import annotations

import pytest
from tiny_bundle import make_bundle, shared_bundle

from synthgen.build import build
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.datasets.writer import DatasetWriter
from synthgen.engine.recipe import Condition, Recipe
from synthgen.errors import InputError, PartialError
from synthgen.extend import extend
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Pathology
from synthgen.simulate import simulate, synthetic


def contents(folder):
    """Return every file below a folder with its bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def recipe(count, container="zarr"):
    """Return a recipe of two classes for the tiny bundle."""
    conditions = tuple(Condition(pathology=p, count=count) for p in (Pathology.ARV, Pathology.HCM))
    return Recipe(conditions=conditions, bundle=str(shared_bundle()), format=container)


@pytest.fixture
def foreign(tmp_path):
    """A dataset that neither `build` nor `hearts` made."""
    hearts = VirtualHearts(1, pixels=64, spacing_mm=2.0)
    made = synthetic(hearts[0], hearts, 0)
    with DatasetWriter.open(tmp_path / "foreign", plan={"mine": 1}, subject_ids=[made.subject_id]) as writer:
        writer.add(made)
        return writer.finish(preview_rows=0)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """Two built subjects."""
    folder = tmp_path_factory.mktemp("parent") / "cohort"
    build(recipe(1, "hdf5"), folder, workers=1)
    return folder


def test_a_grown_dataset_is_that_of_a_larger_request(parent, tmp_path):
    """One more of each class: next minor version, the old subjects' bytes, the identity of a cohort built as large."""
    before = contents(parent)
    seen = []
    made = extend(parent, 1, tmp_path / "grown", workers=1, progress=lambda done, total: seen.append((done, total)))
    assert (made.version, made.parent, made.subjects, made.added) == ("1.1.0", "1.0.0", 4, 2)
    assert seen[-1] == (4, 4)
    assert contents(parent) == before
    after = contents(tmp_path / "grown")
    own = [path for path in before if "/" in path and not path.endswith("index.h5")]
    assert len(own) == 4  # record and volumes of two subjects
    assert all(after[path] == before[path] for path in own)
    assert verify(tmp_path / "grown", deep=True) == ()
    manifest, old = StoredDataset(tmp_path / "grown").manifest, StoredDataset(parent)
    assert manifest.parent.manifest == old.digest
    assert [(change.version, change.subjects, change.added) for change in manifest.changelog] == [
        ("1.0.0", 2, 2),
        ("1.1.0", 4, 2),
    ]
    assert manifest.changelog[0].content_id == manifest.parent.content_id == old.manifest.content_id
    build(recipe(2), tmp_path / "large", workers=1)
    large = StoredDataset(tmp_path / "large").manifest
    assert (manifest.content_id, manifest.recipe_id) == (large.content_id, large.recipe_id)


def test_more_than_a_recipe_may_ask_for_is_refused(parent, tmp_path):
    """An extension is held to what a request is held to, and told in the number that was given."""
    with pytest.raises(InputError, match=r"count: expected at most 104857\d, since .* got 1048576"):
        extend(parent, 1_048_576, tmp_path / "large")


def test_what_an_extension_would_not_use_is_refused(parent, tmp_path):
    """A cohort where nothing was rendered, a bundle where hearts were simulated."""
    hearts = VirtualHearts(1, pixels=64, spacing_mm=2.0)
    with pytest.raises(InputError, match="--cohort: expected none"):
        extend(parent, 1, tmp_path / "grown", cohort=hearts)
    simulate(hearts, tmp_path / "hearts", workers=1)
    with pytest.raises(InputError, match="--bundle: expected none"):
        extend(tmp_path / "hearts", 1, tmp_path / "grown", bundle="default")
    assert not (tmp_path / "grown").exists()


def test_hearts_grow_too_and_versions_follow_each_other(tmp_path):
    """A simulated population grows twice, each version beside the last, and ends as one simulated at once."""
    hearts = VirtualHearts(1, pixels=64, spacing_mm=2.0)
    simulate(hearts, tmp_path / "hearts", workers=1)
    first = extend(tmp_path / "hearts", 1, workers=1)
    second = extend(first.dataset, 2, workers=1)
    assert (first.dataset, second.dataset) == (str(tmp_path / "hearts-v1.1.0"), str(tmp_path / "hearts-v1.2.0"))
    simulate(VirtualHearts(4, pixels=64, spacing_mm=2.0), tmp_path / "large", workers=1)
    grown, large = StoredDataset(second.dataset).manifest, StoredDataset(tmp_path / "large").manifest
    assert grown.content_id == large.content_id
    assert grown.recipe_id == large.recipe_id
    assert [change.version for change in grown.changelog] == ["1.0.0", "1.1.0", "1.2.0"]


def test_an_interrupted_extension_goes_on(parent, tmp_path):
    """Stopped on the way, the parent is whole, and the same call ends with the bytes of an uninterrupted one."""
    extend(parent, 1, tmp_path / "whole", workers=1)

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(PartialError):
        extend(parent, 1, tmp_path / "grown", workers=1, progress=stop)
    assert verify(parent) == ()
    assert not (tmp_path / "grown").exists()
    extend(parent, 1, tmp_path / "grown", workers=1)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")


def test_what_cannot_grow_is_refused(parent, tmp_path, foreign):
    """No count, a taken name, another bundle and a dataset of unknown origin are InputErrors."""
    with pytest.raises(InputError, match="at least 1"):
        extend(parent, 0, tmp_path / "grown")
    with pytest.raises(InputError, match="free"):
        extend(parent, 1, parent)
    with pytest.raises(InputError, match="unknown origin"):
        extend(foreign, 1, tmp_path / "grown")
    other = make_bundle(tmp_path / "other", scheme="heart")
    with pytest.raises(InputError, match="bundle that made"):
        extend(parent, 1, tmp_path / "grown", bundle=str(other))
    assert not (tmp_path / "grown").exists()
