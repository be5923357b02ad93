"""Whole numbers that are handed in: counts, seeds and places."""

from __future__ import annotations

import operator
import reprlib
from contextlib import suppress
from typing import Final, SupportsIndex, cast

from synthgen.errors import InputError

LARGEST_COUNT: Final = 1 << 20
"""Subjects of a cohort, or of a condition, with whose 32-bit key it makes numbers that JSON readers keep exactly."""


def whole_number(option: str, value: object, lowest: int, highest: int | None = None) -> int:
    """Return `value`, a whole number of Python, numpy or torch and no truth value, as an int.

    Parameters
    ----------
    option
        What the number is, for the message.
    value
        The number.
    lowest, highest
        The smallest and the largest that will do; None for no largest.

    Raises
    ------
    InputError
        If it is none, or out of range.
    """
    number = None
    if not str(getattr(value, "dtype", type(value).__name__)).endswith("bool"):  # torch's bools have an index too
        with suppress(TypeError):
            number = operator.index(cast("SupportsIndex", value))
    if number is None or number < lowest or (highest is not None and number > highest):
        upper = "" if highest is None else f" to {highest}"
        got = reprlib.repr(value) if number is None else str(number)
        raise InputError(option, expected=f"a whole number from {lowest}{upper}", got=got)
    return number
