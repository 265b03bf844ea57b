"""A PDSm submission taken in charge: converted, compared with its documents, kept whole or not at all."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request
from sqlalchemy import Connection, Row, select

from conformance.verdict import Finding
from gateway.api.access import Caller, gateway_of
from gateway.api.fhir_access import held, own_document
from gateway.api.taking import Coming, keep, submission_of
from gateway.context import Gateway
from gateway.journey.accept import Accepted
from gateway.journey.accept import Request as Submission
from gateway.problems import Invalid, NotFound, Problem
from gateway.services.envelope import Envelope, Sent
from gateway.services.fhir_face import own
from gateway.services.fhir_face.submission import Fiche, Submitted, coherent
from gateway.services.fhir_face.words import found
from gateway.services.intake import Intake
from gateway.services.records import Visit
from gateway.store import blobs
from gateway.store.tables import documents
from gateway.tenants import Tenant

__all__ = ["take_all"]


async def take_all(
    request: Request, caller: Caller, tenant: Tenant, read: Submitted, test_case: str | None, visit: Visit | None
) -> list[Accepted]:
    """Take every document of a submission in charge, in one transaction; raises with every fault found."""
    gateway = gateway_of(request)
    faults: list[Finding] = []
    submissions: list[Submission] = []
    problem: Problem | None = None
    for fiche in read.fiches:
        try:
            submission = await submission_of(gateway, caller, tenant, _coming(fiche, read.sender, test_case))
        except Problem as exc:
            # What is wrong with one document does not hide what is wrong with the next.
            faults += exc.faults
            problem = problem or exc
            continue
        submissions.append(submission)
        place = f"/entry/{fiche.index}/resource"
        faults += await gateway.compute(coherent, fiche, submission.intake.cda, place)
        faults += await _replacement(request, gateway, tenant, fiche, submission.intake, visit, place)
    if faults:
        raise Invalid(faults, slug="invalid-submission", status=problem.status if problem is not None else 422)
    return await keep(gateway, submissions)


def _coming(fiche: Fiche, sender: dict[str, Any] | None, test_case: str | None) -> Coming:
    def who(intake: Intake) -> dict[str, Any]:
        """The sender of the set; the document knows the specialty of its author, which a set may leave out."""
        said = sender or fiche.author or {}
        author = next((a for a in intake.authors if a["id"] == said.get("id")), None)
        specialty = (author or {}).get("specialty") or said.get("specialty")
        if not said or not specialty:
            raise Invalid([found("PDSM-SRC-001").finding(f"/entry/{fiche.index}/resource")], slug="invalid-submission")
        return {**said, "specialty": specialty}

    def amend(intake: Intake) -> Intake:
        """Who must not see the document stands in the fiche: a CDA header may only say N (dmp.md 4.5)."""
        from dataclasses import replace

        return replace(intake, visibility=fiche.visibility) if fiche.form == "cda" or fiche.visibility else intake

    return Coming(
        sent=Sent(body=fiche.body, form=fiche.form, envelope=Envelope()),
        content=fiche.body,
        who=who,
        amend=amend,
        test_case=test_case,
    )


async def _replacement(
    request: Request,
    gateway: Gateway,
    tenant: Tenant,
    fiche: Fiche,
    intake: Intake,
    visit: Visit | None,
    place: str,
) -> list[Finding]:
    """What a fiche replaces is what its document replaces: known, current, of the same patient (9.2-9)."""
    if not fiche.replaces and not intake.replaces:
        return []
    at = f"{place}/relatesTo"
    former = await _unique_id(request, gateway, tenant, fiche.replaces, visit)
    if fiche.replaces and former is None:
        return [found("PDSM-RPL-003").finding(at)]
    if former != intake.replaces:
        return [found("PDSM-RPL-002").finding(at)]

    def stored(connection: Connection) -> bool:
        if _row(connection, tenant.id, intake.unique_id) is not None:
            return True  # a repetition: it was looked at the first time
        row = _row(connection, tenant.id, former)
        # One that was not sent here is the DMP's to judge.
        return row is None or (not own.superseding(connection, row) and _same_patient(connection, gateway, row, intake))

    return [] if await gateway.store.read(stored) else [found("PDSM-RPL-003").finding(at)]


def _row(connection: Connection, tenant: str, unique_id: str | None) -> Row[Any] | None:
    return connection.execute(
        select(documents).where(documents.c.tenant_id == tenant, documents.c.unique_id == unique_id)
    ).first()


def _same_patient(connection: Connection, gateway: Gateway, former: Row[Any], intake: Intake) -> bool:
    if former.purged_at is not None:
        return True  # the DMP's to judge
    held_model = orjson.loads(blobs.get(connection, gateway.vault, former.tenant_id, former.model))
    held_ins = (held_model["patient"].get("ins") or {}).get("value")
    new_ins = (orjson.loads(intake.model)["patient"].get("ins") or {}).get("value")
    return held_ins is None or new_ins is None or held_ins == new_ins


async def _unique_id(
    request: Request, gateway: Gateway, tenant: Tenant, reference: str, visit: Visit | None
) -> str | None:
    """The identifier of the document behind a reference: by itself, by its id, or by a handle of a search."""
    from urllib.parse import unquote

    plain = unquote(reference)
    if "urn:oid:" in plain:
        return plain.rpartition("urn:oid:")[2]
    name = plain.removeprefix("DocumentReference/").partition("/")[0]
    if not name:
        return None
    try:
        document = await own_document(gateway, tenant, name)
        if document is not None:
            return str(document.unique_id)
        return (await held(request, visit, name))[0].unique_id if visit is not None else None
    except NotFound:
        return None
