"""Who calls: signed client assertions in, short access tokens out.

A client proves itself with a JWT signed by its own key (RFC 7523 ``private_key_jwt``, as in SMART Backend Services) and
gets an access token (RFC 9068) signed by the gateway's key. The clock is passed in, keys are registered beforehand:
nothing a token says about keys (``jku``, ``jwk``, ``x5u``, ``x5c``) is ever looked at.

The tree of refusals is one class, :class:`TokenRefused`; its code says which check failed, and never the token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from security.errors import UnsafeInput
from security.json import dumps, loads

__all__ = [
    "ALGORITHMS",
    "ASSERTION_TYPE",
    "AccessToken",
    "AccessTokens",
    "ClientAssertion",
    "ClientKeys",
    "TokenRefused",
    "claimed_client_id",
    "make_client_key",
    "sign_client_assertion",
    "verify_client_assertion",
]

#: ``client_assertion_type`` of RFC 7523 2.2.
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Signatures accepted. RS384 and ES384 are those every SMART Backend Services server takes; EdDSA is Ed25519's older
#: name. Neither "none" nor HMAC: a public key must never serve as a shared secret.
ALGORITHMS: Final = frozenset({"ES256", "ES384", "RS256", "RS384", "PS256", "EdDSA", "Ed25519"})

_MAX_TOKEN = 8 * 1024
_MOST_KNOWN = 1024
_MAX_JTI = 256
_MIN_RSA_BITS = 2048
_CURVES = {"P-256": "ES256", "P-384": "ES384"}


class TokenRefused(Exception):
    """A token, or a key set, was refused; ``code`` says which check failed."""

    def __init__(self, code: str, expected: str) -> None:
        self.code = code
        self.expected = expected
        super().__init__(f"{code}: expected {expected}")


class _Registry(jws.JWSRegistry):
    """The algorithms above, without the library's warning for EdDSA (deprecated as a name, not as a signature)."""

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise TokenRefused("AUTH-ALG-001", "one of " + ", ".join(sorted(ALGORITHMS)))
        return self.algorithms[name]


_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)
_Key = ECKey | RSAKey | OKPKey


class ClientKeys:
    """The public keys a client registered, checked once."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, _Key]) -> None:
        self._keys = dict(keys)

    @classmethod
    def read(cls, jwks: Mapping[str, Any]) -> ClientKeys:
        """Read a JWKS (RFC 7517); raises :class:`TokenRefused` for private, weak, repeated or unknown keys."""
        listed = jwks.get("keys")
        if not isinstance(listed, Sequence) or isinstance(listed, str) or not 1 <= len(listed) <= 10:
            raise TokenRefused("AUTH-JWKS-001", "a JWKS of 1 to 10 public keys")
        keys: dict[str, _Key] = {}
        for one in listed:
            key = _public_key(one)
            kid = str(key.kid)
            if kid in keys:
                raise TokenRefused("AUTH-JWKS-002", "each kid once")
            keys[kid] = key
        return cls(keys)

    def find(self, kid: object) -> _Key:
        """Give the key that a header names; without a name, the only one."""
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise TokenRefused("AUTH-KEY-001", "a kid registered for the client")
        return key

    def __repr__(self) -> str:
        return f"ClientKeys({len(self._keys)})"


def _public_key(member: object) -> _Key:
    if not isinstance(member, Mapping) or {"d", "k", "p", "q"} & member.keys():
        raise TokenRefused("AUTH-JWKS-003", "public keys only")
    try:
        key = JWKRegistry.import_key(dict(member))
        native = key.raw_value
    except (JoseError, ValueError, TypeError, KeyError, binascii.Error):
        raise TokenRefused("AUTH-JWKS-004", "EC P-256 or P-384, RSA of 2048 bits or more, Ed25519") from None
    strong = (
        (isinstance(native, rsa.RSAPublicKey) and native.key_size >= _MIN_RSA_BITS)
        or (isinstance(native, ec.EllipticCurvePublicKey) and native.curve.name in ("secp256r1", "secp384r1"))
        or isinstance(native, ed25519.Ed25519PublicKey)
    )
    if not strong or not isinstance(key, ECKey | RSAKey | OKPKey):
        raise TokenRefused("AUTH-JWKS-004", "EC P-256 or P-384, RSA of 2048 bits or more, Ed25519")
    if member.get("use", "sig") != "sig" or member.get("alg", "ES256") not in ALGORITHMS:
        raise TokenRefused("AUTH-JWKS-005", "keys for signatures, of an accepted algorithm")
    key.ensure_kid()
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAssertion:
    """A client that has proved itself."""

    client_id: str
    jti: str  #: used once
    expires_at: datetime  #: until when the ``jti`` must be remembered


def claimed_client_id(assertion: str) -> str:
    """Say which client an assertion claims to come from, **unverified**: only to look its keys up."""
    _, payload = _parts(assertion)
    claims = _claims(payload)
    client_id = claims.get("iss")
    if not isinstance(client_id, str) or not 0 < len(client_id) <= _MAX_JTI:
        raise TokenRefused("AUTH-ISS-001", "iss and sub equal to the client id")
    return client_id


def verify_client_assertion(
    assertion: str,
    *,
    client_id: str,
    keys: ClientKeys,
    audience: str | Collection[str],
    now: datetime,
    use_once: Callable[[str, datetime], bool],
    max_lifetime: timedelta = timedelta(minutes=5),
    skew: timedelta = timedelta(seconds=60),
) -> ClientAssertion:
    """Check a client assertion (RFC 7523 3) and use its ``jti`` up.

    ``audience`` is the token endpoint (several spellings may be given), ``use_once`` records a ``jti`` until an instant
    and answers False when it was already there; it is asked last, once all the rest is right.
    Raises :class:`TokenRefused`.
    """
    claims = _verified(assertion, keys)
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise TokenRefused("AUTH-ISS-001", "iss and sub equal to the client id")
    _check_audience(claims.get("aud"), audience)
    expires = _check_times(claims, now, skew)
    if expires > now + max_lifetime + skew:
        raise TokenRefused("AUTH-EXP-002", f"a life of at most {int(max_lifetime.total_seconds())} seconds")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI:
        raise TokenRefused("AUTH-JTI-001", "a jti")
    remember_until = expires + skew
    if not use_once(jti, remember_until):
        raise TokenRefused("AUTH-JTI-002", "a jti never used before")
    return ClientAssertion(client_id=client_id, jti=jti, expires_at=remember_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What a caller may do, as its verified access token says."""

    client_id: str
    scopes: frozenset[str]
    tenants: tuple[str, ...]  #: structures it may act for
    jti: str
    issued_at: datetime
    expires_at: datetime
    certificate_sha256: str | None = None  #: ``cnf`` (RFC 8705): thumbprint of the TLS certificate it is bound to


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issue and verify access tokens with the gateway's own key."""

    issuer: str  #: also their audience
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    lifetime: timedelta = timedelta(minutes=5)
    former_keys: tuple[ec.EllipticCurvePublicKey, ...] = ()  #: still verified, no more signed with
    skew: timedelta = timedelta(seconds=5)
    _signer: ECKey = field(init=False, repr=False)
    _verifiers: ClientKeys = field(init=False, repr=False)
    #: Claims of tokens whose signature was verified, by the digest of the token: a caller shows one for minutes.
    _known: OrderedDict[bytes, dict[str, Any]] = field(init=False, repr=False, default_factory=OrderedDict)

    def __post_init__(self) -> None:
        signer = ECKey.import_key(
            self.private_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        signer.ensure_kid()
        object.__setattr__(self, "_signer", signer)
        object.__setattr__(self, "_verifiers", ClientKeys.read(self.jwks()))

    def jwks(self) -> dict[str, Any]:
        """Give the public keys, for those who verify tokens themselves."""
        keys: list[Any] = [self._signer.as_dict(private=False)]
        for former in self.former_keys:
            key = ECKey.import_key(
                former.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            )
            key.ensure_kid()
            keys.append(key.as_dict(private=False))
        return {"keys": [{**key, "use": "sig"} for key in keys]}

    def issue(
        self,
        *,
        client_id: str,
        scopes: Collection[str],
        tenants: Sequence[str],
        now: datetime,
        jti: str,
        certificate_sha256: str | None = None,
    ) -> tuple[str, int]:
        """Issue an access token; gives it and its life in seconds."""
        life = int(self.lifetime.total_seconds())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.issuer,
            "sub": client_id,
            "client_id": client_id,
            "iat": int(now.timestamp()),
            "exp": int(now.timestamp()) + life,
            "jti": jti,
            "scope": " ".join(sorted(scopes)),
            "tenants": list(tenants),
        }
        if certificate_sha256 is not None:
            claims["cnf"] = {"x5t#S256": certificate_sha256}
        return _sign(self._signer, claims, "at+jwt"), life

    def verify(self, token: str, *, now: datetime) -> AccessToken:
        """Check an access token of ours; raises :class:`TokenRefused`.

        A signature is verified once; times are looked at each time.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = self._known.get(digest)
        if claims is None:
            claims = _verified(token, self._verifiers, kind="at+jwt")
            self._known[digest] = claims
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        if claims.get("iss") != self.issuer:
            raise TokenRefused("AUTH-ISS-001", "a token of this gateway")
        _check_audience(claims.get("aud"), self.issuer)
        expires = _check_times(claims, now, self.skew)
        # We alone sign these claims: their shape needs no further check.
        return AccessToken(
            client_id=claims["client_id"],
            scopes=frozenset(claims["scope"].split()),
            tenants=tuple(claims["tenants"]),
            jti=claims["jti"],
            issued_at=datetime.fromtimestamp(claims["iat"], UTC),
            expires_at=expires,
            certificate_sha256=claims.get("cnf", {}).get("x5t#S256"),
        )


def make_client_key(curve: str = "P-384") -> tuple[bytes, dict[str, Any]]:
    """Make a key pair for a client: the private key as PEM, the public one as a JWKS to register."""
    key = ECKey.generate_key(curve, private=True, auto_kid=True)
    public = {**key.as_dict(private=False), "use": "sig", "alg": _CURVES[curve]}
    return key.as_pem(private=True), {"keys": [public]}


def sign_client_assertion(
    private_pem: bytes,
    client_id: str,
    audience: str,
    now: datetime,
    jti: str,
    *,
    lifetime: timedelta = timedelta(minutes=4),
    kid: str | None = None,
) -> str:
    """Write the assertion by which a client proves itself; the ``kid`` is the key's thumbprint unless given."""
    native = serialization.load_pem_private_key(private_pem, None)
    key: _Key
    if isinstance(native, ec.EllipticCurvePrivateKey):
        key = ECKey.import_key(private_pem)
    elif isinstance(native, rsa.RSAPrivateKey):
        key = RSAKey.import_key(private_pem)
    elif isinstance(native, ed25519.Ed25519PrivateKey):
        key = OKPKey.import_key(private_pem)
    else:
        raise TypeError("neither an EC, an RSA nor an Ed25519 key")
    key.ensure_kid()
    at = int(now.timestamp())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": at,
        "exp": at + int(lifetime.total_seconds()),
        "jti": jti,
    }
    return _sign(key, claims, "JWT", kid)


def _sign(key: _Key, claims: dict[str, Any], kind: str, kid: str | None = None) -> str:
    if isinstance(key, ECKey):
        algorithm = _CURVES[str(key.get("crv"))]
    else:
        algorithm = "RS384" if isinstance(key, RSAKey) else "EdDSA"
    header = {"alg": algorithm, "typ": kind, "kid": kid or key.kid}
    return jws.serialize_compact(header, dumps(claims), key, registry=_REGISTRY)


def _parts(token: str) -> tuple[dict[str, Any], bytes]:
    """Take a compact token apart, strictly; nothing is verified yet."""
    malformed = TokenRefused("AUTH-JWT-001", "a signed JWT in compact form")
    if not isinstance(token, str) or len(token) > _MAX_TOKEN or not token.isascii() or token.count(".") != 2:
        raise malformed
    header_text, payload_text, _ = token.split(".")
    try:
        payload = base64.b64decode(payload_text + "=" * (-len(payload_text) % 4), b"-_", validate=True)
        header = loads(base64.b64decode(header_text + "=" * (-len(header_text) % 4), b"-_", validate=True), max_depth=4)
    except (UnsafeInput, binascii.Error, ValueError):
        raise malformed from None
    if not isinstance(header, dict):
        raise malformed
    return header, payload


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = loads(payload, max_bytes=_MAX_TOKEN, max_depth=8)
    except UnsafeInput:
        claims = None
    if not isinstance(claims, dict):
        raise TokenRefused("AUTH-JWT-001", "a signed JWT in compact form")
    return claims


def _verified(token: str, keys: ClientKeys, *, kind: str | None = None) -> dict[str, Any]:
    header, payload = _parts(token)
    if not isinstance(header.get("alg"), str) or header["alg"] not in ALGORITHMS:
        raise TokenRefused("AUTH-ALG-001", "one of " + ", ".join(sorted(ALGORITHMS)))
    if "crit" in header or "b64" in header:
        raise TokenRefused("AUTH-JWT-002", "a header without extensions")
    found = header.get("typ")
    if kind is not None and found != kind:
        raise TokenRefused("AUTH-TYP-001", f"typ {kind}")
    # An access token must never pass for an assertion (RFC 8725 3.11).
    if kind is None and (
        not isinstance(found, str | None) or (found or "JWT").lower() not in ("jwt", "client-authentication+jwt")
    ):
        raise TokenRefused("AUTH-TYP-001", "typ JWT")
    key = keys.find(header.get("kid"))
    if key.alg is not None and key.alg != header["alg"]:
        raise TokenRefused("AUTH-ALG-001", "the algorithm registered with the key")
    try:
        signed = jws.deserialize_compact(token, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        raise TokenRefused("AUTH-SIG-001", "a signature by the key named") from None
    if signed.payload != payload:  # two decoders, one content
        raise TokenRefused("AUTH-SIG-001", "a signature by the key named")
    return _claims(payload)


def _check_audience(found: object, expected: str | Collection[str]) -> None:
    wanted = {expected} if isinstance(expected, str) else set(expected)
    # One audience only: an assertion meant for two servers lets one of them play the client at the other.
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, str) or found not in wanted:
        raise TokenRefused("AUTH-AUD-001", "aud equal to this server's endpoint, alone")


def _check_times(claims: dict[str, Any], now: datetime, skew: timedelta) -> datetime:
    expires = _instant(claims, "exp")
    if expires is None:
        raise TokenRefused("AUTH-EXP-001", "an exp in the future")
    if expires + skew <= now:
        raise TokenRefused("AUTH-EXP-001", "an exp in the future")
    for name in ("nbf", "iat"):
        start = _instant(claims, name)
        if start is not None and start > now + skew:
            raise TokenRefused("AUTH-NBF-001", f"an {name} not in the future")
    return expires


def _instant(claims: dict[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused("AUTH-EXP-001", f"{name} as a number of seconds")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        raise TokenRefused("AUTH-EXP-001", f"{name} as a number of seconds") from None
