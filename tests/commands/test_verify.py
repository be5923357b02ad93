"""`synthgen verify`: whole or damaged, and who."""

from __future__ import annotations

import json

from synthgen import cli


def test_a_whole_dataset_is_whole(published, capsys) -> None:
    """A dataset that nothing has touched is whole, voxels included."""
    assert cli.run(["verify", str(published), "--deep"]) == 0
    assert "whole" in capsys.readouterr().out


def test_a_changed_byte_names_its_subject(dataset, capsys) -> None:
    """One changed byte ends with code 4 and names the subject it belongs to, and no other."""
    victim = sorted(path for path in (dataset / "volumes.zarr" / "heart-0-00001").rglob("*") if path.is_file())[-1]
    raw = bytearray(victim.read_bytes())
    raw[len(raw) // 2] ^= 1
    victim.write_bytes(raw)
    assert cli.run(["verify", str(dataset)]) == 4
    out, err = capsys.readouterr()
    assert "heart-0-00001" in out
    assert "heart-0-00000" not in out + err
    assert err.count("\n") == 1


def test_damage_as_json(dataset, capsys) -> None:
    """Damage comes as one JSON document too, with the same exit code."""
    (dataset / "records" / "heart-0-00000.json").unlink()
    assert cli.run(["verify", str(dataset), "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["whole"] is False
    assert {fault["where"] for fault in document["damage"]} == {"heart-0-00000"}


def test_a_stranger_is_told_once(dataset, capsys) -> None:
    """A fault that belongs to no subject names its file once, and one of a subject names both."""
    (dataset / "extra.txt").write_text("x")
    (dataset / "records" / "heart-0-00000.json").unlink()
    assert cli.run(["verify", str(dataset)]) == 4
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "extra.txt: extra; nobody wrote it."
    assert second.startswith("heart-0-00000: ")
    (dataset / "manifest.json").write_text("{}")
    assert cli.run(["verify", str(dataset)]) == 4
    assert capsys.readouterr().out.count("manifest.json") == 1


def test_what_is_no_dataset_is_no_damage(dataset, tmp_path, capsys) -> None:
    """A folder of something else is bad input, as it is for `show`; a dataset without its manifest is damaged."""
    (tmp_path / "other").mkdir()
    assert cli.run(["verify", str(tmp_path / "other")]) == 2
    assert "manifest.json" in capsys.readouterr().err
    (dataset / "manifest.json").unlink()
    assert cli.run(["verify", str(dataset)]) == 4
