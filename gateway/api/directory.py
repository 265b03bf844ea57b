"""The health directory for callers: the secure mailboxes of a professional or a structure, and how sure each is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from gateway.api.access import Caller, gateway_of, needs
from gateway.api.documents import PROBLEMS
from gateway.api.shapes import Shape
from gateway.services.directory import looked_up
from gateway.services.envelope import MailRecipient

__all__ = ["router"]

router = APIRouter(prefix="/v1/directory", tags=["messages"])


class Wanted(Shape):
    """Whose mailboxes are asked for: a professional, a structure, or a professional at a structure."""

    rpps: str | None = Field(None, pattern="^8?[0-9]{11}$", examples=["99700218896"])
    structure: str | None = Field(
        None, pattern="^[0-4][0-9A-Z]{9,15}$", description="Struct_IdNat.", examples=["1290099886"]
    )


class MailboxOut(Shape):
    """A mailbox that may be written to."""

    address: str
    type: str = Field(description="PER, ORG or CAB.")
    confidence: str = Field(description="place (the person, at that place), person, or structure.")
    structure: str | None = None


class MailboxesOut(Shape):
    """Whom the number names, and the mailboxes that reach them, the surest first."""

    name: str
    places: list[str] = Field(description="Structures where the professional practises.")
    mailboxes: list[MailboxOut]


@router.post("/mailboxes", response_model=MailboxesOut, summary="Find secure mailboxes", responses=PROBLEMS)
async def mailboxes(
    request: Request,
    asked: Wanted,
    caller: Annotated[Caller, Depends(needs("messages:write", "messages:read", "documents:write"))],
) -> Response:
    """Ask the Annuaire Santé for the MSSanté mailboxes of a RPPS, of a structure, or of a RPPS at a structure.

    Red-listed and applicative mailboxes are never given. To write to the first one, the same `rpps` and `structure`
    may stand in a recipient in place of its address.
    """
    who = await looked_up(gateway_of(request).directory, MailRecipient(rpps=asked.rpps, structure=asked.structure))
    out = MailboxesOut(
        name=who.name,
        places=list(who.places),
        mailboxes=[
            MailboxOut(address=m.address, type=m.kind, confidence=str(m.confidence), structure=m.structure)
            for m in who.mailboxes
        ],
    )
    return JSONResponse(out.model_dump(mode="json", by_alias=True, exclude_none=True))
