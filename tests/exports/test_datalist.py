from __future__ import annotations

import json

import numpy as np
import pytest

from synthgen.exports.datalist import export_datalist


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    """Return the export of six phantoms."""
    return export_datalist(dataset, tmp_path_factory.mktemp("monai") / "rings")


def test_items_name_files_folds_and_classes(folder):
    """Each item has an image and a label that exist, and what a sampler needs to know."""
    content = json.loads((folder / "datalist.json").read_text())
    assert len(content["training"]) == content["numTraining"] == 12
    for item in content["training"]:
        assert (folder / item["image"]).is_file()
        assert (folder / item["label"]).is_file()
        assert {"fold", "subject", "phase", "pathology", "vendor"} < set(item)
    folds = {item["subject"]: set() for item in content["training"]}
    for item in content["training"]:
        folds[item["subject"]].add(item["fold"])
    assert all(len(found) == 1 for found in folds.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_monai_loads_it(folder, source):
    """`load_decathlon_datalist` finds every case, and MONAI reads image and label as they are in the dataset."""
    data = pytest.importorskip("monai.data", reason="needs monai, seconds to import")
    from monai.transforms import LoadImaged

    items = data.load_decathlon_datalist(folder / "datalist.json", is_segmentation=True, data_list_key="training")
    assert len(items) == 12
    loaded = LoadImaged(keys=["image", "label"])(items[0])
    subject = source.read(items[0]["subject"])
    volumes = subject.images["ED"], subject.labels["ED"]
    for found, volume in zip((loaded["image"], loaded["label"]), volumes, strict=True):
        np.testing.assert_allclose(np.asarray(found).transpose(2, 1, 0), volume.voxels, atol=1e-6)
        np.testing.assert_allclose(found.affine.numpy(), volume.affine, atol=1e-4)
