"""Mail through the operator: retried under the same Message-ID, refused with its reason, held for the unqualified."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import fault, follow, post, simulator
from tests.support import documents
from tests.unit.gateway.conftest import unqualified

numbers = itertools.count(9000)
PRO = {"address": "dr.morel@medecin.formation.mssante.fr", "kind": "professional"}
ONLY_MAIL: dict[str, Any] = {"dmp": False, "mss": {"recipients": [PRO]}}


def mails(running: Demonstration, unique_id: str) -> list[dict[str, Any]]:
    """The mails of the operator that carry a document."""
    found = simulator(running, "mss", "/messages").json()
    return [mail for mail in found if any(d["uniqueId"] == unique_id for d in mail["documents"])]


def test_a_connection_lost_after_the_final_dot(running: Demonstration, vendor: Client) -> None:
    """Nobody knows: the same mail goes again under the same Message-ID, and the delivery counts once."""
    fault(running, "mss", fault="reset_after_dot")
    fault(running, "mss", fault="no_notices")
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=ONLY_MAIL).json()
    done = follow(vendor, receipt["id"], seconds=30)
    assert done["state"] == "completed", done
    assert "uncertain" in [row["to"] for row in done["history"]]
    sent = mails(running, receipt["uniqueId"])
    assert len(sent) == 2
    assert len({mail["messageId"] for mail in sent}) == 1
    assert sent[1]["duplicateOf"] == sent[0]["id"]


def test_a_notice_settles_what_was_uncertain(running: Demonstration, vendor: Client) -> None:
    """The answer was lost, but the notice of delivery proves that the operator took it: no harm, one Message-ID."""
    fault(running, "mss", fault="reset_after_dot")
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=ONLY_MAIL).json()
    done = follow(vendor, receipt["id"], seconds=30)
    assert done["state"] == "completed", done
    sent = mails(running, receipt["uniqueId"])
    assert len({mail["messageId"] for mail in sent}) == 1
    assert len(sent) <= 2


@pytest.mark.parametrize(
    ("switch", "state", "original"),
    [
        (
            {"fault": "5xx", "transaction": "RCPT", "parameters": {"code": 550, "text": "5.1.1 unknown"}},
            "failed",
            "550",
        ),
        (
            {"fault": "4xx", "transaction": "RCPT", "parameters": {"code": 451, "text": "4.3.0 later"}},
            "completed",
            None,
        ),
        ({"fault": "quota"}, "failed", "552"),
    ],
)
def test_what_the_operator_says_decides(
    running: Demonstration, vendor: Client, switch: dict[str, Any], state: str, original: str | None
) -> None:
    """A final refusal ends the delivery with the operator's code; a temporary one is tried again."""
    fault(running, "mss", **switch)
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=ONLY_MAIL).json()
    done = follow(vendor, receipt["id"], seconds=30)
    assert done["state"] == state, done
    outcome = done["deliveries"][0].get("outcome")
    assert (outcome["originalCode"] if outcome else None) == original


def test_professionals_and_patient_get_their_own_message(running: Demonstration, vendor: Client) -> None:
    """Two messages, two deliveries; the patient's address is the matricule of a qualified identity."""
    citizen = {"address": "279035121518989@patient.mssante.fr", "kind": "citizen"}
    receipt = post(
        vendor, documents.prescription(next(numbers)), deliverTo={"dmp": False, "mss": {"recipients": [PRO, citizen]}}
    ).json()
    done = follow(vendor, receipt["id"])
    assert done["state"] == "completed", done
    sent = mails(running, receipt["uniqueId"])
    assert sorted(len(mail["recipients"]) for mail in sent) == [1, 1]


def test_an_unqualified_identity_is_not_mailed(vendor: Client) -> None:
    """Held for professionals by default, and for the patient always."""
    document = unqualified(next(numbers))
    document["patient"]["identifiers"] = [{"root": "1.2.250.1.999.9.5", "extension": f"M{next(numbers)}"}]
    document["patient"]["attributes"] = ["douteux"]
    receipt = post(vendor, document, deliverTo=ONLY_MAIL).json()
    assert receipt["deliveries"][0]["state"] == "held"


@pytest.mark.parametrize("address", ["x@example.org", "dr.morel@inconnu.mssante.fr"])
def test_outside_the_trust_space(running: Demonstration, vendor: Client, address: str) -> None:
    """A domain outside the white list is refused before any connection."""
    before = len(simulator(running, "mss", "/exchanges").json())
    recipients = [{"address": address, "kind": "professional"}]
    receipt = post(
        vendor, documents.report(next(numbers)), deliverTo={"dmp": False, "mss": {"recipients": recipients}}
    ).json()
    done = follow(vendor, receipt["id"])
    assert done["state"] == "failed"
    assert done["deliveries"][0]["outcome"]["code"].startswith("MSS-ADR-")
    assert len(simulator(running, "mss", "/exchanges").json()) == before
