"""What a study writes, anyone can read."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from synthgen.errors import InputError, SynthgenError
from synthgen.evaluation.study_folder import SPLIT_FILE, claim_folder, read_scores, write_json


def test_what_was_not_measured_survives_as_null(tmp_path: Path) -> None:
    """A structure that nobody has is NaN here and null in the file, there and back."""
    write_json(tmp_path / "scores.json", {"a": {"dice": {"rv": math.nan, "lv": 0.5}, "guess": "ARV"}})
    assert json.loads((tmp_path / "scores.json").read_text())["a"]["dice"] == {"rv": None, "lv": 0.5}
    back = read_scores(tmp_path / "scores.json")["a"]
    assert math.isnan(back["dice"]["rv"])
    assert (back["dice"]["lv"], back["guess"]) == (0.5, "ARV")


def test_a_study_whose_first_write_failed_begins_anew(tmp_path: Path, monkeypatch) -> None:
    """A full disk is told with the file's name and leaves nothing; what a killed run left of it is no study."""

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(SynthgenError, match=rf"{SPLIT_FILE}: cannot be written"):
        claim_folder(tmp_path / "study", {"seed": 1})
    monkeypatch.undo()
    assert list((tmp_path / "study").iterdir()) == []
    left = tmp_path / "study" / f".{SPLIT_FILE}.1.partial"
    left.touch()
    claim_folder(tmp_path / "study", {"seed": 1})
    assert set((tmp_path / "study").iterdir()) == {left, tmp_path / "study" / SPLIT_FILE}


def test_a_folder_of_another_kind_of_study_is_refused(tmp_path: Path) -> None:
    """It is said what the study in it says nothing of, as it is said which value differs; other files are no study."""
    claim_folder(tmp_path / "study", {"seed": 1})
    with pytest.raises(InputError, match=r"says nothing of tier.*another --out"):
        claim_folder(tmp_path / "study", {"seed": 1, "tier": "small"})
    with pytest.raises(InputError, match="another seed"):
        claim_folder(tmp_path / "study", {"seed": 2})
    with pytest.raises(InputError, match="something else"):
        claim_folder(tmp_path, {"seed": 1})
    with pytest.raises(SynthgenError, match="cannot be written"):
        claim_folder(tmp_path / "study" / SPLIT_FILE / "deeper", {"seed": 1})
