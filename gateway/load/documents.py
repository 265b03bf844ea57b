"""Fictitious documents in numbers: whole, valid, of the size practices send; made once, numbered by replacement."""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["KINDS", "Template", "templates"]

LOINC = "2.16.840.1.113883.6.1"
SNOMED = "2.16.840.1.113883.6.96"
ICD10 = "2.16.840.1.113883.6.3"
CIS = "1.2.250.1.213.2.3.1"
CIP = "1.2.250.1.213.2.3.2"

#: What stands for the number of a document until it is sent; within an OID, so digits only.
_NUMBER = "987654321987"
_WHEN = "2026-11-20T10:00:00+01:00"
_BEGIN, _END = "2026-11-20T09:30:00+01:00", "2026-11-20T09:50:00+01:00"

_MEDICINES = (
    ("PARACETAMOL 1 g, comprimé", "63107752", "3400933516390"),
    ("METFORMINE 1000 mg, comprimé pelliculé", "60234100", "3400935955838"),
    ("LEVOTHYROXINE 75 µg, comprimé", "61266250", "3400930097199"),
    ("RAMIPRIL 5 mg, comprimé sécable", "62869109", "3400936978287"),
    ("AMLODIPINE 5 mg, gélule", "64793681", "3400937066112"),
    ("ATORVASTATINE 20 mg, comprimé", "65319857", "3400936988576"),
)
_PROBLEMS = (
    ("E11.9", "Diabète de type 2"),
    ("I10", "Hypertension artérielle essentielle"),
    ("E78.0", "Hypercholestérolémie essentielle"),
    ("E03.9", "Hypothyroïdie"),
    ("J45.9", "Asthme"),
    ("M17.9", "Gonarthrose"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A request that becomes a new document by its number."""

    kind: str
    body: bytes
    mailed: bool

    def numbered(self, run: int, number: int) -> tuple[str, bytes]:
        """The unique identifier and the body of document ``number`` of a run."""
        digits = f"{run}{number:07d}".encode()
        return f"1.2.250.1.999.9.2.{digits.decode()}", self.body.replace(_NUMBER.encode(), digits)


def _nir(rng: random.Random) -> tuple[str, str, str]:
    """A made-up matricule with a right key, the sex and the date of birth it says."""
    sex, year, month = rng.choice("12"), rng.randint(30, 99), rng.randint(1, 12)
    body = f"{sex}{year:02d}{month:02d}51215{rng.randint(1, 999):03d}"
    key = 97 - int(body) % 97
    return f"{body}{key:02d}", "M" if sex == "1" else "F", f"19{year:02d}-{month:02d}-{rng.randint(1, 28):02d}"


def _patient(rng: random.Random) -> dict[str, Any]:
    value, sex, born = _nir(rng)
    letters = "".join(rng.choice("ABCDEFGHIJKLMNOPRSTUV") for _ in range(6))
    given = rng.choice(("DOMINIQUE", "CAMILLE", "CLAUDE", "MAXIME"))
    return {
        "ins": {"value": value, "authority": "1.2.250.1.213.1.4.10"},
        "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": f"IPP{value[:13]}"}],
        "status": "qualifiee",
        "insCheckedOn": "2026-11-02",
        "proof": "CN",
        "birthName": f"PAT-{letters}",
        "firstGivenName": given,
        "givenNames": given,
        "sex": sex,
        "birthDate": born,
        "birthPlace": "51215",
        "addresses": [{"use": "H", "lines": ["1 rue de l'Exemple"], "postalCode": "29000", "city": "QUIMPER"}],
        "telecoms": [{"value": "tel:0600000000", "use": "MC"}],
    }


def _structure(identifier: str, name: str) -> dict[str, Any]:
    return {
        "id": {"root": "1.2.250.1.71.4.2.2", "extension": identifier},
        "name": name,
        "practiceSetting": {"code": "AMBULATOIRE", "display": "Ambulatoire", "system": "1.2.250.1.213.1.1.4.9"},
        "addresses": [{"use": "WP", "lines": ["2 place de l'Exemple"], "postalCode": "29000", "city": "QUIMPER"}],
        "telecoms": [{"value": "tel:0298000000", "use": "WP"}],
    }


_DOCTOR = {
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
    "organization": _structure("1290099886", "CABINET FICTIF"),
    "telecoms": [{"value": "tel:0298000000", "use": "WP"}],
}
_PHARMACIST = {
    "id": {"root": "1.2.250.1.71.4.2.1", "extension": "810123456781"},
    "family": "MORVAN",
    "given": "Yann",
    "prefix": "M",
    "specialty": {
        "code": "G15_21/A",
        "display": "Pharmacien titulaire d'officine",
        "system": "1.2.250.1.213.1.1.4.5",
    },
    "organization": _structure("1750803447", "PHARMACIE FICTIVE"),
}


def _header(kind: str, rng: random.Random, author: dict[str, Any], facility: tuple[str, str]) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": {"root": f"1.2.250.1.999.9.2.{_NUMBER}"},
        "setId": {"root": f"1.2.250.1.999.9.3.{_NUMBER}"},
        "createdAt": _WHEN,
        "patient": _patient(rng),
        "authors": [{"professional": author, "time": _WHEN}],
        "custodian": {name: author["organization"][name] for name in ("id", "name")},
        "acts": [{"period": {"start": _BEGIN, "end": _END}, "performer": author}],
        "encounter": {
            "code": {"code": "AMB", "display": "Ambulatoire (hors établissement)", "system": "2.16.840.1.113883.5.4"},
            "period": {"start": _BEGIN, "end": _END},
            "facility": {"code": facility[0], "display": facility[1], "system": "1.2.250.1.71.4.2.4"},
        },
    }


_CABINET = ("SA07", "Cabinet individuel")
_OFFICINE = ("SA33", "Pharmacie d'officine")


def _report(rng: random.Random, pdf: bytes) -> dict[str, Any]:
    code = {"code": "11488-4", "display": "CR ou fiche de consultation", "system": LOINC}
    out = _header("report", rng, _DOCTOR, _CABINET)
    out |= {"title": "Compte rendu de consultation", "type": code, "mediaType": "application/pdf"}
    out["acts"][0]["code"] = code
    out["content"] = base64.b64encode(pdf).decode()
    return out


def _dosage(hours: str) -> dict[str, Any]:
    tablet = {"value": "1", "unit": "{tablet}"}
    return {
        "timing": [{"kind": "every", "period": {"value": hours, "unit": "h"}}],
        "route": {"code": "20053000", "display": "Voie orale", "system": "0.4.0.127.0.16.1.1.2.1"},
        "dose": {"low": tablet, "high": tablet},
    }


def _medicine(row: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "name": row[0],
        "codes": [
            {"code": row[1], "system": CIS, "systemName": "CIS"},
            {"code": row[2], "system": CIP, "systemName": "CIP"},
        ],
    }


def _fresh(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _prescription(rng: random.Random, _: bytes) -> dict[str, Any]:
    marks = {"ald": False, "workAccident": False, "prevention": False, "notReimbursable": False, "offLabel": False}
    out = _header("prescription", rng, _DOCTOR, _CABINET)
    out |= {"title": "Prescription de produits de santé", "lines": []}
    out["acts"][0]["period"] = {"start": "2026-11-20", "end": "2027-02-20"}
    for row in rng.sample(_MEDICINES, 4):
        out["lines"].append(
            {
                "kind": "medication",
                "id": _fresh(rng),
                "medication": _medicine(row),
                "posology": {
                    "text": "1 comprimé toutes les 8 heures pendant 5 jours",
                    "dosage": {**_dosage("8"), "period": {"start": "2026-11-20", "end": "2026-11-25"}},
                },
                "renewals": 0,
                "quantity": {"value": "2", "unit": "30009000", "display": "boîte"},
                "substitution": {"permitted": True},
                "marks": marks,
            }
        )
    return out


def _summary(rng: random.Random, _: bytes) -> dict[str, Any]:
    out = _header("medical_summary", rng, _DOCTOR, _CABINET)
    out["title"] = "Volet de synthèse médicale"
    out["authors"][0]["function"] = {"code": "PCP", "display": "Médecin traitant", "system": "2.16.840.1.113883.5.88"}
    concept = [{"code": {"code": c, "display": text, "system": ICD10}, "text": text} for c, text in _PROBLEMS]
    out["problems"] = {
        "entries": [{"concept": c, "period": {"start": "2021-03-15"}, "certainty": "confirmed"} for c in concept]
    }
    out["history"] = {
        "entries": [
            {"concept": {"text": text}, "period": {"start": "2015-01", "end": "2015-02"}, "actStatus": "completed"}
            for text in ("Pneumopathie", "Fracture du poignet droit")
        ]
    }
    act = {"code": "HHFA011", "display": "Appendicectomie", "system": "1.2.250.1.215.300.1"}
    out["procedures"] = {"entries": [{"concept": {"code": act, "text": act["display"]}, "performed": "1998"}]}
    out["allergies"] = {
        "entries": [
            {
                "type": {"code": "414285001", "display": "allergie alimentaire", "system": SNOMED},
                "agent": {"text": agent},
                "period": {"start": "2015"},
                "reactions": [{"concept": {"text": "Urticaire"}}],
                "criticality": "high",
            }
            for agent in ("Arachide", "Kiwi")
        ]
    }
    smoker = {"code": "8517006", "display": "ancien(ne) fumeur(-euse)", "system": SNOMED}
    out["lifestyle"] = {
        "entries": [
            {
                "code": {"code": "72166-2", "display": "Statut tabagique", "system": LOINC},
                "observedAt": "2026-11-20",
                "value": {"concept": {"code": smoker}},
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
                "medication": _medicine(row),
                "posology": {"text": "1 comprimé matin et soir", "dosage": _dosage("12")},
                "period": {"start": "2021-03-15"},
            }
            for row in _MEDICINES
        ]
    }
    return out


def _dispensation(rng: random.Random, _: bytes) -> dict[str, Any]:
    out = _header("dispensation", rng, _PHARMACIST, _OFFICINE)
    out |= {"title": "Dispensation de médicaments", "prescriptionId": {"root": "1.2.250.1.999.9.2.101"}}
    out["participants"] = [
        {
            "type": "REF",
            "time": {"start": _WHEN},
            "id": _DOCTOR["id"],
            "family": _DOCTOR["family"],
            "given": _DOCTOR["given"],
            "organization": {name: _structure("1290099886", "CABINET FICTIF")[name] for name in ("id", "name")},
        }
    ]
    out["lines"] = [
        {
            "id": _fresh(rng),
            "completeness": "FFC",
            "medication": _medicine(row),
            "quantity": {"value": "1", "unit": "30009000", "display": "boîte"},
            "prescribedLine": _fresh(rng),
        }
        for row in rng.sample(_MEDICINES, 3)
    ]
    return out


#: Name in ``--mix`` -> what makes a document of that kind.
KINDS: dict[str, Callable[[random.Random, bytes], dict[str, Any]]] = {
    "report": _report,
    "prescription": _prescription,
    "vsm": _summary,
    "dispensation": _dispensation,
}


def _pdf(rng: random.Random, size: int) -> bytes:
    """A small PDF of one empty page, filled to its size with a stream no viewer shows."""
    filler = rng.randbytes(max(0, size - 400))
    head = (
        b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\n"
    )
    stream = b"4 0 obj<</Length " + str(len(filler)).encode() + b">>stream\n" + filler + b"\nendstream endobj\n"
    return head + stream + b"trailer<</Root 1 0 R>>\n%%EOF\n"


def templates(kind: str, *, count: int = 32, mailed: float = 0.5, pdf_bytes: int = 60_000) -> list[Template]:
    """Ready requests of a kind, each about another patient, ``mailed`` of them to a mailbox too."""
    out: list[Template] = []
    make = KINDS[kind]
    for position in range(count):
        rng = random.Random(f"{kind}-{position}")  # noqa: S311 - the same documents in every run
        to_mail = (position + 0.5) * mailed % 1 >= 1 - mailed if 0 < mailed < 1 else mailed >= 1
        value: dict[str, Any] = {"document": make(rng, _pdf(rng, pdf_bytes))}
        if to_mail:
            address = {"address": "dr.exemple@medecin.formation.mssante.fr", "kind": "professional"}
            value["deliverTo"] = {"mss": {"recipients": [address]}}
        out.append(Template(kind=kind, body=orjson.dumps(value), mailed=to_mail))
    return out
