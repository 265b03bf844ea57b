"""Where the access tokens of mailboxes come from: Pro Santé Connect sessions, held in memory and nowhere else.

A personal or organisational mailbox opens with an access token (XOAUTH2). Whoever holds a session that is alive
deposits here a way to ask it for a fresh token; courier and reader ask for one a connection (ECO.1.2.5: never kept).
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

    def open(self, mailbox: str, source: TokenSource) -> None:
        """Deposit the session of a mailbox; a newer one replaces it."""
        self._sources[mailbox.lower()] = source

    def close(self, mailbox: str) -> None:
        """Forget the session of a mailbox (ECO.1.2.6)."""
        self._sources.pop(mailbox.lower(), None)

    def source(self, mailbox: str) -> TokenSource:
        """The way to ask for the tokens of a mailbox, whatever session is open when it is asked."""
        key = mailbox.lower()

        async def token() -> str:
            source = self._sources.get(key)
            if source is None:
                raise NoMailSession
            try:
                return await source()
            except NoMailSession:
                self.close(key)
                raise

        return token
