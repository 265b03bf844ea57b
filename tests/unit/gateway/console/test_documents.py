"""One document followed in the console: by the operator without its content, by the professional who sent it."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import select, update

from gateway.context import Gateway
from gateway.store.tables import documents
from tests.support.console import NOW, given_up
from tests.unit.gateway.console.conftest import People

AUTHOR = "99700218896"


@pytest.fixture(scope="module")
def document(gateway: Gateway) -> str:
    """A document given up, and an account for its author; gives its id."""
    return given_up(gateway, author=AUTHOR, login="auteur")


def test_the_operator_follows_without_reading(people: People, document: str) -> None:
    """Every state in time, cause and fix in French; no trait, no content, no way to it."""
    operator = people("exploitant")
    page = operator.get(f"/console/documents/{document}").text
    assert "abandonné : à renvoyer" in page
    assert "too_many_attempts" in page
    assert "en attente de départ" in page
    assert "Lire le document" not in page
    for trait in ("DESMAUX", "PAT-TROIS", "DOMINIQUE"):
        assert trait not in page
    assert operator.get(f"/console/documents/{document}/view").status_code == 403
    assert operator.get("/console/documents", params={"id": document}).text.count("timeline") == 1


def test_its_author_reads_it(people: People, document: str) -> None:
    """The document as a page of its own, without script; another professional sees nothing of it."""
    author = people("auteur")
    assert "Lire le document" in author.get(f"/console/documents/{document}").text
    view = author.get(f"/console/documents/{document}/view")
    assert view.status_code == 200, view.text
    assert "script" not in view.headers["content-security-policy"]
    assert view.headers["cache-control"] == "no-store"
    for path in (f"/console/documents/{document}", f"/console/documents/{document}/view"):
        assert people("docteur").get(path).status_code == 404
        assert people("auditeur").get(path).status_code == 403


def test_what_is_not_there_is_said(people: People, gateway: Gateway, document: str) -> None:
    """An unknown identifier, none, and a content no longer kept."""
    author = people("auteur")
    assert author.get("/console/documents/doc_none").status_code == 404
    assert author.get("/console/documents", params={"id": "doc_none"}).status_code == 404
    assert "Aucun document choisi" in author.get("/console/documents").text
    cda = gateway.store.read_now(
        lambda c: c.execute(select(documents.c.cda).where(documents.c.id == document)).scalar_one()
    )

    def kept(address: str, purged: datetime | None) -> None:
        change = update(documents).where(documents.c.id == document).values(purged_at=purged, cda=address)
        gateway.store.write_now(lambda c: c.execute(change))

    kept("0" * 64, NOW)
    try:
        page = author.get(f"/console/documents/{document}").text
        assert "n'est plus gardé" in page.replace("&#39;", "'")
        assert author.get(f"/console/documents/{document}/view").status_code == 410
    finally:
        kept(cda, None)
