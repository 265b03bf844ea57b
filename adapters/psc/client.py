"""Client of Pro Santé Connect: authorisation code with PKCE, CIBA, refresh, userinfo; tokens never printed.

The code flow is Authlib's; CIBA is one POST and a bounded poll (OpenID CIBA Core, poll mode).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

import httpx
from authlib.integrations.base_client.errors import OAuthError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from adapters.psc.userinfo import BadUserinfo, Professional, read_userinfo
from security import json as hard_json
from security.errors import UnsafeInput

with warnings.catch_warnings():
    # Authlib asks for the successor of httpx at import; nothing an operator could do about it.
    warnings.simplefilter("ignore")
    from authlib.integrations.httpx_client import AsyncOAuth2Client

__all__ = ["SLOWER", "CibaRequest", "PscClient", "PscRefused", "PscSettings", "Tokens"]

_ALGORITHMS = ["RS256", "PS256", "ES256"]
CIBA_GRANT = "urn:openid:params:grant-type:ciba"
SCOPE = "openid scope_all"
#: Seconds that each slow_down adds to the interval (CIBA Core 11).
SLOWER = 5.0


class PscRefused(Exception):
    """Pro Santé Connect or the practitioner said no: ``code`` is the OAuth error, ``retry`` says if later may work."""

    def __init__(self, code: str, *, retry: bool = False) -> None:
        self.code = code
        self.retry = retry
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class PscSettings:
    """Where the provider is (its discovery document has a name of its own) and who we are there."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    ciba_endpoint: str
    logout_endpoint: str
    client_id: str
    client_secret: str = field(default="", repr=False)  #: empty with ``tls_client_auth``
    redirect_uri: str = ""
    acr: str = "eidas1"
    timeout: float = 10.0

    @classmethod
    def at(cls, issuer: str, wallet: str, **options: Any) -> PscSettings:
        """The usual paths below an issuer and a wallet host."""
        base = f"{issuer.rstrip('/')}/protocol/openid-connect"
        return cls(
            issuer=issuer,
            authorization_endpoint=wallet,
            token_endpoint=f"{base}/token",
            userinfo_endpoint=f"{base}/userinfo",
            jwks_uri=f"{base}/certs",
            ciba_endpoint=f"{base}/ext/ciba/auth",
            logout_endpoint=f"{base}/logout",
            **options,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of one session; nothing of them prints, and nothing of them is to be stored in clear (ECO.1.2.5)."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    expires_at: datetime

    def fresh(self, now: datetime) -> bool:
        """True while the access token is still good for a call."""
        return now + timedelta(seconds=5) < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class CibaRequest:
    """An authentication asked for on the practitioner's phone or card."""

    id: str = field(repr=False)
    expires_at: datetime
    interval: float
    binding_message: str  #: two digits that both screens show


class PscClient:
    """Talks to one provider."""

    def __init__(
        self,
        settings: PscSettings,
        ssl_context: ssl.SSLContext | bool = True,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._sleep = sleep
        self._oauth = AsyncOAuth2Client(
            client_id=settings.client_id,
            client_secret=settings.client_secret or None,
            token_endpoint_auth_method="client_secret_post" if settings.client_secret else "none",
            scope=SCOPE,
            redirect_uri=settings.redirect_uri or None,
            code_challenge_method="S256",
            verify=ssl_context,
            timeout=settings.timeout,
            trust_env=False,
            follow_redirects=False,
        )
        self._keys: KeySet | None = None

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._oauth.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def authorization_url(self, *, state: str, nonce: str, verifier: str, login_hint: str | None = None) -> str:
        """Where to send the practitioner's browser; state, nonce and verifier are the caller's, one use each."""
        hint = {"login_hint": login_hint} if login_hint else {}
        url, _ = self._oauth.create_authorization_url(
            self.settings.authorization_endpoint,
            state=state,
            nonce=nonce,
            code_verifier=verifier,
            acr_values=self.settings.acr,
            **hint,
        )
        return str(url)

    async def exchange(self, code: str, *, verifier: str, nonce: str) -> Tokens:
        """Exchange an authorisation code; the ID token must carry our nonce. Raises :class:`PscRefused`."""
        tokens = await self._token(grant_type="authorization_code", code=code, code_verifier=verifier)
        await self._check_id_token(tokens.id_token, nonce=nonce)
        return tokens

    async def refresh(self, tokens: Tokens) -> Tokens:
        """Fresh tokens from a refresh token; raises :class:`PscRefused` when the session has ended."""
        if not tokens.refresh:
            raise PscRefused("no_refresh_token")
        return await self._token(grant_type="refresh_token", refresh_token=tokens.refresh)

    async def start_ciba(self, ps_id: str, *, channel: Literal["MOBILE", "CARD"] = "MOBILE") -> CibaRequest:
        """Ask a practitioner to authenticate on their own device; show ``binding_message`` on the screen."""
        message = f"{secrets.randbelow(100):02d}"
        data = {
            "client_id": self.settings.client_id,
            "scope": SCOPE,
            "acr_values": self.settings.acr,
            "login_hint": ps_id,
            "binding_message": message,
            "channel": channel,
        }
        if self.settings.client_secret:
            data["client_secret"] = self.settings.client_secret
        answer = await self._post(self.settings.ciba_endpoint, data)
        now = self._clock()
        return CibaRequest(
            id=str(answer.get("auth_req_id") or ""),
            expires_at=now + timedelta(seconds=float(answer.get("expires_in") or 120)),
            interval=max(0.1, float(answer.get("interval") or 5)),
            binding_message=message,
        )

    async def poll_ciba(self, request_id: str) -> Tokens:
        """Ask once whether the practitioner answered.

        Raises :class:`PscRefused`: ``authorization_pending`` and ``slow_down`` mean not yet.
        """
        tokens = await self._token(grant_type=CIBA_GRANT, auth_req_id=request_id)
        await self._check_id_token(tokens.id_token, nonce=None)
        return tokens

    async def wait_ciba(self, request: CibaRequest) -> Tokens:
        """Poll until the practitioner answers; raises :class:`PscRefused` on denial or when time is over."""
        interval = request.interval
        while self._clock() < request.expires_at:
            await self._sleep(interval)
            try:
                return await self.poll_ciba(request.id)
            except PscRefused as exc:
                if exc.code == "slow_down":
                    interval += SLOWER
                elif exc.code != "authorization_pending":
                    raise
        raise PscRefused("expired_token")

    async def log_out(self, refresh_token: str) -> None:
        """Tell the provider that the session is over; a provider that does not answer lets it lapse by itself."""
        form = {"client_id": self.settings.client_id, "refresh_token": refresh_token}
        if self.settings.client_secret:
            form["client_secret"] = self.settings.client_secret
        with contextlib.suppress(httpx.HTTPError):
            await self._oauth.request("POST", self.settings.logout_endpoint, data=form, withhold_token=True)

    async def userinfo(self, tokens: Tokens) -> Professional:
        """Who the practitioner is, now; raises :class:`PscRefused`, :class:`BadUserinfo`."""
        try:
            answer = await self._oauth.request(
                "GET",
                self.settings.userinfo_endpoint,
                headers={"Authorization": f"Bearer {tokens.access}"},
                withhold_token=True,
            )
        except httpx.HTTPError as exc:
            raise PscRefused(type(exc).__name__, retry=True) from exc
        if answer.status_code != 200:
            raise PscRefused(f"http_{answer.status_code}", retry=answer.status_code >= 500)
        try:
            value = hard_json.loads(answer.content, max_bytes=200_000)
        except UnsafeInput as exc:
            raise BadUserinfo("PSC-JSON-001", f"JSON ({exc.code})") from None
        if not isinstance(value, dict):
            raise BadUserinfo("PSC-JSON-001", "a JSON object")
        return read_userinfo(value)

    async def _token(self, **form: str) -> Tokens:
        data = {"client_id": self.settings.client_id, **form}
        if self.settings.client_secret:
            data["client_secret"] = self.settings.client_secret
        if form["grant_type"] == "authorization_code":
            try:
                answer = await self._oauth.fetch_token(
                    self.settings.token_endpoint,
                    grant_type="authorization_code",
                    code=form["code"],
                    code_verifier=form["code_verifier"],
                )
            except OAuthError as exc:
                raise PscRefused(str(exc.error or "invalid_grant")) from None
            except httpx.HTTPError as exc:
                raise PscRefused(type(exc).__name__, retry=True) from exc
            except ValueError:
                raise PscRefused("unreadable_answer", retry=True) from None
            finally:
                self._oauth.token = None
        else:
            answer = await self._post(self.settings.token_endpoint, data)
        if not answer.get("access_token"):
            raise PscRefused("no_access_token")
        return Tokens(
            access=str(answer["access_token"]),
            refresh=str(answer.get("refresh_token") or ""),
            id_token=str(answer.get("id_token") or ""),
            expires_at=self._clock() + timedelta(seconds=float(answer.get("expires_in") or 60)),
        )

    async def _post(self, url: str, data: dict[str, str]) -> dict[str, Any]:
        try:
            answer = await self._oauth.request("POST", url, data=data, withhold_token=True)
        except httpx.HTTPError as exc:
            raise PscRefused(type(exc).__name__, retry=True) from exc
        try:
            value = hard_json.loads(answer.content, max_bytes=200_000)
        except UnsafeInput:
            value = {}
        if answer.status_code >= 400 or not isinstance(value, dict):
            error = value.get("error") if isinstance(value, dict) else None
            raise PscRefused(str(error or f"http_{answer.status_code}"), retry=answer.status_code >= 500)
        return value

    async def _check_id_token(self, id_token: str, *, nonce: str | None) -> None:
        try:
            claims = jwt.decode(id_token, await self._key_set(), algorithms=_ALGORITHMS).claims
        except (JoseError, ValueError):
            # The provider may have changed its keys since they were read.
            self._keys = None
            try:
                claims = jwt.decode(id_token, await self._key_set(), algorithms=_ALGORITHMS).claims
            except (JoseError, ValueError):
                raise PscRefused("bad_id_token") from None
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        expires = claims.get("exp")
        if (
            claims.get("iss") != self.settings.issuer
            or self.settings.client_id not in named
            or not isinstance(expires, int | float)
            or expires < self._clock().timestamp() - 60
            or (nonce is not None and claims.get("nonce") != nonce)
        ):
            raise PscRefused("bad_id_token")

    async def _key_set(self) -> KeySet:
        if self._keys is None:
            try:
                answer = await self._oauth.request("GET", self.settings.jwks_uri, withhold_token=True)
                self._keys = KeySet.import_key_set(hard_json.loads(answer.content, max_bytes=200_000))
            except httpx.HTTPError as exc:
                raise PscRefused(type(exc).__name__, retry=True) from exc
            except (UnsafeInput, JoseError, ValueError, KeyError, TypeError):
                raise PscRefused("unreadable_keys", retry=True) from None
        return self._keys
