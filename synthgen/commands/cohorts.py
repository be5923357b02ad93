"""The cohort that a command is given, and a word on its subjects that cannot be used."""

from __future__ import annotations

import click

from synthgen.cohorts.mnms import Mnms
from synthgen.sources import open_cohort
from synthgen.subjects import SourceCohort


def cohort_of(text: str, *, seed: int = 0, quiet: bool = False) -> SourceCohort:
    """Open a cohort as `open_cohort` does, and say on standard error, unless quiet, how many subjects are left out."""
    cohort = open_cohort(text, seed=seed)
    if isinstance(cohort, Mnms) and cohort.skipped and not quiet:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(cohort.skipped.items()))
        click.echo(f"{text}: {cohort.skipped.total()} subjects left out: {reasons}", err=True)
    return cohort
