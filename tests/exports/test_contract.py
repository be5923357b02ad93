"""What every export promises, whatever the target."""

from __future__ import annotations

import gzip
import json
import shutil
from importlib import import_module

import nibabel
import numpy as np
import pytest

from synthgen.commands.export import _TARGETS
from synthgen.errors import DamageError, InputError
from synthgen.labels import Phase

OURS = {"zarr", "hdf5", "nifti"}
"""Containers of the project itself: tested as datasets."""

EXPORTS = {name: place for name, place in _TARGETS.items() if name not in OURS}
NIFTI = sorted(set(EXPORTS) - {"ome-zarr"})


def call(target, dataset, out, **options):
    """Export by the function that the command line calls."""
    module, function = EXPORTS[target].split(":")
    return getattr(import_module(module), function)(dataset, out, **options)


def files(folder):
    """Return the bytes of every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="session")
def exported(dataset, tmp_path_factory):
    """Return the folder of each export and what its progress said."""
    folder = tmp_path_factory.mktemp("exports")
    seen = {}
    for target in EXPORTS:
        out, steps = folder / target / "Dataset501_RINGS", []
        call(target, dataset, out, progress=lambda *step, steps=steps: steps.append(step))
        seen[target] = steps
    return folder, seen


def test_all_targets_of_the_package_are_on_the_command_line():
    """Every exporting module can be asked for."""
    assert set(EXPORTS) == {"nnunet", "monai", "ome-zarr", "croissant", "huggingface", "bids"}


@pytest.mark.parametrize("target", EXPORTS)
def test_an_export_appears_whole_and_alone(exported, target):
    """The folder has its name, nothing is left beside it, and progress counted every subject."""
    folder, seen = exported
    assert [path.name for path in (folder / target).iterdir()] == ["Dataset501_RINGS"]
    assert seen[target] == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize("target", EXPORTS)
def test_an_export_is_the_same_each_time(exported, dataset, tmp_path, target):
    """The same dataset gives the same bytes."""
    call(target, dataset, tmp_path / "Dataset501_RINGS")
    assert files(tmp_path / "Dataset501_RINGS") == files(exported[0] / target / "Dataset501_RINGS")


@pytest.mark.parametrize("target", EXPORTS)
def test_nothing_of_the_history_is_exported(exported, target):
    """Neither the history of a subject nor the request nor a path of the maker reaches an export."""
    for path, data in files(exported[0] / target).items():
        content = gzip.decompress(data) if path.endswith(".gz") else data
        assert b"patient0042" not in content, path
        assert b"patient0042" not in path.encode()


@pytest.mark.parametrize("target", EXPORTS)
def test_a_taken_name_is_refused(dataset, tmp_path, target):
    """An existing folder stays as it is."""
    out = tmp_path / "Dataset501_RINGS"
    out.mkdir()
    (out / "mine").write_text("mine")
    with pytest.raises(InputError, match="free"):
        call(target, dataset, out)
    assert files(tmp_path) == {"Dataset501_RINGS/mine": b"mine"}


@pytest.mark.parametrize("target", EXPORTS)
def test_a_dataset_is_only_read(dataset, target):
    """An export into the dataset itself, which would then be damaged, is refused before anything is made there."""
    with pytest.raises(InputError, match="outside"):
        call(target, dataset, dataset / "more" / "Dataset501_RINGS")
    assert not (dataset / "more").exists()


@pytest.mark.parametrize("target", EXPORTS)
def test_a_folder_that_is_no_dataset_is_refused(tmp_path, target):
    """What is no dataset is bad input, and nothing is made."""
    with pytest.raises(InputError, match="dataset"):
        call(target, tmp_path / "none", tmp_path / "Dataset501_RINGS")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", EXPORTS)
def test_a_damaged_dataset_gives_no_export(dataset, tmp_path, target):
    """A volume that is not what was written ends the export, and nothing of it stays."""
    copy = shutil.copytree(dataset, tmp_path / "in" / "cohort")
    chunk = next(path for path in sorted(copy.rglob("*")) if "/c/" in path.as_posix() and path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    with pytest.raises(DamageError):
        call(target, copy, tmp_path / "out" / "Dataset501_RINGS")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("target", NIFTI)
def test_volumes_are_those_of_the_dataset(exported, source, target):
    """Each image and label, read by nibabel, is that of the dataset, in value and in place."""
    paths = sorted((exported[0] / target).rglob("*.nii.gz"))
    assert len(paths) == len(source) * 4
    for path in paths:
        subject = next(s for s in source if s.subject_id.replace("-", "") in path.name.replace("-", ""))
        is_label = "dseg" in path.name or path.parent.name.startswith("labels")
        volume = (subject.labels if is_label else subject.images)[Phase.ED if "ED" in path.name else Phase.ES]
        image = nibabel.load(path)
        np.testing.assert_allclose(np.asanyarray(image.dataobj).transpose(2, 1, 0), volume.voxels, atol=1e-6)
        np.testing.assert_allclose(image.affine, volume.affine, atol=1e-4)


def test_tables_are_json_that_every_reader_takes(exported):
    """No JSON file holds NaN or Infinity."""

    def refuse(word):
        raise AssertionError(word)

    for path in sorted(exported[0].rglob("*.json")):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
