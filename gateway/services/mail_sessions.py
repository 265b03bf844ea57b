"""Where the access tokens of mailboxes come from: Pro Santé Connect sessions.

A personal or organisational mailbox opens with an access token (XOAUTH2). Whoever holds a session that is alive
deposits here a way to ask it for a fresh token; courier and reader ask for one a connection (ECO.1.2.5: never kept).
Where no session was deposited on this node, those that professionals opened by the interface serve, on any node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

__all__ = ["MailSessions", "NoMailSession", "TokenSource"]

#: Gives a fresh access token each time; raises :class:`NoMailSession` when the session is over.
TokenSource = Callable[[], Awaitable[str]]


class NoMailSession(Exception):
    """No Pro Santé Connect session is open for the mailbox: a professional must log in."""


class MailSessions:
    """The sessions of one node, by mailbox."""

    def __init__(self) -> None:
        self._sources: dict[str, TokenSource] = {}
        #: Asked for a token of a structure's mailbox when nothing was deposited here.
        self.shared: Callable[[str, str], Awaitable[str]] | None = None

    def open(self, mailbox: str, source: TokenSource) -> None:
        """Deposit the session of a mailbox; a newer one replaces it."""
        self._sources[mailbox.lower()] = source

    def close(self, mailbox: str) -> None:
        """Forget the session of a mailbox (ECO.1.2.6)."""
        self._sources.pop(mailbox.lower(), None)

    def source(self, mailbox: str, tenant: str = "") -> TokenSource:
        """The way to ask for the tokens of a structure's mailbox, whatever session is open when it is asked."""
        key = mailbox.lower()

        async def token() -> str:
            source = self._sources.get(key)
            if source is None:
                if self.shared is None:
                    raise NoMailSession
                return await self.shared(tenant, key)
            try:
                return await source()
            except NoMailSession:
                self.close(key)
                raise

        return token
