"""Differences of two ways to train, with intervals over training seeds and test subjects at once.

Which seed a network was trained with and which subjects it is tested on are both chance. A test over subjects alone
takes the chance of one training for a difference of methods; so both are drawn anew here, independently of each other:
the bootstrap of two crossed factors of Owen 2007 (doi 10.1214/07-AOAS122), which is rather too wide than too narrow
where both factors have many levels. With three seeds the part of the training's chance comes out too small by a third.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.seeding import Stage, numpy_stream

DRAWS = 4000
"""Bootstrap samples of an interval."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean difference and what the bootstrap leaves in doubt.

    Attributes
    ----------
    difference
        Mean of treated minus control, in the unit of what was measured; NaN if nothing was.
    low, high
        Ends of the 95 % interval (percentiles of the bootstrap means); NaN if there is one seed and one subject alone.
    seeds, subjects
        How many of either have a value.
    """

    difference: float
    low: float
    high: float
    seeds: int
    subjects: int


def difference(
    treated: NDArray[np.floating], control: NDArray[np.floating], *, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Return the mean difference of two tables of one shape and its 95 % interval.

    Parameters
    ----------
    treated, control
        `(seeds, subjects)`, the same seed and subject at the same place; a pair with a NaN does not count.
    seed
        Root of chance; tables of equal shape are drawn from alike.
    draws
        Bootstrap samples.

    Raises
    ------
    InputError
        If the tables differ in shape or have not two axes.
    """
    if treated.shape != control.shape or treated.ndim != 2:
        got = f"{treated.shape} and {control.shape}"
        raise InputError("bootstrap", expected="two tables (seeds, subjects) of one shape", got=got)
    values = np.asarray(treated, np.float64) - np.asarray(control, np.float64)
    known = np.isfinite(values)
    levels = {"seeds": int(known.any(axis=1).sum()), "subjects": int(known.any(axis=0).sum())}
    if not known.any():
        return Interval(difference=float("nan"), low=float("nan"), high=float("nan"), **levels)
    filled, weight = np.where(known, values, 0.0), known.astype(np.float64)
    stream = numpy_stream(seed, stage=Stage.EVALUATION)
    rows, columns = (stream.multinomial(n, np.full(n, 1 / n), draws).astype(np.float64) for n in values.shape)
    total = ((rows @ filled) * columns).sum(axis=1)
    count = ((rows @ weight) * columns).sum(axis=1)
    means = total[count > 0] / count[count > 0]
    low, high = np.percentile(means, [2.5, 97.5]) if max(levels.values()) > 1 else (np.nan, np.nan)
    return Interval(difference=float(values[known].mean()), low=float(low), high=float(high), **levels)
