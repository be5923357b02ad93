from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from synthgen import __version__
from synthgen.datasets.documents import render_document
from synthgen.datasets.manifest import MANIFEST, load_manifest
from synthgen.datasets.record import content_id, recipe_id
from synthgen.errors import DamageError, InputError
from synthgen.labels import Tissue


def reseal(folder, change):
    """Change a manifest the way an attacker would: with a digest that fits."""
    content = json.loads((folder / MANIFEST).read_bytes())
    del content["digest"]
    change(content)
    (folder / MANIFEST).write_bytes(render_document(content))


def test_a_manifest_says_what_is_there(published):
    """Identity, plan, labels, generator and subjects are those of the dataset."""
    manifest = load_manifest(published)
    assert manifest.plan == {"recipe": "phantoms", "count": 5, "seed": 0}
    assert manifest.recipe_id == recipe_id(manifest.plan)
    assert manifest.content_id == content_id([subject.subject_digest for subject in manifest.subjects])
    assert [subject.index for subject in manifest.subjects] == list(range(5))
    assert manifest.labels.values == {tissue.name.lower(): tissue.value for tissue in Tissue}
    assert manifest.generator.version == __version__
    assert manifest.models == ({"bundle": "none"},)
    assert {file.path for file in manifest.files} == {"README.md", "preview.png", "volumes.zarr/zarr.json"}


def test_a_manifest_is_frozen(published):
    """Nothing in a manifest can be assigned."""
    with pytest.raises(ValidationError):
        load_manifest(published).version = "2.0.0"


def test_an_unknown_subject_is_named(published):
    """Asking for a subject that is not there says so."""
    with pytest.raises(InputError, match="nobody"):
        load_manifest(published).subject("nobody")


def test_unfinished_missing_and_foreign_folders_are_told_apart(tmp_path):
    """No folder, an unfinished dataset and a folder without a manifest have different messages, all InputError."""
    with pytest.raises(InputError, match="no folder"):
        load_manifest(tmp_path / "none")
    (tmp_path / "half.partial").mkdir()
    with pytest.raises(InputError, match="unfinished"):
        load_manifest(tmp_path / "half")
    with pytest.raises(InputError, match="without manifest"):
        load_manifest(tmp_path)


def test_a_changed_manifest_is_damage(dataset):
    """A manifest with a changed digit is not opened."""
    path = dataset / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"seed":0', b'"seed":1'))
    with pytest.raises(DamageError, match="SHA-256"):
        load_manifest(dataset)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(schema="synthgen/manifest@2"),
        lambda m: m["subjects"][0].update(shape=[4096, 4096, 4096]),
        lambda m: m["subjects"][0].update(shape=[0, 1, 1]),
        lambda m: m["subjects"][0].update(shape=[10**30, 1, 1]),
        lambda m: m["subjects"][0].update(id="../../etc"),
        lambda m: m["subjects"][0].update(id=m["subjects"][1]["id"].upper()),
        lambda m: m["subjects"][0]["record"].update(path="/etc/passwd"),
        lambda m: m["subjects"][0]["record"].update(path="records/../../x.json"),
        lambda m: m["subjects"][0]["intensity"].update(scale=0.0),
        lambda m: m["subjects"][0].update(pathology="FLU"),
        lambda m: m.update(synthetic=False),
        lambda m: m.update(comment="hello"),
        lambda m: m.pop("plan"),
    ],
)
def test_a_hostile_manifest_is_refused_before_anything_is_read(dataset, change):
    """Huge shapes, paths that leave the dataset, unknown words and keys are InputErrors though the digest fits."""
    reseal(dataset, change)
    with pytest.raises(InputError):
        load_manifest(dataset)
