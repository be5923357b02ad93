"""What a running command tells: progress and messages on standard error, results on standard output.

On a terminal, progress is a bar with rate and time left; elsewhere it is a plain line every few seconds. A result is
text for people or, with `--json`, exactly one JSON document.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from synthgen.errors import resumable
from synthgen.training.report import Report

_LINE_EVERY_S = 5.0


class Reporter:
    """Progress of one command, to be used as a context manager.

    Parameters
    ----------
    noun
        What `progress` counts, in the plural.
    quiet
        Whether to say nothing at all.
    """

    def __init__(self, noun: str, *, quiet: bool = False) -> None:
        self._noun, self._counted, self._quiet = noun, noun, quiet
        self._bar = _bar(Console(stderr=True)) if not quiet and sys.stderr.isatty() else None
        self._task: TaskID | None = None
        self._started = self._last_line = time.monotonic()
        self._first_done = 0

    def __enter__(self) -> Self:
        """Start the clock and, on a terminal, the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    def announce(self, text: str) -> None:
        """Say `text`, a line of its own."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif not self._quiet:
            click.echo(text, err=True)
        self._task = None

    def progress(self, done: int, total: int) -> None:
        """Say that `done` of `total` are finished."""
        self.count(self._noun, done, total)

    def count(self, noun: str, done: int, total: int) -> None:
        """Say that `done` of `total` of `noun` are finished; a new noun, or a message before it, starts a new count."""
        if self._task is None or noun != self._counted:
            self._counted, self._task = noun, self._begin(noun, done, total)
        task = self._task
        if self._bar is not None:
            self._bar.update(task, completed=done, total=total)
        elif not self._quiet and (done == total or time.monotonic() - self._last_line > _LINE_EVERY_S):
            self._last_line = time.monotonic()
            click.echo(self._line(done, total), err=True)

    def _begin(self, noun: str, done: int, total: int) -> TaskID:
        self._started, self._first_done = time.monotonic(), done
        return TaskID(0) if self._bar is None else self._bar.add_task(noun, total=total, completed=done)

    def _line(self, done: int, total: int) -> str:
        rate = (done - self._first_done) / max(time.monotonic() - self._started, 1e-3)
        speed = f", {_speed(rate)}" if rate > 0 else ""
        left = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        return f"{done} of {total} {self._counted}{speed}{left}"


def _speed(rate: float) -> str:
    """Return a rate with about two digits."""
    return f"{rate:.2g} per s" if rate < 10 else f"{rate:,.0f} per s"


class _RateColumn(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing before the first is done."""
        return Text(_speed(task.speed) if task.speed else "")


def _bar(console: Console) -> Progress:
    """Return a bar with count, rate and time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)


@contextmanager
def study_report(folder: Path, *, quiet: bool) -> Iterator[Report]:
    """Give what a study in `folder` tells its progress to; PartialError if it is interrupted with something to keep."""
    with Reporter("samples", quiet=quiet) as reporter, resumable(folder):
        yield Report(stage=reporter.announce, count=reporter.count)


def emit(document: Mapping[str, object], text: str, *, as_json: bool) -> None:
    """Write a result to standard output: `document` as JSON, or `text`."""
    click.echo(json.dumps(document, indent=2, default=_jsonable) if as_json else text)


def table(rows: Mapping[str, object]) -> str:
    """Return `rows` as lines of name and value, aligned."""
    width = max(map(len, rows), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _jsonable(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON-able")
