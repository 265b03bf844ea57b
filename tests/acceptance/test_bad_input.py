"""Bad input: each a 4xx with the fault named; nothing stored, nothing sent, no trace, no trait in logs or errors."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import func, select

from gateway.demonstration import Client, Demonstration
from gateway.journey.clock import utc_now
from gateway.store.tables import documents as table
from security.tokens import make_client_key, sign_client_assertion
from tests.acceptance.conftest import body_of, simulator
from tests.support import documents

MARK = "TRAITCANARI"


def kept(running: Demonstration) -> tuple[int, int]:
    """How many documents are kept, and how many exchanges the DMP saw."""
    stored = running.gateway.store.read_now(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())
    return stored, len(simulator(running, "dmp", "/exchanges").json())


def changed(**members: Any) -> bytes:
    """A report with members of its patient changed."""
    document = documents.report(secrets.randbelow(10**9) + 10**6)
    document["patient"] = {**documents.PATIENT, "birthName": MARK, **members}
    return body_of(document)


def edited(path: str, value: Any, make: Any = documents.report) -> bytes:
    """A document whose JSON is edited at a place, whatever the model thinks of it."""
    body = orjson.loads(body_of(make(secrets.randbelow(10**9) + 10**6)))
    target = body["document"]
    steps = path.split("/")
    for step in steps[:-1]:
        target = target[int(step)] if step.isdigit() else target[step]
    if value is None:
        target.pop(steps[-1])
    else:
        target[steps[-1]] = value
    body["document"]["patient"]["birthName"] = body["document"]["patient"].get("birthName") and MARK
    return orjson.dumps(body)


DOCTYPE = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "TRAITCANARI">]>'
    b'<ClinicalDocument xmlns="urn:hl7-org:v3">&e;</ClinicalDocument>'
)

CASES: list[tuple[str, str, bytes, int, str]] = [
    ("json cut short", "application/json", changed()[:200], 400, "DOC-READ-001"),
    (
        "json repeated member",
        "application/json",
        b'{"document":{},"document":{"a":"TRAITCANARI"}}',
        400,
        "DOC-READ-001",
    ),
    ("json not an object", "application/json", b'["TRAITCANARI"]', 422, "API-JSON-001"),
    ("json too deep", "application/json", b"[" * 100_000 + b"]" * 100_000, 400, "DOC-READ-001"),
    ("json UTF-16", "application/json", '{"kind":"report"}'.encode("utf-16"), 400, "DOC-READ-001"),
    ("xml cut short", "application/xml", b"<ClinicalDocument><title>TRAITCANARI", 400, "DOC-READ-001"),
    ("xml doctype", "application/xml", DOCTYPE, 400, "DOC-READ-001"),
    ("xml UTF-16", "application/xml", DOCTYPE.decode().encode("utf-16"), 400, "DOC-READ-001"),
    ("xml NUL", "application/xml", b"<a>\x00</a>", 400, "DOC-READ-001"),
    ("xml empty", "application/xml", b"", 400, "DOC-READ-001"),
    ("xml not a CDA", "application/xml", b"<recipe xmlns='urn:x'>TRAITCANARI</recipe>", 422, "CDA-"),
    ("xml entities only", "application/xml", b"<!DOCTYPE lolz [<!ENTITY a 'b'>]><lolz>&a;</lolz>", 400, "DOC-READ-001"),
    ("fhir empty", "application/fhir+json", b"{}", 422, "FHIR-"),
    ("fhir not a document", "application/fhir+json", b'{"resourceType":"Patient","id":"TRAITCANARI"}', 422, "FHIR-"),
    ("fhir empty bundle", "application/fhir+json", b'{"resourceType":"Bundle","type":"document"}', 422, "FHIR-"),
    ("unknown media type", "text/csv", b"TRAITCANARI", 415, "API-TYPE-001"),
    ("no media type", "", b"{}", 415, "API-TYPE-001"),
    ("unknown kind", "application/json", edited("kind", "poem"), 422, "DOC-JSON-004"),
    ("unknown member", "application/json", edited("colour", "TRAITCANARI"), 422, "DOC-JSON-002"),
    ("missing trait", "application/json", edited("patient/sex", None), 422, "DOC-JSON-001"),
    ("bad code", "application/json", edited("patient/sex", "TRAITCANARI"), 422, "DOC-JSON-003"),
    ("bad date", "application/json", edited("patient/birthDate", "1979-02-30"), 422, "DOC-JSON-005"),
    (
        "reversed period",
        "application/json",
        edited("acts/0/period/end", "2020-01-01T00:00:00+01:00"),
        422,
        "DOC-JSON-005",
    ),
    ("not a pdf", "application/json", edited("content", "VFJBSVRDQU5BUkk="), 422, "DOC-JSON-005"),
    ("not base64", "application/json", edited("content", "é"), 422, "DOC-JSON-005"),
    (
        "wrong key",
        "application/json",
        changed(ins={"value": "275126322074975", "authority": "1.2.250.1.213.1.4.8"}),
        422,
        "INS-KEY-001",
    ),
    (
        "not an INS authority",
        "application/json",
        changed(ins={"value": "275126322074974", "authority": "1.2.250.1.213.1.4.2"}),
        422,
        "INS-",
    ),
    ("qualified without INS", "application/json", edited("patient/ins", None), 422, "INS-"),
    ("boundary missing", "multipart/form-data", b"x", 400, "DOC-READ-001"),
    (
        "envelope member unknown",
        "application/json",
        body_of(documents.report(9), color="TRAITCANARI"),
        422,
        "DOC-JSON-002",
    ),
]


@pytest.mark.parametrize(("name", "media", "body", "status", "code"), CASES, ids=[case[0] for case in CASES])
def test_a_fault_is_named_and_changes_nothing(
    running: Demonstration,
    vendor: Client,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    name: str,
    media: str,
    body: bytes,
    status: int,
    code: str,
) -> None:
    """The right status, the fault's code, no stored document, no exchange, and the trait nowhere."""
    before = kept(running)
    capfd.readouterr()
    headers = {"Idempotency-Key": secrets.token_hex(8), **({"Content-Type": media} if media else {})}
    answer = vendor.request("POST", "/v1/documents", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    said = answer.json()
    codes = (
        [f["code"] for f in said["faults"]]
        if "faults" in said
        else [c["code"] for issue in said["issue"] for c in issue["details"]["coding"]]
    )
    assert any(one.startswith(code) for one in codes), said
    assert "Traceback" not in answer.text
    assert MARK not in answer.text
    out, err = capfd.readouterr()
    assert MARK not in out + err + caplog.text
    assert kept(running) == before


def test_a_body_over_the_limit_is_refused_early(running: Demonstration, vendor: Client) -> None:
    """30 MB are refused by their announced length, and by their count when none is announced."""
    before = kept(running)
    headers = {"Content-Type": "application/xml", "Idempotency-Key": "big"}
    for content in (b"x" * 30_000_000, (b"x" * 1_000_000 for _ in range(30))):
        try:
            answer = vendor.request("POST", "/v1/documents", content=content, headers=headers)
        except httpx.TransportError:
            continue  # the server answered and closed while we were still sending
        assert answer.status_code == 413
        assert [f["code"] for f in answer.json()["faults"]] == ["document_too_large", "API-SIZE-001"]
    assert kept(running) == before


def test_tokens_that_do_not_hold(running: Demonstration, vendor: Client) -> None:
    """No token, a foreign one, an altered one, another gateway's: 401; a scope not granted: 403."""
    base = running.base_url
    body = body_of(documents.report(424242))
    before = kept(running)

    def post(token: str | None) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return httpx.post(f"{base}/v1/documents", content=body, headers=headers, trust_env=False)

    good = vendor.token()
    foreign, _ = make_client_key("P-256")
    forged = sign_client_assertion(foreign, "demo-vendor", base, utc_now(), "j")
    for token in (None, "x", "a.b.c", good[:-6] + "AAAAAA", forged):
        answer = post(token)
        assert answer.status_code == 401, token
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    auditor = running.client("auditor")
    refused = auditor.request("POST", "/v1/documents", content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code == 403
    auditor.http.close()
    assert kept(running) == before


def test_client_assertions_that_do_not_hold(running: Demonstration) -> None:
    """A foreign key, an old or far assertion, another audience, a replay, an unknown client, a scope not granted."""
    role = running.access.roles["vendor"] if running.access else None
    assert role is not None
    pem = role.private_key.read_bytes()
    url = f"{running.base_url}/oauth/token"
    now = utc_now()
    foreign, _ = make_client_key("P-256")

    def ask(assertion: str, scope: str = "documents:write") -> httpx.Response:
        return httpx.post(
            url,
            data={
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": assertion,
                "scope": scope,
            },
            trust_env=False,
        )

    def signed(key: bytes = pem, who: str = role.client_id, to: str = url, at: Any = now) -> str:
        return sign_client_assertion(key, who, to, at, secrets.token_hex(8))

    once = signed()
    assert ask(once).status_code == 200
    for bad in (
        once,
        signed(key=foreign),
        signed(to="https://elsewhere.example/token"),
        signed(at=now - timedelta(minutes=30)),
        signed(at=now + timedelta(minutes=30)),
        signed(who="nobody"),
        "x.y.z",
    ):
        answer = ask(bad)
        assert answer.status_code == 401, answer.text
        assert answer.json()["error"] == "invalid_client"
    assert ask(signed(), scope="operations").json()["error"] == "invalid_scope"
    assert httpx.post(url, data={"grant_type": "password"}, trust_env=False).status_code == 400


def test_an_actor_outside_the_grant(vendor: Client) -> None:
    """A professional of another structure does not act for this one."""
    document = documents.report(515151)
    document["authors"] = [{"professional": documents.PHARMACIST}]
    answer = vendor.request(
        "POST", "/v1/documents", content=body_of(document), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 403
    assert answer.json()["faults"][0]["code"] == "API-ACTOR-001"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/documents/doc_unknown", 404),
        ("GET", "/v1/documents?limit=0", 422),
        ("GET", "/v1/documents?cursor=zzz", 422),
        ("GET", "/v1/documents?from=yesterday", 422),
        ("GET", "/v1/feeds/counts?by=colour", 422),
        ("GET", "/v1/feeds/counts?from=2026", 422),
        ("POST", "/v1/identities/idt_unknown/events", 422),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/documents", 405),
    ],
)
def test_other_refusals_are_problems_too(vendor: Client, method: str, path: str, status: int) -> None:
    """Every refusal has the same shape."""
    answer = vendor.request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["requestId"] == answer.headers["X-Request-Id"]
