"""Medical summaries: VSM and IPS-FR, every section with entries, with words, or saying that there are none."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

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
from tests.support import documents
from tests.support.strategies.header import CCAM, headers, plain_headers
from tests.support.strategies.medication import medications, posologies
from tests.support.strategies.prescription import motives
from tests.support.strategies.values import (
    EDQM,
    LOINC,
    PROBLEMS,
    SNOMED,
    codes,
    concepts,
    days,
    instants,
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

# JDV_ProblemCodes, JDV_TypeEvenementIndesirablePrevisible, JDV_SeveriteObservation, JDV_HealthStatusCodes.
CATEGORIES = codes(SNOMED, {"282291009": "interprétation diagnostique", "55607006": "problème"}, "SNOMED CT")
ALLERGIES = codes(SNOMED, {"609328004": "allergie", "414285001": "allergie alimentaire"}, "SNOMED CT")
SEVERITIES = codes(SNOMED, {"255604002": "léger", "6736007": "modéré", "24484000": "grave"}, "SNOMED CT")
HEALTH = codes(SNOMED, {"27624003": "maladie chronique", "84387000": "asymptomatique"}, "SNOMED CT")
CLINICAL = codes("2.16.840.1.113883.4.642.1.1074", {"active": "Actif", "remission": "En rémission"}, "HL7")
AGENTS = codes("2.16.840.1.113883.6.347", {"XM5DJ7": "PARACETAMOL", "XM5VF3": "arachide <crue>"}, "CIM-11")
# JDV_SocialHistoryCodes, HL7 RoleCode, JDV_ImmunizationRouteCodes, JDV_ImmunizationApproachSiteCode.
HABITS = codes(LOINC, {"72166-2": "Statut tabagique", "74011-8": "Consommation tabagique", "11345-6": "Autre"}, "LOINC")
RELATIVES = codes("2.16.840.1.113883.5.111", {"FTH": "Père", "MTH": "Mère", "BRO": "Frère"}, "RoleCode")
VACCINE_ROUTES = codes(EDQM, {"20035000": "Voie intramusculaire", "20053000": "Voie orale"}, "EDQM")
VACCINE_SITES = codes(SNOMED, {"16217701000119102": "deltoïde gauche", "66480008": "avant-bras gauche"}, "SNOMED CT")
DEVICES = codes("1.2.250.1.213.2.68", {"J010104": "STIMULATEUR CARDIAQUE", "V0806": "LITS MÉDICAUX"}, "EMDN")
INTERPRETATIONS = codes("2.16.840.1.113883.5.83", {"N": "Normal", "H": "Haut"}, "HL7")
GROUPS = codes(LOINC, {"26436-6": "Biologie polyvalente", "18748-4": "Imagerie", "27898-6": "Pathologie"}, "LOINC")
TESTS = codes(LOINC, {"1988-5": "C Réactive protéine", "24979-7": "CT rachis"}, "LOINC")
SCALES = codes(LOINC, {"89247-1": "Score de performance ECOG", "9269-2": "Glasgow"}, "LOINC")
PREGNANCY = codes(LOINC, {"11449-6": "Statut de grossesse", "11638-4": "Nombre d'enfants vivants"}, "LOINC")
ANSWERS = codes(SNOMED, {"8517006": "ancien(ne) fumeur(-euse)", "77386006": "enceinte"}, "SNOMED CT")
ATTACHMENTS = codes(LOINC, {"42348-3": "Directives anticipées", "11488-4": "CR ou fiche de consultation"}, "LOINC")
SIGNS = (
    ("29463-7", "Poids", "kg"),
    ("8302-2", "Taille", "cm"),
    ("8867-4", "Fréquence cardiaque", "/min"),
    ("8480-6", "Pression systolique", "mm[Hg]"),
    ("8310-5", "Température", "Cel"),
)
CERTAINTIES = st.sampled_from((None, "unconfirmed", "confirmed", "refuted"))
STATUSES = st.sampled_from(("active", "suspended", "aborted", "completed"))
IDS = maybe(st.uuids())
SPANS = st.just(Period()) | periods()


def values() -> st.SearchStrategy[Value]:
    """A quantity, a concept, a yes or no, or words."""
    amounts = quantities((("{pack}/a", "paquets par an"), ("mg/L", None), ("1", None)))
    return st.one_of(
        of(Value, quantity=amounts),
        of(Value, concept=concepts(ANSWERS, ANSWERS)),
        of(Value, boolean=st.booleans()),
        of(Value, text=paragraphs()),
    )


def problems() -> st.SearchStrategy[Problem]:
    """A problem with all its details."""
    return of(
        Problem,
        id=IDS,
        category=CATEGORIES,
        concept=concepts(PROBLEMS, PROBLEMS),
        period=SPANS,
        act_status=STATUSES,
        severity=maybe(SEVERITIES),
        clinical_status=maybe(CLINICAL),
        health_status=maybe(HEALTH),
        certainty=CERTAINTIES,
        comment=maybe(paragraphs()),
    )


def procedures() -> st.SearchStrategy[Procedure]:
    """An act done or planned."""
    return of(
        Procedure,
        id=IDS,
        concept=concepts(CCAM, CCAM),
        performed=maybe(moments()),
        status=st.sampled_from(("completed", "active", "aborted", "cancelled")),
        planned=st.booleans(),
        reasons=some(motives(), 2),
        comment=maybe(paragraphs()),
    )


def allergies() -> st.SearchStrategy[Allergy]:
    """An allergy with its reactions."""
    reaction = of(Reaction, concept=concepts(PROBLEMS, PROBLEMS), onset=maybe(moments()), severity=maybe(SEVERITIES))
    return of(
        Allergy,
        id=IDS,
        type=ALLERGIES,
        agent=concepts(AGENTS, AGENTS),
        period=SPANS,
        act_status=STATUSES,
        reactions=some(reaction, 2),
        severity=maybe(SEVERITIES),
        clinical_status=st.sampled_from((None, "active", "inactive", "resolved")),
        certainty=CERTAINTIES,
        criticality=st.sampled_from((None, "low", "high", "unable-to-assess")),
        comment=maybe(paragraphs()),
    )


def relatives() -> st.SearchStrategy[FamilyMember]:
    """A relative and their diseases."""
    condition = of(
        FamilyCondition,
        id=IDS,
        category=CATEGORIES,
        concept=concepts(PROBLEMS, PROBLEMS),
        onset=maybe(moments()),
    )
    return of(FamilyMember, relation=maybe(RELATIVES), conditions=some(condition, 2, least=1))


def treatments() -> st.SearchStrategy[Treatment]:
    """A treatment, its dates told once or twice."""
    return of(
        Treatment,
        id=IDS,
        medication=medications(),
        posology=posologies(),
        period=maybe(SPANS),
        reasons=some(motives(), 2),
        patient_instruction=maybe(paragraphs()),
    )


def immunizations() -> st.SearchStrategy[Immunization]:
    """A vaccine given."""
    return of(
        Immunization,
        id=IDS,
        act=st.sampled_from(("IMMUNIZ", "INITIMMUNIZ", "BOOSTER")),
        vaccine=medications(),
        given_at=maybe(moments()),
        rank=maybe(st.integers(1, 12)),
        dose=maybe(quantities((("mL", None), ("mL", "millilitres")))),
        route=maybe(VACCINE_ROUTES),
        site=maybe(VACCINE_SITES),
    )


def vital_signs() -> st.SearchStrategy[VitalSigns]:
    """Measures taken together, some at another moment."""

    def sign(kind: tuple[str, str, str], **fields: Any) -> VitalSign:
        code, label, unit = kind
        quantity = {"value": fields.pop("amount"), "unit": unit}
        return VitalSign(code=Code(code=code, system=LOINC, display=label), quantity=quantity, **fields)

    one = st.builds(
        sign,
        st.sampled_from(SIGNS),
        amount=st.sampled_from(("36.6", "58", "120")),
        id=IDS,
        observed_at=maybe(instants()),
        interpretation=maybe(INTERPRETATIONS),
    )
    return of(VitalSigns, id=IDS, observed_at=instants() | days(), signs=some(one, 3, least=1))


def result_groups() -> st.SearchStrategy[ResultGroup]:
    """Results of one kind of examination."""
    result = of(
        Result,
        id=IDS,
        code=TESTS,
        observed_at=maybe(moments()),
        value=values(),
        interpretation=maybe(INTERPRETATIONS),
    )
    return of(ResultGroup, id=IDS, code=GROUPS, observed_at=maybe(moments()), results=some(result, 2, least=1))


def _observed(cls: Any, code: st.SearchStrategy[Code]) -> st.SearchStrategy[Any]:
    return of(cls, id=IDS, code=code, observed_at=maybe(moments()), value=values())


def care_plan() -> st.SearchStrategy[CarePlanItem]:
    """Something planned."""
    return of(
        CarePlanItem,
        # Plans are rare already.
        id=st.uuids() | IDS,
        concept=concepts(CCAM, CCAM),
        planned_for=maybe(moments()),
        mood=st.sampled_from(("INT", "ARQ", "PRMS", "PRP", "RQO", "GOL")),
    )


def sections(entry: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[Section[Any] | None]:
    """A section of entries, words beside them; words alone; or the statement that there are none."""
    filled: st.SearchStrategy[Any] = of(Section, entries=some(entry, most, least=1), text=maybe(paragraphs()))
    return st.one_of(
        filled,
        filled,
        of(Section, text=paragraphs()),
        of(Section, absence=st.sampled_from(list(Absence)), text=maybe(paragraphs())),
        st.none(),
    )


SYNTHESES = st.sampled_from(
    (
        MedicalSummary.model_fields["type"].default,
        Code(code="60591-5", system=LOINC, display="Synthèse médicale", system_name="LOINC"),
        Code(code="74207-2", system=LOINC, display="DLU"),
    )
)


def _parts() -> dict[str, st.SearchStrategy[Any]]:
    """The sections of a summary, and what goes with them."""
    return {
        "problems": sections(problems()),
        "history": sections(problems(), 1),
        "procedures": sections(procedures()),
        "allergies": sections(allergies()),
        "lifestyle": sections(_observed(LifestyleObservation, HABITS)),
        "occupational_risks": maybe(paragraphs()),
        "family_history": sections(relatives()),
        "vigilance": maybe(paragraphs()),
        "treatments": sections(treatments()),
        "immunizations": sections(immunizations()),
        "devices": sections(of(UsedDevice, id=IDS, concept=concepts(DEVICES, DEVICES), period=maybe(SPANS))),
        "vital_signs": sections(vital_signs(), 1),
        "results": sections(result_groups(), 1),
        "functional_status": sections(_observed(FunctionalAssessment, SCALES)),
        "care_plan": sections(care_plan()),
        "pregnancies": sections(_observed(PregnancyObservation, PREGNANCY)),
        "advance_directives": maybe(paragraphs()),
        "attachments": some(
            of(
                AttachedDocument,
                type=maybe(ATTACHMENTS),
                title=maybe(texts()),
                media_type=st.sampled_from(("application/pdf", "image/jpeg")),
                content=st.just(documents.PDF),
            ),
            1,
        ),
        "pdf": st.none() | st.just(documents.PDF),
    }


def summaries() -> st.SearchStrategy[MedicalSummary]:
    """A medical summary: under any header; under a plain one, which leaves more choices to the sections; or of what has
    many members alone, medicines and allergies.
    """

    def whole(header: dict[str, Any], parts: dict[str, Any]) -> st.SearchStrategy[MedicalSummary]:
        profile = st.sampled_from(("VSM-2023.01", "IPS-FR-2024.01"))
        return of(MedicalSummary, **header, type=SYNTHESES, profile=profile, **parts)

    rich = {
        "treatments": of(Section, entries=some(treatments(), 2, least=1)),
        "allergies": of(Section, entries=some(allergies(), 2, least=1)),
        "immunizations": sections(immunizations()),
    }
    plain = plain_headers()
    return short(st.one_of(whole(plain, rich), whole(plain, _parts()), whole(headers(act_codes=False), _parts())))


__all__ = ["summaries"]
