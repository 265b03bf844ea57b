"""Reading the ledger for a page: within what the viewer may see, and entered in the ledger when an auditor asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection

from gateway.console.viewer import Viewer
from gateway.console.web import Page, Refusal
from gateway.feeds.measures import Subject
from gateway.problems import Forbidden
from gateway.services.feeds import record_reading

__all__ = ["ask", "enter", "subject_of"]

T = TypeVar("T")


def subject_of(page: Page, by: str, asked: str) -> Subject:
    """Whom a figure is about: a professional and a structure see themselves, others whom they name.

    Raises :class:`Refusal` when the rule is about another kind of subject, or a person the role may not see.
    """
    viewer: Viewer = page.viewer
    own = {"professional": ("rpps", viewer.rpps), "structure": ("finess", viewer.finess)}.get(viewer.role)
    if own is not None:
        if own[0] != by:
            raise Refusal(
                404,
                "Cet indicateur n'est pas le vôtre.",
                "Cette règle porte sur un autre type de bénéficiaire que vous ; choisissez-en une autre.",
            )
        return Subject(by=by, id=own[1] or "", tenants=viewer.tenants)
    if asked:
        try:
            page.audience.check_subject(by, asked)
        except Forbidden as exc:
            raise Refusal(
                403,
                "Ce professionnel ou cette structure ne vous est pas ouvert.",
                exc.faults[0].rule.message.fr + " " + exc.faults[0].rule.fix.fr,
            ) from None
    return Subject(by=by, id=asked, tenants=viewer.tenants)


async def ask(page: Page, work: Callable[[Connection], T], *, scope: Mapping[str, Any], rows: Callable[[T], int]) -> T:
    """Read the ledger for a page; an auditor's query is entered in the ledger before it is shown."""
    value = await page.gateway.store.read(work)
    if page.viewer.audits:
        await page.gateway.store.write(lambda c: enter(c, page, scope=scope, rows=rows(value)))
    return value


def enter(connection: Connection, page: Page, *, scope: Mapping[str, Any], rows: int) -> None:
    """Enter an auditor's query: who, why, on what basis, which page, how many rows."""
    scope = {"page": page.request.url.path, **scope}
    record_reading(connection, page.audience, scope, rows=rows, now=page.gateway.now())
