"""`synthgen diff`: what two datasets have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.commands.console import emit, table
from synthgen.commands.options import FOLDER, json_option

if TYPE_CHECKING:
    from synthgen.datasets.comparison import Comparison, Difference

_SHOWN = 20


@click.command()
@click.argument("first", type=FOLDER)
@click.argument("second", type=FOLDER)
@json_option
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Say how the datasets FIRST and SECOND differ: subjects removed, added and changed, whatever their formats.

    Differing is no failure: the exit code is 0 whenever both could be read.
    """
    from synthgen.datasets.comparison import compare

    found = compare(first, second)
    emit({"first": first, "second": second, **found.as_dict()}, _tell(found), as_json=as_json)


def _tell(found: Comparison) -> str:
    """Return a comparison as lines of text."""
    rows = {
        "content": "the same" if found.same_content else "different",
        "request": "the same" if found.same_request else "different",
        "relation": found.relation,
        "equal": found.kept,
        "removed": _listed(found.removed),
        "added": _listed(found.added),
        "changed": len(found.changed),
    }
    lines = [describe(difference) for difference in found.changed[:_SHOWN]]
    more = len(found.changed) - _SHOWN
    return "\n".join([table(rows), *lines, *([f"... and {more} more"] if more > 0 else [])])


def _listed(ids: tuple[str, ...]) -> str:
    """Return how many and, as far as they fit, which."""
    shown = [*ids[:_SHOWN], *(["..."] if len(ids) > _SHOWN else [])]
    return f"{len(ids)} ({', '.join(shown)})" if ids else "0"


def describe(difference: Difference) -> str:
    """Return one difference as a line of text."""
    facts = difference.as_dict()
    parts = [", ".join(difference.fields)]
    if facts["largest_intensity"] is not None:
        parts.append(f"intensities by up to {difference.largest_intensity:.3g}")
    if difference.label_voxels:
        parts.append(f"{difference.label_voxels} label voxels")
    return f"{difference.subject_id}: {'; '.join(parts)}"
