"""Cells of the tables in Markdown that commands print."""

from __future__ import annotations

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


def interval(interval: Interval, factor: float) -> str:
    """Return a difference with its interval, multiplied by `factor`; `n/a` if nothing was measured."""
    if not interval.subjects:
        return "n/a"
    middle, low, high = (factor * value for value in (interval.difference, interval.low, interval.high))
    return f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]"
