"""Prescriptions."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappings.document.prescription import (
    DeviceLine,
    LineMarks,
    MedicationLine,
    MedicationMarks,
    Motive,
    Prescription,
    Substitution,
)
from tests.support import documents
from tests.support.strategies.header import headers
from tests.support.strategies.medication import medications, posologies
from tests.support.strategies.values import (
    PACKAGES,
    PROBLEMS,
    codes,
    concepts,
    maybe,
    of,
    paragraphs,
    periods,
    quantities,
    short,
    some,
    texts,
)

CONTEXT = ("MED-1096", "MED-1097", "MED-1098", "MED-1132", "MED-1094", "MED-1095", "MED-1159")
LPP = codes("1.2.250.1.215.200.2.1", {"1215702": "lit médical", "2101201": "bas"}, "LPP")
EMDN = codes("1.2.250.1.213.2.68", {"V0806": "LITS MÉDICAUX"}, "EMDN")


def motives() -> st.SearchStrategy[Motive]:
    """Why: an id, a concept, or both."""
    concept = concepts(PROBLEMS, PROBLEMS)
    return st.one_of(
        of(Motive, id=st.uuids()),
        of(Motive, concept=concept),
        of(Motive, id=st.uuids(), concept=concept),
    )


def substitutions() -> st.SearchStrategy[Substitution]:
    """A permission, or a ban with its motive."""
    reasons = st.sampled_from(("MTE", "EFG", "CIF"))
    return st.one_of(
        st.just(Substitution()),
        of(Substitution, permitted=st.just(False), reason=reasons, text=maybe(texts())),
        of(Substitution, permitted=st.just(False), text=texts()),
        of(Substitution, permitted=st.just(True), text=maybe(texts())),
    )


def _marks(medicine: bool) -> dict[str, Any]:
    flags = dict.fromkeys(("ald", "work_accident", "prevention", "not_reimbursable"), st.booleans())
    return {**flags, "off_label": st.booleans(), "off_label_reason": maybe(texts())} if medicine else flags


def medication_lines() -> st.SearchStrategy[MedicationLine]:
    """One medicine."""
    return of(
        MedicationLine,
        id=maybe(st.uuids()),
        medication=medications(),
        posology=posologies(),
        renewals=maybe(st.integers(0, 12)),
        quantity=maybe(PACKAGES),
        renewal_period=maybe(periods(start=True)),
        substitution=substitutions(),
        marks=of(MedicationMarks, **_marks(True)),
        motives=some(motives(), 2),
        treatment_plan_item=maybe(st.uuids()),
        patient_instruction=maybe(paragraphs()),
        dispenser_instruction=maybe(paragraphs()),
    )


def device_lines() -> st.SearchStrategy[DeviceLine]:
    """One device."""
    return of(
        DeviceLine,
        id=maybe(st.uuids()),
        name=texts(3),
        codes=st.builds(lambda a, b: tuple(c for c in (a, b) if c), maybe(LPP), maybe(EMDN)),
        period=maybe(periods()),
        renewals=maybe(st.integers(0, 12)),
        quantity=maybe(quantities((("1", None), ("30009000", "boîte")))),
        rental_duration=maybe(quantities((("d", None),))),
        marks=of(LineMarks, **_marks(False)),
        text=maybe(paragraphs()),
    )


def prescriptions() -> st.SearchStrategy[Prescription]:
    """A prescription."""
    return short(
        of(
            Prescription,
            **headers(act_codes=False, both_ends=True),
            number=maybe(st.from_regex(r"[0-9A-Z]{18}", fullmatch=True)),
            context_marks=st.lists(st.sampled_from(CONTEXT), max_size=3, unique=True).map(tuple),
            lines=some(medication_lines() | device_lines(), 3, least=1),
            comment=maybe(paragraphs()),
            weight=maybe(quantities((("kg", None), ("kg", "kilos")))),
            height=maybe(quantities((("cm", None),))),
            pregnant=st.sampled_from((None, True, False)),
            code_image=st.none() | st.just(b"\x89PNG\r\n\x1a\nmade up"),
            pdf=st.just(documents.PDF),
        )
    )
