"""The count of what was fed, over HTTP: who sees what, and what can be checked by somebody who trusts nobody."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.demonstration import CABINET, Client, Demonstration
from gateway.feeds.entry import LedgerEntry
from gateway.feeds.ledger import record_many
from tests.acceptance.conftest import follow, post
from tests.support import documents
from tests.support.feeds import fed

numbers = itertools.count(40_000)
RPPS = "99700218896"
PURPOSE: dict[str, Any] = {
    "Passerelle-Purpose": "contrôle 2026-118".encode(),
    "Passerelle-Legal-Basis": b"CSS L.114-9",
}


@pytest.fixture(scope="module")
def professional(running: Demonstration) -> Iterator[Client]:
    """A professional's own view."""
    client = running.client("professional")
    yield client
    client.http.close()


@pytest.fixture(scope="module")
def a_document(vendor: Client) -> dict[str, Any]:
    """A report that was fed."""
    answer = post(vendor, documents.report(next(numbers)))
    assert answer.status_code == 202, answer.text
    return follow(vendor, answer.json()["id"])


def tenant_of(running: Demonstration, structure: str = CABINET[0]) -> str:
    """The id of a structure."""
    from gateway import tenants

    found = running.gateway.store.read_now(lambda c: tenants.tenant_of_structure(c, structure))
    assert found is not None
    return str(found.id)


def enter(running: Demonstration, entries: list[LedgerEntry]) -> None:
    """Put made-up lines in the ledger of the practice, as a year of feeds would have."""
    tenant = tenant_of(running)
    running.gateway.store.write_now(lambda c: record_many(c, tenant, entries))


def get(client: Client, path: str, status: int = 200, **params: Any) -> Any:
    """Read something; the JSON of the answer."""
    answer = client.request("GET", path, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


def sealed_line(client: Client, **where: Any) -> dict[str, Any]:
    """The newest line of a kind, once sealed."""
    deadline = time.monotonic() + 10
    while True:
        found = get(client, "/v1/feeds/entries", limit=1, **where)["items"]
        if found and found[0]["sealed"]:
            return dict(found[0])
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_counts_group_by_what_is_asked(vendor: Client, a_document: dict[str, Any]) -> None:
    """Month, type, profession, structure, outcome, mode and place of care; attempts and answers apart."""
    rows = get(
        vendor,
        "/v1/feeds/counts",
        by="profession,structure,mode,place,outcome",
        professional=RPPS,
        service="dmp.document",
    )["rows"]
    accepted = [row for row in rows if row["by"]["outcome"] == "accepted"]
    assert accepted
    assert accepted[0]["by"] == {
        "profession": "10",
        "structure": CABINET[0][1:],
        "mode": "presentiel",
        "place": "SA07",
        "outcome": "accepted",
    }
    submitted = sum(row["count"] for row in rows if row["by"]["outcome"] == "submitted")
    assert submitted >= sum(row["count"] for row in accepted)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"by": "patient"}, "API-FEEDS-001"),
        ({"by": "type", "from": "2026-13-01"}, "API-FEEDS-001"),
    ],
)
def test_a_count_that_cannot_be_asked_for(vendor: Client, params: dict[str, str], code: str) -> None:
    """A dimension that does not exist, a month that is none: named, and nothing else."""
    problem = get(vendor, "/v1/feeds/counts", 422, **params)
    assert problem["faults"][0]["code"] == code


def test_sql_in_a_filter_is_a_value_like_another(vendor: Client, a_document: dict[str, Any]) -> None:
    """It matches nothing, and does nothing."""
    before = get(vendor, "/v1/feeds/counts", by="type")["total"]
    nothing = get(vendor, "/v1/feeds/counts", by="type", type="x' OR 1=1; DROP TABLE feed_entries; --")
    assert nothing["rows"] == []
    assert get(vendor, "/v1/feeds/counts", by="type")["total"] == before


def test_an_auditor_gets_no_small_crossed_cell(auditor: Client, a_document: dict[str, Any]) -> None:
    """Type, structure and month crossed under eleven are withheld, and the total does not give them away."""
    crossed = get(auditor, "/v1/feeds/counts", by="type,structure,month,day")
    assert crossed["withheld"] >= 1
    assert all(row["count"] is None or row["count"] >= 11 for row in crossed["rows"])
    assert crossed["total"] == sum(row["count"] or 0 for row in crossed["rows"])
    # Narrowing by a filter is crossing too.
    month = datetime.now(UTC).strftime("%Y-%m")
    narrowed = get(auditor, "/v1/feeds/counts", by="type", structure=CABINET[0][1:], **{"from": month, "to": month})
    assert all(row["count"] is None or row["count"] >= 11 for row in narrowed["rows"])


def test_lines_are_pseudonymised_paged_and_bound_to_who_asks(
    vendor: Client, auditor: Client, a_document: dict[str, Any]
) -> None:
    """No trait, no commitment; a pseudonym a purpose; a cursor serves its own client and query only."""
    first = get(vendor, "/v1/feeds/entries", limit=1)
    assert first["cursor"]
    text = orjson.dumps(first).decode()
    assert "Commit" not in text
    assert documents.PATIENT["birthName"] not in text
    assert documents.PATIENT["ins"]["value"] not in text
    second = get(vendor, "/v1/feeds/entries", limit=1, cursor=first["cursor"])
    assert second["items"][0]["entryId"] != first["items"][0]["entryId"]
    assert (
        get(auditor, "/v1/feeds/entries", 422, limit=1, cursor=first["cursor"])["faults"][0]["code"] == "API-PAGE-001"
    )
    get(vendor, "/v1/feeds/entries", 422, limit=1, cursor=first["cursor"], outcome="accepted")
    get(vendor, "/v1/feeds/entries", 422, limit=1, cursor="AAAA")

    def patient(client: Client, **headers: Any) -> str:
        answer = client.request(
            "GET",
            "/v1/feeds/entries",
            params={"outcome": "accepted", "professional": RPPS, "limit": 1},
            headers=headers,
        )
        return str(answer.json()["items"][0]["patient"])

    assert patient(auditor) == patient(auditor)
    assert len({patient(vendor), patient(auditor), patient(auditor, **PURPOSE)}) == 3


def test_a_line_has_the_history_of_its_document(vendor: Client, a_document: dict[str, Any]) -> None:
    """Taken in charge, then accepted; another structure's line is nobody's."""
    line = sealed_line(vendor, outcome="accepted", service="dmp.document", professional=RPPS)
    found = get(vendor, f"/v1/feeds/entries/{line['entryId']}")
    assert [one["state"] for one in found["history"]][:2] == ["submitted", "accepted"]
    assert get(vendor, f"/v1/feeds/entries/{'0' * 64}", 404)["faults"][0]["code"] == "API-FEEDS-003"
    get(vendor, "/v1/feeds/entries/not-a-number", 404)


def folded(proof: dict[str, Any]) -> bytes:
    """The root that a proof leads to, by RFC 9162 2.1.3.2, written anew from the text."""
    entry = bytes.fromhex(proof["entryHash"])
    index, last = proof["seq"] - 1, proof["size"] - 1
    node = hashlib.sha256(b"\x00" + entry).digest()
    for step in map(bytes.fromhex, proof["path"]):
        assert last
        if index & 1 or index == last:
            node = hashlib.sha256(b"\x01" + step + node).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + step).digest()
        index, last = index >> 1, last >> 1
    assert last == 0
    return node


def canonical(value: Any) -> bytes:
    """RFC 8785 for what heads and payloads hold."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def test_a_line_can_be_proved_to_a_stranger(vendor: Client, a_document: dict[str, Any]) -> None:
    """From the line's own words to the signed head, by hand: hash, link, path, signature."""
    line = sealed_line(vendor, outcome="accepted", service="dmp.document", professional=RPPS)
    proof = get(vendor, f"/v1/feeds/proofs/{line['entryId']}")
    payload_hash = hashlib.sha256(canonical(proof["payload"])).hexdigest()
    assert payload_hash == proof["payloadHash"]
    link = {
        "chain": proof["chain"],
        "payload_hash": payload_hash,
        "prev_hash": proof["prevHash"],
        "seq": proof["seq"],
    }
    assert hashlib.sha256(canonical(link)).hexdigest() == proof["entryHash"]
    assert folded(proof).hex() == proof["root"] == proof["head"]["root"]
    head = dict(proof["head"])
    signature = base64.b64decode(head.pop("signature"))
    key = load_pem_public_key(proof["publicKey"].encode())
    assert isinstance(key, Ed25519PublicKey)
    key.verify(signature, canonical(head))
    # An edit of the line leads nowhere.
    edited = {**proof["payload"], "reason": "altered"}
    assert hashlib.sha256(canonical(edited)).hexdigest() != proof["payloadHash"]
    assert get(vendor, f"/v1/feeds/proofs/{line['entryId']}", 422, since=10**9)["faults"][0]["code"] == "FEED-PROOF-002"


def test_a_sample_is_drawn_again_from_its_seed(vendor: Client, auditor: Client, a_document: dict[str, Any]) -> None:
    """The same seed draws the same lines; the seed stands in the answer and in the ledger."""
    sealed_line(vendor, outcome="accepted", service="dmp.document", professional=RPPS)
    until = datetime.now(UTC).date().isoformat()
    asked = {"sample": 3, "seed": "dossier 118", "service": "dmp.document", "to": until}
    first, again = get(auditor, "/v1/feeds/entries", **asked), get(auditor, "/v1/feeds/entries", **asked)
    assert first["draw"]["seed"] == "dossier 118"
    assert first["items"]
    assert {one["entryId"] for one in first["items"]} <= {one["entryId"] for one in again["items"]} | {
        one["entryId"] for one in first["items"]
    }
    assert first["draw"]["population"] >= len(first["items"])
    queries = get(vendor, "/v1/feeds/entries", service="audit.query", limit=50)["items"]
    assert any(one["details"]["scope"].get("seed") == "dossier 118" for one in queries)


def test_a_professional_sees_their_own_lines_only(
    running: Demonstration, professional: Client, vendor: Client, a_document: dict[str, Any]
) -> None:
    """Bound by the grant: others' lines do not exist for them, and asking for them is refused."""
    enter(running, [fed(next(numbers), actor_rpps="10100000099", recorded_at=datetime.now(UTC))])
    mine = get(professional, "/v1/feeds/entries", limit=200)["items"]
    assert mine
    assert {one["actorRpps"] for one in mine} == {RPPS}
    other = get(vendor, "/v1/feeds/entries", professional="10100000099", limit=1)["items"][0]
    get(professional, f"/v1/feeds/entries/{other['entryId']}", 404)
    get(professional, f"/v1/feeds/proofs/{other['entryId']}", 404)
    get(professional, "/v1/feeds/entries", 403, professional="10100000099")
    counted = get(professional, "/v1/feeds/counts", by="professional")
    assert {row["by"]["professional"] for row in counted["rows"]} == {RPPS}


def test_every_query_of_an_auditor_is_a_line_of_the_ledger(
    vendor: Client, auditor: Client, a_document: dict[str, Any]
) -> None:
    """Who, why, by what text, how many rows: the structure that was looked at sees it."""
    auditor.request("GET", "/v1/feeds/counts", params={"by": "type,month"}, headers=PURPOSE).raise_for_status()
    queries = get(vendor, "/v1/feeds/entries", service="audit.query", limit=1)["items"]
    details = queries[0]["details"]
    assert (details["who"], details["purpose"]) == ("demo-auditor", "contrôle 2026-118")
    assert (details["legal_basis"], details["accreditation"]) == ("CSS L.114-9", "DEMO-AGREMENT-1")
    assert details["scope"]["counts"] == ["type", "month"]
    assert details["rows"] >= 1
    # The ledger's own entries are not among what was fed.
    assert all(row["service"] != "audit.query" for row in get(vendor, "/v1/feeds/counts", by="outcome")["rows"])


def registered(running: Demonstration, name: str, *, scopes: tuple[str, ...], **grant: Any) -> Client:
    """A client of another kind."""
    from gateway import tenants
    from gateway.demonstration import Role
    from gateway.journey.clock import utc_now
    from security.tokens import make_client_key

    pem, jwks = make_client_key("P-256")
    path = running.folder / f"{name}.pem"
    path.write_bytes(pem)
    options: dict[str, Any] = {"acts_for": (tenant_of(running),), "actors": None, **grant}
    running.gateway.store.write_now(
        lambda c: tenants.add_client(c, client_id=name, name=name, jwks=jwks, scopes=scopes, now=utc_now(), **options)
    )
    return Client.open(running.base_url, Role(client_id=name, private_key=path, scopes=scopes))


def test_an_auditor_without_a_standing_purpose_states_one(running: Demonstration, a_document: dict[str, Any]) -> None:
    """Neither purpose nor legal basis: refused, both named; with them: answered."""
    client = registered(running, "fund-1", scopes=("feeds:audit",), role="fund")
    with client.http:
        problem = get(client, "/v1/feeds/counts", 403)
        assert [fault["location"] for fault in problem["faults"]] == ["Passerelle-Purpose", "Passerelle-Legal-Basis"]
        answer = client.request("GET", "/v1/feeds/counts", headers=PURPOSE)
        assert answer.status_code == 200, answer.text


def test_the_national_role_sees_counts_and_no_line(running: Demonstration, a_document: dict[str, Any]) -> None:
    """Every structure's counts by type and month; no professional, no line."""
    client = registered(
        running, "nation", scopes=("feeds:audit",), role="national", acts_for=(), terms={"allTenants": True}
    )
    with client.http:
        ok = client.request("GET", "/v1/feeds/counts", params={"by": "type,month"}, headers=PURPOSE)
        assert ok.status_code == 200, ok.text
        assert ok.json()["total"] >= 1
        for path, params in (
            ("/v1/feeds/entries", {}),
            ("/v1/feeds/counts", {"by": "professional"}),
            ("/v1/feeds/counts", {"professional": RPPS}),
        ):
            refused = client.request("GET", path, params=params, headers=PURPOSE)
            assert refused.status_code == 403, refused.text
            assert refused.json()["faults"][0]["code"] == "FEED-ACCESS-002"


def test_unusual_patterns_are_told_as_facts(running: Demonstration, vendor: Client) -> None:
    """Twelve documents of one patient in a day: a number and a mark, and no accusation."""
    start = datetime(2025, 3, 3, 10, 0, tzinfo=UTC)
    day = [
        fed(
            next(numbers),
            actor_rpps="10100000088",
            patient_commit="ab" * 32,
            submitted_at=start + timedelta(minutes=n),
            accepted_at=start + timedelta(minutes=n, seconds=1),
        )
        for n in range(12)
    ]
    enter(running, day)
    found = get(vendor, "/v1/feeds/anomalies", professional="10100000088", **{"from": "2025-03-01", "to": "2025-03-31"})
    fact = next(one for one in found["items"] if one["code"] == "patient_day")
    assert (fact["number"], fact["on"]) == (12, "2025-03-03")
    assert "12 documents d'un même patient" in fact["text"]
    get(vendor, "/v1/feeds/anomalies", 422, **{"from": "hier", "to": "2025-03-31"})


def exported(client: Client, **asked: Any) -> dict[str, Any]:
    """An export asked for and made."""
    answer = client.request("POST", "/v1/feeds/exports", json=asked)
    assert answer.status_code == 202, answer.text
    at = answer.headers["location"]
    deadline = time.monotonic() + 20
    while True:
        found: dict[str, Any] = get(client, at)
        if found["state"] != "running":
            assert found["state"] == "ready", found
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_an_export_is_checked_without_the_gateway(
    auditor: Client, vendor: Client, a_folder: Path, a_document: dict[str, Any]
) -> None:
    """Fetched, checked by the command and by the program it carries; a byte edited is found by both."""
    sealed_line(vendor, outcome="accepted", service="dmp.document", professional=RPPS)
    made = exported(auditor, services=["dmp.document"], forms=["ndjson", "csv", "parquet"])
    assert made["done"] == made["total"] >= 2
    answer = auditor.request("GET", made["links"]["file"])
    assert answer.status_code == 200
    path = a_folder / "export.zip"
    path.write_bytes(answer.content)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert names[:2] == ["manifest.json", "manifest.sig"]
        assert {"entries.csv", "entries.parquet", "verify.py"} <= set(names)
        manifest = orjson.loads(archive.read("manifest.json"))
        archive.extractall(a_folder / "open")
    assert manifest["statement"]["audience"]["accreditation"] == "DEMO-AGREMENT-1"
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "feeds", "verify", str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    alone = [sys.executable, "-I", "-S", str(a_folder / "open" / "verify.py"), str(a_folder / "open")]
    assert subprocess.run(alone, capture_output=True, check=False).returncode == 0
    lines = next(
        name for name in names if name.endswith(".ndjson") and b"accepted" in (a_folder / "open" / name).read_bytes()
    )
    target = a_folder / "open" / lines
    target.write_bytes(target.read_bytes().replace(b"accepted", b"acceptex", 1))
    assert subprocess.run(alone, capture_output=True, check=False).returncode == 1
    # It is the auditor's: nobody else finds it.
    get(vendor, made["links"]["self"], 404)
    assert auditor.request("DELETE", made["links"]["self"]).status_code == 204
    get(auditor, made["links"]["self"], 404)


def test_an_export_of_a_sample_states_its_draw(auditor: Client, vendor: Client, a_document: dict[str, Any]) -> None:
    """Size, seed and population in the manifest; a form that does not exist is named."""
    sealed_line(vendor, outcome="accepted", service="dmp.document", professional=RPPS)
    made = exported(auditor, sample=2, seed="dossier 7")
    content = auditor.request("GET", made["links"]["file"]).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        manifest = orjson.loads(archive.read("manifest.json"))
    assert manifest["statement"]["sample"]["seed"] == "dossier 7"
    assert sum(chain["entries"] for chain in manifest["chains"]) == 2
    refused = auditor.request("POST", "/v1/feeds/exports", json={"forms": ["xlsx"]})
    assert refused.status_code == 422
    assert refused.json()["faults"][0]["code"] == "FEED-EXPORT-020"


def test_a_receipt_carries_a_head_that_shows_a_rewriting(
    running: Demonstration, vendor: Client, a_folder: Path, a_document: dict[str, Any]
) -> None:
    """The head of a receipt is kept by the caller; a history rewritten whole and signed anew does not match it."""
    deadline = time.monotonic() + 10
    while "ledgerHead" not in (kept := get(vendor, f"/v1/documents/{a_document['id']}")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    receipt = a_folder / "receipt.json"
    receipt.write_bytes(orjson.dumps(kept))
    key = a_folder / "key.pem"
    key.write_text(vendor.request("GET", "/v1/feeds/keys").text)
    database = a_folder / "ledger.db"
    with sqlite3.connect(running.gateway.store.url.database) as source, sqlite3.connect(database) as copy:
        source.backup(copy)
    command = [
        *(sys.executable, "-c", "from gateway.cli import main; main()", "feeds", "verify"),
        *("--database", f"sqlite:///{database}", "--head", str(receipt), "--key", str(key)),
    ]
    whole = subprocess.run(command, capture_output=True, check=False, text=True)
    assert whole.returncode == 0, whole.stderr
    rewrite(database, str(kept["ledgerHead"]["chain"]))
    found = subprocess.run(command, capture_output=True, check=False, text=True)
    assert found.returncode == 1
    assert "FEED-VERIFY-010" in found.stderr
    # Without the head kept outside, the rewritten history looks whole: that is why heads leave.
    alone = subprocess.run(command[:7], capture_output=True, check=False, text=True)
    assert alone.returncode == 0, alone.stderr


def rewrite(database: Path, tenant: str) -> None:
    """Rewrite a ledger whole, as its operator could: one line changed, every hash and total computed again."""
    from sqlalchemy import create_engine, delete, select, text, update

    from gateway.feeds import ledger, tables
    from gateway.feeds.entry import COLUMNS, payload

    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        for table in tables.APPEND_ONLY:
            for verb in ("UPDATE", "DELETE"):
                connection.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
        mine = tables.entries.c.tenant == tenant
        connection.execute(update(tables.entries).where(mine, tables.entries.c.state == "submitted").values(reason="x"))
        fields = [tables.entries.c[name] for name in COLUMNS]
        for number, *row in connection.execute(select(tables.entries.c.id, *fields).where(mine)).all():
            value = hashlib.sha256(payload(row)).digest()
            connection.execute(update(tables.entries).where(tables.entries.c.id == number).values(payload_hash=value))
        for table in (tables.links, tables.chains, tables.nodes, tables.rollup, tables.rollup_coarse, tables.pending):
            connection.execute(delete(table).where(table.c.tenant == tenant))
        numbers = connection.execute(select(tables.entries.c.id).where(mine)).scalars().all()
        connection.execute(tables.pending.insert(), [{"tenant": tenant, "entry": number} for number in numbers])
        while ledger.seal(connection, tenant).more:
            pass
    engine.dispose()
