"""Who stands behind an access token of Pro Santé Connect: the provider is asked at once, the token is kept nowhere."""

from __future__ import annotations

from datetime import timedelta

from adapters.psc.client import PscClient, PscRefused, PscSettings, Tokens
from adapters.psc.userinfo import BadUserinfo, Professional
from gateway.journey.clock import Clock
from gateway.settings import Settings

__all__ = ["TokenVerifier", "open_verifier"]


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


def open_verifier(settings: Settings, clock: Clock) -> TokenVerifier | None:
    """The verifier of the settings, or None when Pro Santé Connect is not configured."""
    psc = settings.psc
    if not psc.issuer:
        return None
    from security.tls import client_ssl_context

    context = client_ssl_context(None, psc.trust) if psc.trust else True
    client = PscClient(
        PscSettings.at(
            psc.issuer,
            psc.wallet,
            client_id=psc.client_id,
            client_secret=psc.client_secret.get_secret_value(),
            redirect_uri=psc.redirect_uri,
        ),
        context,
        clock=clock,
    )
    return TokenVerifier(client, clock)
