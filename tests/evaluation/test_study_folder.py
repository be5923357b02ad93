"""What a study writes, anyone can read."""

from __future__ import annotations

import json
import math
from pathlib import Path

from synthgen.evaluation.study_folder import read_scores, write_json


def test_what_was_not_measured_survives_as_null(tmp_path: Path) -> None:
    """A structure that nobody has is NaN here and null in the file, there and back."""
    write_json(tmp_path / "scores.json", {"a": {"dice": {"rv": math.nan, "lv": 0.5}, "guess": "ARV"}})
    assert json.loads((tmp_path / "scores.json").read_text())["a"]["dice"] == {"rv": None, "lv": 0.5}
    back = read_scores(tmp_path / "scores.json")["a"]
    assert math.isnan(back["dice"]["rv"])
    assert (back["dice"]["lv"], back["guess"]) == (0.5, "ARV")
