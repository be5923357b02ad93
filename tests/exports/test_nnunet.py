from __future__ import annotations

import importlib.util
import json

import pytest

from synthgen.errors import InputError
from synthgen.exports.nnunet import export_nnunet


@pytest.fixture(scope="module")
def raw(dataset, tmp_path_factory):
    """Return the export of six phantoms."""
    return export_nnunet(dataset, tmp_path_factory.mktemp("nnUNet_raw") / "Dataset501_RINGS")


def test_the_tree_is_that_of_nnunet(raw):
    """Every case has one image with channel 0 and one label; the description counts them and names the labels."""
    content = json.loads((raw / "dataset.json").read_text())
    images = {path.name.removesuffix("_0000.nii.gz") for path in (raw / "imagesTr").iterdir()}
    assert images == {path.name.removesuffix(".nii.gz") for path in (raw / "labelsTr").iterdir()}
    assert content["numTraining"] == len(images) == 12
    assert content["labels"] == {"background": 0, "lv": 1, "myo": 2, "rv": 3, "lung": 4, "muscle": 5}
    assert content["licence"] == "CC BY-NC-SA 4.0"


def test_folds_keep_the_phases_of_a_subject_together(raw):
    """No subject is trained on and judged in the same fold, and each is judged once."""
    splits = json.loads((raw / "splits_final.json").read_text())
    assert len(splits) == 5
    for split in splits:
        train, val = ({case.rsplit("_", 1)[0] for case in split[part]} for part in ("train", "val"))
        assert not train & val
    assert sorted(case for split in splits for case in split["val"]) == sorted(
        path.name.removesuffix(".nii.gz") for path in (raw / "labelsTr").iterdir()
    )


@pytest.mark.parametrize("name", ["cohort", "Dataset1_X", "Dataset501_", "Dataset501-X"])
def test_a_name_that_nnunet_cannot_find_is_refused(dataset, tmp_path, name):
    """nnU-Net looks datasets up by their folder's name."""
    with pytest.raises(InputError, match="Dataset501_HEARTS"):
        export_nnunet(dataset, tmp_path / name)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nnunetv2") is None, reason="needs nnunetv2, which is gigabytes")
@pytest.mark.filterwarnings("default")
def test_nnunet_finds_no_fault(raw, monkeypatch):
    """nnU-Net's own integrity check accepts the export and reads every case."""
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    verify_dataset_integrity(str(raw), num_processes=1)
