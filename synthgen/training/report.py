"""`Report`: what a long training has somebody told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where a fit or a study tells what it does.

    Attributes
    ----------
    stage
        Called with one line when a stage or a training starts, resumes or is skipped.
    count
        Called with what is counted, what is done and what there is to do.
    """

    stage: Callable[[str], None] = lambda _: None
    count: Callable[[str, int, int], None] = lambda *_: None
