"""The FHIR face over HTTP against the simulated DMP: submission and its rules, search, reading, changes."""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.demonstration import Client, Demonstration
from mappings.xds import Code, Organization, Submission, SubmissionSet
from mappings.xds.pdsm_out import document_reference, provide_bundle
from mappings.xds.vocabulary import CONTENT_TYPE_SCHEME, STRUCTURE_AUTHORITY
from tests.acceptance.conftest import body_of, fault, follow, simulator
from tests.acceptance.test_records import a_patient, entry, open_session
from tests.support import documents, fhir_tools

numbers = itertools.count(60_000)
INS = documents.PATIENT["ins"]
STRUCTURE = "1290099886"
FHIR = {"Content-Type": "application/fhir+json"}
OWNER = Organization(name="CABINET FICTIF", id=STRUCTURE, authority=STRUCTURE_AUTHORITY)


@pytest.fixture(autouse=True)
def authorised(running: Demonstration) -> None:
    """The patient authorised the doctor."""
    a_patient(running)


@pytest.fixture(scope="module", autouse=True)
def known(vendor: Client) -> None:
    """The practice checked the patient's identity not long ago: a CDA does not say it."""
    content = body_of(documents.report(next(numbers)), deliverTo={"dmp": False})
    headers = {"Content-Type": "application/json"}
    assert vendor.request("POST", "/v1/documents", content=content, headers=headers).status_code == 202


@pytest.fixture
def session(vendor: Client) -> dict[str, str]:
    """The header of a doctor who consults."""
    return {"Passerelle-Actor-Session": open_session(vendor).json()["session"]}


def a_cda(**changes: Any) -> bytes:
    """A CDA as a practice's software writes one."""
    from mappings import cda

    document = dict(documents.report(next(numbers)), **changes)
    loaded = documents.load(document)
    return cda.write(loaded, pdf=documents.PDF).data


def a_bundle(
    *contents: bytes, replaced: str = "", visibility: frozenset[str] = frozenset(), sender: Any = None
) -> dict[str, Any]:
    """An ITI-65 transaction about CDA documents, written by the project's own mapping."""
    from mappings.xds import document_entry
    from security.xml import CDA_LIMITS, parse

    entries = [
        document_entry(parse(content, CDA_LIMITS), content, visibility=visibility, entry_uuid=f"Document{n:02d}")
        for n, content in enumerate(contents)
    ]
    sent = SubmissionSet(
        unique_id=f"2.25.{uuid.uuid4().int}",
        source_id="1.2.250.1.999.9",
        patient_id=entries[0].patient_id,
        submission_time="20261120090005",
        authors=(sender or entries[0].authors[0],),
        content_type=Code(code="07", scheme=CONTENT_TYPE_SCHEME),
    )
    return provide_bundle(
        Submission(submission_set=sent, entries=tuple(entries)),
        {e.entry_uuid: c for e, c in zip(entries, contents, strict=True)},
        custodian=OWNER,
        new_uuid=uuid.uuid4,
        replaced={entries[0].entry_uuid: replaced} if replaced else None,
    )


def submit(vendor: Client, bundle: dict[str, Any], **headers: str) -> httpx.Response:
    """Send a transaction."""
    return vendor.request("POST", "/fhir", content=orjson.dumps(bundle), headers={**FHIR, **headers})


def ids_of(answer: httpx.Response) -> list[str]:
    """The ids of the documents of a transaction response, in order."""
    assert answer.status_code == 200, answer.text
    places = [e["response"]["location"] for e in answer.json()["entry"]]
    return [p.split("/")[1] for p in places if p.startswith("DocumentReference/doc-")]


def fed(vendor: Client, **options: Any) -> tuple[str, bytes]:
    """A document in the DMP, sent by FHIR: its FHIR id and its CDA."""
    content = options.pop("content", None) or a_cda()
    name = ids_of(submit(vendor, a_bundle(content, **options)))[0]
    done = follow(vendor, name.replace("-", "_", 1))
    assert done["state"] == "completed", done
    return name, content


def find(vendor: Client, session: dict[str, str], kind: str = "DocumentReference", **parameters: str) -> httpx.Response:
    """A search by POST."""
    asked = {"patient.identifier": f"urn:oid:{INS['authority']}|{INS['value']}", "status": "current", **parameters}
    return vendor.request("POST", f"/fhir/{kind}/_search", data=asked, headers=session)


def matches(answer: httpx.Response) -> list[dict[str, Any]]:
    """The resources of a searchset."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["total"] == len(body.get("entry", []))
    return [e["resource"] for e in body.get("entry", [])]


def unique(resource: dict[str, Any]) -> str:
    """The identifier of the document a fiche is about."""
    return str(resource["masterIdentifier"]["value"]).removeprefix("urn:oid:")


# --- submission ------------------------------------------------------------------------------------------------------


def test_what_the_face_can_do(running: Demonstration, tmp_path: Path) -> None:
    """A CapabilityStatement that the base specification and the checkers take."""
    answer = httpx.get(f"{running.base_url}/fhir/metadata", trust_env=False, timeout=10)
    assert answer.headers["content-type"] == "application/fhir+json"
    statement = answer.json()
    kinds = {r["type"]: {i["code"] for i in r["interaction"]} for r in statement["rest"][0]["resource"]}
    assert kinds["DocumentReference"] >= {"read", "create", "patch", "search-type"}
    assert fhir_tools.base_errors(statement) == []


def test_a_submission_reaches_the_registry(
    running: Demonstration, vendor: Client, session: dict[str, str], tmp_path: Path
) -> None:
    """Two documents: an entry each in the answer, in order; the very bytes in the DMP; valid PDSm all along."""
    contents = [a_cda(), a_cda()]
    bundle = a_bundle(*contents)
    answer = submit(vendor, bundle)
    ids = ids_of(answer)
    body = answer.json()
    assert body["type"] == "transaction-response"
    assert [e["response"]["location"].split("/")[0] for e in body["entry"]] == [
        e["resource"]["resourceType"] for e in bundle["entry"]
    ]
    assert all(e["response"]["status"] == "201 Created" for e in body["entry"])
    for name, content in zip(ids, contents, strict=True):
        done = follow(vendor, name.replace("-", "_", 1))
        assert done["state"] == "completed", done
        assert simulator(running, "dmp", f"/documents/{done['uniqueId']}").content == content
        read = vendor.request("GET", f"/fhir/DocumentReference/{name}")
        assert read.status_code == 200, read.text
        assert unique(read.json()) == done["uniqueId"]
        assert vendor.request("GET", f"/fhir/Binary/{name}").content == content
    fiches = [vendor.request("GET", f"/fhir/DocumentReference/{name}").json() for name in ids]
    found = [r for r in matches(find(vendor, session)) if unique(r) in {unique(f) for f in fiches}]
    assert len(found) == 2
    code, words = fhir_tools.profile_report([body, *fiches, *found], tmp_path)
    assert code == 0, words


def test_a_repeated_submission_gets_the_first_answer(running: Demonstration, vendor: Client) -> None:
    """The same documents again: the same ids, one entry in the registry; another content under an id is refused."""
    content = a_cda()
    first = ids_of(submit(vendor, a_bundle(content)))
    assert ids_of(submit(vendor, a_bundle(content))) == first
    done = follow(vendor, first[0].replace("-", "_", 1))
    assert len(entry(running, done["uniqueId"])) == 1
    other = content.replace(b"Compte rendu de consultation", b"Compte rendu de consultations", 1)
    assert other != content
    refused = submit(vendor, a_bundle(other))
    assert refused.status_code == 409
    assert refused.json()["issue"][0]["code"] == "duplicate"


def test_a_transaction_is_all_or_nothing(vendor: Client) -> None:
    """One wrong document of two: nothing is kept, and the fault is told with its place."""
    good, bad = a_cda(), a_cda()
    broken = bad.replace(b"<title>", b"<titel>").replace(b"</title>", b"</titel>")
    bundle = a_bundle(good, bad)
    _put(bundle, 1, broken)
    refused = submit(vendor, bundle)
    assert refused.status_code in (400, 422), refused.text
    assert refused.json()["resourceType"] == "OperationOutcome"
    again = ids_of(submit(vendor, a_bundle(good)))
    assert follow(vendor, again[0].replace("-", "_", 1))["history"][0]["to"] == "accepted"


def _put(bundle: dict[str, Any], number: int, content: bytes) -> None:
    """Put other bytes into a Binary, hash and size with them."""
    binaries = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Binary"]
    fiches = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "DocumentReference"]
    binaries[number]["data"] = base64.b64encode(content).decode()
    attachment = fiches[number]["content"][0]["attachment"]
    attachment["size"] = len(content)
    attachment["hash"] = base64.b64encode(hashlib.sha1(content).digest()).decode()  # noqa: S324 - XDS's own digest


def _fresh() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


def _entry(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(e for e in bundle["entry"] if e["resource"]["resourceType"] == kind)


def _fiche(bundle: dict[str, Any]) -> dict[str, Any]:
    return dict(_entry(bundle, "DocumentReference"))["resource"]  # type: ignore[no-any-return]


def _list(bundle: dict[str, Any]) -> dict[str, Any]:
    return dict(_entry(bundle, "List"))["resource"]  # type: ignore[no-any-return]


def _attachment(bundle: dict[str, Any]) -> dict[str, Any]:
    return _fiche(bundle)["content"][0]["attachment"]  # type: ignore[no-any-return]


def _organization(bundle: dict[str, Any]) -> dict[str, Any]:
    return next(c for c in _fiche(bundle)["contained"] if c["resourceType"] == "Organization")


def _supersede(target: str) -> dict[str, Any]:
    parts = [
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "type", "valueCode": "replace"},
        {"name": "value", "valueCode": "superseded"},
    ]
    return {
        "fullUrl": _fresh(),
        "request": {"method": "PATCH", "url": target},
        "resource": {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]},
    }


def _other_patient(resource: dict[str, Any]) -> None:
    resource["subject"]["identifier"]["value"] = "275126322074974"


BROKEN: list[tuple[str, str, Callable[[dict[str, Any]], Any]]] = [
    ("not a transaction", "PDSM-BDL-001", lambda b: b.update(type="batch")),
    (
        "two sets",
        "PDSM-BDL-002",
        lambda b: b["entry"].append({**_entry(b, "List"), "fullUrl": _fresh()}),
    ),
    ("no fiche", "PDSM-BDL-003", lambda b: b.update(entry=[_entry(b, "List")])),
    (
        "a practitioner as an entry",
        "PDSM-BDL-004",
        lambda b: b["entry"].append(
            {
                "fullUrl": _fresh(),
                "request": {"method": "POST", "url": "Practitioner"},
                "resource": {"resourceType": "Practitioner"},
            }
        ),
    ),
    ("no fullUrl", "PDSM-BDL-005", lambda b: _entry(b, "Binary").pop("fullUrl")),
    ("a PUT", "PDSM-BDL-006", lambda b: _entry(b, "List")["request"].update(method="PUT")),
    ("a set that is not current", "PDSM-LST-001", lambda b: _list(b).update(status="retired")),
    ("a set without its source id", "PDSM-LST-001", lambda b: _list(b).update(extension=_list(b)["extension"][:1])),
    (
        "an item elsewhere",
        "PDSM-LST-002",
        lambda b: _list(b)["entry"].append({"item": {"reference": "DocumentReference/9"}}),
    ),
    ("a fiche out of the set", "PDSM-LST-003", lambda b: _list(b).pop("entry")),
    (
        "a set named by a UUID",
        "PDSM-LST-004",
        lambda b: _list(b)["identifier"][0].update(value=_fresh()),
    ),
    ("no title", "PDSM-DOC-001", lambda b: _attachment(b).pop("title")),
    ("no security label", "PDSM-DOC-001", lambda b: _fiche(b).pop("securityLabel")),
    ("a docStatus", "PDSM-DOC-002", lambda b: _fiche(b).update(docStatus="final")),
    ("superseded on arrival", "PDSM-DOC-003", lambda b: _fiche(b).update(status="superseded")),
    ("two categories", "PDSM-DOC-004", lambda b: _fiche(b)["category"].append(_fiche(b)["category"][0])),
    ("an identifier without type", "PDSM-DOC-005", lambda b: _fiche(b)["masterIdentifier"].pop("type")),
    ("an unknown type", "PDSM-DOC-006", lambda b: _fiche(b)["type"]["coding"][0].update(code="00000-0")),
    ("a category of another type", "PDSM-DOC-006", lambda b: _fiche(b)["category"][0]["coding"][0].update(code="42")),
    ("two base labels", "PDSM-DOC-007", lambda b: _fiche(b)["securityLabel"].append(_fiche(b)["securityLabel"][0])),
    ("no such Binary", "PDSM-ATT-001", lambda b: _attachment(b).update(url=_fresh())),
    (
        "a Binary nobody wants",
        "PDSM-ATT-002",
        lambda b: b["entry"].append({**copy.deepcopy(_entry(b, "Binary")), "fullUrl": _fresh()}),
    ),
    ("two content types", "PDSM-ATT-003", lambda b: _entry(b, "Binary")["resource"].update(contentType="text/plain")),
    ("no data", "PDSM-ATT-004", lambda b: _entry(b, "Binary")["resource"].update(data="!!!")),
    ("another hash", "PDSM-ATT-005", lambda b: _attachment(b).update(hash="AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
    ("another size", "PDSM-ATT-006", lambda b: _attachment(b).update(size=43)),
    (
        "a bare PDF",
        "PDSM-ATT-007",
        lambda b: (
            _attachment(b).update(contentType="application/pdf"),
            _entry(b, "Binary")["resource"].update(contentType="application/pdf"),
        ),
    ),
    ("an author that is not there", "PDSM-REF-001", lambda b: _fiche(b).update(author=[{"reference": "#nobody"}])),
    ("an author elsewhere", "PDSM-REF-002", lambda b: _fiche(b).update(author=[{"reference": "PractitionerRole/1"}])),
    (
        "somebody nobody names",
        "PDSM-REF-003",
        lambda b: _fiche(b)["contained"].append({"resourceType": "Practitioner", "id": "alone"}),
    ),
    (
        "contained in contained",
        "PDSM-REF-004",
        lambda b: _fiche(b)["contained"][0].update(contained=[{"resourceType": "Patient", "id": "x"}]),
    ),
    ("another patient in the set", "PDSM-PAT-001", lambda b: _other_patient(_list(b))),
    (
        "another patient than the document's",
        "PDSM-PAT-001",
        lambda b: orjson.loads(orjson.dumps(b).replace(INS["value"].encode(), b"275126322074974")),
    ),
    (
        "a custodian elsewhere",
        "PDSM-ORG-001",
        lambda b: next(c for c in _fiche(b)["contained"] if c["resourceType"] == "Organization")["identifier"][
            0
        ].update(value="1750803447"),
    ),
    ("a sender without a structure", "PDSM-SRC-001", lambda b: _list(b).update(source={"reference": "#nobody"})),
    ("a type the document has not", "PDSM-CDA-001", lambda b: _fiche(b)["type"]["coding"][0].update(code="11506-3")),
    ("another creation time", "PDSM-CDA-001", lambda b: _attachment(b).update(creation="2020-01-01T00:00:00Z")),
    (
        "another document's identifier",
        "PDSM-CDA-001",
        lambda b: _fiche(b)["masterIdentifier"].update(value="urn:oid:1.2.3.4"),
    ),
    (
        "a replacement the document does not make",
        "PDSM-RPL-002",
        lambda b: _fiche(b).update(
            relatesTo=[{"code": "replaces", "target": {"reference": "DocumentReference?identifier=urn:oid:1.2.3"}}]
        ),
    ),
    (
        "a replacement of what nobody knows",
        "PDSM-RPL-003",
        lambda b: _fiche(b).update(
            relatesTo=[{"code": "replaces", "target": {"reference": "DocumentReference/doc-0"}}]
        ),
    ),
    (
        "an appendix",
        "PDSM-RPL-001",
        lambda b: _fiche(b).update(relatesTo=[{"code": "appends", "target": {"reference": "DocumentReference/1"}}]),
    ),
    ("a patch of something else", "PDSM-RPL-004", lambda b: b["entry"].append(_supersede("DocumentReference/doc-0"))),
]


@pytest.mark.parametrize(("name", "code", "spoil"), BROKEN, ids=[one[0] for one in BROKEN])
def test_each_rule_is_enforced(vendor: Client, name: str, code: str, spoil: Callable[[dict[str, Any]], Any]) -> None:
    """A submission that breaks one rule is refused, the rule named, the place given, nothing kept."""
    bundle = a_bundle(a_cda())
    changed = spoil(bundle)
    refused = submit(vendor, changed if isinstance(changed, dict) and "resourceType" in changed else bundle)
    assert refused.status_code in (400, 409, 422), refused.text
    outcome = refused.json()
    assert outcome["resourceType"] == "OperationOutcome"
    codes = {c["code"] for i in outcome["issue"] for c in i["details"]["coding"]}
    assert code in codes, outcome
    assert all(i["diagnostics"] for i in outcome["issue"])
    assert INS["value"] not in refused.text
    assert fhir_tools.base_errors(outcome) == []


def test_a_set_of_three_hundred_documents_is_refused_by_name(vendor: Client) -> None:
    """One fault that says how many there are and how many there may be; nothing is kept."""
    bundle = a_bundle(a_cda())
    pair = [e for e in bundle["entry"] if e["resource"]["resourceType"] in ("Binary", "DocumentReference")]
    bundle["entry"] += pair * 299
    refused = submit(vendor, bundle)
    assert refused.status_code == 422, refused.text[:500]
    told = [i for i in refused.json()["issue"] if "PDSM-BDL-007" in str(i)]
    assert len(told) == 1
    assert "300" in told[0]["diagnostics"]
    assert "50" in told[0]["diagnostics"]


def test_bytes_that_are_no_bundle(vendor: Client) -> None:
    """Not JSON, another resource, too large: refused at once, as an OperationOutcome."""
    for content in (b"{", b"[]", b'"x"'):
        answer = vendor.request("POST", "/fhir", content=content, headers=FHIR)
        assert answer.status_code == 400, answer.text
        assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "PDSM-JSON-001"
    assert submit(vendor, {"resourceType": "Patient"}).status_code == 422
    huge = vendor.request("POST", "/fhir", content=b" " * (21 * 1024 * 1024), headers=FHIR)
    assert huge.status_code == 413
    assert huge.json()["issue"][0]["code"] == "too-long"


def test_a_fhir_document_is_a_document_too(running: Demonstration, vendor: Client) -> None:
    """A document Bundle in a Binary: converted, and fed as a CDA."""
    content = a_cda()
    sent = vendor.request(
        "POST",
        "/v1/documents",
        content=body_of(documents.report(next(numbers)), deliverTo={"dmp": False}),
        headers={"Content-Type": "application/json"},
    ).json()
    document = vendor.request("GET", f"/v1/documents/{sent['id']}/fhir").content
    fresh = document.replace(sent["uniqueId"].encode(), f"1.2.250.1.999.9.2.{next(numbers)}".encode())
    bundle = a_bundle(content)
    _put(bundle, 0, fresh)
    _attachment(bundle)["contentType"] = "application/fhir+json"
    _entry(bundle, "Binary")["resource"]["contentType"] = "application/fhir+json"
    identifier = orjson.loads(fresh)["identifier"]["value"]
    _fiche(bundle)["masterIdentifier"]["value"] = identifier
    name = ids_of(submit(vendor, bundle))[0]
    assert follow(vendor, name.replace("-", "_", 1))["state"] == "completed"


def test_a_replacement(running: Demonstration, vendor: Client, session: dict[str, str]) -> None:
    """The old one superseded, by its id with a PATCH or by its identifier; only the current version is replaced."""
    first, _ = fed(vendor)
    unique_id = follow(vendor, first.replace("-", "_", 1))["uniqueId"]
    newer = a_cda(replaces={"id": {"root": unique_id}}, versionNumber=2)
    bundle = a_bundle(newer, replaced=f"DocumentReference/{first}")
    answer = submit(vendor, bundle)
    assert answer.status_code == 200, answer.text
    patched = next(
        e["response"]
        for e, asked in zip(answer.json()["entry"], bundle["entry"], strict=True)
        if asked["resource"]["resourceType"] == "Parameters"
    )
    assert patched == {"status": "200 OK", "location": f"DocumentReference/{first}/_history/2"}
    second = ids_of(answer)[0]
    assert follow(vendor, second.replace("-", "_", 1))["state"] == "completed"
    assert vendor.request("GET", f"/fhir/DocumentReference/{first}").json()["status"] == "superseded"
    read = vendor.request("GET", f"/fhir/DocumentReference/{second}").json()
    assert read["relatesTo"][0]["target"]["reference"] == f"DocumentReference/{first}"
    again = a_cda(replaces={"id": {"root": unique_id}}, versionNumber=2)
    refused = submit(vendor, a_bundle(again, replaced=f"DocumentReference/{first}"))
    assert refused.status_code == 422
    assert "PDSM-RPL-003" in refused.text
    third = a_cda(replaces={"id": {"root": unique(read)}}, versionNumber=3)
    by_identifier = a_bundle(third, replaced=f"DocumentReference?identifier=urn:ietf:rfc:3986|urn:oid:{unique(read)}")
    last = ids_of(submit(vendor, by_identifier))[0]
    assert follow(vendor, last.replace("-", "_", 1))["state"] == "completed"
    assert [r for r in matches(find(vendor, session, status="superseded")) if unique(r) == unique(read)]


def test_visibility_comes_with_the_fiche(vendor: Client, session: dict[str, str]) -> None:
    """MASQUE_PS among the labels: the DMP holds it so."""
    name, _ = fed(vendor, visibility=frozenset({"MASQUE_PS"}))
    mine = vendor.request("GET", f"/fhir/DocumentReference/{name}").json()
    found = next(r for r in matches(find(vendor, session)) if unique(r) == unique(mine))
    for resource in (mine, found):
        codes = [label["coding"][0]["code"] for label in resource["securityLabel"]]
        assert sorted(codes) == ["MASQUE_PS", "N"]


def test_a_simplified_publish(vendor: Client, tmp_path: Path) -> None:
    """ITI-105: the bytes in the fiche, 201 with its address; its own rules enforced."""
    from mappings.xds import document_entry
    from security.xml import CDA_LIMITS, parse

    content = a_cda()
    made = document_reference(document_entry(parse(content, CDA_LIMITS), content), custodian=OWNER, attachment_url="")
    made["meta"]["profile"] = [
        "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-simplified-publish"
    ]
    made["content"][0]["attachment"]["data"] = base64.b64encode(content).decode()
    code, words = fhir_tools.profile_report([made], tmp_path)
    assert code == 0, words
    answer = vendor.request("POST", "/fhir/DocumentReference", content=orjson.dumps(made), headers=FHIR)
    assert answer.status_code == 201, answer.text
    name = answer.json()["id"]
    assert f"/fhir/DocumentReference/{name}/" in answer.headers["location"]
    assert follow(vendor, name.replace("-", "_", 1))["state"] == "completed"
    made["content"][0]["attachment"]["url"] = "urn:uuid:x"
    refused = vendor.request("POST", "/fhir/DocumentReference", content=orjson.dumps(made), headers=FHIR)
    assert refused.status_code == 422
    assert "PDSM-DOC-002" in refused.text


# --- search and reading ----------------------------------------------------------------------------------------------


def test_a_patient_in_a_url_is_refused(vendor: Client, session: dict[str, str]) -> None:
    """By GET, or in the URL of a POST: a 400 that says so, and repeats nothing."""
    asked = f"patient.identifier=urn:oid:{INS['authority']}|{INS['value']}"
    for method, path in (
        ("GET", f"/fhir/DocumentReference?{asked}&status=current"),
        ("GET", "/fhir/DocumentReference?patient=Patient/1"),
        ("GET", f"/fhir/List?{asked}&code=submissionset"),
        ("POST", f"/fhir/DocumentReference/_search?{asked}"),
        ("GET", "/fhir/DocumentReference"),
    ):
        answer = vendor.request(method, path, headers=session)
        assert answer.status_code == 400, path
        assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "PDSM-URL-001"
        assert "_search" in answer.json()["issue"][0]["diagnostics"]
        assert INS["value"] not in answer.text


def test_a_search_by_each_parameter(vendor: Client, session: dict[str, str]) -> None:
    """Each parameter of PDSm, there and not there."""
    name, _ = fed(vendor)
    mine = unique(vendor.request("GET", f"/fhir/DocumentReference/{name}").json())
    for parameters, there in (
        ({}, True),
        ({"type": "http://loinc.org|11488-4"}, True),
        ({"type": "11488-4"}, True),
        ({"type": "57833-6,11488-4"}, True),
        ({"type": "57833-6"}, False),
        ({"category": "10"}, True),
        ({"category": "42"}, False),
        ({"format": "urn:ihe:iti:xds-sd:pdf:2008"}, True),
        ({"facility": "SA07"}, True),
        ({"setting": "AMBULATOIRE"}, True),
        ({"setting": "HAD"}, False),
        ({"security-label": "N"}, True),
        ({"security-label": "MASQUE_PS"}, False),
        ({"creation": "ge2026-11-20"}, True),
        ({"creation": "2026-11-20"}, True),
        ({"date": "lt2026-11-20"}, False),
        ({"period": "ge2026-11-20T00:00:00+01:00"}, True),
        ({"period-start": "gt2026-11-20"}, False),
        ({"period-end": "le2026-11-21"}, True),
        ({"author": documents.DOCTOR["id"]["extension"]}, True),
        ({"author": "899700000017"}, False),
        ({"isArchived": "false"}, True),
        ({"isArchived": "true"}, False),
        ({"identifier": f"urn:ietf:rfc:3986|urn:oid:{mine}"}, True),
        ({"status": "superseded"}, False),
        ({"status": "entered-in-error"}, False),
    ):
        found = {unique(r) for r in matches(find(vendor, session, **parameters))}
        assert (mine in found) is there, parameters
    assert find(vendor, session, _count="0").json().keys() >= {"total", "type"}
    assert "entry" not in find(vendor, session, _count="0").json()


def test_a_search_that_says_too_little_or_too_much(vendor: Client, session: dict[str, str]) -> None:
    """A mandatory parameter missing, an unknown one, a date that is none, a patient that is no INS."""
    bare = vendor.request("POST", "/fhir/DocumentReference/_search", data={"status": "current"}, headers=session)
    assert bare.status_code == 400
    assert bare.json()["issue"][0]["code"] == "required"
    for parameters in ({"color": "red"}, {"date": "yesterday"}, {"patient.identifier": "urn:oid:1.2.3|x"}):
        assert find(vendor, session, **parameters).status_code == 400, parameters
    assert find(vendor, {}).status_code == 403


def test_submission_sets(vendor: Client, session: dict[str, str], tmp_path: Path) -> None:
    """ITI-66: the sets of a record, each with its documents, valid for their profile."""
    name, _ = fed(vendor)
    mine = vendor.request("GET", f"/fhir/DocumentReference/{name}").json()
    sets = matches(find(vendor, session, "List", code="submissionset"))
    handles = {r["id"] for r in matches(find(vendor, session)) if unique(r) == unique(mine)}
    holding = [
        s
        for s in sets
        for e in s.get("entry", [])
        if e["item"]["reference"].removeprefix("DocumentReference/") in handles
    ]
    assert len(holding) == 1
    assert holding[0]["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "07"
    code, words = fhir_tools.profile_report(holding, tmp_path)
    assert code == 0, words
    assert matches(find(vendor, session, "List", code="submissionset", date="lt2020-01-01")) == []
    assert find(vendor, session, "List").status_code == 400


def test_reading_what_a_search_found(running: Demonstration, vendor: Client, session: dict[str, str]) -> None:
    """The fiche, the bytes, the bytes as a Binary; the DMP's refusal in its own words and codes."""
    name, content = fed(vendor)
    mine = vendor.request("GET", f"/fhir/DocumentReference/{name}").json()
    found = next(r for r in matches(find(vendor, session)) if unique(r) == unique(mine))
    assert found["id"] != name
    read = vendor.request("GET", f"/fhir/DocumentReference/{found['id']}", headers=session)
    assert read.status_code == 200, read.text
    assert read.headers["etag"] == 'W/"1"'
    url = read.json()["content"][0]["attachment"]["url"].removeprefix(running.base_url)
    assert INS["value"] not in url
    assert vendor.request("GET", url, headers=session).content == content
    wrapped = vendor.request("GET", url, headers={**session, "Accept": "application/fhir+json"}).json()
    assert base64.b64decode(wrapped["data"]) == content
    assert vendor.request("GET", url).status_code == 403
    assert vendor.request("GET", "/fhir/DocumentReference/r00", headers=session).status_code == 404
    assert vendor.request("GET", "/fhir/DocumentReference/doc-0").status_code == 404
    a_patient(running, authorizations={})
    refused = vendor.request("GET", url, headers=session)
    assert refused.status_code == 403
    issue = refused.json()["issue"][0]
    assert issue["code"] == "forbidden"
    assert "DMPAccessDenied" in {c["code"] for c in issue["details"]["coding"]}
    assert "autorisation" in issue["diagnostics"]


# --- changes ---------------------------------------------------------------------------------------------------------

A07 = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
ARCHIVED = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"


def patch(
    vendor: Client, session: dict[str, str], path: str, *operations: dict[str, Any], **headers: str
) -> httpx.Response:
    """A JSON Patch."""
    return vendor.request(
        "PATCH",
        f"/fhir/DocumentReference{path}",
        content=orjson.dumps(list(operations)),
        headers={"Content-Type": "application/json-patch+json", **session, **headers},
    )


def test_masking_archiving_deleting_by_patch(
    running: Demonstration, vendor: Client, session: dict[str, str], tmp_path: Path
) -> None:
    """Each flow of PDSm on what was sent here: done in order, the fiche as it is then; deleted, it is gone."""
    name, _ = fed(vendor)
    label = {"op": "add", "path": "/securityLabel/-", "value": {"coding": [{"system": A07, "code": "MASQUE_PS"}]}}
    masked = patch(vendor, session, f"/{name}", label, **{"If-Match": 'W/"1"'})
    assert masked.status_code == 200, masked.text
    assert [c["coding"][0]["code"] for c in masked.json()["securityLabel"]] == ["N", "MASQUE_PS"]
    assert patch(vendor, session, f"/{name}", label, **{"If-Match": 'W/"1"'}).status_code == 412
    unmasked = patch(vendor, session, f"/{name}", {"op": "remove", "path": "/securityLabel/1"})
    assert [c["coding"][0]["code"] for c in unmasked.json()["securityLabel"]] == ["N"]
    index = next(i for i, e in enumerate(unmasked.json()["extension"]) if e["url"] == ARCHIVED)
    archived = patch(
        vendor, session, f"/{name}", {"op": "replace", "path": f"/extension/{index}/valueBoolean", "value": True}
    )
    assert archived.status_code == 200, archived.text
    assert archived.json()["extension"][index]["valueBoolean"] is True
    code, words = fhir_tools.profile_report([masked.json(), archived.json()], tmp_path)
    assert code == 0, words
    unique_id = unique(archived.json())
    deleted = patch(
        vendor,
        session,
        f"?identifier=urn:ietf:rfc:3986|urn:oid:{unique_id}",
        {"op": "replace", "path": "/status", "value": "entered-in-error"},
    )
    assert deleted.status_code == 204, deleted.text
    assert entry(running, unique_id)[-1]["status"].endswith("Deleted")
    assert vendor.request("GET", f"/fhir/DocumentReference/{name}").status_code == 410


def test_a_deletion_needs_no_session(running: Demonstration, vendor: Client) -> None:
    """In the structure's name; a masking needs a professional."""
    name, _ = fed(vendor)
    label = {"op": "add", "path": "/securityLabel/-", "value": {"coding": [{"system": A07, "code": "MASQUE_PS"}]}}
    assert patch(vendor, {}, f"/{name}", label).status_code == 403
    assert vendor.request("DELETE", f"/fhir/DocumentReference/{name}").status_code == 204
    assert vendor.request("DELETE", f"/fhir/DocumentReference/{name}").status_code == 409


def test_a_patch_that_cannot_be(running: Demonstration, vendor: Client, session: dict[str, str]) -> None:
    """Another member, another way round, no patch at all, another media type; the DMP's refusal in its words."""
    name, _ = fed(vendor)
    title = {"op": "replace", "path": "/content/0/attachment/title", "value": "x"}
    assert patch(vendor, session, f"/{name}", title).status_code == 405
    hidden = {
        "op": "add",
        "path": "/securityLabel/-",
        "value": {"coding": [{"system": A07, "code": "INVISIBLE_PATIENT"}]},
    }
    assert patch(vendor, session, f"/{name}", hidden).status_code == 422
    assert patch(vendor, session, f"/{name}", {"op": "remove", "path": "/nothing/9"}).status_code == 422
    assert patch(vendor, session, f"/{name}").status_code == 422
    plain = vendor.request("PATCH", f"/fhir/DocumentReference/{name}", json=[title], headers=session)
    assert plain.status_code == 415
    assert patch(vendor, session, "?identifier=urn:ietf:rfc:3986|urn:oid:1.2.3", title).status_code == 404
    fault(
        running,
        "dmp",
        fault="registry_error",
        transaction="TD3.3d",
        parameters={"code": "XDSMetadataUpdateOperationError", "context": "non"},
    )
    index = next(
        i
        for i, e in enumerate(vendor.request("GET", f"/fhir/DocumentReference/{name}").json()["extension"])
        if e["url"] == ARCHIVED
    )
    refused = patch(
        vendor, session, f"/{name}", {"op": "replace", "path": f"/extension/{index}/valueBoolean", "value": True}
    )
    assert refused.status_code == 405, refused.text
    assert "XDSMetadataUpdateOperationError" in refused.text


def test_what_others_fed_is_changed_by_its_handle(
    running: Demonstration, vendor: Client, pharmacy: Client, session: dict[str, str]
) -> None:
    """A handle of a search: archived and brought back at once, its deletion refused by the DMP."""
    sent = pharmacy.request(
        "POST",
        "/v1/documents",
        content=body_of(documents.dispensation(next(numbers))),
        headers={"Content-Type": "application/json"},
    )
    assert follow(pharmacy, sent.json()["id"])["state"] == "completed"
    found = next(r for r in matches(find(vendor, session)) if unique(r) == sent.json()["uniqueId"])
    index = next(i for i, e in enumerate(found["extension"]) if e["url"] == ARCHIVED)
    for value in (True, False):
        operation = {"op": "replace", "path": f"/extension/{index}/valueBoolean", "value": value}
        answer = patch(vendor, session, f"/{found['id']}", operation)
        assert answer.status_code == 200, answer.text
        assert answer.json()["extension"][index]["valueBoolean"] is value
    refused = vendor.request("DELETE", f"/fhir/DocumentReference/{found['id']}", headers=session)
    assert refused.status_code == 403
    assert "DMPAccessDenied" in refused.text
