"""Strategies of medical summaries: every section, every member of every entry, what is contradictory in words too."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappings.document.medication import Medication
from mappings.document.prescription import Motive
from mappings.document.summary import (
    Absence,
    Allergy,
    AttachedDocument,
    CarePlanItem,
    FamilyCondition,
    FamilyMember,
    FunctionalAssessment,
    Immunization,
    LifestyleObservation,
    MedicalSummary,
    PregnancyObservation,
    Problem,
    Procedure,
    Reaction,
    Result,
    ResultGroup,
    Section,
    Treatment,
    UsedDevice,
    Value,
    VitalSign,
    VitalSigns,
)
from mappings.document.values import Code, Period
from tests.support.strategies.header import CCAM, headers, plain_headers
from tests.support.strategies.medication import CIP_CODES, CIS_CODES, medications, posologies
from tests.support.strategies.values import (
    LOINC,
    LOINC_CODES,
    PROBLEMS,
    ROUTES,
    SITES,
    SNOMED,
    codes,
    concepts,
    days,
    maybe,
    moments,
    of,
    paragraphs,
    periods,
    quantities,
    short,
    some,
    texts,
)

CLINICAL = codes(
    "2.16.840.1.113883.4.642.1.1074", {"active": "Actif", "resolved": "Résolu", "relapse": "Rechute", "remission": "R"}
) | codes(SNOMED, {"55561003": "actif"})
SEVERITIES = codes(SNOMED, {"255604002": "léger", "24484000": "grave", "371924009": "modéré à sévère", "1": "autre"})
CERTAINTIES = st.sampled_from((None, "unconfirmed", "confirmed", "refuted"))
ACT_STATUSES = st.sampled_from(("active", "suspended", "aborted", "completed"))
MEASURES = quantities((("kg", None), ("cm", "centimètres"), ("{pack}/a", None), ("1", None), ("{tablet}", "comprimé")))
WHAT = concepts(PROBLEMS, SITES)
OBSERVED = codes(LOINC, {"72166-2": "Statut tabagique", "29463-7": "Poids", "8480-6": "PAS"}, "LOINC")


def values() -> st.SearchStrategy[Value]:
    """The value of an observation."""
    return st.one_of(
        of(Value, quantity=MEASURES),
        of(Value, concept=WHAT),
        of(Value, boolean=st.booleans()),
        of(Value, text=texts()),
    )


def sections(entry: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[Section[Any] | None]:
    """A section of entries, an absence, or words; or no section."""
    return st.one_of(
        st.none(),
        of(Section, entries=some(entry, most, least=1), text=maybe(paragraphs())),
        of(Section, absence=st.sampled_from(list(Absence)), text=maybe(texts())),
        of(Section, text=paragraphs()),
    )


def problems() -> st.SearchStrategy[Problem]:
    """A problem, active or past, whatever it says of itself."""
    return of(
        Problem,
        id=maybe(st.uuids()),
        category=codes(SNOMED, {"282291009": "interprétation diagnostique", "55607006": "problème"}),
        concept=WHAT,
        period=st.just(Period()) | periods(),
        act_status=ACT_STATUSES,
        severity=maybe(SEVERITIES),
        clinical_status=maybe(CLINICAL),
        health_status=maybe(codes(SNOMED, {"27624003": "maladie chronique"})),
        certainty=CERTAINTIES,
        comment=maybe(paragraphs()),
    )


def allergies() -> st.SearchStrategy[Allergy]:
    """An allergy."""
    return of(
        Allergy,
        id=maybe(st.uuids()),
        type=codes(SNOMED, {"609328004": "allergie", "235719002": "intolérance alimentaire", "2": "autre"}),
        agent=WHAT,
        period=st.just(Period()) | periods(),
        act_status=ACT_STATUSES,
        reactions=some(of(Reaction, concept=WHAT, onset=maybe(moments()), severity=maybe(SEVERITIES)), 2),
        severity=maybe(SEVERITIES),
        clinical_status=st.sampled_from((None, "active", "inactive", "resolved")),
        certainty=CERTAINTIES,
        criticality=st.sampled_from((None, "low", "high", "unable-to-assess")),
        comment=maybe(paragraphs()),
    )


def motives() -> st.SearchStrategy[Motive]:
    """Why."""
    return st.one_of(of(Motive, id=st.uuids()), of(Motive, id=maybe(st.uuids()), concept=WHAT))


def observed(kind: Any) -> st.SearchStrategy[Any]:
    """An observation of a kind."""
    members: dict[str, Any] = {
        "id": maybe(st.uuids()),
        "code": OBSERVED,
        "observed_at": maybe(moments()),
        "value": values(),
    }
    if kind is Result:
        members["interpretation"] = maybe(codes("2.16.840.1.113883.5.83", {"H": "haut", "N": "normal"}))
    return of(kind, **members)


def vaccines() -> st.SearchStrategy[Medication]:
    """A vaccine as a code, as words, or with everything a medicine may say."""
    plain = of(
        Medication,
        name=texts(2),
        codes=some(CIS_CODES | CIP_CODES, 1),
        lot_number=maybe(st.just("L1")),
        expires_on=maybe(days()),
    )
    return plain | medications()


def entry_strategies() -> dict[str, st.SearchStrategy[Any]]:
    """The entry of each section that has entries."""
    sign = of(
        VitalSign,
        id=maybe(st.uuids()),
        code=OBSERVED,
        quantity=MEASURES,
        observed_at=maybe(moments()),
        interpretation=maybe(codes("2.16.840.1.113883.5.83", {"H": "haut"})),
    )
    disease = of(
        FamilyCondition,
        id=maybe(st.uuids()),
        category=codes(SNOMED, {"64572001": "maladie", "55607006": "problème"}),
        concept=WHAT,
        onset=maybe(moments()),
    )
    return {
        "problems": problems(),
        "history": problems(),
        "procedures": of(
            Procedure,
            id=maybe(st.uuids()),
            concept=concepts(CCAM, SITES),
            performed=maybe(moments()),
            status=st.sampled_from(("completed", "active", "aborted", "cancelled")),
            planned=st.booleans(),
            reasons=some(motives(), 1),
            comment=maybe(paragraphs()),
        ),
        "allergies": allergies(),
        "lifestyle": observed(LifestyleObservation),
        "family_history": of(
            FamilyMember,
            relation=maybe(codes("2.16.840.1.113883.5.111", {"FTH": "Père", "MTH": "Mère"})),
            conditions=some(disease, 2, least=1),
        ),
        "treatments": of(
            Treatment,
            id=maybe(st.uuids()),
            medication=medications(),
            posology=posologies(),
            period=maybe(periods()),
            reasons=some(motives(), 1),
            patient_instruction=maybe(paragraphs()),
        ),
        "immunizations": of(
            Immunization,
            id=maybe(st.uuids()),
            act=st.sampled_from(("IMMUNIZ", "INITIMMUNIZ", "BOOSTER")),
            vaccine=vaccines(),
            given_at=maybe(moments()),
            rank=maybe(st.integers(1, 4)),
            dose=maybe(quantities((("mL", None),))),
            route=maybe(ROUTES),
            site=maybe(SITES),
        ),
        "devices": of(UsedDevice, id=maybe(st.uuids()), concept=WHAT, period=maybe(periods())),
        "vital_signs": of(VitalSigns, id=maybe(st.uuids()), observed_at=moments(), signs=some(sign, 2, least=1)),
        "results": of(
            ResultGroup,
            id=maybe(st.uuids()),
            code=codes(LOINC, {"26436-6": "Biologie"}, "LOINC"),
            observed_at=maybe(moments()),
            results=some(observed(Result), 2, least=1),
        ),
        "functional_status": observed(FunctionalAssessment),
        "care_plan": of(
            CarePlanItem,
            # Plans are rare already.
            id=st.uuids() | maybe(st.uuids()),
            concept=WHAT,
            planned_for=maybe(moments()),
            mood=st.sampled_from(("INT", "ARQ", "PRMS", "PRP", "RQO", "GOL")),
        ),
        "pregnancies": observed(PregnancyObservation),
    }


def members() -> dict[str, st.SearchStrategy[Any]]:
    """The sections, and what goes with them."""
    attached = of(
        AttachedDocument,
        type=maybe(LOINC_CODES),
        title=maybe(texts()),
        media_type=st.sampled_from(("application/pdf", "image/png")),
        content=st.binary(min_size=1, max_size=20),
    )
    return {
        **{name: sections(entry) for name, entry in entry_strategies().items()},
        "occupational_risks": maybe(paragraphs()),
        "vigilance": maybe(paragraphs()),
        "advance_directives": maybe(paragraphs()),
        "pdf": maybe(st.just(b"%PDF-1.4\n")),
        "attachments": some(attached, 2),
    }


TYPES = st.sampled_from(
    (
        Code(code="SYNTH", system="1.2.250.1.213.1.1.4.12", display="Synthèse"),
        Code(code="60591-5", system=LOINC, display="Synthèse médicale"),
        Code(code="74207-2", system=LOINC, display="DLU"),
    )
)


def summaries(*names: str) -> st.SearchStrategy[MedicalSummary]:
    """A medical summary; only the sections named when some are."""
    parts = {k: v for k, v in members().items() if not names or k in names}

    def whole(header: dict[str, Any], some_parts: dict[str, Any]) -> st.SearchStrategy[MedicalSummary]:
        profile = st.sampled_from(("VSM-2023.01", "IPS-FR-2024.01"))
        return of(MedicalSummary, **header, type=TYPES, profile=profile, **some_parts)

    entry = entry_strategies()
    # Medicines and allergies have many members: a document of them alone has choices enough for all.
    many = {"treatments", "allergies", "immunizations"} & parts.keys()
    rich = {name: of(Section, entries=some(entry[name], 2, least=1)) for name in sorted(many)}
    plain = plain_headers()
    return short(st.one_of(whole(plain, rich), whole(plain, parts), whole(headers(), parts)))
