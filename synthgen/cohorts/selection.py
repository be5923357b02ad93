"""`Selection`: some subjects of a cohort, as a cohort of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from synthgen.errors import InputError
from synthgen.subjects import SourceCohort, SourceSubject


class Selection:
    """Chosen subjects of a cohort, in the order given (a `SourceCohort`).

    Parameters
    ----------
    cohort
        Where they come from; read when a subject is asked for.
    numbers
        Places in `cohort`; a number may come twice.

    Raises
    ------
    InputError
        If none is chosen, or a number is none of the cohort's.
    """

    def __init__(self, cohort: SourceCohort, numbers: Sequence[int]) -> None:
        if not numbers or not all(0 <= number < len(cohort) for number in numbers):
            got = f"{len(numbers)} numbers" + (f", {min(numbers)} to {max(numbers)}" if numbers else "")
            raise InputError("selection", expected=f"numbers of subjects, 0 to {len(cohort) - 1}", got=got)
        self.cohort, self.numbers = cohort, tuple(numbers)
        self.name, self.licence, self.citation = cohort.name, cohort.licence, cohort.citation
        self.label_scheme, self.of_patients = cohort.label_scheme, cohort.of_patients
        self.subject_pathologies = [cohort.subject_pathologies[number] for number in numbers]
        self.subject_vendors = [cohort.subject_vendors[number] for number in numbers]

    def fingerprint(self) -> str:
        """Return a text that changes when the cohort or the choice does."""
        chosen = hashlib.sha256(" ".join(map(str, self.numbers)).encode()).hexdigest()[:16]
        return f"{self.cohort.fingerprint()}, {len(self.numbers)} chosen: {chosen}"

    def __len__(self) -> int:
        """Return the number of chosen subjects."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> SourceSubject:
        """Read chosen subject `index`."""
        return self.cohort[self.numbers[index]]
