"""`Stages`: named steps of a fit, each skipped when it is done and nothing that it depends on has changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synthgen.errors import InputError
from synthgen.whole_file import left_over, whole_file

_STARTED, _DONE = "started.json", "done.json"


class Stages:
    """The steps of one fit in one working folder.

    A step's key is the hash of its name, its settings and the keys of the steps that it builds on. A finished step
    leaves `<name>/done.json` with its key; a step found unfinished under the same key resumes where its own files
    stand, one found under another key starts over.
    """

    def __init__(self, folder: Path, announce: Callable[[str], None]) -> None:
        self.folder, self._announce = folder, announce
        self._keys: dict[str, str] = {}

    def run(
        self, name: str, settings: Mapping[str, object], work: Callable[[Path], None], *, after: Sequence[str] = ()
    ) -> Path:
        """Run `work(folder of the step)` unless it is done; return the folder of the step.

        Parameters
        ----------
        settings
            JSON-able; everything outside the steps in `after` that the result depends on.
        after
            Steps run before whose results this one uses.

        Raises
        ------
        InputError
            If something that no fit made has the place of the step; it stays as it is.
        """
        text = json.dumps([name, settings, [self._keys[step] for step in after]], sort_keys=True, default=str)
        key = self._keys[name] = hashlib.sha256(text.encode()).hexdigest()
        folder = self.folder / name
        started, done = folder / _STARTED, folder / _DONE
        if _key(done) == key:
            self._announce(f"{name}: done before")
            return folder
        if folder.exists() and _key(started) != key:
            _remove(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _write(started, {"key": key, "settings": settings})
        self._announce(f"{name}: resuming" if len(list(folder.iterdir())) > 1 else f"{name}: starting")
        work(folder)
        _write(done, {"key": key})
        return folder


def _remove(folder: Path) -> None:
    """Remove what another fit left in the place of a step, and nothing else."""
    started = folder / _STARTED
    marks = {started, folder / _DONE} | left_over(started)
    if not folder.is_dir() or (any(folder.iterdir()) and not any(mark.is_file() for mark in marks)):
        hint = "Move it away, or choose another name for the bundle"
        raise InputError(folder, expected=f"the step of a fit, with its {_STARTED}", got="something else", hint=hint)
    shutil.rmtree(folder)


def _key(file: Path) -> str | None:
    try:
        return str(json.loads(file.read_text())["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, content: Mapping[str, object]) -> None:
    with whole_file(file) as staged:
        staged.write_text(json.dumps(content, indent=1, default=str))
