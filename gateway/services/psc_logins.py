"""Log-ins by Pro Santé Connect on behalf of a program: asked for, answered once, then a session of the professional.

The code flow goes through a browser and comes back to the gateway; CIBA goes through the professional's phone or card
and is polled. What must be kept between two calls is sealed under the structure's key, the refresh token included; an
access token is never kept (ECO.1.2.5). The state a browser carries is stored as its hash, and serves once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal

import orjson
import structlog
from sqlalchemy import Connection, Row, delete, or_, select, update

from adapters.psc.client import SLOWER, PscClient, PscRefused, Tokens
from adapters.psc.userinfo import BadUserinfo, Professional
from gateway import tenants
from gateway.ids import new_id
from gateway.journey.clock import Clock
from gateway.problems import Busy, Forbidden, Invalid, NotFound, Problem, rule
from gateway.services.consulting import Session, session_of_person
from gateway.services.mail_sessions import NoMailSession
from gateway.services.psc import open_client
from gateway.settings import Settings
from gateway.store.engine import NORMAL, Store
from gateway.store.tables import psc_logins
from gateway.tenants import Tenant
from gateway.vault import Vault
from security import json

__all__ = ["CALLBACK", "Asked", "Login", "PscLogins", "Wanted", "absent", "check_mailbox"]

log = structlog.get_logger("passerelle.psc")

#: Where browsers come back, below base_url.
CALLBACK: Final = "/v1/psc/callback"
#: How long one node may take to ask the provider before another tries.
_LEASE: Final = timedelta(seconds=20)
_PATIENCE: Final = 15.0

ABSENT = rule(
    "API-PSC-001",
    "Pro Santé Connect n'est pas réglé sur cette passerelle.",
    "Pro Santé Connect is not configured on this gateway.",
    "Renseignez les réglages psc.",
    "Fill in the psc settings.",
)
NOT_ASKED = rule(
    "API-PSC-002",
    "Pro Santé Connect n'a pas accepté la demande.",
    "Pro Santé Connect did not accept the request.",
    "Vérifiez l'identifiant national du professionnel et les réglages psc, puis recommencez.",
    "Check the professional's national identifier and the psc settings, then try again.",
)
UNKNOWN = rule(
    "API-PSC-003",
    "Cette connexion n'existe pas pour vous.",
    "This log-in does not exist for you.",
    "Prenez l'identifiant reçu à la demande (psc_).",
    "Take the id received when asking (psc_).",
)
NO_HINT = rule(
    "API-PSC-004",
    "La connexion par le téléphone ou la carte doit nommer le professionnel.",
    "A log-in by phone or card must name the professional.",
    "Donnez actor, son identifiant national (PS_IdNat).",
    "Give actor, the national identifier (PS_IdNat).",
)
NO_MAILBOX = rule(
    "API-PSC-005",
    "La structure n'a pas de boîte qui s'ouvre par Pro Santé Connect.",
    "The structure has no mailbox that opens by Pro Santé Connect.",
    "Retirez openMailbox, ou réglez la boîte de la structure et mss.auth ou imap.auth à xoauth2.",
    "Leave openMailbox out, or set the structure's mailbox and mss.auth or imap.auth to xoauth2.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A log-in that a program asks for."""

    flow: Literal["code", "ciba"]
    client: str
    actor: str | None = None  #: PS_IdNat: who must log in
    channel: Literal["MOBILE", "CARD"] = "MOBILE"
    profession: str | None = None
    mailbox: str | None = None  #: the structure's mailbox, which the session is to open


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A log-in under way."""

    id: str
    expires_at: datetime
    url: str | None = field(default=None, repr=False)  #: where to send the browser
    binding_message: str | None = None  #: two digits both screens show
    interval: float | None = None  #: seconds between two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where a log-in stands."""

    id: str
    flow: str
    state: str
    expires_at: datetime
    code: str | None = None
    mailbox: bool = False
    session: Session | None = None
    interval: float | None = None


class _Failed(Exception):
    """The log-in ends here; ``code`` says why."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def _hash(state: str) -> str:
    return sha256(state.encode()).hexdigest()


class PscLogins:
    """Log-ins and sessions of one gateway; any node answers for any of them."""

    def __init__(
        self, settings: Settings, store: Store, vault: Vault, clock: Clock, *, client: PscClient | None = None
    ) -> None:
        self._settings = settings
        self._store = store
        self._vault = vault
        self._clock = clock
        redirect = settings.psc.redirect_uri or settings.base_url.rstrip("/") + CALLBACK
        self._client = client or open_client(settings, clock, redirect)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    # Asking

    async def ask(self, tenant: Tenant, wanted: Wanted) -> Asked:
        """Begin a log-in; raises :class:`Invalid`, or :class:`Busy` while the provider does not answer."""
        now = self._clock()
        login = new_id("psc", now)
        until = now + timedelta(minutes=self._settings.psc.login_minutes)
        kept: dict[str, Any] = {"actor": wanted.actor, "profession": wanted.profession}
        url = message = state = interval = None
        if wanted.flow == "code":
            state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
            kept |= {"nonce": nonce, "verifier": verifier}
            url = self._client.authorization_url(state=state, nonce=nonce, verifier=verifier, login_hint=wanted.actor)
        else:
            if wanted.actor is None:
                raise Invalid([NO_HINT.finding("/actor")])
            try:
                request = await self._client.start_ciba(wanted.actor, channel=wanted.channel)
            except PscRefused as exc:
                finding = NOT_ASKED.finding("/actor", found=exc.code)
                if exc.retry:
                    raise Busy([finding], slug="psc-unavailable") from None
                raise Invalid([finding], slug="psc") from None
            kept |= {"request": request.id, "interval": request.interval}
            until, message, interval = min(until, request.expires_at), request.binding_message, request.interval
        row = {
            "id": login,
            "tenant_id": tenant.id,
            "client_id": wanted.client,
            "flow": wanted.flow,
            "state": "waiting",
            "state_lookup": _hash(state) if state else None,
            "mailbox_lookup": self._mailbox(tenant.id, wanted.mailbox) if wanted.mailbox else None,
            "sealed": self._seal(tenant.id, login, kept),
            "created_at": now,
            "expires_at": until,
        }
        await self._store.write(lambda c: _insert(c, row, now), NORMAL)
        return Asked(id=login, expires_at=until, url=url, binding_message=message, interval=interval)

    # Answers

    async def come_back(self, state: str, code: str, error: str) -> str:
        """A browser came back; gives how the log-in stands: open, failed, or unknown (never was, over, or used)."""
        row = await self._take(psc_logins.c.state_lookup == _hash(state))
        if row is None:
            return "unknown"
        kept = self._open(row)
        if error or not code:
            return await self._fail(row, error or "no_code")

        async def tokens() -> Tokens:
            return await self._client.exchange(code, verifier=kept["verifier"], nonce=kept["nonce"])

        return await self._enter(row, kept, tokens)

    async def look(self, login: str, client: str, tenant_ids: list[str]) -> Login:
        """Where a log-in stands; one by phone or card is asked about, no more often than the provider wants.

        Raises :class:`NotFound` for another program's.
        """
        row = await self._row(login, client, tenant_ids)
        if row.state == "waiting" and row.expires_at <= self._clock():
            await self._fail(row, "expired_token")
        elif row.state == "waiting" and row.flow == "ciba":
            await self._poll(row)
        row = await self._row(login, client, tenant_ids)
        kept = self._open(row)
        session = Session.of_json(kept["session"]) if row.state == "open" else None
        if session is not None and session.expires_at <= self._clock():
            session = None  # its mailbox may be open for longer
        return Login(
            id=row.id,
            flow=row.flow,
            state="waiting" if row.state == "answering" else row.state,
            expires_at=row.expires_at,
            code=row.code,
            mailbox=row.mailbox_lookup is not None,
            session=session,
            interval=kept.get("interval") if row.state == "waiting" else None,
        )

    async def end(self, login: str, client: str, tenant_ids: list[str]) -> None:
        """End a log-in or its session, here and at the provider; raises :class:`NotFound`."""
        row = await self._row(login, client, tenant_ids)
        refresh = self._open(row).get("refresh")
        await self._store.write(lambda c: self._forget(c, row, "ended", None), NORMAL)
        if refresh:
            await self._client.log_out(refresh)

    async def _poll(self, row: Row[Any]) -> None:
        kept = self._open(row)
        now = self._clock()
        pause = timedelta(seconds=float(kept["interval"]))
        if not await self._lease(row, now, now + max(pause, timedelta(seconds=0.1))):
            return
        try:
            tokens = await self._client.poll_ciba(kept["request"])
        except PscRefused as exc:
            if exc.code == "slow_down":
                slower = kept | {"interval": kept["interval"] + SLOWER}
                until = now + pause + timedelta(seconds=SLOWER)
                await self._change(row, sealed=self._seal(row.tenant_id, row.id, slower), lease_until=until)
            elif exc.code != "authorization_pending" and not exc.retry:
                await self._fail(row, exc.code)
            return
        taken = await self._take(psc_logins.c.id == row.id)
        if taken is not None:

            async def given() -> Tokens:
                return tokens

            await self._enter(taken, kept, given)

    async def _enter(self, row: Row[Any], kept: dict[str, Any], tokens: Callable[[], Any]) -> str:
        """From the provider's answer to an open session, or to why there is none."""
        try:
            given: Tokens = await tokens()
            person = await self._client.userinfo(given)
            session = await self._allowed(row, kept, person)
        except PscRefused as exc:
            return await self._fail(row, "provider_unavailable" if exc.retry else exc.code)
        except (_Failed, BadUserinfo) as exc:
            return await self._fail(row, exc.code)
        now = self._clock()
        opened: dict[str, Any] = {"session": session.as_json()}
        until = session.expires_at
        if row.mailbox_lookup is not None:
            opened["refresh"] = given.refresh
            until = now + timedelta(hours=self._settings.psc.session_hours)
        await self._change(
            row,
            state="open",
            sealed=self._seal(row.tenant_id, row.id, opened),
            expires_at=until,
            renewed_at=now,
            lease_until=None,
        )
        log.info("psc.opened", login=row.id, mailbox=row.mailbox_lookup is not None)
        return "open"

    async def _allowed(self, row: Row[Any], kept: dict[str, Any], person: Professional) -> Session:
        """The session of the person who came back, when it is the one meant and the program may act for them."""
        if kept["actor"] not in (None, person.id):
            raise _Failed("other_person")

        def load(connection: Connection) -> Tenant | None:
            return tenants.tenant(connection, row.tenant_id)

        tenant = await self._store.read(load)
        if tenant is None:
            raise _Failed("no_structure")
        try:
            session = session_of_person(
                person, tenant, profession=kept["profession"], settings=self._settings, now=self._clock()
            )
        except Problem as exc:
            raise _Failed(exc.faults[0].code) from None
        actor = session.actor
        if not await self._store.read(
            lambda c: tenants.may_act(c, row.client_id, tenant, actor.id, actor.structure_id)
        ):
            raise _Failed("actor_not_granted")
        return session

    # Tokens of mailboxes

    async def token(self, tenant: str, mailbox: str) -> str:
        """A fresh access token for a structure's mailbox; raises :class:`NoMailSession` when nobody is logged in."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            row = await self._store.read(lambda c: self._holder(c, tenant, mailbox))
            if row is None:
                raise NoMailSession
            now = self._clock()
            if await self._lease(row, now, now + _LEASE):
                return await self._renew(row)
            if asyncio.get_running_loop().time() > deadline:
                raise NoMailSession
            await asyncio.sleep(0.1)

    def _holder(self, connection: Connection, tenant: str, mailbox: str) -> Row[Any] | None:
        return connection.execute(
            select(psc_logins)
            .where(
                psc_logins.c.tenant_id == tenant,
                psc_logins.c.mailbox_lookup == self._mailbox(tenant, mailbox),
                psc_logins.c.state == "open",
                psc_logins.c.expires_at > self._clock(),
            )
            .order_by(psc_logins.c.created_at.desc())
            .limit(1)
        ).first()

    async def _renew(self, row: Row[Any]) -> str:
        kept = self._open(row)
        try:
            tokens = await self._client.refresh(
                Tokens(access="", refresh=str(kept.get("refresh") or ""), expires_at=self._clock())
            )
        except PscRefused as exc:
            log.warning("psc.not_renewed", login=row.id, code=exc.code, retry=exc.retry)
            if exc.retry:
                await self._change(row, lease_until=None)
            else:
                # The session is dead at the provider: here too (ECO.1.2.6).
                code = exc.code
                await self._store.write(lambda c: self._forget(c, row, "ended", code), NORMAL)
            raise NoMailSession from None
        fresh = kept | {"refresh": tokens.refresh or kept["refresh"]}
        kept_so = await self._change(
            row,
            sealed=self._seal(row.tenant_id, row.id, fresh),
            renewed_at=self._clock(),
            lease_until=None,
        )
        if not kept_so:
            # Ended while the provider renewed it: what it was ended with is not what the provider knows it by now.
            await self._client.log_out(str(fresh["refresh"]))
            raise NoMailSession
        return tokens.access

    async def keep(self) -> None:
        """Renew the sessions of mailboxes that rest, forget what is over: a chore of the workers (ECO.1.2.7)."""
        now = self._clock()
        rested = now - timedelta(minutes=self._settings.psc.renew_minutes)

        def due(connection: Connection) -> list[Row[Any]]:
            connection.execute(delete(psc_logins).where(psc_logins.c.expires_at < now - timedelta(days=1)))
            over = select(psc_logins).where(psc_logins.c.state == "open", psc_logins.c.expires_at <= now).limit(500)
            for row in connection.execute(over).all():
                self._forget(connection, row, "ended", "expired")
            query = select(psc_logins).where(
                psc_logins.c.state == "open",
                psc_logins.c.mailbox_lookup.is_not(None),
                psc_logins.c.renewed_at < rested,
            )
            return list(connection.execute(query.limit(500)).all())

        for row in await self._store.write(due, NORMAL):
            if await self._lease(row, now, now + _LEASE):
                try:
                    await self._renew(row)
                except NoMailSession:
                    continue

    # The store

    def _mailbox(self, tenant: str, mailbox: str) -> str:
        return self._vault.lookup(tenant, f"psc-mailbox|{mailbox.lower()}")

    def _seal(self, tenant: str, login: str, value: dict[str, Any]) -> bytes:
        return self._vault.seal(tenant, orjson.dumps(value), login)

    def _open(self, row: Row[Any]) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self._vault.open(row.tenant_id, bytes(row.sealed), row.id))
        return value

    async def _row(self, login: str, client: str, tenant_ids: list[str]) -> Row[Any]:
        row = await self._store.read(
            lambda c: c.execute(
                select(psc_logins).where(
                    psc_logins.c.id == login,
                    psc_logins.c.client_id == client,
                    psc_logins.c.tenant_id.in_(tenant_ids),
                )
            ).first()
        )
        if row is None:
            raise NotFound([UNKNOWN.finding("")])
        return row

    async def _take(self, which: Any) -> Row[Any] | None:
        """The waiting log-in of a clause, now being answered by this node alone; None when there is none."""
        now = self._clock()

        def work(connection: Connection) -> Row[Any] | None:
            row = connection.execute(
                select(psc_logins).where(which, psc_logins.c.state == "waiting", psc_logins.c.expires_at > now)
            ).first()
            if row is None:
                return None
            done = connection.execute(
                update(psc_logins)
                .where(psc_logins.c.id == row.id, psc_logins.c.state == "waiting")
                .values(state="answering")
            )
            return row if done.rowcount == 1 else None

        return await self._store.write(work, NORMAL)

    async def _lease(self, row: Row[Any], now: datetime, until: datetime) -> bool:
        """Ask the provider about this row from here only, and not before ``until`` again."""
        free = or_(psc_logins.c.lease_until.is_(None), psc_logins.c.lease_until <= now)
        unchanged = (
            psc_logins.c.renewed_at.is_(None) if row.renewed_at is None else psc_logins.c.renewed_at == row.renewed_at
        )
        query = update(psc_logins).where(psc_logins.c.id == row.id, psc_logins.c.state == row.state, free, unchanged)
        done: int = await self._store.write(lambda c: c.execute(query.values(lease_until=until)).rowcount, NORMAL)
        return done == 1

    async def _change(self, row: Row[Any], **values: Any) -> bool:
        """Write values; false when the log-in ended meanwhile, and nothing was written."""
        query = update(psc_logins).where(psc_logins.c.id == row.id, psc_logins.c.state != "ended").values(**values)
        changed: int = await self._store.write(lambda c: c.execute(query).rowcount, NORMAL)
        return changed == 1

    async def _fail(self, row: Row[Any], code: str) -> str:
        await self._store.write(lambda c: self._forget(c, row, "failed", code[:60]), NORMAL)
        log.info("psc.failed", login=row.id, code=code[:60])
        return "failed"

    def _forget(self, connection: Connection, row: Row[Any], state: str, code: str | None) -> None:
        """Nothing of a log-in that is over is worth keeping, sealed or not."""
        empty = self._seal(row.tenant_id, row.id, {})
        connection.execute(
            update(psc_logins)
            .where(psc_logins.c.id == row.id)
            .values(state=state, code=code, sealed=empty, state_lookup=None, mailbox_lookup=None, lease_until=None)
        )


def _insert(connection: Connection, row: dict[str, Any], now: datetime) -> None:
    connection.execute(psc_logins.insert().values(**row))


def absent() -> Busy:
    """What is answered where no provider is configured."""
    return Busy([ABSENT.finding("", found="psc.issuer")], slug="not-configured")


def check_mailbox(mailbox: str, settings: Settings) -> str:
    """The mailbox that a session may open; raises :class:`Forbidden` when none opens by a token."""
    if not mailbox or "xoauth2" not in (settings.mss.auth, settings.imap.auth):
        raise Forbidden([NO_MAILBOX.finding("/openMailbox")], slug="no-mailbox")
    return mailbox
