"""Styles of named references: from a scan to a recipe, a plan and images."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from synthgen import cli
from synthgen.cohorts.nifti import read_frames, write_frames
from synthgen.engine.generate import Generator
from synthgen.engine.plan import SubjectSpec, plan
from synthgen.engine.recipe import Condition, Recipe, StyleReference
from synthgen.engine.style_reference import STYLE_ENCODER, style_reference
from synthgen.engine.styles import length_of
from synthgen.errors import InputError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Pathology, Phase, Vendor
from synthgen.networks.bundle import load_bundle


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A virtual heart's scan as a file."""
    file = tmp_path_factory.mktemp("scan") / "clinic.nii.gz"
    write_frames(file, [VirtualHearts(1, seed=77, vendors=[Vendor.D])[0].images[Phase.ED]])
    return file


def reference(bundle, value: float) -> StyleReference:
    """A style of one number throughout."""
    return StyleReference(name="clinic", vector=(value,) * length_of(bundle.description.styles))


def arv(style: StyleReference | None, count: int = 1) -> Condition:
    """ARV subjects of vendor A in a style."""
    return Condition(pathology=Pathology.ARV, vendor=Vendor.A, count=count, style=style)


def test_a_scan_has_the_style_that_the_encoder_sees(scan) -> None:
    """The default bundle takes it for a style of about the size of those that it knows; twice it is the same."""
    bundle = load_bundle("default")
    found = style_reference(bundle, scan)
    assert found == style_reference(bundle, scan)
    assert found.name == "clinic.nii.gz"
    assert (
        len(found.vector)
        == length_of(bundle.description.styles)
        == bundle.network(STYLE_ENCODER).arguments["style_dim"]
    )
    spread = np.abs(np.array([style["mean"] for style in bundle.description.styles.values()])).max()
    assert np.abs(found.vector).max() < 5 * spread + 5


def test_a_reference_changes_images_and_not_anatomy(bundle) -> None:
    """Same labels and indices as in a drawn style, other images; the record makes the subject again."""
    plans = [plan(Recipe(conditions=(arv(style),)), bundle)[0] for style in (None, reference(bundle, 1.5))]
    assert replace(plans[1], style=None) == plans[0]
    generator = Generator(bundle)
    drawn, referred = (generator.generate(spec) for spec in plans)
    assert drawn.indices == referred.indices
    for phase in Phase:
        np.testing.assert_array_equal(drawn.labels[phase].voxels, referred.labels[phase].voxels)
        assert np.abs(drawn.images[phase].voxels - referred.images[phase].voxels).max() > 1e-3
    assert referred.record["style"] == [1.5] * length_of(bundle.description.styles)
    again = generator.generate(SubjectSpec.from_dict(referred.record["request"]))
    np.testing.assert_array_equal(again.images[Phase.ES].voxels, referred.images[Phase.ES].voxels)


def test_requests_without_a_reference_are_what_they_were(bundle) -> None:
    """Neither a recipe nor a subject's request names the field."""
    recipe = Recipe(conditions=(arv(None),))
    assert "style" not in recipe.as_dict()["conditions"][0]
    assert "style" not in plan(recipe, bundle)[0].as_dict()


def test_a_recipe_keeps_its_references(bundle) -> None:
    """It is read as it was written; conditions that differ in their style alone are two."""
    recipe = Recipe(conditions=(arv(reference(bundle, 1.0)), arv(reference(bundle, 2.0)), arv(None)))
    assert Recipe.parse(recipe.as_dict()) == recipe
    assert len({spec.subject_id for spec in plan(recipe, bundle)}) == 3


def test_references_that_mean_nothing_are_refused(bundle) -> None:
    """Without a vendor, with a renderer that has styles of its own, of another length, not finite."""
    with pytest.raises(InputError, match="needs the vendor"):
        Recipe.parse({"conditions": [{"pathology": "ARV", "count": 1, "style": {"name": "x", "vector": [1.0]}}]})
    with pytest.raises(InputError, match="styles of its own"):
        Recipe.parse({**Recipe(conditions=(arv(reference(bundle, 1.0)),)).as_dict(), "renderer": "sdnet"})
    with pytest.raises(InputError, match="numbers, as the bundle"):
        plan(Recipe(conditions=(arv(StyleReference(name="x", vector=(1.0,))),)), bundle)
    with pytest.raises(ValueError, match="finite"):
        StyleReference(name="x", vector=(float("nan"),))


def test_a_scan_without_a_heart_is_refused(scan, tmp_path, monkeypatch) -> None:
    """So is a bundle without what it takes."""
    bundle = load_bundle("default")

    class Blind:
        heart = np.zeros((9, 9), np.uint8)

    monkeypatch.setattr("synthgen.engine.style_reference.tissue_map", lambda *_: Blind())
    with pytest.raises(InputError, match="none is found"):
        style_reference(bundle, scan)
    frame = read_frames(scan, kind="image", frames=None)[0]
    write_frames(tmp_path / "labels.nii", [frame.with_voxels((frame.voxels > 0).astype(np.uint8))])
    with pytest.raises(InputError, match="2 grey levels, as of a label map"):
        style_reference(bundle, tmp_path / "labels.nii")
    with pytest.raises(InputError, match="gone"):
        style_reference(bundle, tmp_path / "gone.nii")


def test_the_command_takes_a_reference(scan, monkeypatch, capsys) -> None:
    """The recipe that reaches the build carries name and numbers; one vendor must be named."""
    seen: list[Recipe] = []

    def estimate(recipe, **_):
        seen.append(recipe)
        raise InputError("stop", expected="nothing more", got="enough")

    monkeypatch.setattr(import_module("synthgen.build"), "dry_run", estimate)
    line = ["build", "--target", "ARV", "--count", "2", "--style", str(scan), "--dry-run"]
    assert cli.run([*line, "--vendor", "D"]) == 2
    (condition,) = seen[0].conditions
    assert (condition.vendor, condition.style.name, condition.count) == (Vendor.D, "clinic.nii.gz", 2)
    for wrong in ([], ["--vendor", "A,B"]):
        assert cli.run([*line, *wrong]) == 2
        assert "one --vendor" in capsys.readouterr().err
