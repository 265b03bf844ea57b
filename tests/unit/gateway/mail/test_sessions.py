"""Sessions that open mailboxes: asked at each connection, forgotten when they end."""

from __future__ import annotations

import asyncio

import pytest

from gateway.services.mail_sessions import MailSessions, NoMailSession

BOX = "Odile.Kervella@medecin.formation.mssante.fr"


def test_a_token_from_whatever_session_is_open() -> None:
    """The same source serves before, during and after a session, whatever the case of the mailbox."""
    sessions = MailSessions()
    source = sessions.source(BOX)
    with pytest.raises(NoMailSession):
        asyncio.run(source())
    tokens = iter(("first", "second"))

    async def token() -> str:
        return next(tokens)

    sessions.open(BOX.lower(), token)
    assert [asyncio.run(source()), asyncio.run(source())] == ["first", "second"]
    sessions.close(BOX)
    with pytest.raises(NoMailSession):
        asyncio.run(source())


def test_a_session_that_says_it_is_over_is_forgotten() -> None:
    """Asked once, then no more."""
    asked = []
    sessions = MailSessions()

    async def over() -> str:
        asked.append(1)
        raise NoMailSession

    sessions.open(BOX, over)
    for _ in range(2):
        with pytest.raises(NoMailSession):
            asyncio.run(sessions.source(BOX)())
    assert asked == [1]
