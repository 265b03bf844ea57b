"""Documents that fill every member a summary, a prescription or a dispensation has, for tests that count."""

from __future__ import annotations

from typing import Any

from tests.support import documents

SNOMED = "2.16.840.1.113883.6.96"
LOINC = documents.LOINC


def code(value: str, system: str = SNOMED) -> dict[str, Any]:
    """A code with a label."""
    return {"code": value, "system": system, "display": f"libellé {value}"}


def amount(value: str, unit: str) -> dict[str, Any]:
    """A quantity."""
    return {"value": value, "unit": unit}


def extent(low: str, high: str, unit: str) -> dict[str, Any]:
    """A range."""
    return {"low": amount(low, unit), "high": amount(high, unit)}


def posology() -> dict[str, Any]:
    """A posology that says everything, in two steps and a main instruction."""
    step = {
        "sequence": 1,
        "period": {"start": "2026-11-20", "end": "2026-11-30"},
        "timing": [
            {"kind": "every", "period": amount("8", "h"), "at": "2026-11-20T08:00:00+01:00", "text": "trois prises"},
            {"kind": "event", "event": "ACM", "offset": amount("30", "min")},
        ],
        "route": code("20053000", "0.4.0.127.0.16.1.1.2.1"),
        "site": {"code": code("368208006")},
        "dose": extent("1", "2", "mg"),
        "rate": extent("1", "2", "mg/h"),
        "maximum": {"numerator": amount("4", "mg"), "denominator": amount("1", "d")},
        "condition": "en cas de douleur",
        "text": "première étape",
    }
    fixed = {
        "sequence": 2,
        "duration": amount("5", "d"),
        "dose": extent("1", "1", "mg"),
        "rate": extent("1", "1", "mg/h"),
    }
    return {
        "mode": "tapered",
        "deferredStart": True,
        "text": "tout",
        "dosage": {"dose": extent("1", "1", "mg")},
        "steps": [step, fixed],
    }


def medication() -> dict[str, Any]:
    """A medicine that says everything."""
    edqm = "0.4.0.127.0.16.1.1.2.1"
    return {
        "name": "ESSAI 1 g",
        "codes": [code("63107752", "1.2.250.1.213.2.3.1"), code("3400933516390", "1.2.250.1.213.2.3.2")],
        "atc": code("N02BE01", "2.16.840.1.113883.6.73"),
        "form": code("10219000", edqm),
        "ingredients": [
            {
                "code": code("100000090270", "2.16.840.1.113883.3.6905.2"),
                "name": "Paracétamol",
                "strength": {"numerator": amount("1", "g"), "denominator": amount("1", "1")},
            }
        ],
        "package": {
            "code": code("3400935955838", "1.2.250.1.213.2.3.2"),
            "name": "boîte de 8",
            "container": code("30009000", edqm),
            "capacity": amount("8", "{tablet}"),
        },
        "lotNumber": "L1",
        "expiresOn": "2028-01",
    }


MOTIVES = [
    {"id": "99999999-9999-4999-8999-999999999991"},
    {"id": "99999999-9999-4999-8999-999999999992", "concept": {"text": "Douleur"}},
]
MARKS = {"ald": True, "workAccident": True, "prevention": True, "notReimbursable": True, "offLabel": True}


def prescription() -> dict[str, Any]:
    """A prescription with a line that says everything."""
    value = documents.prescription()
    value["lines"][0] |= {
        "medication": medication(),
        "posology": posology(),
        "renewals": 2,
        "renewalPeriod": {"start": "2026-12-01"},
        "substitution": {"permitted": False, "reason": "CIF", "text": "lactose"},
        "marks": {**MARKS, "offLabelReason": "essai"},
        "motives": MOTIVES,
        "treatmentPlanItem": "99999999-9999-4999-8999-999999999993",
        "patientInstruction": "avec de l'eau",
        "dispenserInstruction": "montrer l'usage",
    }
    value["lines"][2] |= {"rentalDuration": amount("30", "d"), "text": "à la demande"}
    value |= {
        "weight": amount("70", "kg"),
        "height": amount("170", "cm"),
        "pregnant": True,
        "codeImage": b"\x89PNG",
        "pdf": documents.PDF,
        "comment": "libre",
        "contextMarks": ["MED-1096"],
    }
    return value


def dispensation() -> dict[str, Any]:
    """A dispensation with a line that says everything."""
    value = documents.dispensation()
    value["lines"][0] |= {
        "medication": medication(),
        "changedPosology": posology(),
        "dispensedAt": "2026-11-20T11:00:00+01:00",
        "patientInstruction": "avec de l'eau",
    }
    return value


def summary() -> dict[str, Any]:
    """A summary with an entry that says everything in each section."""
    value = documents.summary()
    concept = {"code": code("E11.9", "2.16.840.1.113883.6.3"), "translations": [code("44054006")], "text": "Diabète"}
    seen = {"code": code("29463-7", LOINC), "observedAt": "2026-11-20", "value": {"quantity": amount("70", "kg")}}
    high = code("H", "2.16.840.1.113883.5.83")
    value["problems"]["entries"] = [
        {
            "concept": concept,
            "period": {"start": "2020", "end": "2021"},
            "severity": code("24484000"),
            "clinicalStatus": code("resolved", "2.16.840.1.113883.4.642.1.1074"),
            "healthStatus": code("27624003"),
            "certainty": "confirmed",
            "comment": "suivi",
        }
    ]
    value["allergies"]["entries"] = [
        {
            "type": code("416098002"),
            "agent": concept,
            "period": {"start": "2020", "end": "2021"},
            "reactions": [{"concept": concept, "onset": "2020", "severity": code("24484000")}],
            "severity": code("255604002"),
            "clinicalStatus": "active",
            "certainty": "confirmed",
            "criticality": "high",
            "comment": "suivi",
        }
    ]
    value["procedures"]["entries"] = [{"concept": concept, "performed": "1998", "reasons": MOTIVES, "comment": "suivi"}]
    value["familyHistory"]["entries"][0]["conditions"] = [{"concept": concept, "onset": "1990"}]
    value["treatments"]["entries"] = [
        {
            "medication": medication(),
            "posology": posology(),
            "period": {"start": "2020", "end": "2021"},
            "reasons": MOTIVES,
            "patientInstruction": "avec de l'eau",
        }
    ]
    value |= {
        "immunizations": {
            "entries": [
                {
                    "act": "BOOSTER",
                    "vaccine": medication(),
                    "givenAt": "2020-01-01",
                    "rank": 2,
                    "dose": amount("0.5", "mL"),
                    "route": code("20035000", "0.4.0.127.0.16.1.1.2.1"),
                    "site": code("368208006"),
                }
            ]
        },
        "devices": {"entries": [{"concept": concept, "period": {"start": "2020", "end": "2021"}}]},
        "vitalSigns": {
            "entries": [
                {
                    "observedAt": "2026-11-20",
                    "signs": [
                        {
                            "code": code("8480-6", LOINC),
                            "quantity": amount("120", "mm[Hg]"),
                            "interpretation": high,
                        }
                    ],
                }
            ]
        },
        "results": {
            "entries": [
                {
                    "code": code("26436-6", LOINC),
                    "observedAt": "2026-11-20",
                    "results": [{**seen, "interpretation": high}],
                }
            ]
        },
        "functionalStatus": {"entries": [seen]},
        "pregnancies": {"entries": [{**seen, "value": {"concept": concept}}]},
        "carePlan": {"entries": [{"concept": concept, "plannedFor": "2027"}]},
        "advanceDirectives": "aucune",
        "pdf": documents.PDF,
    }
    return value
