"""Steps of a fit."""

from pathlib import Path

import pytest

from synthgen.errors import InputError
from synthgen.training.stage import Stages


def _run(folder: Path, settings: dict, calls: list[str]) -> None:
    stages = Stages(folder, lambda _: None)
    for name, after in (("first", []), ("beside", []), ("second", ["first"])):
        stages.run(name, settings if name == "first" else {}, lambda _, name=name: calls.append(name), after=after)


def test_finished_steps_are_skipped(tmp_path: Path) -> None:
    """A second run with the same settings does nothing."""
    calls: list[str] = []
    _run(tmp_path, {"a": 1}, calls)
    _run(tmp_path, {"a": 1}, calls)
    assert calls == ["first", "beside", "second"]


def test_a_changed_setting_runs_everything_built_on_it(tmp_path: Path) -> None:
    """A step whose upstream changed runs again, although its own settings did not change; one beside it does not."""
    calls: list[str] = []
    _run(tmp_path, {"a": 1}, calls)
    _run(tmp_path, {"a": 2}, calls)
    assert calls == ["first", "beside", "second", "first", "second"]


def test_an_interrupted_step_keeps_its_files(tmp_path: Path) -> None:
    """A step that raised is run again with what it had written."""
    seen: list[bool] = []

    def work(folder: Path) -> None:
        seen.append((folder / "half").exists())
        (folder / "half").touch()
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path, lambda _: None).run("step", {}, work)
    Stages(tmp_path, lambda _: None).run("step", {}, work)
    assert seen == [False, True]


def test_files_of_other_settings_are_not_resumed(tmp_path: Path) -> None:
    """A half-done step of other settings starts over from an empty folder."""
    seen: list[bool] = []

    def work(folder: Path) -> None:
        seen.append((folder / "half").exists())
        (folder / "half").touch()

    Stages(tmp_path, lambda _: None).run("step", {"a": 1}, work)
    Stages(tmp_path, lambda _: None).run("step", {"a": 2}, work)
    assert seen == [False, False]


def test_what_no_fit_made_is_not_removed(tmp_path: Path) -> None:
    """Somebody's folder in the place of a step is refused and stays; an empty one is taken."""
    (tmp_path / "step").mkdir()
    Stages(tmp_path, lambda _: None).run("step", {"a": 1}, lambda _: None)
    (tmp_path / "other").mkdir()
    notes = tmp_path / "other" / "notes.txt"
    notes.touch()
    (tmp_path / "third").touch()
    for name in ("other", "third"):
        with pytest.raises(InputError, match=name):
            Stages(tmp_path, lambda _: None).run(name, {}, lambda _: None)
    assert notes.exists()


def test_a_step_that_was_killed_at_its_start_is_no_obstacle(tmp_path: Path) -> None:
    """Between the folder and its mark lies a moment."""
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / ".started.json.1.partial").touch()
    Stages(tmp_path, lambda _: None).run("step", {}, lambda _: None)
    assert (tmp_path / "step" / "done.json").exists()
