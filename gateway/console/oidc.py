"""Signing in to the console by Pro Santé Connect (OpenID Connect, code flow with PKCE): one sees one's own lines."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.psc.client import PscClient, PscRefused, PscSettings
from adapters.psc.userinfo import BadUserinfo
from gateway.console.viewer import Viewer
from gateway.journey.clock import Clock
from gateway.settings import Settings

__all__ = ["RETURN", "ConsoleProvider", "NotKnown", "ProviderDown", "RefusedByProvider"]

#: Where the provider sends people back; to be declared there under ``base_url``.
RETURN = "/console/signin/psc/return"


class RefusedByProvider(Exception):
    """The provider did not authenticate the person, or what it said does not hold."""


class ProviderDown(Exception):
    """The provider does not answer."""


class NotKnown(Exception):
    """The person has no RPPS: the ledger knows nobody by another number."""


@dataclass(frozen=True, slots=True)
class ConsoleProvider:
    """The provider as the console uses it; one client a sign-in, since its keys may change."""

    settings: Settings
    clock: Clock

    def _client(self) -> PscClient:
        psc = self.settings.psc
        options = {
            "client_id": psc.client_id,
            "client_secret": psc.client_secret.get_secret_value(),
            "redirect_uri": self.settings.base_url.rstrip("/") + RETURN,
        }
        if psc.trust:
            from security.tls import client_ssl_context

            return PscClient(
                PscSettings.at(psc.issuer, psc.wallet, **options),
                client_ssl_context(None, psc.trust),
                clock=self.clock,
            )
        return PscClient(PscSettings.at(psc.issuer, psc.wallet, **options), clock=self.clock)

    def address(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where to send the browser."""
        return self._client().authorization_url(state=state, nonce=nonce, verifier=verifier)

    async def viewer(self, code: str, *, verifier: str, nonce: str) -> Viewer:
        """Who came back with a code.

        Raises :class:`RefusedByProvider`, :class:`ProviderDown` or :class:`NotKnown`.
        """
        async with self._client() as client:
            try:
                tokens = await client.exchange(code, verifier=verifier, nonce=nonce)
                person = await client.userinfo(tokens)
            except PscRefused as exc:
                raise (ProviderDown if exc.retry else RefusedByProvider)(exc.code) from None
            except BadUserinfo as exc:
                raise RefusedByProvider(exc.code) from None
        if person.rpps is None:
            raise NotKnown
        return Viewer(
            id=f"rpps:{person.rpps}",
            name=f"{person.given} {person.family}".strip() or person.rpps,
            role="professional",
            rpps=person.rpps,
        )
