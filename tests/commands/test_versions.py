"""`synthgen export`, `extend`, `diff`, `replay`, `pack` and `unpack` on the command line."""

from __future__ import annotations

import json
import shutil

from synthgen import cli


def run_json(capsys, *arguments) -> dict:
    """Run a command with --json and return its document."""
    assert cli.run([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_life_of_a_dataset(published, tmp_path, capsys) -> None:
    """Converted, grown, compared, replayed, packed and unpacked; each command says what it did."""
    made = run_json(capsys, "export", published, "--to", "nifti", "--out", tmp_path / "nifti")
    assert made == {"dataset": str(published), "to": "nifti", "out": str(tmp_path / "nifti")}
    grown = run_json(capsys, "extend", tmp_path / "nifti", "--count", 1, "--workers", 1)
    assert (grown["version"], grown["added"]) == ("1.1.0", 1)
    assert grown["dataset"] == str(tmp_path / "nifti-v1.1.0")
    found = run_json(capsys, "diff", published, grown["dataset"])
    assert (found["relation"], found["kept"], found["added"]) == ("second grew from first", 2, ["heart-0-00002"])
    again = run_json(capsys, "replay", grown["dataset"], "heart-0-00002")
    assert again["same"]
    run_json(capsys, "pack", grown["dataset"], tmp_path / "all.zip")
    run_json(capsys, "unpack", tmp_path / "all.zip")
    shown = run_json(capsys, "show", tmp_path / "all")
    assert (shown["version"], shown["format"], shown["subjects"]) == ("1.1.0, grown from 1.0.0", "nifti", 3)
    assert cli.run(["diff", str(published), grown["dataset"]]) == 0
    assert "1 (heart-0-00002)" in capsys.readouterr().out


def test_mistakes_are_one_line(published, tmp_path, capsys) -> None:
    """No subject and --all with subjects, a bad ending, a missing dataset: code 2, one line."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    wrong = (
        ("replay", published),
        ("replay", published, "--all", "heart-0-00000"),
        ("pack", published, tmp_path / "x.tgz"),
        ("unpack", tmp_path / "none.zip"),
        ("unpack", published / "manifest.json"),
        ("extend", published, "--count", "0"),
        ("diff", published, tmp_path / "none"),
        ("replay", published, "--all", "--device", "banana"),
        ("extend", published, "--count", "1", "--device", "banana"),
        ("export", published, "--to", "bids", "--out", loop),
        ("export", published, "--to", "hdf5", "--out", published),
    )
    for arguments in wrong:
        assert cli.run([str(argument) for argument in arguments]) == 2, arguments
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1, err


def test_what_was_replayed_before_damage_is_told(published, tmp_path, capsys) -> None:
    """A damaged volume ends it with code 4, after the verdict on the subjects before."""
    broken = tmp_path / "broken"
    shutil.copytree(published, broken)
    next(path for path in broken.rglob("heart-0-00001/**/c/0/0/0/0")).unlink()
    assert cli.run(["replay", str(broken), "--all", "--json"]) == 4
    out, err = capsys.readouterr()
    assert [made["subject_id"] for made in json.loads(out)["replays"]] == ["heart-0-00000"]
    assert not json.loads(out)["same"]
    assert "heart-0-00001" in err
