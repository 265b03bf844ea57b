"""Documents that were sent here, as PDSm resources: named by their own id, read without asking the DMP."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from gateway.journey.states import Delivery
from gateway.services.record_changes import Change
from gateway.store.tables import deliveries, documents
from mappings.xds import Code, DocumentEntry, document_entry
from mappings.xds import vocabulary as v
from security.xml import CDA_LIMITS, parse

__all__ = ["document_id", "entry_of", "fhir_id", "state_of", "superseding"]


def fhir_id(document: str) -> str:
    """The id of a document as FHIR writes ids, which have no underscore."""
    return document.replace("_", "-", 1)


def document_id(resource: str) -> str | None:
    """The document behind a FHIR id; None for a handle."""
    return "doc_" + resource[4:] if resource.startswith("doc-") else None


def superseding(connection: Connection, document: Row[Any]) -> bool:
    """True when a newer version was sent and has not failed."""
    return (
        connection.execute(
            select(documents.c.id)
            .join(deliveries, deliveries.c.document_id == documents.c.id)
            .where(
                documents.c.tenant_id == document.tenant_id,
                documents.c.replaces == document.unique_id,
                deliveries.c.destination == "dmp",
                deliveries.c.action == "feed",
                deliveries.c.state.not_in(("refused", "withdrawn", "expired", "dead_letter")),
            )
        ).first()
        is not None
    )


def state_of(connection: Connection, document: Row[Any]) -> tuple[str, frozenset[str], int]:
    """Status, visibility and version of a document by what the DMP acknowledged."""
    rows = connection.execute(
        select(deliveries.c.action)
        .where(
            deliveries.c.document_id == document.id,
            deliveries.c.destination == "dmp",
            deliveries.c.state == str(Delivery.ACKNOWLEDGED),
        )
        .order_by(deliveries.c.rank)
    ).all()
    status = v.DEPRECATED if superseding(connection, document) else v.APPROVED
    labels = set(document.visibility)
    version = 1
    for (action,) in rows:
        version += action not in ("feed", str(Change.DELETE), str(Change.ARCHIVE), str(Change.UNARCHIVE))
        if action == Change.DELETE:
            status = v.DELETED
        elif action == Change.ARCHIVE:
            status = v.ARCHIVED
        elif action == Change.UNARCHIVE:
            status = v.APPROVED
        elif action == Change.MASK:
            labels.add("MASQUE_PS")
        elif action == Change.UNMASK:
            labels.discard("MASQUE_PS")
        elif action == Change.VISIBLE:
            labels.discard("INVISIBLE_PATIENT")
        elif action == Change.VISIBLE_REPRESENTATIVES:
            labels.discard("INVISIBLE_REPRESENTANTS_LEGAUX")
    return status, frozenset(labels), version


def entry_of(cda: bytes, *, status: str, visibility: frozenset[str], version: int) -> DocumentEntry:
    """The metadata of a document, from its header; pure, run in the pool."""
    from dataclasses import replace

    entry = document_entry(parse(cda, CDA_LIMITS), cda, visibility=visibility, entry_uuid="")
    codes: tuple[Code, ...] = entry.confidentiality
    return replace(entry, status=status, version=str(version), confidentiality=codes)
