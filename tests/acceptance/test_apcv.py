"""An identity read on the Appli carte Vitale: qualified at once, counted, compared with the local file."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from gateway.demonstration import Client
from gateway.journey.worker import utc_now
from tests.acceptance.conftest import follow, post
from tests.support import documents
from tests.unit.gateway.conftest import unqualified

numbers = itertools.count(12_000)


def context(local: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A reading of the test patient's app."""
    return {
        "source": "apcv",
        "reading": "qr",
        "readAt": utc_now().isoformat(),
        "holder": True,
        "ins": {"matricule": "2790351215189", "key": "89", "oid": "1.2.250.1.213.1.4.10"},
        "traits": {
            "birthName": "PAT-TROIS",
            "givenNames": "DOMINIQUE MARIE-LOUISE",
            "sex": "F",
            "birthDate": "1979-03-28",
            "birthPlace": "51215",
        },
        "contextRef": f"ctx-{next(numbers)}",
        "patient": local,
        **members,
    }


def waiting_patient() -> dict[str, Any]:
    """A provisional identity nobody has seen yet."""
    patient = unqualified()["patient"]
    patient["identifiers"] = [{"root": "1.2.250.1.999.9.5", "extension": f"APCV{next(numbers)}"}]
    # INSi does not know this spelling, so that only the app qualifies it.
    patient["givenNames"] = None
    return {k: v for k, v in patient.items() if v is not None}


def test_a_reading_qualifies_and_lets_go(vendor: Client, auditor: Client) -> None:
    """The document that waited leaves with the INS, and the use is counted."""
    patient = waiting_patient()
    document = {**documents.report(next(numbers)), "patient": patient}
    receipt = post(vendor, document).json()
    assert receipt["deliveries"][0]["state"] == "held"
    answer = vendor.request("POST", "/v1/identities/apcv", json=context(patient))
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "qualifiee"
    assert answer.json()["missing"] == []
    done = follow(vendor, receipt["id"])
    assert done["state"] == "completed", done
    rows = auditor.request("GET", "/v1/feeds/counts", params={"by": "outcome"}).json()["rows"]
    assert any(r["service"] == "apcv.use" and r["by"]["outcome"] == "used" for r in rows)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"readAt": (utc_now() - timedelta(hours=2)).isoformat()}, 422, "APCV-AGE-001"),
        ({"ins": {"matricule": "2790351215189", "key": "12", "oid": "1.2.250.1.213.1.4.10"}}, 422, "APCV-INS-001"),
        ({"ins": {"matricule": "2790351215189", "key": "89", "oid": "1.2.250.1.213.1.4.2"}}, 422, "APCV-INS-001"),
        ({"source": "card"}, 422, "DOC-JSON-003"),
        (
            {"traits": {"birthName": "AUTRE", "givenNames": "PERSONNE", "sex": "M", "birthDate": "1950-01-01"}},
            409,
            "APCV-CMP-001",
        ),
    ],
)
def test_a_reading_that_does_not_hold(vendor: Client, change: dict[str, Any], status: int, code: str) -> None:
    """Too old, wrong key, foreign authority, unknown source, another person: refused, named."""
    answer = vendor.request("POST", "/v1/identities/apcv", json=context(waiting_patient(), **change))
    assert answer.status_code == status, answer.text
    assert answer.json()["faults"][0]["code"] == code
    assert "AUTRE" not in answer.text
