"""Dispensations."""

from __future__ import annotations

from hypothesis import strategies as st

from mappings.document.dispensation import Dispensation, DispensedLine, RefusedLine, SubstitutionMade
from tests.support.strategies.header import headers
from tests.support.strategies.medication import medications, posologies
from tests.support.strategies.people import PHARMACISTS, identifiers
from tests.support.strategies.values import PACKAGES, codes, instants, maybe, of, paragraphs, short, some, texts

PHARMACIES = codes("1.2.250.1.71.4.2.4", {"SA33": "Pharmacie d'officine"})


def dispensed_lines() -> st.SearchStrategy[DispensedLine]:
    """One product given."""
    return of(
        DispensedLine,
        id=maybe(st.uuids()),
        completeness=st.sampled_from(("FFC", "FFP", "RFC", "RFP")),
        medication=medications(),
        quantity=PACKAGES,
        dispensed_at=maybe(instants()),
        prescribed_line=maybe(st.uuids()),
        changed_posology=maybe(posologies()),
        substitution=maybe(of(SubstitutionMade, reason=maybe(texts()))),
        patient_instruction=maybe(paragraphs()),
        note=maybe(paragraphs()),
    )


def dispensations() -> st.SearchStrategy[Dispensation]:
    """What a pharmacy gave."""
    return short(
        of(
            Dispensation,
            **headers(specialties=PHARMACISTS, facilities=PHARMACIES, act_codes=False),
            prescription_id=maybe(identifiers()),
            prescription_number=maybe(st.from_regex(r"[0-9A-Z]{18}", fullmatch=True)),
            lines=some(dispensed_lines(), 3, least=1),
            refused=some(of(RefusedLine, prescribed_line=st.uuids(), reason=texts()), 1),
        )
    )
