"""`synthgen show`: the facts of a dataset or a bundle."""

from __future__ import annotations

import json

from PIL import Image

from synthgen import cli
from synthgen.datasets.verify import verify


def test_a_dataset_is_told_on_one_screen(published, capsys) -> None:
    """Subjects, classes, vendors, grids and indices of a dataset fit on a screen of 24 lines of 120 characters."""
    assert cli.run(["show", str(published)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 120 + len(str(published))
    text = "\n".join(lines)
    assert all(part in text for part in ("HCM 1", "DCM 1", "64 x 64 at 2.00 mm", "LV EF, %", "preview.png"))


def test_a_dataset_as_json(published, capsys) -> None:
    """The same facts come as one JSON document with numbers."""
    assert cli.run(["show", str(published), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["subjects"] == 2
    assert 5 < document["indices"]["lv_ef_percent"]["DCM"]["mean"] < 45
    assert document["slices"] > 20


def test_a_sheet_is_drawn_on_request(published, tmp_path, capsys) -> None:
    """`--sheet` draws as many subjects as are asked for into a picture of its own."""
    assert cli.run(["show", str(published), "--sheet", str(tmp_path / "one.png"), "--rows", "1"]) == 0
    assert str(tmp_path / "one.png") in capsys.readouterr().out
    assert cli.run(["show", str(published), "--sheet", str(tmp_path / "two.png"), "--rows", "2"]) == 0
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.height < two.height


def test_a_sheet_has_a_place_and_a_name_of_its_own(dataset, tmp_path, capsys, monkeypatch) -> None:
    """A picture inside the dataset, of another format or in no folder is one line and code 2, and nothing changes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(dataset)
    before = (dataset / "preview.png").read_bytes()
    wrong = {dataset / "preview.png": "outside", "link/new.png": "outside", "x.jpg": ".png", "nowhere/x.png": "exists"}
    for sheet, said in wrong.items():
        assert cli.run(["show", str(dataset), "--sheet", str(sheet)]) == 2
        assert said in capsys.readouterr().err
    assert (dataset / "preview.png").read_bytes() == before
    assert verify(dataset) == ()
    assert {path.name for path in tmp_path.iterdir()} == {dataset.name, "link"}


def test_rows_are_of_a_sheet(dataset, capsys) -> None:
    """`--rows` without `--sheet` would do nothing, of a dataset or a bundle, and is refused."""
    for path in (str(dataset), "default"):
        assert cli.run(["show", path, "--rows", "2"]) == 2
        assert "--sheet" in capsys.readouterr().err


def test_the_shipped_bundle_is_told(capsys) -> None:
    """`show default` says what the shipped bundle was fitted on and under which licence."""
    assert cli.run(["show", "default"]) == 0
    out = capsys.readouterr().out
    assert "virtual hearts" in out
    assert "Apache-2.0" in out


def test_what_cannot_be_shown_is_named(tmp_path, capsys, monkeypatch) -> None:
    """A mistyped name may have meant a dataset or a bundle, and a bundle has nothing to draw."""
    monkeypatch.chdir(tmp_path)
    for arguments, said in ((["nope"], "a dataset, a bundle"), (["default", "--sheet", "x.png"], "a dataset to draw")):
        assert cli.run(["show", *arguments]) == 2
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_dataset_is_said_to_be_one(tmp_path, capsys) -> None:
    """Where only the work of an interrupted command lies, the message says how to go on."""
    (tmp_path / "cohort.partial").mkdir()
    assert cli.run(["show", str(tmp_path / "cohort")]) == 2
    assert "cohort.partial is unfinished: run the command that began it again" in capsys.readouterr().err
