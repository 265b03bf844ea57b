"""A first conversion nobody waits for: the processes of the pool do it at start, so that no caller pays for loading."""

from __future__ import annotations

from typing import Any

__all__ = ["warm_up"]


def _sample() -> dict[str, Any]:
    """A small prescription about nobody."""
    structure = {"id": {"root": "1.2.250.1.71.4.2.2", "extension": "1290099886"}, "name": "STRUCTURE FICTIVE"}
    doctor = {
        "id": {"root": "1.2.250.1.71.4.2.1", "extension": "899700218896"},
        "family": "FICTIF",
        "given": "Exemple",
        "specialty": {
            "code": "G15_10/SM54",
            "display": "Médecin - Médecine Générale (SM)",
            "system": "1.2.250.1.213.1.1.4.5",
        },
        "organization": {
            **structure,
            "practiceSetting": {"code": "AMBULATOIRE", "display": "Ambulatoire", "system": "1.2.250.1.213.1.1.4.9"},
        },
    }
    when = "2026-01-05T10:00:00+01:00"
    return {
        "kind": "prescription",
        "id": {"root": "1.2.250.1.999.9.1"},
        "createdAt": when,
        "title": "Prescription de produits de santé",
        "patient": {
            "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": "0"}],
            "status": "provisoire",
            "birthName": "FICTIF",
            "firstGivenName": "EXEMPLE",
            "givenNames": "EXEMPLE",
            "sex": "F",
            "birthDate": "1979-03-28",
            "birthPlace": "51215",
        },
        "authors": [{"professional": doctor, "time": when}],
        "custodian": structure,
        "acts": [{"period": {"start": "2026-01-05", "end": "2026-02-05"}, "performer": doctor}],
        "encounter": {
            "code": {"code": "AMB", "display": "Ambulatoire (hors établissement)", "system": "2.16.840.1.113883.5.4"},
            "period": {"start": when, "end": "2026-01-05T10:20:00+01:00"},
            "facility": {"code": "SA07", "display": "Cabinet individuel", "system": "1.2.250.1.71.4.2.4"},
        },
        "lines": [
            {
                "kind": "medication",
                "id": "11111111-1111-4111-8111-111111111111",
                "medication": {"name": "PARACETAMOL 1 g, comprimé"},
                "posology": {"text": "1 comprimé toutes les 8 heures"},
                "renewals": 0,
                "substitution": {"permitted": True},
                "marks": {
                    "ald": False,
                    "workAccident": False,
                    "prevention": False,
                    "notReimbursable": False,
                    "offLabel": False,
                },
            }
        ],
    }


def warm_up() -> str:
    """Convert and print the sample once; gives the kind of the document converted."""
    import orjson

    from gateway.heap import give_back_large_blocks
    from gateway.services.intake import IntakeOptions, convert
    from mappings.rendering.pdf import cda_pdf

    give_back_large_blocks()
    made = convert(orjson.dumps(_sample()), "json", IntakeOptions(fresh_oid="2.25.1", now="2026-01-05T10:00:00+01:00"))
    cda_pdf(made.cda)
    return made.kind
