"""The swap table: which structures of a donor's heart travel, by the classes of recipient and donor.

Thermos et al. 2021 (DAA-GAN), doi 10.1007/978-3-030-87199-4_15: the myocardium and the left ventricle carry hypertrophy
(Fig. 1), the right ventricle carries ARV (section 3). One pathology per subject (supplement, section A): a normal heart
takes any, a diseased one only the structures of its own disease, or everything from a normal donor. The rows of MINF
and DCM are not in the text but in the published code.
"""

from __future__ import annotations

from types import MappingProxyType

from synthgen.errors import InputError
from synthgen.labels import HEART, Pathology, Tissue

Travellers = tuple[Tissue, ...]

TRAVELLERS: MappingProxyType[Pathology, Travellers] = MappingProxyType(
    {
        Pathology.NOR: HEART,
        Pathology.MINF: (Tissue.LV, Tissue.MYO),
        Pathology.DCM: (Tissue.LV, Tissue.MYO),
        Pathology.HCM: (Tissue.LV, Tissue.MYO),
        Pathology.ARV: (Tissue.RV,),
    }
)
"""The structures that carry a class. The result has the class of the donor that they came from."""


def donors_for(recipient: Pathology) -> tuple[Pathology, ...]:
    """Return the classes that a donor for a heart of class `recipient` may have."""
    if recipient is Pathology.NOR:
        return tuple(TRAVELLERS)
    return (Pathology.NOR, recipient)


def travellers(recipient: Pathology, donor: Pathology) -> Travellers:
    """Return the structures that travel from a heart of class `donor` into one of class `recipient`.

    Raises
    ------
    InputError
        If the result would have two diseases.
    """
    if donor not in donors_for(recipient):
        expected = f"a donor of class {' or '.join(donors_for(recipient))} for one of class {recipient}"
        raise InputError("swap", expected=expected, got=f"{donor}", hint="A subject has one pathology")
    return TRAVELLERS[donor]
