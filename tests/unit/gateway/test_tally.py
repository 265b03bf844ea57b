"""What taking a document in charge enters in the ledger."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from gateway import tenants
from gateway.feeds.tables import entries
from gateway.store.tables import clients
from gateway.store.tables import tenants as structures
from tests.support import documents
from tests.unit.gateway.conftest import Intakes


def entered(intakes: Intakes) -> list[dict[str, Any]]:
    """The entries of the ledger, oldest first."""
    return [
        dict(row._mapping)
        for row in intakes.store.read_now(lambda c: c.execute(select(entries).order_by(entries.c.id)).all())
    ]


def test_an_entry_says_who_where_and_in_which_form(intakes: Intakes) -> None:
    """Profession, place and mode of care, form of the content, the software that called."""
    intakes.take(intakes.request(documents.summary(1)))
    entry = entered(intakes)[0]
    assert (entry["kind"], entry["state"]) == ("dmp.document", "submitted")
    assert (entry["actor_rpps"], entry["actor_profession"], entry["actor_role"]) == (
        "99700218896",
        "10",
        "professional",
    )
    assert (entry["care_mode"], entry["care_place"], entry["doc_format"]) == ("presentiel", "SA07", "structured")
    assert entry["software_id"] == "client"
    assert entry["encounter_commit"] is None


def test_the_same_content_under_another_number_has_the_same_digest(intakes: Intakes) -> None:
    """Which is how a re-sending is found; the digest is keyed by the tenant, not a hash anybody could try."""
    from gateway.services.feed_facts import facts_of

    for number in (1, 2):
        intakes.take(intakes.request(documents.report(number)))
    first, second = (entry["content_digest"] for entry in entered(intakes))
    assert first == second
    document = documents.load(documents.report(1))
    plain = facts_of(document, document.model_dump_json(exclude_none=True).encode())["digest"]
    assert first != bytes.fromhex(plain)


def test_the_calling_software_tells_what_no_document_says(intakes: Intakes) -> None:
    """ALD list, téléconsultation, the stay, the doctor substituted; and what its grant and its structure say."""

    def prepare(connection: Connection) -> None:
        tenants.add_client(
            connection,
            client_id="client",
            name="client",
            jwks={"keys": [{"kty": "EC"}]},
            scopes=("documents:write",),
            acts_for=(intakes.tenant.id,),
            actors=None,
            now=intakes.clock(),
        )
        connection.execute(clients.update().values(terms={"segurRef": "SONS-MDV-0001"}))
        connection.execute(structures.update().values(references={"legalFiness": "750000018"}))

    intakes.store.write_now(prepare)
    counting = {
        "ald_listed": True,
        "care_mode": "teleconsultation",
        "encounter": {"root": "1.2.250.1.999.7", "extension": "V1"},
        "substituted": "810000000017",
        "software_version": "7.2",
    }
    intakes.take(intakes.request(counting=counting))
    intakes.take(intakes.request(counting=counting))
    entry, other = entered(intakes)
    assert (entry["ald_listed"], entry["care_mode"]) == (1, "teleconsultation")
    assert (entry["actor_role"], entry["on_behalf_of_rpps"]) == ("substitute", "10000000017")
    assert (entry["segur_ref"], entry["software_version"]) == ("SONS-MDV-0001", "7.2")
    assert entry["legal_finess"] == "750000018"
    # Two documents of one stay are of one stay, whose identifier is nowhere.
    assert entry["encounter_commit"] is not None
    assert entry["encounter_commit"] == other["encounter_commit"]


def test_a_document_of_several_authors_is_its_legal_authors(intakes: Intakes) -> None:
    """Whoever sends acts for the legal author; the others are named beside."""
    report = documents.report(1)
    first = report["authors"][0]["professional"]

    def person(number: str) -> dict[str, Any]:
        return {**first, "id": {"root": "1.2.250.1.71.4.2.1", "extension": number}}

    report["authors"] = [*report["authors"], {"professional": person("810000000025")}]
    report["legalAuthenticator"] = {"professional": person("810000000017")}
    intakes.take(intakes.request(report))
    entry = entered(intakes)[0]
    assert (entry["actor_rpps"], entry["actor_role"]) == ("99700218896", "delegate")
    assert entry["on_behalf_of_rpps"] == "10000000017"
    assert entry["co_authors_rpps"] == "10000000025"
