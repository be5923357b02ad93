"""`synthgen hearts`: a population on disk."""

from __future__ import annotations

import json

from synthgen import cli
from synthgen.datasets.reader import StoredDataset
from synthgen.labels import Pathology, Vendor


def test_hearts_of_one_class_and_vendor(capsys, tmp_path) -> None:
    """Count, class, vendor and seed are what the dataset holds, and the result is told as JSON."""
    line = ["hearts", "--count", "1", "--out", str(tmp_path / "h"), "--target", "HCM", "--vendor", "B", "--seed", "5"]
    assert cli.run([*line, "--workers", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {"folder": str(tmp_path / "h"), "layout": "dataset", "subjects": 1}
    (subject,) = StoredDataset(tmp_path / "h")
    assert (subject.pathology, subject.vendor) == (Pathology.HCM, Vendor.B)
    assert subject.subject_id.startswith("heart-5-")


def test_the_root_is_no_name_for_a_dataset(capsys) -> None:
    """`--out /` is bad input, told in one line."""
    assert cli.run(["hearts", "--count", "1", "--out", "/"]) == 2
    assert "expected a name" in capsys.readouterr().err
