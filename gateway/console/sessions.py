"""Sessions of the console, kept on the server: the browser holds a random word and nothing else.

The table holds the SHA-256 of that word and, sealed, who it is; reading the table lets nobody in. A session ends after
a time without a request, after a longer time whatever happens, when signed out, and when its account is disabled.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import orjson
from sqlalchemy import Connection, delete, select, update

from gateway.console.viewer import Viewer
from gateway.store.console_tables import accounts, console_sessions
from gateway.vault import Vault
from security import json

__all__ = ["IDLE", "LONGEST", "OWNER", "Session", "close", "close_expired", "load", "open_session", "state_purpose"]

#: Without a request for so long, one signs in again (ANSSI, PA-022: end sessions after inactivity).
IDLE: Final = timedelta(minutes=30)
LONGEST: Final = timedelta(hours=10)
#: How often "seen" is written: a page view is not worth a commit each.
_NOTE_EVERY: Final = timedelta(minutes=1)
#: Sessions belong to the gateway, not to one of its tenants.
OWNER: Final = "console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One open session."""

    id: str  #: as in the table
    viewer: Viewer
    csrf: str  #: what every form of the session carries
    purpose: str = ""
    legal_basis: str = ""

    @property
    def must_state(self) -> bool:
        """True when an auditor has not yet said why they look."""
        return self.viewer.audits and not (self.purpose and self.legal_basis)


def _name(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _sealed(vault: Vault, session: Session) -> bytes:
    content: dict[str, Any] = {
        "viewer": asdict(session.viewer),
        "csrf": session.csrf,
        "purpose": session.purpose,
        "legal_basis": session.legal_basis,
    }
    return vault.seal(OWNER, orjson.dumps(content), session.id)


def open_session(
    connection: Connection, vault: Vault, viewer: Viewer, *, account: str | None, now: datetime
) -> tuple[str, Session]:
    """Open a session; gives the word for the cookie, which is kept nowhere, and the session."""
    token = secrets.token_urlsafe(32)
    session = Session(id=_name(token), viewer=viewer, csrf=secrets.token_urlsafe(32))
    connection.execute(
        console_sessions.insert().values(
            id=session.id,
            account_id=account,
            sealed=_sealed(vault, session),
            created_at=now,
            seen_at=now,
            expires_at=now + LONGEST,
        )
    )
    return token, session


def load(connection: Connection, vault: Vault, token: str, *, now: datetime) -> tuple[Session, bool] | None:
    """The session of a cookie, and whether its last use is to be noted; None when it is over or never was."""
    query = (
        select(console_sessions, accounts.c.disabled_at)
        .select_from(console_sessions.outerjoin(accounts, accounts.c.id == console_sessions.c.account_id))
        .where(console_sessions.c.id == _name(token))
    )
    row = connection.execute(query).first()
    if row is None or row.expires_at <= now or row.seen_at + IDLE <= now or row.disabled_at is not None:
        return None
    try:
        content = json.loads(vault.open(OWNER, bytes(row.sealed), row.id))
    except ValueError:
        return None
    who = content.pop("viewer")
    allowed = who.pop("tenants")
    viewer = Viewer(**who, tenants=None if allowed is None else tuple(allowed))
    return Session(id=row.id, viewer=viewer, **content), row.seen_at + _NOTE_EVERY <= now


def seen(connection: Connection, session: Session, *, now: datetime) -> None:
    """Note that a session was used."""
    connection.execute(update(console_sessions).where(console_sessions.c.id == session.id).values(seen_at=now))


def state_purpose(
    connection: Connection, vault: Vault, session: Session, *, purpose: str, legal_basis: str, now: datetime
) -> Session:
    """Keep why an auditor looks, for the rest of the session."""
    stated = replace(session, purpose=purpose, legal_basis=legal_basis)
    connection.execute(
        update(console_sessions)
        .where(console_sessions.c.id == session.id)
        .values(sealed=_sealed(vault, stated), seen_at=now)
    )
    return stated


def close(connection: Connection, session_id: str) -> None:
    """End a session."""
    connection.execute(delete(console_sessions).where(console_sessions.c.id == session_id))


def close_expired(connection: Connection, *, now: datetime) -> int:
    """Forget the sessions that are over; gives how many there were."""
    over = (console_sessions.c.expires_at <= now) | (console_sessions.c.seen_at <= now - IDLE)
    return connection.execute(delete(console_sessions).where(over)).rowcount
