"""The strict traits of a patient, as identities are compared by. Apart from the store, which converting never needs."""

from __future__ import annotations

from conformance.identity.traits import Traits
from mappings.document.people import Patient

__all__ = ["strict_traits"]


def strict_traits(patient: Patient) -> Traits:
    """The strict traits a structure holds."""
    return Traits(
        birth_name=patient.birth_name,
        first_given_name=patient.first_given_name or "",
        given_names=patient.given_names or "",
        sex=str(patient.sex),
        birth_date=patient.birth_date,
        birth_place=patient.birth_place or "",
    )
