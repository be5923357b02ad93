"""The folder of a study: made or recognised by what is written in its `split.json`, so that no two studies mix."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthgen.errors import InputError, writing_failed
from synthgen.whole_file import left_over, whole_file

SPLIT_FILE, RESULTS_FILE = "split.json", "results.json"


def claim_folder(folder: Path, described: Mapping[str, object], *, file: str = SPLIT_FILE) -> None:
    """Make `folder` that of the study that `described` tells about, or find that it is.

    Parameters
    ----------
    described
        JSON values that a study must share with what is in its folder.
    file
        Name of the file that they are written to.

    Raises
    ------
    InputError
        If the folder holds something else, or a study of which a value differs; the message names which.
    """
    note = folder / file
    if folder.exists() and not (folder.is_dir() and (note.exists() or set(folder.iterdir()) <= left_over(note))):
        raise InputError(folder, expected="a new folder, or that of the same study", got="something else")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_failed(folder, error) from error
    if not note.exists():
        write_json(note, described)
        return
    try:
        there = json.loads(note.read_text(encoding="utf-8"))
        lacking = [key for key in described if key not in there]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(note, expected="the split of a study", got=f"a file that is none ({error!r})") from error
    if lacking:
        other = f"one that says nothing of {', '.join(lacking)}"
        raise InputError(note, expected="the same study", got=other, hint="Choose another --out")
    got = {name: there[name] for name in described}
    if got != dict(described):
        changed = ", ".join(name for name in described if got[name] != described[name])
        raise InputError(note, expected="the same study", got=f"another {changed}", hint="Choose another --out")


def write_json(file: Path, content: Mapping[str, object]) -> None:
    """Write `content`, whole or not at all; a number that was not measured, NaN, becomes null, which JSON has."""
    text = json.dumps(_measured(content), indent=1, allow_nan=False)
    with whole_file(file) as staged:
        staged.write_text(text, encoding="utf-8")


def read_scores(file: Path) -> dict[str, Any]:
    """Read scores that `write_json` wrote: null is NaN again."""
    scores: dict[str, Any] = _unmeasured(json.loads(file.read_text(encoding="utf-8")))
    return scores


def _unmeasured(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {name: _unmeasured(part) for name, part in value.items()}
    return math.nan if value is None else value


def _measured(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _measured(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_measured(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
