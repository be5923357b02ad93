"""The closed vocabularies: tissues, pathologies, phases, vendors, sexes. Codes live nowhere else."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TypeVar

from synthgen.errors import InputError


class Tissue(IntEnum):
    """Nine tissue classes of a label map (after Amirrajab et al. 2022, doi 10.1016/j.compmedimag.2022.102123)."""

    BACKGROUND = 0
    LV = 1  # left-ventricular cavity, papillary muscles included
    MYO = 2  # left-ventricular myocardium, scar included
    RV = 3  # right-ventricular cavity
    LUNG = 4
    MUSCLE = 5  # muscle, bone and other soft tissue, right-ventricular wall included
    FAT = 6  # subcutaneous, visceral and epicardial fat, skin, pericardium
    ABDOMEN = 7  # liver, spleen, stomach, bowel, kidney
    VESSEL = 8  # great vessels and atria


HEART = (Tissue.LV, Tissue.MYO, Tissue.RV)


_Member = TypeVar("_Member", bound="_Vocabulary")  # typing.Self is not understood by run-time checkers of methods


class _Vocabulary(StrEnum):
    @classmethod
    def parse(cls: type[_Member], text: object, *, subject: str = "") -> _Member:
        """Return the member written as `text` (case-insensitive).

        Raises
        ------
        InputError
            If `text` is not in the vocabulary; `subject` names where it came from.
        """
        for member in cls:
            if str(text).strip().upper() == member.value.upper():  # what is no text is in no vocabulary either
                return member
        known = ", ".join(cls)
        raise InputError(subject or cls.__name__.lower(), expected=f"one of {known}", got=repr(text))


class Pathology(_Vocabulary):
    """Diagnostic classes of ACDC (Bernard et al. 2018, doi 10.1109/TMI.2018.2837502)."""

    NOR = "NOR"  # normal
    MINF = "MINF"  # previous myocardial infarction
    DCM = "DCM"  # dilated cardiomyopathy
    HCM = "HCM"  # hypertrophic cardiomyopathy
    ARV = "ARV"  # abnormal right ventricle; "RV" in ACDC's own files


class Phase(_Vocabulary):
    """The two cardiac phases that every subject has."""

    ED = "ED"  # end-diastole
    ES = "ES"  # end-systole


class Vendor(_Vocabulary):
    """Scanner vendors by the letters of M&Ms (Campello et al. 2021, doi 10.1109/TMI.2021.3090082)."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"

    @property
    def manufacturer(self) -> str:
        """The manufacturer behind the letter; a style, not a claim about a product."""
        return {"A": "Siemens", "B": "Philips", "C": "GE", "D": "Canon"}[self.value]


class Sex(_Vocabulary):
    """Sex as the class rules need it."""

    F = "F"
    M = "M"
