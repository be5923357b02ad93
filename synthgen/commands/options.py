"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from synthgen.errors import InputError
from synthgen.labels import Pathology, Vendor

F = TypeVar("F", bound=Callable[..., object])

FOLDER = click.Path(file_okay=True, path_type=Path)
"""A path; whether it must or must not exist is said by the function that uses it."""


def seed_option(function: F) -> F:
    """Add `--seed`."""
    kind = click.IntRange(min=0)
    return click.option("--seed", type=kind, default=0, show_default=True, help="Root of all chance.")(function)


def json_option(function: F) -> F:
    """Add `--json`."""
    text = "Write the result as one JSON document to standard output, and no progress."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def format_option(function: F) -> F:
    """Add `--format`; None when it is not given."""
    text = "Container of the volumes; all hold the same.  [default: zarr]"
    choice = click.Choice(["zarr", "hdf5", "nifti"])
    return click.option("--format", "container", type=choice, default=None, help=text)(function)


def workers_option(function: F) -> F:
    """Add `--workers`."""
    text = "Processes that work. The result is the same for any number.  [default: one per core]"
    return click.option("--workers", type=int, default=None, help=text)(function)


def cohort_option(function: F) -> F:
    """Add `--cohort`."""
    text = "Cohort whose label maps were rendered; needed only if `synthgen render` made DATASET."
    return click.option("--cohort", default=None, help=text)(function)


def device_option(function: F) -> F:
    """Add `--device`."""
    text = "Where networks run: auto, cpu or cuda."
    return click.option("--device", default="auto", show_default=True, help=text)(function)


def pathologies(values: Sequence[str]) -> tuple[Pathology, ...]:
    """Return the classes written as `ARV`, `HCM,DCM` or `all`, each once and in the order given.

    Raises
    ------
    InputError
        If one of them is unknown.
    """
    words = _words(values)
    if "all" in words:
        return tuple(Pathology)
    return tuple(dict.fromkeys(Pathology.parse(word, subject="--target") for word in words))


def vendors(values: Sequence[str]) -> tuple[Vendor, ...]:
    """Return the vendors written as `D` or `A,C`, each once and in the order given; InputError if one is unknown."""
    return tuple(dict.fromkeys(Vendor.parse(word, subject="--vendor") for word in _words(values)))


def severity(text: str) -> tuple[float, float]:
    """Return the range written as `LO:HI` or one number.

    Raises
    ------
    InputError
        If it is no range within 0 to 1.
    """
    low, colon, high = text.partition(":")
    try:
        bounds = float(low), float(high if colon else low)
    except ValueError:
        bounds = (1.0, 0.0)
    if not 0.0 <= bounds[0] <= bounds[1] <= 1.0:
        raise InputError("--severity", expected="LO:HI with 0 <= LO <= HI <= 1, or one number", got=repr(text))
    return bounds


def _words(values: Sequence[str]) -> list[str]:
    return [word.strip() for value in values for word in value.split(",")]
