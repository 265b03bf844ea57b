"""Who stands behind an access token of Pro Santé Connect: the provider is asked at once, the token is kept nowhere."""

from __future__ import annotations

import ssl
from datetime import timedelta

from adapters.psc.client import PscClient, PscRefused, PscSettings, Tokens
from adapters.psc.userinfo import BadUserinfo, Professional
from gateway.journey.clock import Clock
from gateway.settings import Settings

__all__ = ["TokenVerifier", "open_client", "open_verifier"]


class TokenVerifier:
    """Asks the provider's userinfo for each token it is given."""

    def __init__(self, client: PscClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def professional(self, token: str) -> Professional:
        """The professional of an access token.

        Raises ``PermissionError`` when the token does not hold, ``ConnectionError`` when the provider does not answer;
        neither repeats the token.
        """
        # Presented by a caller: its age is the provider's to judge.
        tokens = Tokens(access=token, expires_at=self._clock() + timedelta(seconds=60))
        try:
            return await self._client.userinfo(tokens)
        except PscRefused as exc:
            raise (ConnectionError if exc.retry else PermissionError)(exc.code) from None
        except BadUserinfo as exc:
            raise PermissionError(exc.code) from None

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()


def open_client(settings: Settings, clock: Clock, redirect_uri: str) -> PscClient:
    """A client of the provider of the settings, for browsers that come back to an address."""
    from security.tls import client_ssl_context

    psc = settings.psc
    context: ssl.SSLContext | bool = True
    if psc.certificate is not None and psc.trust is not None:
        from security.keyring import KeyRef, open_files

        mine = open_files(KeyRef(name="psc", path=psc.certificate, key_path=psc.key, usage="client"))
        context = client_ssl_context(mine, psc.trust)
    elif psc.trust is not None:
        context = client_ssl_context(None, psc.trust)
    return PscClient(
        PscSettings.at(
            psc.issuer,
            psc.wallet,
            client_id=psc.client_id,
            client_secret=psc.client_secret.get_secret_value(),
            redirect_uri=redirect_uri,
            acr=psc.acr,
        ),
        context,
        clock=clock,
    )


def open_verifier(settings: Settings, clock: Clock) -> TokenVerifier | None:
    """The verifier of the settings, or None when Pro Santé Connect is not configured."""
    if not settings.psc.issuer:
        return None
    return TokenVerifier(open_client(settings, clock, settings.psc.redirect_uri), clock)
