"""E-prescriptions at the edges: bad input, outages, repeats, codes, replacements, papers, orders written elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import update

from adapters.ordonnance.sandbox import ORDONNANCE_KEY
from gateway.demonstration import Client, Demonstration
from gateway.journey.clock import utc_now
from gateway.store.order_tables import order_relays
from mappings import cda as cda_forms
from mappings import fhir
from mappings.rendering.codes import read as read_codes
from tests.acceptance.conftest import body_of, fault, follow, simulator
from tests.acceptance.test_eprescription_life import (
    BOX,
    DEVICE,
    GENERIC,
    INS,
    LEVOTHYROXINE,
    PARACETAMOL,
    fresh_prescription,
    line,
    relay,
    search,
    settled,
    until,
    write,
)
from tests.support import documents, outside

OTHER_INS = {"value": "255069999999934", "authority": "1.2.250.1.213.1.4.10"}
US = documents.PHARMACIST
keys = itertools.count(1)


@pytest.fixture(scope="module")
def number(vendor: Client) -> str:
    """The number of an order that nobody dispenses."""
    found: str = write(vendor).json()["number"]
    return found


@pytest.fixture
def order(vendor: Client) -> dict[str, Any]:
    """An order of the test's own."""
    found: dict[str, Any] = write(vendor).json()
    return found


def code_of(answer: httpx.Response) -> str:
    """The code of the first fault."""
    body = answer.json()
    assert body["faults"][0]["fix"]
    return str(body["faults"][0]["code"])


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"lines": [line(PARACETAMOL), line(PARACETAMOL)]}, 422, "ORD-011"),
        ({"lines": [line(PARACETAMOL, "-1")]}, 422, "ORD-012"),
        ({"lines": [line(PARACETAMOL, "0.5")]}, 422, "ORD-012"),
        ({"lines": [line(PARACETAMOL, medication={"lotNumber": "L1"})]}, 422, "ORD-013"),
        ({"lines": [line(None)]}, 422, "ORD-013"),
        ({"lines": [line(PARACETAMOL)], "dispensedAt": "2020-01-01T10:00:00+01:00"}, 422, "ORD-014"),
        ({"lines": [line(PARACETAMOL)], "dispensedAt": "2099-01-01T10:00:00+01:00"}, 422, "ORD-015"),
        ({"lines": [line(PARACETAMOL, "3")]}, 409, "ORD-016"),
        ({"lines": [line(LEVOTHYROXINE, medication=GENERIC, substitution={})]}, 422, "ORD-017"),
        ({"lines": [line("99999999-9999-4999-8999-999999999999")]}, 422, "ORD-010"),
        ({"lines": []}, 422, "ORD-026"),
        ({"lines": [line(PARACETAMOL)], "orderVersion": 77}, 409, "ORD-030"),
        ({"lines": [line(PARACETAMOL)], "ins": OTHER_INS}, 422, "ORD-002"),
        ({"lines": [line(PARACETAMOL)], "number": "INCONNU-1"}, 404, "ORD-003"),
        ({"lines": [line(PARACETAMOL)], "tellPrescriber": {}}, 422, "ORD-070"),
        ({"lines": [line(PARACETAMOL)], "surprise": 1}, 422, "DOC-JSON-002"),
        ({"lines": [{"line": PARACETAMOL}]}, 422, "DOC-JSON-001"),
    ],
)
def test_what_a_pharmacist_is_told(pharmacy: Client, number: str, said: dict[str, Any], status: int, code: str) -> None:
    """Each bad relay is refused by name, in French, with a way out, and changes nothing."""
    answer = relay(pharmacy, US, number, **said)
    assert answer.status_code == status, answer.text
    assert code_of(answer) == code
    assert INS["value"] not in answer.text
    assert search(pharmacy, number).json()["state"] in ("prescribed", "registered")


def test_names_of_orders_never_stand_in_addresses(pharmacy: Client, number: str) -> None:
    """Without a key, a number or an INS nothing is done."""
    bare = pharmacy.request("POST", "/v1/dispensations", json={"pharmacist": US})
    assert code_of(bare) == "API-IDEM-001"
    assert code_of(relay(pharmacy, US, None, lines=[line(PARACETAMOL)])) == "ORD-044"
    assert code_of(relay(pharmacy, US, None, number=number, lines=[line(PARACETAMOL)])) == "ORD-044"
    assert code_of(search(pharmacy, number, OTHER_INS)) == "ORD-002"
    assert pharmacy.request("GET", f"/v1/orders/{number}").status_code == 404
    assert pharmacy.request("GET", "/v1/dispensations/dsp_none").status_code == 404
    unreadable = pharmacy.request(
        "POST", "/v1/dispensations", content=b'{"a": 1, "a": 2}', headers={"Idempotency-Key": "x"}
    )
    assert unreadable.status_code == 400


def test_others_may_not(vendor: Client, pharmacy: Client, order: dict[str, Any]) -> None:
    """A pharmacy writes no prescription, a practice dispenses nothing, and each sees its own."""
    assert write(pharmacy).status_code == 403
    assert relay(vendor, US, order["number"], lines=[line(PARACETAMOL)]).status_code == 403
    assert pharmacy.request("GET", f"/v1/prescriptions/{order['id']}").status_code == 404


def test_the_same_relay_twice(pharmacy: Client, order: dict[str, Any]) -> None:
    """The same key gives the same dispensation; another content under it is refused; quantities move once."""
    said = {"lines": [line(PARACETAMOL)], "key": f"edge-{next(keys)}"}
    first = relay(pharmacy, US, order["number"], **said)
    again = relay(pharmacy, US, order["number"], **said)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["order"]["lines"][0]["left"] == "1"
    other = relay(pharmacy, US, order["number"], lines=[line(PARACETAMOL, "2")], key=said["key"])
    assert other.status_code == 422
    assert code_of(other) == "API-IDEM-002"


def test_the_same_prescription_twice(vendor: Client) -> None:
    """The same key gives the same order and number."""
    document = fresh_prescription()
    first = write(vendor, document, key="same-rx")
    again = write(vendor, document, key="same-rx")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["number"] == first.json()["number"]
    assert write(vendor, fresh_prescription(), key="same-rx").status_code == 422


def test_an_outage_is_waited_out(
    running: Demonstration, vendor: Client, pharmacy: Client, order: dict[str, Any]
) -> None:
    """With the national service down the relay is accepted all the same, and settled once it is back."""
    path = f"/v1/prescriptions/{order['id']}"
    until(lambda: vendor.request("GET", path).json(), lambda body: body["state"] == "registered")
    fault(running, "ordonnance", fault="unavailable", transaction="prescriptions/search")
    fault(running, "ordonnance", fault="unavailable", transaction="executions", count=2)
    answer = relay(pharmacy, US, order["number"], lines=[line(PARACETAMOL)])
    assert answer.status_code == 202, answer.text
    assert answer.json()["relay"]["state"] == "queued"
    done = settled(pharmacy, answer.json()["id"])
    assert done["relay"]["attempts"] == 3


def test_a_lost_answer_is_no_second_execution(running: Demonstration, pharmacy: Client, order: dict[str, Any]) -> None:
    """Done and its answer lost: sent again under the same operation, one execution."""
    fault(running, "ordonnance", fault="lost_after", transaction="executions")
    answer = relay(pharmacy, US, order["number"], lines=[line(PARACETAMOL)])
    settled(pharmacy, answer.json()["id"])
    held = {one["number"]: one for one in simulator(running, "ordonnance", "/prescriptions").json()}
    assert len(held[order["number"]]["executions"]) == 1


def test_a_refusal_of_the_service_is_told(running: Demonstration, pharmacy: Client, order: dict[str, Any]) -> None:
    """Its code and words are kept; the dispensation stays, contested, for a pharmacist to correct."""
    fault(running, "ordonnance", fault="refuse", transaction="executions", parameters={"code": "NOTHING_LEFT"})
    answer = relay(pharmacy, US, order["number"], lines=[line(PARACETAMOL)])
    done = settled(pharmacy, answer.json()["id"], "refused")
    assert done["relay"]["originalCode"] == "NOTHING_LEFT"
    assert done["relay"]["cause"]
    assert done["relay"]["fix"]
    assert done["order"]["contested"] == [done["id"]]
    fixed = relay(pharmacy, US, None, path=f"/v1/dispensations/{done['id']}/correct", lines=[line(PARACETAMOL)])
    done = settled(pharmacy, fixed.json()["id"])
    assert done["order"]["contested"] == []


def test_no_number_no_prescription(running: Demonstration, vendor: Client) -> None:
    """When the national base gives no number the prescriber is told at once, and the same key works later."""
    document = fresh_prescription()
    fault(running, "ordonnance", fault="unavailable", transaction="numbers")
    answer = write(vendor, document, key="numberless")
    assert answer.status_code == 503
    assert code_of(answer) == "ORD-063"
    assert answer.headers["Retry-After"]
    assert write(vendor, document, key="numberless").status_code == 201


def test_an_order_written_elsewhere(running: Demonstration, pharmacy: Client) -> None:
    """What another gateway registered is found, dispensed on, and keeps count of what was executed elsewhere."""
    base = running.sandbox.ordonnance.base_url
    document = documents.load(fresh_prescription(number="AILLEURS-42"))
    content = document.model_dump(mode="json", exclude_none=True)
    admin = running.sandbox.ordonnance.api_url
    httpx.post(f"{admin}/numbers", json={"number": "AILLEURS-42"}, trust_env=False).raise_for_status()
    now = utc_now()
    operations: list[tuple[str, dict[str, Any]]] = [
        (
            "prescriptions",
            {
                "operationId": "far-1",
                "issuedAt": now.isoformat(),
                "lines": [{"line": PARACETAMOL, "quantity": "2", "renewals": 1}],
                "prescription": content,
            },
        ),
        (
            "executions",
            {
                "operationId": "far-2",
                "execution": "far-execution",
                "at": now.isoformat(timespec="seconds"),
                "pharmacy": "1750000000",
                "lines": [{"line": PARACETAMOL, "quantity": "2", "complete": None, "code": "FFC"}],
                "refused": [],
            },
        ),
    ]
    for path, body in operations:
        httpx.post(
            f"{base}/{path}",
            json={"number": "AILLEURS-42", "ins": INS, **body},
            headers={"Authorization": f"Bearer {ORDONNANCE_KEY}"},
            trust_env=False,
        ).raise_for_status()
    found = search(pharmacy, "AILLEURS-42")
    assert found.status_code == 200, found.text
    first = found.json()["lines"][0]
    assert (first["given"], first["renewalsLeft"], first["left"]) == ("2", 0, "2")
    answer = relay(pharmacy, US, "AILLEURS-42", lines=[line(PARACETAMOL, "2")])
    assert answer.status_code == 202, answer.text
    assert answer.json()["order"]["lines"][0]["state"] == "dispensed"
    settled(pharmacy, answer.json()["id"])


def test_a_number_given_and_never_used(running: Demonstration, pharmacy: Client) -> None:
    """A number of the national base that no prescription has yet; another patient's order of elsewhere."""
    admin = running.sandbox.ordonnance.api_url
    httpx.post(f"{admin}/numbers", json={"number": "JAMAIS-ECRIT"}, trust_env=False).raise_for_status()
    assert code_of(search(pharmacy, "JAMAIS-ECRIT")) == "ORD-001"


def test_an_unknown_number_during_an_outage(running: Demonstration, pharmacy: Client) -> None:
    """Neither known here nor to be asked for: to be tried again, not refused."""
    fault(running, "ordonnance", fault="unavailable", transaction="prescriptions/search")
    answer = search(pharmacy, "INCONNU-2")
    assert answer.status_code == 503
    assert code_of(answer) == "ORD-045"


def test_the_scanned_code(vendor: Client, pharmacy: Client, order: dict[str, Any]) -> None:
    """The code of the printed form finds the order; forged or of an order used up it is refused."""
    cda = vendor.request("GET", f"/v1/documents/{order['document']}/cda").content
    document: Any = cda_forms.read(cda).document
    image = document.code_image
    assert image is not None
    (scanned,) = read_codes(image)
    found = pharmacy.request("POST", "/v1/orders/search", json={"code": scanned.text, "ins": INS})
    assert found.status_code == 200, found.text
    assert found.json()["number"] == order["number"]
    forged = scanned.text.replace(order["number"], order["number"][:-1] + "9")
    if forged == scanned.text:
        forged = scanned.text[:-1] + ("A" if scanned.text[-1] != "A" else "B")
    assert code_of(pharmacy.request("POST", "/v1/orders/search", json={"code": forged, "ins": INS})) == "ORD-051"
    assert code_of(pharmacy.request("POST", "/v1/orders/search", json={"code": "123", "ins": INS})) == "ORD-050"
    given = relay(pharmacy, US, None, code=scanned.text, ins=INS, lines=[line(PARACETAMOL)])
    assert given.status_code == 202, given.text
    vendor.request("POST", f"/v1/prescriptions/{order['id']}/cancel", json={})
    replayed = relay(pharmacy, US, None, code=scanned.text, ins=INS, lines=[line(PARACETAMOL)])
    assert replayed.status_code == 409
    assert code_of(replayed) == "ORD-053"


def test_replacing_a_prescription(running: Demonstration, vendor: Client, pharmacy: Client) -> None:
    """A new number and a new version of the document; the former is closed, here and in the national base."""
    former = write(vendor).json()
    document = fresh_prescription()
    document.pop("setId")
    answer = vendor.request(
        "POST",
        f"/v1/prescriptions/{former['id']}/replace",
        content=body_of(document),
        headers={"Content-Type": "application/json", "Idempotency-Key": f"rep-{next(keys)}"},
    )
    assert answer.status_code == 201, answer.text
    now = answer.json()
    assert now["number"] != former["number"]
    assert now["replaces"] == former["id"]
    assert vendor.request("GET", f"/v1/prescriptions/{former['id']}").json()["state"] == "replaced"
    refused = relay(pharmacy, US, former["number"], lines=[line(PARACETAMOL)])
    assert code_of(refused) == "ORD-006"
    follow(vendor, now["document"])
    bundle = vendor.request("GET", f"/v1/documents/{now['document']}/cda").content
    assert b'typeCode="RPLC"' in bundle
    held = until(
        lambda: {one["number"]: one for one in simulator(running, "ordonnance", "/prescriptions").json()},
        lambda rows: now["number"] in rows,
    )
    assert held[former["number"]]["cancelled"] is True
    assert relay(pharmacy, US, now["number"], lines=[line(PARACETAMOL)]).status_code == 202
    started = vendor.request(
        "POST",
        f"/v1/prescriptions/{now['id']}/replace",
        content=body_of(fresh_prescription()),
        headers={"Content-Type": "application/json", "Idempotency-Key": f"rep-{next(keys)}"},
    )
    assert code_of(started) == "ORD-064"


def test_a_paper_prescription(pharmacy: Client, ans_check: Any) -> None:
    """Without a number: the patient and the prescriber are told, the document is made, nothing is relayed."""
    answer = relay(
        pharmacy,
        US,
        None,
        patient=documents.PATIENT,
        paper={"prescriber": documents.DOCTOR, "issuedAt": "2026-11-20"},
        lines=[line(None, medication=GENERIC)],
    )
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["relay"]["state"] == "none"
    assert "order" not in body
    assert follow(pharmacy, body["document"])["state"] == "completed"
    cda = pharmacy.request("GET", f"/v1/documents/{body['document']}/cda").content
    assert ans_check(cda) == []
    assert code_of(relay(pharmacy, US, None, paper={"prescriber": documents.DOCTOR, "issuedAt": "2026-11-20"})) == (
        "ORD-026"
    )


def test_a_device_alone_makes_no_document(pharmacy: Client, order: dict[str, Any]) -> None:
    """No dispensation document exists for devices: the order and the national base are told."""
    answer = relay(pharmacy, US, order["number"], lines=[line(DEVICE, unit="1")])
    assert answer.status_code == 202, answer.text
    assert "document" not in answer.json()
    settled(pharmacy, answer.json()["id"])


def test_a_refusal_alone_is_told_in_words(running: Demonstration, pharmacy: Client, order: dict[str, Any]) -> None:
    """Nothing given, no document: the prescriber gets the words, with the number that says which prescription."""
    address = "dr.refus@medecin.formation.mssante.fr"
    answer = relay(
        pharmacy,
        US,
        order["number"],
        refused=[{"line": LEVOTHYROXINE, "reason": "Rupture nationale"}],
        tellPrescriber={"address": address},
    )
    assert answer.status_code == 202, answer.text
    assert "document" not in answer.json()
    assert answer.json()["order"]["lines"][1]["state"] == "not-dispensed"
    until(lambda: simulator(running, "mss", "/messages").json(), lambda mails: any(address in str(m) for m in mails))


def test_another_pharmacy_s_pharmacist_may_not(pharmacy: Client, order: dict[str, Any]) -> None:
    """Who dispenses must practise for the account's structure, whatever is given."""
    stranger = {**US, "organization": documents.STRUCTURE}
    for said in ({"lines": [line(PARACETAMOL)]}, {"lines": [line(DEVICE, unit="1")]}):
        answer = relay(pharmacy, stranger, order["number"], **said)
        assert answer.status_code == 403
        assert code_of(answer) == "API-ACTOR-001"


def test_prescriptions_in_the_other_forms(vendor: Client) -> None:
    """A FHIR Bundle and a CDA are numbered as our JSON is."""
    first = write(vendor).json()
    bundle = vendor.request("GET", f"/v1/documents/{first['document']}/fhir").content
    cda = vendor.request("GET", f"/v1/documents/{first['document']}/cda").content
    moved = {"application/fhir+json": bundle, "application/xml": cda}
    for media, content in moved.items():
        document = first["number"].encode()
        assert document in content
        answer = vendor.request(
            "POST",
            "/v1/prescriptions",
            content=content,
            headers={"Content-Type": media, "Idempotency-Key": f"form-{media}"},
        )
        # The same document under its own number is the same order.
        assert answer.status_code in (201, 409), answer.text
    wrong = vendor.request(
        "POST",
        "/v1/prescriptions",
        content=body_of(documents.report(99_001)),
        headers={"Content-Type": "application/json", "Idempotency-Key": "wrong"},
    )
    assert code_of(wrong) == "ORD-061"
    nameless = fresh_prescription()
    nameless["patient"].pop("ins")
    nameless["patient"].update(status="provisoire")
    nameless["patient"].pop("insCheckedOn")
    assert code_of(write(vendor, nameless)) == "ORD-060"


def test_the_published_examples_keep_their_meaning(vendor: Client) -> None:
    """Each line of the HAS examples, posted as a prescription, comes back with its sentence and its structure."""
    marks = {"ald": False, "workAccident": False, "prevention": False, "notReimbursable": False, "offLabel": False}
    files = sorted((outside.samples() / "fhir-eprescription").glob("Bundle-HAS-*.json"))
    assert len(files) > 40
    for rank, path in enumerate(files):
        lines: list[dict[str, Any]] = [
            {
                "kind": "medication",
                "medication": one.medication.model_dump(mode="json", exclude_none=True),
                "posology": one.posology.model_dump(mode="json", exclude_none=True),
                "marks": marks,
                "renewals": 0,
            }
            for one in fhir.read_prescriptions(orjson.loads(path.read_bytes())).lines
        ]
        answer = write(vendor, fresh_prescription(lines=lines), key=f"has-{rank}")
        assert answer.status_code == 201, (path.name, answer.text)
        bundle = vendor.request("GET", f"/v1/documents/{answer.json()['document']}/fhir").json()
        document: Any = fhir.read(bundle).document
        for sent, back in zip(lines, document.lines, strict=True):
            assert back.medication.label == (sent["medication"].get("name") or back.medication.label), path.name
            got = back.posology.model_dump(mode="json", exclude_none=True)
            assert got == sent["posology"], path.name
        assert all(one["id"] for one in answer.json()["lines"])


def test_a_renewal_too_early(pharmacy: Client, vendor: Client) -> None:
    """Thirty days were given: the renewal of the same day is refused, with the day from which it may be given."""
    document = fresh_prescription()
    day = utc_now().date()
    document["lines"][0]["renewalPeriod"] = {"start": day.isoformat(), "end": (day + timedelta(days=30)).isoformat()}
    number = write(vendor, document).json()["number"]
    assert relay(pharmacy, US, number, lines=[line(PARACETAMOL, "2")]).status_code == 202
    early = relay(pharmacy, US, number, lines=[line(PARACETAMOL, "2", BOX)])
    assert code_of(early) == "ORD-024"
    with_reason = relay(pharmacy, US, number, lines=[line(PARACETAMOL, "2", earlyReason="Départ en voyage")])
    assert with_reason.status_code == 202


def test_a_relay_given_up_is_sent_again(running: Demonstration, vendor: Client, pharmacy: Client) -> None:
    """After thirty days of outage it is abandoned, told as such, and leaves again at a word: one execution, counted."""
    order: dict[str, Any] = write(vendor).json()
    path = f"/v1/prescriptions/{order['id']}"
    until(lambda: vendor.request("GET", path).json(), lambda body: body["state"] == "registered")
    assert code_of(vendor.request("POST", f"{path}/resend")) == "ORD-068"
    fault(running, "ordonnance", fault="unavailable", transaction="executions", count=100_000)
    done = relay(pharmacy, US, order["number"], lines=[line(PARACETAMOL)]).json()
    own = f"/v1/dispensations/{done['id']}"
    assert code_of(pharmacy.request("POST", f"{own}/resend")) == "ORD-068"
    long_ago = utc_now() - timedelta(days=31)
    mine = order_relays.c.dispensation_id == done["id"], order_relays.c.first_failed_at.is_not(None)

    def a_month_later() -> dict[str, Any]:
        aged = update(order_relays).where(*mine).values(first_failed_at=long_ago)
        running.gateway.store.write_now(lambda c: c.execute(aged))
        found: dict[str, Any] = pharmacy.request("GET", own).json()["relay"]
        return found

    until(a_month_later, lambda relay: relay["state"] == "abandoned")
    given_up = settled(pharmacy, done["id"], "abandoned")
    assert given_up["relay"]["fix"]
    assert given_up["order"]["contested"] == [done["id"]]
    base = running.sandbox.ordonnance.api_url
    httpx.delete(f"{base}/faults", trust_env=False, timeout=10).raise_for_status()
    assert vendor.request("POST", f"{own}/resend").status_code == 403
    again = pharmacy.request("POST", f"{own}/resend")
    assert again.status_code == 202, again.text
    assert again.json()["relay"]["state"] in ("queued", "accepted")
    assert settled(pharmacy, done["id"])["order"]["contested"] == []
    held = {one["number"]: one for one in simulator(running, "ordonnance", "/prescriptions").json()}
    assert len(held[order["number"]]["executions"]) == 1
    kinds = [event["kind"] for event in vendor.request("GET", path).json()["events"]]
    assert kinds[-4:] == ["dispensed", "relay_refused", "relay_resent", "relay_accepted"]


@pytest.mark.parametrize("form", ["fhir", "cda"])
def test_a_prescription_written_in_another_form(
    vendor: Client, pharmacy: Client, form: str, ans_check: Callable[[bytes], list[str]]
) -> None:
    """A Bundle or a CDA without a number gets one, prints it, passes the official rules, and is dispensed on."""
    sent = documents.load(fresh_prescription())
    if form == "fhir":
        content, media = orjson.dumps(fhir.write(sent).bundle), "application/fhir+json"
    else:
        printed = documents.PDF
        content, media = cda_forms.write(sent, pdf=printed).data, "application/xml"
    answer = vendor.request(
        "POST",
        "/v1/prescriptions",
        content=content,
        headers={"Content-Type": media, "Idempotency-Key": f"other-{form}-{next(keys)}"},
    )
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert order["number"]
    assert [(one["prescribed"], one["renewals"]) for one in order["lines"]] == [("2", 1), ("1", 2), ("1", 0)]
    assert follow(vendor, order["document"])["state"] == "completed"
    cda = vendor.request("GET", f"/v1/documents/{order['document']}/cda").content
    assert order["number"].encode() in cda
    assert ans_check(cda) == []
    kept: Any = cda_forms.read(cda).document
    assert [one.medication.label for one in kept.lines if one.kind == "medication"] == [
        one.medication.label for one in sent.lines if one.kind == "medication"
    ]
    given = relay(pharmacy, US, order["number"], lines=[line(order["lines"][0]["id"])])
    assert given.status_code == 202, given.text
    assert given.json()["order"]["lines"][0]["left"] == "1"


def test_an_order_past_its_validity(vendor: Client, pharmacy: Client) -> None:
    """Its last day gone, it is found as expired and refused by name."""
    document = fresh_prescription()
    day = utc_now().date()
    document["acts"][0]["period"] = {
        "start": (day - timedelta(days=20)).isoformat(),
        "end": (day - timedelta(days=1)).isoformat(),
    }
    order = write(vendor, document).json()
    assert search(pharmacy, order["number"]).json()["state"] == "expired"
    refused = relay(pharmacy, US, order["number"], lines=[line(PARACETAMOL)])
    assert refused.status_code == 409
    assert code_of(refused) == "ORD-004"
    assert "prescripteur" in refused.json()["faults"][0]["fix"]
