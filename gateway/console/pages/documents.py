"""What becomes of this document? Its states in time, each outcome with its original code, and the document itself.

The operator sees what happened and no content. A professional sees what they sent themselves, and may read it.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection, Row, select

from gateway.api.receipts import receipt
from gateway.console.pages.operations import DESTINATIONS
from gateway.console.viewer import OPERATOR, Viewer
from gateway.console.web import HEADERS, Page, Refusal, Route, page_of
from gateway.services.feed_facts import rpps
from gateway.store import blobs
from gateway.store.tables import documents
from gateway.vault import Vault

__all__ = ["router"]

router = APIRouter(prefix="/console/documents", include_in_schema=False, route_class=Route)

STATES: Final = {
    "accepted": "pris en charge",
    "completed": "achevé",
    "partial": "achevé en partie",
    "failed": "échoué",
    "withdrawn": "retiré",
    "queued": "en attente de départ",
    "held": "retenu",
    "sending": "en cours d'envoi",
    "uncertain": "réponse perdue : le service est interrogé",
    "retrying": "nouvel essai prévu",
    "acknowledged": "reçu par le service",
    "refused": "refusé par le service",
    "dead_letter": "abandonné : à renvoyer",
    "expired": "délai dépassé",
    "submitted": "remis à l'opérateur",
    "delivered": "remis au destinataire",
    "handled": "traité par le destinataire",
    "read": "lu",
    "bounced": "revenu sans être remis",
    "unknown": "sans nouvelle",
}
ACTIONS: Final = {
    "feed": "alimentation",
    "send": "envoi",
    "delete": "suppression",
    "mask": "masquage aux professionnels",
    "unmask": "fin du masquage",
    "visible": "ouverture au patient",
    "visible_reps": "ouverture aux représentants",
    "archive": "archivage",
    "unarchive": "fin de l'archivage",
}
KINDS: Final = {"good": ("acknowledged", "completed"), "bad": ("refused", "dead_letter", "failed", "expired")}


def _may(viewer: Viewer) -> bool:
    return viewer.role in (OPERATOR, "professional")


def _found(connection: Connection, viewer: Viewer, document_id: str) -> Row[Any] | None:
    """The document, when it is within what the viewer runs, or is their own."""
    query = select(documents).where(documents.c.id == document_id)
    if viewer.tenants is not None:
        query = query.where(documents.c.tenant_id.in_(viewer.tenants))
    row = connection.execute(query).first()
    if row is None or viewer.role == OPERATOR:
        return row
    own = viewer.rpps is not None and rpps(row.actor_id) == viewer.rpps
    return row if own else None


def _refused() -> Refusal:
    return Refusal(
        404,
        "Ce document n'existe pas pour vous.",
        "Vérifiez l'identifiant reçu à l'envoi (doc_...) ; un professionnel ne voit que ce qu'il a envoyé lui-même.",
    )


async def _row(page: Page, document_id: str) -> Row[Any]:
    row = await page.gateway.store.read(lambda c: _found(c, page.viewer, document_id))
    if row is None:
        raise _refused()
    return row


@router.get("")
async def find(request: Request) -> Response:
    """The page to type an identifier in."""
    page = await page_of(request, _may)
    wanted = page.one("id")
    if wanted:
        await _row(page, wanted)
        return await one(request, wanted)
    return page.render("document.html", shown=None, wanted="")


@router.get("/{document_id}")
async def one(request: Request, document_id: str) -> Response:
    """What happened to a document."""
    page = await page_of(request, _may)
    # Recipients of a mail may be a patient's own address: the operator gets none.
    vault: Vault | None = page.gateway.vault if page.viewer.role == "professional" else None

    def read(connection: Connection) -> tuple[Row[Any], Any] | None:
        row = _found(connection, page.viewer, document_id)
        return None if row is None else (row, receipt(connection, row, "fr", whole=True, vault=vault, head=False))

    found = await page.gateway.store.read(read)
    if found is None:
        raise _refused()
    row, shown = found
    return page.render(
        "document.html",
        wanted=document_id,
        shown=shown,
        type_code=row.type_code,
        purged=row.purged_at,
        states=STATES,
        actions=ACTIONS,
        destinations=DESTINATIONS,
        kinds={state: kind for kind, names in KINDS.items() for state in names},
        readable=page.viewer.role == "professional" and row.purged_at is None,
    )


@router.get("/{document_id}/view")
async def see(request: Request, document_id: str) -> Response:
    """The document as a page, for the professional who sent it; escaped, without script."""
    from mappings.rendering.html import CONTENT_SECURITY_POLICY, cda_html

    page = await page_of(request, lambda who: who.role == "professional")
    row = await _row(page, document_id)
    gateway = page.gateway
    try:
        data = await gateway.store.read(lambda c: blobs.get(c, gateway.vault, row.tenant_id, row.cda))
    except KeyError:
        raise Refusal(
            410, "Le contenu n'est plus gardé.", "Sa durée de conservation est passée, ou le patient l'a fait effacer."
        ) from None
    body = await gateway.compute(cda_html, data)
    headers = {**HEADERS, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response(body, media_type="text/html; charset=utf-8", headers=headers)
