"""New images of known label maps, as a dataset."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_bundle import SIZE, SPACING, shared_bundle

from synthgen import cli
from synthgen.cohorts.acdc import Acdc
from synthgen.cohorts.preprocess import prepare
from synthgen.datasets.cohort import open_dataset
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.verify import verify
from synthgen.datasets.writer import DatasetWriter
from synthgen.errors import InputError, PartialError
from synthgen.exports.bids import export_bids
from synthgen.exports.croissant import export_croissant
from synthgen.exports.datalist import export_datalist
from synthgen.exports.nnunet import export_nnunet
from synthgen.exports.ome_zarr import export_ome_zarr
from synthgen.extend import extend
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.indices import heart_digest, measure
from synthgen.labels import HEART, Phase, Vendor
from synthgen.render import Rendering, render
from synthgen.replay import replay
from synthgen.simulate import simulate


@pytest.fixture(scope="module")
def hearts() -> VirtualHearts:
    """Three small virtual hearts, all tissues labelled."""
    return VirtualHearts(3, seed=3, pixels=64, spacing_mm=3.0)


@pytest.fixture(scope="module")
def acdc(hearts, tmp_path_factory) -> Acdc:
    """The same as ACDC would have them: hearts alone are labelled."""
    return Acdc(simulate(hearts, tmp_path_factory.mktemp("acdc") / "cohort", layout="acdc", workers=1))


def asked(**values: object) -> Rendering:
    """A rendering with the tiny bundle."""
    return Rendering(bundle=str(shared_bundle()), **values)


@pytest.fixture(scope="module")
def rendered(hearts, tmp_path_factory) -> Path:
    """Two copies of each heart, made by one process."""
    return render(hearts, tmp_path_factory.mktemp("rendered") / "cohort", asked(copies=2), workers=1)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but what one version says of its history."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_rendered_dataset_is_whole_and_says_what_it_is(hearts, rendered) -> None:
    """Every byte verifies; classes, bodies, indices and terms are right, and label maps are removed from beside it."""
    assert verify(rendered) == ()
    stored = StoredDataset(rendered)
    assert [subject.pathology for subject in stored] == 2 * hearts.subject_pathologies
    for index, subject in enumerate(stored):
        assert subject.body == hearts[index % 3].body
        measured = measure(subject.labels, subject.body).as_dict()
        assert subject.indices["lv_edv_ml"] == pytest.approx(measured["lv_edv_ml"])
        known = heart_digest(measure(hearts[index % 3].labels, None))
        told = {"label_maps_of": hearts.name, "subject": index % 3 + 1, "copy": index // 3 + 1, "heart_digest": known}
        assert subject.record == told
    uses = [source.use for source in stored.manifest.legal.source_data]
    assert uses == ["label maps", "generator"]
    card = (rendered / "README.md").read_text()
    assert f"- Label maps of {hearts.name} (licence" in card
    assert "never divide them between training and testing" in card
    assert [path.name for path in rendered.parent.iterdir() if "maps" in path.name] == []


def test_copies_are_varied_and_of_one_anatomy(rendered) -> None:
    """Copies differ in label maps and share a heart, which a split does not divide."""
    cohort = open_dataset(rendered, phases="both")
    first, copy = cohort[0], cohort[3]
    assert first["heart"] == copy["heart"]
    assert not np.array_equal(first["label_ED"].data, copy["label_ED"].data)
    parts = [{subject["heart"] for subject in part.dry_iter()} for part in cohort.split(0.4, 0.6)]
    assert not parts[0] & parts[1]
    assert sum(map(len, parts)) == 3


def test_styles_of_one_copy_have_the_same_label_maps(hearts, tmp_path) -> None:
    """Unvaried they are the cohort's own, on the bundle's grid and in the patient's place; images differ by vendor."""
    made = render(
        hearts, tmp_path / "plain", asked(vendors=(Vendor.A, Vendor.D), varied=False), container="nifti", workers=1
    )
    stored = list(StoredDataset(made))
    known = prepare(hearts[0], pixels=SIZE, spacing_mm=SPACING[1])
    for subject in stored[:2]:
        np.testing.assert_array_equal(subject.labels[Phase.ES].voxels, known.labels[Phase.ES])
        np.testing.assert_allclose(subject.labels[Phase.ES].affine, known.affine, rtol=1e-6, atol=1e-4)
    assert not np.array_equal(stored[0].images[Phase.ED].voxels, stored[1].images[Phase.ED].voxels)
    assert "as they are: who may not have them" in (made / "README.md").read_text()
    varied = list(StoredDataset(render(hearts, tmp_path / "varied", asked(vendors=(Vendor.A, Vendor.D)), workers=1)))
    np.testing.assert_array_equal(varied[0].labels[Phase.ED].voxels, varied[1].labels[Phase.ED].voxels)


def test_workers_and_resume_change_no_byte(acdc, tmp_path, monkeypatch) -> None:
    """Stopped after two subjects and gone on with on two processes, it is the same; tissues are labelled once each."""
    whole = render(acdc, tmp_path / "whole", asked(copies=2), workers=1)
    assert next(iter(StoredDataset(whole))).labels[Phase.ED].voxels.max() > max(HEART)
    add = DatasetWriter.add

    def stop_at_the_third(writer, subject) -> None:
        if len(writer.done) == 2:
            raise KeyboardInterrupt
        add(writer, subject)

    monkeypatch.setattr(DatasetWriter, "add", stop_at_the_third)
    with pytest.raises(PartialError, match="goes on"):
        render(acdc, tmp_path / "cut", asked(copies=2), workers=1)
    monkeypatch.undo()
    kept = load_file(tmp_path / "cut.maps" / "00000.safetensors")
    assert not [name for name in kept if name.startswith("image")]  # no image of a patient lies there
    note = tmp_path / "cut.maps" / "maps.json"
    note.write_text(note.read_text().replace("sha256", "another"))  # as of another cohort: made anew
    with pytest.raises(InputError, match="unfinished dataset of this plan"):
        render(acdc, tmp_path / "cut", asked(copies=3), workers=1)
    assert tree(render(acdc, tmp_path / "cut", asked(copies=2), workers=2)) == tree(whole)
    assert not (tmp_path / "cut.maps").exists()


def test_it_is_replayed_and_extended_from_its_cohort(hearts, rendered, tmp_path) -> None:
    """Every bit comes out again; one copy more gives what a dataset of three holds."""
    assert [made.same for made in replay(rendered, cohort=hearts)] == 6 * [True]
    larger = extend(rendered, 1, tmp_path / "larger", cohort=hearts, workers=1)
    assert (larger.version, larger.subjects, larger.added) == ("1.1.0", 9, 3)
    three = render(hearts, tmp_path / "three", asked(copies=3), workers=1)
    assert larger.content_id == StoredDataset(three).manifest.content_id
    assert verify(tmp_path / "larger") == ()


def test_another_cohort_or_bundle_is_refused(hearts, rendered) -> None:
    """Nobody replays with other label maps than those that were rendered, or without any."""
    with pytest.raises(InputError, match="--cohort"):
        next(replay(rendered))
    with pytest.raises(InputError, match="the one that was rendered"):
        next(replay(rendered, cohort=VirtualHearts(3, seed=4, pixels=64, spacing_mm=3.0)))
    with pytest.raises(InputError, match="the bundle that made the dataset"):
        next(replay(rendered, cohort=hearts, bundle="default"))


def test_a_rendering_refuses_what_cannot_be_made() -> None:
    """Numbers out of range and unknown vendors; a vendor named twice is one."""
    for wrong in ({"copies": 0}, {"copies": 1 << 21}, {"seed": -1}):
        with pytest.raises(InputError):
            asked(**wrong)
    assert asked(vendors=(Vendor.A, Vendor.D, Vendor.A)).vendors == (Vendor.A, Vendor.D)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"copies": 1.5}, "copies: expected a whole number from 1 to 1048576, got 1.5"),
        ({"copies": "x"}, "copies: expected a whole number from 1 to 1048576, got 'x'"),
        ({"copies": True}, "copies: expected a whole number"),
        ({"seed": 1.5}, "seed: expected a whole number from 0 to 9223372036854775807, got 1.5"),
        ({"seed": 10**23}, "seed: expected a whole number from 0 to 9223372036854775807, got 1000"),
        ({"varied": "no"}, "varied: expected True or False, got 'no'"),
    ],
)
def test_a_rendering_refuses_what_is_no_number(wrong, expected) -> None:
    """It does so at once, in one line that says all limits."""
    make = inspect.unwrap(Rendering.__init__)  # without the tests' own type checker
    with pytest.raises(InputError, match=expected):
        make(object.__new__(Rendering), **wrong)


def test_a_rendering_takes_numbers_of_numpy() -> None:
    """They end up as plain ones, which JSON can hold."""
    rendering = object.__new__(Rendering)
    inspect.unwrap(Rendering.__init__)(rendering, copies=np.int64(2), seed=np.uint8(3))
    assert json.dumps([rendering.copies, rendering.seed]) == "[2, 3]"


def test_what_must_be_known_goes_with_every_export(rendered, tmp_path) -> None:
    """Somebody's label maps stay somebody's: descriptions say so, and tables tell which cases are of one heart."""
    said = "who may not have them may not have this dataset"
    bids = export_bids(rendered, tmp_path / "bids")
    assert said in (bids / "README").read_text()
    croissant = json.loads((export_croissant(rendered, tmp_path / "croissant") / "croissant.json").read_text())
    assert said in croissant["description"]
    monai = json.loads((export_datalist(rendered, tmp_path / "monai") / "datalist.json").read_text())
    nnunet = json.loads((export_nnunet(rendered, tmp_path / "Dataset001_R") / "dataset.json").read_text())
    ome_zarr = json.loads((export_ome_zarr(rendered, tmp_path / "ome.zarr") / "zarr.json").read_text())
    assert said in ome_zarr["attributes"]["synthgen"]["description"]
    assert said in monai["description"]
    assert said in nnunet["description"]
    folds = {(item["heart"], item["fold"]) for item in monai["training"]}
    assert len(folds) == 3


def test_the_command_renders_a_cohort(capsys, tmp_path) -> None:
    """Copies, vendors and variation reach the dataset; the result is JSON, and a bad request one line and code 2."""
    line = ["render", "hearts:1", "--bundle", str(shared_bundle()), "--workers", "1"]
    out = str(tmp_path / "r")
    assert cli.run([*line, "--copies", "2", "--vendor", "B,D", "--no-variation", "--out", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"dataset": out, "subjects": 4}
    stored = StoredDataset(tmp_path / "r")
    assert stored.manifest.plan["rendering"]["varied"] is False
    assert [str(subject.vendor) for subject in stored] == ["B", "D", "B", "D"]
    assert cli.run(["replay", out, stored.ids[-1], "--cohort", "hearts:1"]) == 0
    for wrong in (["--copies", "0"], ["--vendor", "X"], ["--workers", "0"], ["--seed", "-1"]):
        assert cli.run([*line, "--out", str(tmp_path / "w"), *wrong]) == 2
    assert cli.run([*line, "--out", out]) == 2
    assert "a name that is free" in capsys.readouterr().err
