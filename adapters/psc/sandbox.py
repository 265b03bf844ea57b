"""A simulated Pro Santé Connect: strict about redirects, PKCE, nonces and one-time codes, with people who do not exist.

Authorisation answers at once for the practitioner named by ``login_hint`` (there is no browser to log in with); CIBA
waits for ``POST {api}/ciba/approve`` or ``deny``, or approves by itself after some polls. ``DELETE {api}/sessions``
ends every session: no refresh token serves any more.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from adapters.psc.client import CIBA_GRANT
from adapters.sandbox_base import Faults, Journal, Listener, admin_app
from adapters.simulator import Simulator
from security.pki import SandboxPki
from security.tls import server_ssl_context

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "PEOPLE", "PscSandbox"]

CLIENT_ID = "passerelle-sandbox"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - of a simulator
_BASE = "/auth/realms/esante-wallet"
_FAULTS = {
    "unavailable": "answers 503",
    "html": "answers a page instead of JSON",
    "access_denied": "the practitioner refuses",
    "expired": "the request has expired",
    "slow_down": "asks to poll more slowly",
    "wrong_nonce": "an ID token for another nonce",
    "foreign_key": "an ID token signed by an unknown key",
}


def _activity(structure: str, name: str, sector: str, mode: str = "L", **more: str) -> dict[str, str]:
    return {
        "ancienIdentifiantDeLaStructure": structure,
        "raisonSocialeSite": name,
        "codeSecteurDactivite": sector,
        "codeModeExercice": mode,
        **more,
    }


def _person(ps_id: str, family: str, given: str, exercises: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "sub": f"f:00000000-0000-4000-8000-000000000000:{ps_id}",
        "SubjectNameID": ps_id,
        "preferred_username": ps_id,
        "family_name": family,
        "given_name": given,
        "SubjectRole": [f"{e['codeProfession']}^1.2.250.1.213.1.1.5.5" for e in exercises],
        "Palier_Authentification": "APPPRIP3^1.2.250.1.213.1.5.1.1.1",
        "SubjectRefPro": {"codeCivilite": "M", "exercices": exercises},
    }


#: Fictitious practitioners: a doctor, a doctor with two places, a pharmacist.
PEOPLE: dict[str, dict[str, Any]] = {
    person["SubjectNameID"]: person
    for person in (
        _person(
            "899700218896",
            "KERVELLA",
            "Odile",
            [
                {
                    "codeProfession": "10",
                    "codeSavoirFaire": "SM54",
                    "nomDexercice": "KERVELLA",
                    "prenomDexercice": "Odile",
                    "activities": [_activity("1290099886", "CABINET FICTIF", "SA07")],
                }
            ],
        ),
        _person(
            "810456789014",
            "LE GOFF",
            "Erwan",
            [
                {
                    "codeProfession": "10",
                    "codeSavoirFaire": "SM26",
                    "nomDexercice": "LE GOFF",
                    "prenomDexercice": "Erwan",
                    "activities": [
                        _activity("1290099886", "CABINET FICTIF", "SA07"),
                        _activity("1590780193", "HOPITAL FICTIF", "SA01", "S"),
                    ],
                }
            ],
        ),
        _person(
            "810123456781",
            "MORVAN",
            "Yann",
            [
                {
                    "codeProfession": "21",
                    "nomDexercice": "MORVAN",
                    "prenomDexercice": "Yann",
                    "activities": [_activity("1750803447", "PHARMACIE FICTIVE", "SA33", codeSectionPharmacien="A")],
                }
            ],
        ),
    )
}


@dataclass(slots=True)
class _Grant:
    person: str
    client: str
    nonce: str = ""
    redirect_uri: str = ""
    challenge: str = ""
    expires_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    state: str = "pending"  # pending, approved, denied
    polls_left: int | None = None


class PscSandbox(Simulator):
    """The simulated provider. ``start`` takes its ports (0 for free ones), ``stop`` gives them back."""

    def __init__(
        self,
        pki: SandboxPki,
        *,
        port: int = 0,
        api_port: int = 0,
        host: str = "127.0.0.1",
        people: Mapping[str, dict[str, Any]] = PEOPLE,
        redirect_uris: tuple[str, ...] = (
            "https://gateway.invalid/callback",
            # The console of a gateway on its usual port, and its programs' log-ins.
            "http://127.0.0.1:8800/console/signin/psc/return",
            "http://127.0.0.1:8800/v1/psc/callback",
        ),
        access_seconds: int = 60,
        approve_after_polls: int | None = 1,
        interval: float = 0.1,
    ) -> None:
        self.people = dict(people)
        self.journal = Journal()
        self.faults = Faults(_FAULTS)
        self._pki = pki
        super().__init__(port, api_port, host=host)
        self._redirects = redirect_uris
        self._seconds = access_seconds
        self._approve_after = approve_after_polls
        self._interval = interval
        self._key = RSAKey.generate_key(2048, private=True, auto_kid=True)
        self._codes: dict[str, _Grant] = {}
        self._ciba: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._access: dict[str, _Grant] = {}

    def _listeners(self) -> list[Listener]:
        return [
            Listener(
                app=self._provider(),
                ssl_context=server_ssl_context(self._pki.server, None),
                host=self._host,
                port=self._wanted[0],
            ),
            Listener(app=self._admin(), host=self._host, port=self._wanted[1]),
        ]

    @property
    def issuer(self) -> str:
        """The issuer; endpoints are below it."""
        return f"https://{self._host}:{self._ports()[0]}{_BASE}"

    @property
    def wallet(self) -> str:
        """The authorisation endpoint."""
        return f"https://{self._host}:{self._ports()[0]}/auth"

    # --- the provider

    def _provider(self) -> Starlette:
        paths = f"{_BASE}/protocol/openid-connect"
        return Starlette(
            routes=[
                Route("/auth", self._authorize),
                Route(f"{_BASE}/.well-known/wallet-openid-configuration", self._discovery),
                Route(f"{paths}/token", self._token, methods=["POST"]),
                Route(f"{paths}/userinfo", self._userinfo),
                Route(f"{paths}/certs", self._certs),
                Route(f"{paths}/logout", self._logout, methods=["POST"]),
                Route(f"{paths}/ext/ciba/auth", self._start_ciba, methods=["POST"]),
            ]
        )

    def _answer(self, transaction: str, outcome: str, value: object, status: int = 200) -> Response:
        body = orjson.dumps(value)
        # Tokens are not kept: the journal holds what was asked and what came of it.
        self.journal.record(transaction, outcome, request=b"", response=b"", status=status)
        return Response(body, status, media_type="application/json", headers={"Cache-Control": "no-store"})

    def _refuse(self, transaction: str, error: str, status: int = 400) -> Response:
        return self._answer(transaction, error, {"error": error}, status)

    async def _discovery(self, request: Request) -> Response:
        paths = f"{self.issuer}/protocol/openid-connect"
        return self._answer(
            "discovery",
            "ok",
            {
                "issuer": self.issuer,
                "authorization_endpoint": self.wallet,
                "token_endpoint": f"{paths}/token",
                "userinfo_endpoint": f"{paths}/userinfo",
                "jwks_uri": f"{paths}/certs",
                "backchannel_authentication_endpoint": f"{paths}/ext/ciba/auth",
                "code_challenge_methods_supported": ["S256"],
                "acr_values_supported": ["eidas1"],
            },
        )

    async def _certs(self, request: Request) -> Response:
        return self._answer("certs", "ok", {"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        redirect = asked.get("redirect_uri", "")
        # Errors about the client or the redirect are never sent to the redirect (RFC 6749 4.1.2.1).
        if asked.get("client_id") != CLIENT_ID or redirect not in self._redirects:
            return self._refuse("authorize", "invalid_request")
        if self.faults.take("authorize", "access_denied"):
            query = urlencode({"error": "access_denied", "state": asked.get("state", "")})
            return RedirectResponse(f"{redirect}?{query}", 302)
        problems = (
            asked.get("response_type") != "code",
            asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"),
            not asked.get("state"),
            not asked.get("nonce"),
            asked.get("acr_values") != "eidas1",
            "openid" not in asked.get("scope", "").split() or "scope_all" not in asked.get("scope", "").split(),
        )
        if any(problems):
            return self._refuse("authorize", "invalid_request")
        person = asked.get("login_hint") or next(iter(self.people))
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Grant(
            person=person,
            client=CLIENT_ID,
            nonce=asked["nonce"],
            redirect_uri=redirect,
            challenge=asked["code_challenge"],
            expires_at=datetime.now(UTC) + timedelta(seconds=60),
        )
        self.journal.record("authorize", "ok", request=b"", status=302)
        return RedirectResponse(f"{redirect}?{urlencode({'code': code, 'state': asked['state']})}", 302)

    async def _start_ciba(self, request: Request) -> Response:
        form = await request.form()
        fault = self.faults.take("ciba", "unavailable")
        if fault is not None:
            return self._refuse("ciba", "temporarily_unavailable", 503)
        if form.get("client_id") != CLIENT_ID or form.get("client_secret") != CLIENT_SECRET:
            return self._refuse("ciba", "invalid_client", 401)
        person = str(form.get("login_hint") or "")
        if person not in self.people:
            return self._refuse("ciba", "unknown_user_id")
        message = str(form.get("binding_message") or "")
        if not (len(message) == 2 and message.isdigit()):
            return self._refuse("ciba", "invalid_binding_message")
        request_id = secrets.token_urlsafe(16)
        self._ciba[request_id] = _Grant(
            person=person,
            client=CLIENT_ID,
            expires_at=datetime.now(UTC) + timedelta(seconds=120),
            polls_left=self._approve_after,
        )
        answer = {"auth_req_id": request_id, "expires_in": 120, "interval": self._interval}
        return self._answer("ciba", "ok", answer)

    async def _token(self, request: Request) -> Response:
        form = {k: str(v) for k, v in (await request.form()).items()}
        if self.faults.take("token", "unavailable"):
            return self._refuse("token", "temporarily_unavailable", 503)
        if self.faults.take("token", "html"):
            return Response("<html>panne</html>", 200, media_type="text/html")
        if form.get("client_id") != CLIENT_ID or form.get("client_secret") != CLIENT_SECRET:
            return self._refuse("token", "invalid_client", 401)
        kind = form.get("grant_type", "")
        if kind == "authorization_code":
            return self._by_code(form)
        if kind == CIBA_GRANT:
            return self._by_ciba(form)
        if kind == "refresh_token":
            grant = self._refresh.pop(form.get("refresh_token", ""), None)
            return self._issue(grant) if grant else self._refuse("token", "invalid_grant")
        return self._refuse("token", "unsupported_grant_type")

    def _by_code(self, form: dict[str, str]) -> Response:
        grant = self._codes.pop(form.get("code", ""), None)
        if grant is None or grant.expires_at < datetime.now(UTC):
            return self._refuse("token", "invalid_grant")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if challenge != grant.challenge or form.get("redirect_uri") != grant.redirect_uri:
            return self._refuse("token", "invalid_grant")
        return self._issue(grant)

    def _by_ciba(self, form: dict[str, str]) -> Response:
        request_id = form.get("auth_req_id", "")
        grant = self._ciba.get(request_id)
        if grant is None:
            return self._refuse("token", "invalid_grant")
        fault = self.faults.take("token", "access_denied", "expired", "slow_down")
        if fault is not None and fault.name == "slow_down":
            return self._refuse("token", "slow_down")
        if fault is not None or grant.state == "denied":
            self._ciba.pop(request_id)
            denied = fault is None or fault.name == "access_denied"
            return self._refuse("token", "access_denied" if denied else "expired_token")
        if grant.state == "pending" and grant.polls_left is not None:
            grant.polls_left -= 1
            if grant.polls_left < 0:
                grant.state = "approved"
        if grant.state == "pending":
            return self._refuse("token", "authorization_pending")
        self._ciba.pop(request_id)
        return self._issue(grant)

    def _issue(self, grant: _Grant) -> Response:
        now = datetime.now(UTC)
        nonce = "other" if self.faults.take("token", "wrong_nonce") else grant.nonce
        key = self._key
        if self.faults.take("token", "foreign_key"):
            key = RSAKey.generate_key(2048, private=True, auto_kid=True)
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": self.people[grant.person]["sub"],
            "iat": int(now.timestamp()),
            "exp": int(now.timestamp()) + self._seconds,
            "acr": "eidas1",
            **({"nonce": nonce} if nonce else {}),
        }
        id_token = jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        grant.expires_at = now + timedelta(seconds=self._seconds)
        self._access[access] = grant
        self._refresh[refresh] = grant
        return self._answer(
            "token",
            "ok",
            {
                "access_token": access,
                "refresh_token": refresh,
                "id_token": id_token,
                "token_type": "Bearer",
                "expires_in": self._seconds,
            },
        )

    async def _userinfo(self, request: Request) -> Response:
        if self.faults.take("userinfo", "unavailable"):
            return self._refuse("userinfo", "temporarily_unavailable", 503)
        grant = self._access.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if grant is None or grant.expires_at < datetime.now(UTC):
            return self._refuse("userinfo", "invalid_token", 401)
        return self._answer("userinfo", "ok", self.people[grant.person])

    async def _logout(self, request: Request) -> Response:
        form = await request.form()
        if form.get("client_id") != CLIENT_ID or form.get("client_secret") != CLIENT_SECRET:
            return self._refuse("logout", "invalid_client", 401)
        self._refresh.pop(str(form.get("refresh_token") or ""), None)
        self.journal.record("logout", "ok", request=b"", status=204)
        return Response(status_code=204)

    def holder(self, access_token: str) -> str | None:
        """Who an access token was given to, while it is good: what an operator learns by asking the provider."""
        grant = self._access.get(access_token)
        return None if grant is None or grant.expires_at < datetime.now(UTC) else grant.person

    # --- its own interface

    def _admin(self) -> Starlette:
        async def decide(request: Request) -> Response:
            wanted = "approved" if request.path_params["what"] == "approve" else "denied"
            for grant in self._ciba.values():
                grant.state = wanted
            return Response(status_code=204)

        async def people(request: Request) -> Response:
            return Response(orjson.dumps(sorted(self.people)), media_type="application/json")

        async def end(request: Request) -> Response:
            self._refresh.clear()
            return Response(status_code=204)

        routes = [
            Route("/ciba/{what}", decide, methods=["POST"]),
            Route("/people", people),
            Route("/sessions", end, methods=["DELETE"]),
        ]
        return admin_app("Simulateur Pro Santé Connect", self.journal, self.faults, routes)
