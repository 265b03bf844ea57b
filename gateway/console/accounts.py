"""Local accounts: passwords kept as argon2id, guessing slowed, nothing told about which half was wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import Connection, Row, select, update

from gateway.console.viewer import ROLES, Viewer
from gateway.ids import new_id
from gateway.store.console_tables import accounts, console_sessions

__all__ = [
    "AccountError",
    "add_account",
    "all_accounts",
    "disable_account",
    "find",
    "note_attempt",
    "right",
    "viewer_of",
]

#: 64 MiB and 3 passes: the second recommended option of RFC 9106 (4), argon2-cffi's own default.
_HASHER: Final = PasswordHasher()
#: Verified when the login is unknown, so that the time taken tells nothing.
_NOBODY: Final = _HASHER.hash("personne")
_LOGIN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,79}")
_RPPS: Final = re.compile(r"[0-9A-Z]{8,14}")
_FINESS: Final = re.compile(r"[0-9][0-9AB][0-9]{7}")
#: Failures in a row after which an account rests, and for how long.
_FREE_FAILURES: Final = 5
_REST: Final = timedelta(minutes=5)
#: CNIL, délibération 2022-100: 12 characters at least where nothing else limits guessing; a long sentence is welcome.
_SHORTEST: Final = 12
_LONGEST: Final = 256
#: Roles that see some structures only, unless told otherwise in so many words.
_TERRITORIAL: Final = frozenset(["vendor", "fund", "ars"])


class AccountError(ValueError):
    """An account cannot be made or used as asked; ``code`` tells why."""

    def __init__(self, code: str, expected: str) -> None:
        self.code = code
        self.expected = expected
        super().__init__(f"{code}: {expected}")


def add_account(
    connection: Connection,
    *,
    login: str,
    name: str,
    role: str,
    password: str,
    rpps: str | None = None,
    finess: str | None = None,
    tenants: Sequence[str] | None = None,
    everywhere: bool = False,
    accreditation: str | None = None,
    now: datetime,
) -> str:
    """Make a local account and give its id; raises :class:`AccountError`."""
    if _LOGIN.fullmatch(login) is None:
        raise AccountError("CONSOLE-ACCOUNT-001", "un identifiant de minuscules, chiffres, points et tirets")
    if role not in ROLES:
        raise AccountError("CONSOLE-ACCOUNT-002", f"un rôle parmi {', '.join(ROLES)}")
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise AccountError("CONSOLE-ACCOUNT-003", f"un mot de passe de {_SHORTEST} à {_LONGEST} caractères")
    if role == "professional" and _RPPS.fullmatch(rpps or "") is None:
        raise AccountError("CONSOLE-ACCOUNT-004", "le RPPS du professionnel (--rpps)")
    if role == "structure" and _FINESS.fullmatch(finess or "") is None:
        raise AccountError("CONSOLE-ACCOUNT-004", "le FINESS de la structure (--finess)")
    if role in _TERRITORIAL and not tenants and not everywhere:
        raise AccountError("CONSOLE-ACCOUNT-006", "les structures qu'il peut lire (--tenant), ou --everywhere")
    if connection.execute(select(accounts.c.id).where(accounts.c.login == login)).first():
        raise AccountError("CONSOLE-ACCOUNT-005", "un identifiant qui n'est pas déjà pris")
    made = new_id("acc", now)
    connection.execute(
        accounts.insert().values(
            id=made,
            login=login,
            name=name.strip()[:120] or login,
            role=role,
            password=_HASHER.hash(password),
            rpps=rpps,
            finess=finess,
            tenants=list(tenants) if tenants else None,
            accreditation=accreditation,
            created_at=now,
        )
    )
    return made


def all_accounts(connection: Connection) -> Sequence[Row[Any]]:
    """Every account, disabled ones included, by login."""
    return connection.execute(select(accounts).order_by(accounts.c.login)).all()


def disable_account(connection: Connection, login: str, *, now: datetime) -> bool:
    """Disable an account and end its sessions; False when there is none of that login."""
    row = connection.execute(select(accounts.c.id).where(accounts.c.login == login)).first()
    if row is None:
        return False
    connection.execute(update(accounts).where(accounts.c.id == row.id).values(disabled_at=now))
    connection.execute(console_sessions.delete().where(console_sessions.c.account_id == row.id))
    return True


def find(connection: Connection, login: str) -> Row[Any] | None:
    """The account of a login, or None."""
    return connection.execute(select(accounts).where(accounts.c.login == login)).first()


def right(row: Row[Any] | None, password: str, *, now: datetime) -> bool:
    """Whether this password opens this account now; takes as long when there is no such account.

    CPU work of about 50 ms on purpose: run it away from the event loop.
    """
    good = False
    try:
        good = bool(_HASHER.verify(row.password if row is not None else _NOBODY, password[:_LONGEST]))
    except VerificationError:
        good = False
    resting = row is not None and row.locked_until is not None and row.locked_until > now
    return good and row is not None and row.disabled_at is None and not resting


def note_attempt(connection: Connection, account: str, *, good: bool, now: datetime) -> None:
    """Count a failure, or forget them after a success; an account that failed too often in a row rests a while."""
    if good:
        connection.execute(update(accounts).where(accounts.c.id == account).values(failures=0, locked_until=None))
        return
    connection.execute(update(accounts).where(accounts.c.id == account).values(failures=accounts.c.failures + 1))
    failures = connection.execute(select(accounts.c.failures).where(accounts.c.id == account)).scalar_one()
    if failures >= _FREE_FAILURES:
        connection.execute(
            update(accounts).where(accounts.c.id == account).values(locked_until=now + _REST, failures=0)
        )


def viewer_of(row: Row[Any]) -> Viewer:
    """What an account may see."""
    return Viewer(
        id=row.id,
        name=row.name,
        role=row.role,
        rpps=row.rpps,
        finess=row.finess,
        tenants=None if row.tenants is None else tuple(row.tenants),
        accreditation=row.accreditation,
    )
