"""Small, whole, fictitious documents of each kind, as the JSON a vendor would send."""

from __future__ import annotations

import copy
from typing import Any

from mappings import document as hub

LOINC = "2.16.840.1.113883.6.1"

PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)

PATIENT: dict[str, Any] = {
    "ins": {"value": "279035121518989", "authority": "1.2.250.1.213.1.4.10"},
    "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": "IPP42"}],
    "status": "qualifiee",
    "insCheckedOn": "2026-11-02",
    "proof": "CN",
    "birthName": "PAT-TROIS",
    "firstGivenName": "DOMINIQUE",
    "givenNames": "DOMINIQUE MARIE-LOUISE",
    "sex": "F",
    "birthDate": "1979-03-28",
    "birthPlace": "51215",
    "addresses": [{"use": "H", "lines": ["1 rue de l'Exemple"], "postalCode": "29000", "city": "QUIMPER"}],
    "telecoms": [{"value": "tel:0600000000", "use": "MC"}],
}

STRUCTURE: dict[str, Any] = {
    "id": {"root": "1.2.250.1.71.4.2.2", "extension": "1290099886"},
    "name": "CABINET FICTIF",
    "practiceSetting": {
        "code": "AMBULATOIRE",
        "display": "Ambulatoire",
        "system": "1.2.250.1.213.1.1.4.9",
    },
    "addresses": [{"use": "WP", "lines": ["2 place de l'Exemple"], "postalCode": "29000", "city": "QUIMPER"}],
    "telecoms": [{"value": "tel:0298000000", "use": "WP"}],
}

DOCTOR: dict[str, Any] = {
    "id": {"root": "1.2.250.1.71.4.2.1", "extension": "899700218896"},
    "family": "KERVELLA",
    "given": "Odile",
    "prefix": "MME",
    "suffix": "DR",
    "specialty": {
        "code": "G15_10/SM54",
        "display": "Médecin - Médecine Générale (SM)",
        "system": "1.2.250.1.213.1.1.4.5",
    },
    "organization": STRUCTURE,
    "telecoms": [{"value": "tel:0298000000", "use": "WP"}],
}

PHARMACY: dict[str, Any] = {
    "id": {"root": "1.2.250.1.71.4.2.2", "extension": "1750803447"},
    "name": "PHARMACIE FICTIVE",
    "practiceSetting": {"code": "AMBULATOIRE", "display": "Ambulatoire", "system": "1.2.250.1.213.1.1.4.9"},
    "telecoms": [{"value": "tel:0298000001", "use": "WP"}],
}

PHARMACIST: dict[str, Any] = {
    "id": {"root": "1.2.250.1.71.4.2.1", "extension": "810123456781"},
    "family": "MORVAN",
    "given": "Yann",
    "prefix": "M",
    "specialty": {
        "code": "G15_21/A",
        "display": "Pharmacien titulaire d'officine",
        "system": "1.2.250.1.213.1.1.4.5",
    },
    "organization": PHARMACY,
}


def header(
    kind: str, *, number: int = 1, author: dict[str, Any] | None = None, facility: str = "SA07"
) -> dict[str, Any]:
    """The header members of a document of a kind; ``number`` makes the identifiers differ."""
    professional = author or DOCTOR
    return {
        "kind": kind,
        "id": {"root": f"1.2.250.1.999.9.2.{number}"},
        "setId": {"root": f"1.2.250.1.999.9.3.{number}"},
        "createdAt": "2026-11-20T10:00:00+01:00",
        "patient": copy.deepcopy(PATIENT),
        "authors": [{"professional": professional, "time": "2026-11-20T10:00:00+01:00"}],
        "custodian": {k: professional["organization"][k] for k in ("id", "name")},
        "acts": [
            {
                "period": {"start": "2026-11-20T09:30:00+01:00", "end": "2026-11-20T09:50:00+01:00"},
                "performer": professional,
            }
        ],
        "encounter": {
            "code": {"code": "AMB", "display": "Ambulatoire (hors établissement)", "system": "2.16.840.1.113883.5.4"},
            "period": {"start": "2026-11-20T09:30:00+01:00", "end": "2026-11-20T09:50:00+01:00"},
            "facility": {
                "code": facility,
                "display": {"SA07": "Cabinet individuel", "SA33": "Pharmacie d'officine"}[facility],
                "system": "1.2.250.1.71.4.2.4",
            },
        },
    }


def report(number: int = 1, content: bytes = PDF) -> dict[str, Any]:
    """A consultation report as a PDF."""
    out = header("report", number=number)
    out["title"] = "Compte rendu de consultation"
    out["type"] = {"code": "11488-4", "display": "CR ou fiche de consultation", "system": LOINC}
    out["acts"][0]["code"] = {"code": "11488-4", "display": "CR ou fiche de consultation", "system": LOINC}
    out["mediaType"] = "application/pdf"
    out["content"] = content
    return out


def prescription(number: int = 101) -> dict[str, Any]:
    """A prescription of two medicines, one structured and one in words, and a device."""
    out = header("prescription", number=number)
    marks = {"ald": False, "workAccident": False, "prevention": False, "notReimbursable": False, "offLabel": False}
    out["title"] = "Prescription de produits de santé"
    out["number"] = "EPU000000000000042"
    out["acts"][0]["period"] = {"start": "2026-11-20", "end": "2027-02-20"}
    out["lines"] = [
        {
            "kind": "medication",
            "id": "11111111-1111-4111-8111-111111111111",
            "medication": {
                "name": "PARACETAMOL 1 g, comprimé",
                "codes": [
                    {"code": "63107752", "system": "1.2.250.1.213.2.3.1", "systemName": "CIS"},
                    {"code": "3400933516390", "system": "1.2.250.1.213.2.3.2", "systemName": "CIP"},
                ],
                "atc": {"code": "N02BE01", "display": "Paracétamol", "system": "2.16.840.1.113883.6.73"},
            },
            "posology": {
                "text": "1 comprimé toutes les 8 heures pendant 5 jours",
                "dosage": {
                    "period": {"start": "2026-11-20", "end": "2026-11-25"},
                    "timing": [{"kind": "every", "period": {"value": "8", "unit": "h"}}],
                    "route": {"code": "20053000", "display": "Voie orale", "system": "0.4.0.127.0.16.1.1.2.1"},
                    "dose": {
                        "low": {"value": "1", "unit": "{tablet}"},
                        "high": {"value": "1", "unit": "{tablet}"},
                    },
                },
            },
            "renewals": 0,
            "quantity": {"value": "2", "unit": "30009000", "display": "boîte"},
            "substitution": {"permitted": True},
            "marks": marks,
        },
        {
            "kind": "medication",
            "id": "22222222-2222-4222-8222-222222222222",
            "medication": {"name": "LEVOTHYROXINE 75 µg, comprimé"},
            "posology": {"text": "1 comprimé le matin à jeun"},
            "renewals": 2,
            "substitution": {"permitted": False, "reason": "MTE"},
            "marks": {**marks, "ald": True},
        },
        {
            "kind": "device",
            "id": "33333333-3333-4333-8333-333333333333",
            "name": "Bas de compression classe 2",
            "codes": [{"code": "1215702", "system": "1.2.250.1.215.200.2.1", "systemName": "LPP"}],
            "period": {"start": "2026-11-20", "end": "2027-05-20"},
            "renewals": 0,
            "quantity": {"value": "1"},
            "marks": {k: v for k, v in marks.items() if k != "offLabel"},
        },
    ]
    return out


def dispensation(number: int = 201) -> dict[str, Any]:
    """A pharmacy's dispensation of the first line of :func:`prescription`, partial, with a generic."""
    out = header("dispensation", number=number, author=PHARMACIST, facility="SA33")
    out["title"] = "Dispensation de médicaments"
    out["prescriptionId"] = {"root": "1.2.250.1.999.9.2.101"}
    out["prescriptionNumber"] = "EPU000000000000042"
    out["participants"] = [
        {
            "type": "REF",
            "time": {"start": "2026-11-20T10:00:00+01:00"},
            "id": DOCTOR["id"],
            "family": DOCTOR["family"],
            "given": DOCTOR["given"],
            "organization": {k: STRUCTURE[k] for k in ("id", "name")},
        }
    ]
    out["lines"] = [
        {
            "id": "44444444-4444-4444-8444-444444444444",
            "completeness": "FFP",
            "medication": {
                "name": "DOLIPRANE 1000 mg, comprimé",
                "codes": [{"code": "3400935955838", "system": "1.2.250.1.213.2.3.2", "systemName": "CIP"}],
            },
            "quantity": {"value": "1", "unit": "30009000", "display": "boîte"},
            "prescribedLine": "11111111-1111-4111-8111-111111111111",
            "substitution": {"reason": "Générique accepté par le patient"},
            "note": "Une boîte en rupture, à compléter",
        }
    ]
    return out


def summary(number: int = 301) -> dict[str, Any]:
    """A medical summary (VSM) with one entry in most sections."""
    out = header("medical_summary", number=number)
    snomed = "2.16.840.1.113883.6.96"
    out["title"] = "Volet de synthèse médicale"
    out["authors"][0]["function"] = {"code": "PCP", "display": "Médecin traitant", "system": "2.16.840.1.113883.5.88"}
    out["problems"] = {
        "entries": [
            {
                "concept": {
                    "code": {"code": "E11.9", "display": "Diabète de type 2", "system": "2.16.840.1.113883.6.3"},
                    "text": "Diabète de type 2",
                },
                "period": {"start": "2021-03-15"},
                "certainty": "confirmed",
                "comment": "Équilibré",
            }
        ]
    }
    out["history"] = {
        "entries": [
            {
                "concept": {"text": "Pneumopathie"},
                "period": {"start": "2015-01", "end": "2015-02"},
                "actStatus": "completed",
            }
        ]
    }
    out["procedures"] = {
        "entries": [
            {
                "concept": {
                    "code": {"code": "HHFA011", "display": "Appendicectomie", "system": "1.2.250.1.215.300.1"},
                    "text": "Appendicectomie",
                },
                "performed": "1998",
            }
        ]
    }
    out["allergies"] = {
        "entries": [
            {
                "type": {"code": "414285001", "display": "allergie alimentaire", "system": snomed},
                "agent": {"text": "Arachide"},
                "period": {"start": "2015"},
                "reactions": [{"concept": {"text": "Urticaire"}}],
                "criticality": "high",
            }
        ]
    }
    out["lifestyle"] = {
        "entries": [
            {
                "code": {"code": "72166-2", "display": "Statut tabagique", "system": LOINC},
                "observedAt": "2026-11-20",
                "value": {
                    "concept": {"code": {"code": "8517006", "display": "ancien(ne) fumeur(-euse)", "system": snomed}}
                },
            }
        ]
    }
    out["familyHistory"] = {
        "entries": [
            {
                "relation": {"code": "FTH", "display": "Père", "system": "2.16.840.1.113883.5.111"},
                "conditions": [{"concept": {"text": "Infarctus du myocarde"}}],
            }
        ]
    }
    out["vigilance"] = "Aucun point de vigilance"
    out["treatments"] = {
        "entries": [
            {
                "medication": {
                    "name": "METFORMINE 1000 mg",
                    "codes": [{"code": "60234100", "system": "1.2.250.1.213.2.3.1", "systemName": "CIS"}],
                },
                "posology": {
                    "text": "1 comprimé matin et soir",
                    "dosage": {
                        "timing": [{"kind": "every", "period": {"value": "12", "unit": "h"}}],
                        "route": {"code": "20053000", "display": "Voie orale", "system": "0.4.0.127.0.16.1.1.2.1"},
                        "dose": {
                            "low": {"value": "1", "unit": "{tablet}"},
                            "high": {"value": "1", "unit": "{tablet}"},
                        },
                    },
                },
                "period": {"start": "2021-03-15"},
            }
        ]
    }
    return out


def load(value: dict[str, Any]) -> Any:
    """The hub model of one of the documents above."""
    return hub.load(value)
