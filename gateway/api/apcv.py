"""The Appli carte Vitale as an identity source: a neutral context that the caller's certified component produced.

The content of the code, the NFC exchange and the context's own form are not public, so none is parsed here: the caller
hands over what its component read (ins-identity.md 10).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, ValidationError
from sqlalchemy import Connection

from conformance.identifiers import IdentifierError, Matricule, authority_gate
from conformance.identity.comparison import compare
from conformance.identity.status import Event
from conformance.identity.traits import Traits
from gateway import identities
from gateway.api.access import Caller, gateway_of, needs, read_body
from gateway.api.documents import PROBLEMS
from gateway.api.receipts import local
from gateway.api.shapes import IdentityOut
from gateway.identities import Identity
from gateway.journey.tally import tally_identity
from gateway.problems import Conflict, Invalid, Unreadable, rule
from gateway.services import identity as service
from gateway.services.faults import findings_of
from gateway.services.identity import Found
from gateway.services.intake import UNREADABLE
from gateway.traits import strict_traits
from mappings.document.base import Part
from mappings.document.people import Ins, Patient
from security import json as hard_json
from security.errors import UnsafeInput

__all__ = ["router"]

router = APIRouter(prefix="/v1/identities", tags=["identities"])

TOO_OLD = rule(
    "APCV-AGE-001",
    "La lecture de l'Appli carte Vitale est trop ancienne.",
    "The reading of the Appli carte Vitale is too old.",
    "Demandez au patient de présenter à nouveau l'application.",
    "Ask the patient to present the app again.",
    "ins-identity.md 10",
)
BAD_INS = rule(
    "APCV-INS-001",
    "L'INS lue dans l'application n'est pas valable ici.",
    "The INS read in the app does not hold here.",
    "Relisez l'application ; vérifiez l'environnement (test ou production).",
    "Read the app again; check the environment (test or production).",
    "ins-identity.md 1",
)
MISMATCH = rule(
    "APCV-CMP-001",
    "L'identité lue ne correspond pas au dossier local.",
    "The identity read does not match the local file.",
    "Vérifiez que c'est le bon dossier ; corrigez les traits ou choisissez un autre dossier.",
    "Check that this is the right file; correct the traits or choose another file.",
    "ins-identity.md 4",
)


class _Number(Part):
    matricule: str = Field(description="13 characters, or 15 with the key.")
    key: str | None = Field(None, description="Two digits, when the matricule is given without.")
    oid: str


class _Traits(Part):
    birth_name: str
    first_given_name: str | None = None
    given_names: str
    sex: Literal["M", "F"]
    birth_date: str
    birth_place: str | None = None


class ApcvContext(Part):
    """What the caller's certified component read on the app."""

    model_config = ConfigDict(**{**Part.model_config, "extra": "forbid"})

    source: Literal["apcv"]
    reading: Literal["qr", "nfc"]
    read_at: datetime
    holder: bool = Field(description="The holder of the app, or one of the dependants.")
    ins: _Number
    traits: _Traits
    context_ref: str = Field(min_length=1, max_length=200, description="Reference of the reading; one use each.")
    patient: Patient = Field(description="The local file it is attached to.")
    actor: str | None = Field(None, pattern="^[0-9]{11}$", description="RPPS of the professional.")


@router.post("/apcv", response_model=IdentityOut, summary="Attach an app reading", responses=PROBLEMS)
async def attach(
    request: Request,
    caller: Annotated[Caller, Depends(needs("identities:write", "documents:write"))],
    passerelle_tenant: Annotated[str | None, Header()] = None,
) -> Response:
    """Take the identity read on the Appli carte Vitale: qualified at once, after comparison with the local file.

    Each use, accepted or refused, is counted. Documents that waited for this identity leave by themselves.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    try:
        context = ApcvContext.model_validate(hard_json.loads(await read_body(request, 200_000), max_bytes=200_000))
    except UnsafeInput as exc:
        raise Unreadable([UNREADABLE.finding("", found=exc.code, expected=exc.expected)]) from None
    except ValidationError as exc:
        raise Invalid(list(findings_of(exc)), slug="invalid-context") from None
    now = gateway.now()
    age = now - context.read_at if context.read_at.tzinfo else None
    limit = timedelta(seconds=gateway.settings.apcv_max_age_seconds)
    if age is None or age > limit or age < -timedelta(minutes=5):
        raise Invalid([TOO_OLD.finding("/readAt")], slug="context-too-old")
    number = context.ins.matricule + (context.ins.key or "")
    gate = authority_gate(context.ins.oid, gateway.settings.environment)
    try:
        matricule = str(Matricule.parse(number))
    except IdentifierError as exc:
        raise Invalid([BAD_INS.finding("/ins/matricule", found=exc.code)], slug="invalid-ins") from None
    if gate != "accepted":
        raise Invalid([BAD_INS.finding("/ins/oid", found=str(gate))], slug="invalid-ins")
    read = Traits.of(
        {
            "birth_name": context.traits.birth_name,
            "first_given_name": context.traits.first_given_name or context.traits.given_names.split(" ")[0],
            "given_names": context.traits.given_names,
            "sex": context.traits.sex,
            "birth_date": context.traits.birth_date,
            "birth_place": context.traits.birth_place,
        }
    )
    comparison = compare(strict_traits(context.patient), read)
    good = comparison.verdict in ("MATCH_EXACT", "MATCH_EQUIVALENT")
    found = Found(
        ins=Ins(value=matricule, authority=context.ins.oid),
        birth_name=read.birth_name,
        given_names=read.given_names,
        first_given_name=read.first_given_name,
        sex=read.sex,
        birth_date=read.birth_date,
        birth_place=read.birth_place or None,
    )

    def work(connection: Connection) -> tuple[Identity, int]:
        identity = identities.remember(connection, gateway.vault, tenant.id, context.patient, None, now)
        released = 0
        if good:
            identity = service.apply(
                connection, gateway.vault, identity, Event.APCV_READ_ACCEPTED, now=now, found=found
            )
            released = service.release(connection, gateway.vault, identity, now=now, by=f"client:{caller.client.id}")
        tally_identity(
            connection,
            gateway.vault,
            identity,
            kind="apcv.use",
            state="used" if good else "refused",
            operation=gateway.vault.lookup(tenant.id, f"apcv|{context.context_ref}"),
            now=now,
            actor_rpps=context.actor,
            reason=None if good else comparison.verdict,
        )
        return identity, released

    try:
        identity, released = await gateway.store.write(work)
    except service.StatusError as exc:
        raise Conflict([MISMATCH.finding("/patient", found=str(exc.refusal))], slug="identity-locked") from None
    if not good:
        raise Conflict([MISMATCH.finding("/traits", found=", ".join(comparison.reasons))], slug="identity-mismatch")
    gateway.wake()
    out: dict[str, Any] = IdentityOut(
        id=identity.id,
        status=str(identity.patient.status),
        attributes=list(identity.patient.attributes),
        has_ins=True,
        checked_at=local(identity.checked_at),
        missing=service.missing(identity.patient),
        released=released,
    ).model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(out)
