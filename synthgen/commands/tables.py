"""Cells of the tables in Markdown that commands print."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthgen.evaluation.bootstrap import Interval
    from synthgen.evaluation.overlap import Spread


def head(cells: list[str]) -> list[str]:
    """Return the first two lines of a table."""
    return [f"| {' | '.join(cells)} |", "|---" * len(cells) + "|"]


def percent(spread: Spread) -> str:
    """Return a mean and its deviation in percent, `n/a` if nothing was measured."""
    return f"{100 * spread.mean:.1f} ± {100 * spread.sd:.1f}" if spread.count else "n/a"


def millimetres(spread: Spread) -> str:
    """Return a mean and its deviation with one decimal, `n/a` if nothing was measured."""
    return f"{spread.mean:.1f} ± {spread.sd:.1f}" if spread.count else "n/a"


def interval(interval: Interval, factor: float, digits: int = 1) -> str:
    """Return a difference with its interval, multiplied by `factor`; `n/a` if nothing was measured, or no interval."""
    if not interval.subjects:
        return "n/a"
    middle, low, high = (factor * value for value in (interval.difference, interval.low, interval.high))
    ends = "n/a" if math.isnan(low) else f"{low:+.{digits}f}, {high:+.{digits}f}"
    return f"{middle:+.{digits}f} [{ends}]"


def intervals_over(trainings: int) -> str:
    """Return the headline of a table of differences: with one training its chance is in no interval."""
    over = "trainings and subjects" if trainings > 1 else "subjects alone, of one training each"
    return f"Differences, percentage points and mm, with 95 % intervals over {over}"
