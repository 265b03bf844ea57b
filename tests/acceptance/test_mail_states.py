"""What became of a mail, recipient by recipient: notices of the operator move states, history and counts, once each."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import fault, follow, post, simulator
from tests.support import documents
from tests.unit.gateway.conftest import unqualified

numbers = itertools.count(9300)
PRO = {"address": "dr.morel@medecin.formation.mssante.fr", "kind": "professional"}
FIVE = [
    PRO,
    {"address": "dr.leroy@medecin.formation.mssante.fr", "kind": "professional"},
    {"address": "cardiologie@hopital.formation.mssante.fr", "kind": "structure"},
    {"address": "pfi@hopital.formation.mssante.fr", "kind": "application"},
    {"address": "pharmacie@pharmacien.formation.mssante.fr", "kind": "structure"},
]
CITIZEN = {"address": "279035121518989@patient.mssante.fr", "kind": "citizen"}


def mailed(recipients: list[dict[str, str]]) -> dict[str, Any]:
    """Deliver by mail only, to these."""
    return {"dmp": False, "mss": {"recipients": recipients}}


def states(body: dict[str, Any]) -> dict[str, str]:
    """The state of each recipient, by address as shown."""
    return {r["address"]: r["state"] for d in body["deliveries"] for r in d.get("recipientStates", [])}


def until_states(vendor: Client, document: str, wanted: set[str], seconds: float = 20) -> dict[str, Any]:
    """Read a document until every recipient is in one of the states wanted."""
    return follow(vendor, document, lambda body: bool(states(body)) and set(states(body).values()) <= wanted, seconds)


def outcomes(auditor: Client) -> Counter[tuple[str, str]]:
    """What the ledger counts of mail, by outcome and class of recipient."""
    answer = auditor.request("GET", "/v1/feeds/counts", params={"by": "outcome,recipient"})
    rows = [row for row in answer.json()["rows"] if row["service"] == "mss.message"]
    return Counter({(row["by"]["outcome"], row["by"]["recipient"] or ""): row["count"] for row in rows})


def test_one_message_to_five_recipients(vendor: Client, auditor: Client) -> None:
    """One message submitted, five deliveries and five readings, each under the class of its recipient."""
    before = outcomes(auditor)
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=mailed(FIVE)).json()
    done = until_states(vendor, receipt["id"], {"read"})
    assert list(states(done)) == [r["address"] for r in FIVE]
    assert [r["class"] for r in done["deliveries"][0]["recipientStates"]] == "ps ps bal_org bal_app bal_org".split()
    more = outcomes(auditor)
    more.subtract(before)
    assert +more == {
        ("submitted", ""): 1,
        ("delivered", "ps"): 2,
        ("delivered", "bal_org"): 2,
        ("delivered", "bal_app"): 1,
        ("read", "ps"): 2,
        ("read", "bal_org"): 2,
        ("read", "bal_app"): 1,
    }
    first = done["deliveries"][0]["recipientStates"][0]["id"]
    told = [(row["from"], row["to"]) for row in done["history"] if row["id"] == first]
    assert told[-2:] == [("submitted", "delivered"), ("delivered", "read")] or told[0][0] == "pending"


def test_a_late_bounce_after_success(running: Demonstration, vendor: Client, auditor: Client) -> None:
    """Acknowledged by our operator, then refused further on: the recipient failed, with the cause, counted once."""
    before = outcomes(auditor)
    fault(running, "mss", fault="late_bounce", parameters={"status": "5.1.1", "text": "User unknown"})
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=mailed([PRO])).json()
    done = until_states(vendor, receipt["id"], {"failed"})
    assert done["deliveries"][0]["state"] == "acknowledged"
    (recipient,) = done["deliveries"][0]["recipientStates"]
    assert (recipient["code"], recipient["originalCode"]) == ("MSS-OUT-ADDRESS", "5.1.1")
    assert "destinataire" in recipient["cause"]
    changes = [row for row in done["history"] if row["subject"] == "recipient"]
    assert changes[-1]["to"] == "failed"
    assert changes[-1]["by"] == "notice:dsn"
    more = outcomes(auditor)
    more.subtract(before)
    assert +more == {("submitted", "ps"): 1, ("failed", "ps"): 1}


def test_an_integration_error(running: Demonstration, vendor: Client) -> None:
    """The recipient's software could not file it: failed, with its code of the table and what it means."""
    fault(running, "mss", fault="mdn_error", parameters={"code": "902"})
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=mailed([PRO])).json()
    done = until_states(vendor, receipt["id"], {"failed"})
    (recipient,) = done["deliveries"][0]["recipientStates"]
    assert (recipient["code"], recipient["originalCode"]) == ("MSS-MDN-902", "902")
    assert recipient["cause"] == "Identifiant patient inconnu"


def test_some_recipients_refused(vendor: Client, auditor: Client) -> None:
    """Those our operator refuses fail at once, the others get the message; it is acknowledged and says so."""
    before = outcomes(auditor)
    unknown = {"address": "inconnu@medecin.formation.mssante.fr", "kind": "professional"}
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=mailed([PRO, unknown])).json()
    done = until_states(vendor, receipt["id"], {"read", "failed"})
    assert states(done) == {PRO["address"]: "read", unknown["address"]: "failed"}
    (delivery,) = done["deliveries"]
    assert (delivery["state"], delivery["reason"]) == ("acknowledged", "MSS-OUT-PARTLY")
    more = outcomes(auditor)
    more.subtract(before)
    assert +more == {
        ("submitted", "ps"): 1,
        ("delivered", "ps"): 1,
        ("read", "ps"): 1,
        ("failed", "ps"): 1,
    }


def test_none_served_is_one_refusal(vendor: Client, auditor: Client) -> None:
    """Every recipient refused: the message itself is rejected, and nothing was submitted."""
    before = outcomes(auditor)
    unknown = {"address": "inconnu@medecin.formation.mssante.fr", "kind": "professional"}
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=mailed([unknown])).json()
    done = follow(vendor, receipt["id"])
    assert done["state"] == "failed"
    assert states(done) == {unknown["address"]: "failed"}
    more = outcomes(auditor)
    more.subtract(before)
    assert +more == {("rejected", "ps"): 1}


def test_only_those_still_due_are_sent_to_again(running: Demonstration, vendor: Client) -> None:
    """One recipient put off, the other served: the second attempt is for the first one alone, under one Message-ID."""
    fault(running, "mss", fault="greylisting")
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=mailed(FIVE[:2])).json()
    # The simulator takes the second mail for a copy of the first, which its reader answers once.
    done = follow(vendor, receipt["id"], lambda b: sorted(states(b).values()) == ["delivered", "read"], seconds=30)
    assert done["state"] == "completed"
    sent = [
        mail
        for mail in simulator(running, "mss", "/messages").json()
        if any(d["uniqueId"] == receipt["uniqueId"] for d in mail["documents"])
    ]
    assert sorted(len(mail["recipients"]) for mail in sent) == [1, 1]
    assert len({mail["messageId"] for mail in sent}) == 1


def test_the_patients_address_is_masked(vendor: Client) -> None:
    """The citizen's address is the matricule: only its domain is shown, and the class says whose it is."""
    receipt = post(vendor, documents.report(next(numbers)), deliverTo=mailed([PRO, CITIZEN])).json()
    done = until_states(vendor, receipt["id"], {"read"})
    assert set(states(done)) == {PRO["address"], "***@patient.mssante.fr"}
    threads = {delivery["thread"] for delivery in done["deliveries"]}
    assert len(threads) == 2


@pytest.mark.parametrize(("scope", "refused"), [("mss", "ps"), ("mss_citizen", "citizen")])
def test_oppositions_are_apart(vendor: Client, scope: str, refused: str) -> None:
    """A patient may refuse mail to professionals, or mail to themselves: the other still leaves."""
    number = next(numbers)
    document = unqualified(number)
    document["patient"]["identifiers"] = [{"root": "1.2.250.1.999.9.5", "extension": f"N{number}"}]
    document["patient"]["attributes"] = ["douteux"]
    waiting = post(vendor, document, deliverTo=mailed([PRO, CITIZEN])).json()
    follow(vendor, waiting["id"], lambda body: {d["state"] for d in body["deliveries"]} == {"held"})
    pending_rows = vendor.request("GET", "/v1/identities/pending").json()
    identity = pending_rows[-1]["id"]
    answer = vendor.request("POST", f"/v1/identities/{identity}/events", json={"event": "OPPOSED", "opposition": scope})
    assert answer.status_code == 200, answer.text
    body = follow(vendor, waiting["id"], lambda b: any(d["state"] == "refused" for d in b["deliveries"]))
    by_class = {d["recipientStates"][0]["class"]: d["state"] for d in body["deliveries"]}
    assert by_class[refused] == "refused"
    assert sorted(by_class.values()) == ["held", "refused"]


def test_silence_is_said(tmp_path: Path) -> None:
    """A mail without news for longer than the setting: its recipient's state is unknown, and counted so."""
    settings = {"mss": {"unknown_after_hours": 1 / 3600}}
    with Demonstration(tmp_path, pool_processes=0, settings=settings).running() as running:
        vendor, auditor = running.client("vendor"), running.client("auditor")
        fault(running, "mss", fault="no_notices")
        receipt = post(vendor, documents.report(next(numbers)), deliverTo=mailed([PRO])).json()
        done = until_states(vendor, receipt["id"], {"unknown"})
        (recipient,) = done["deliveries"][0]["recipientStates"]
        assert (recipient["state"], recipient["code"]) == ("unknown", "MSS-OUT-SILENT")
        assert outcomes(auditor) == {("submitted", "ps"): 1, ("unknown", "ps"): 1}
        vendor.http.close()
        auditor.http.close()
