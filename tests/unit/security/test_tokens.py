"""Client assertions in, access tokens out: every check has its refusal."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from security.tokens import (
    AccessTokens,
    ClientAssertion,
    ClientKeys,
    TokenRefused,
    claimed_client_id,
    make_client_key,
    sign_client_assertion,
    verify_client_assertion,
)

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
AT = int(NOW.timestamp())
URL = "https://passerelle.exemple.fr/oauth/token"
PEM, JWKS = make_client_key()
KEYS = ClientKeys.read(JWKS)
RSA_KEY = rsa.generate_private_key(65537, 2048)


def _pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


class _Once:
    """A register of identifiers, as the store keeps one."""

    def __init__(self) -> None:
        self.seen: dict[str, datetime] = {}

    def __call__(self, jti: str, until: datetime) -> bool:
        if jti in self.seen:
            return False
        self.seen[jti] = until
        return True


def _verify(assertion: str, *, keys: ClientKeys = KEYS, now: datetime = NOW, once: Any = None) -> ClientAssertion:
    return verify_client_assertion(
        assertion, client_id="cabinet", keys=keys, audience=URL, now=now, use_once=once or _Once()
    )


def _code(assertion: str, **options: Any) -> str:
    with pytest.raises(TokenRefused) as caught:
        _verify(assertion, **options)
    assert not assertion or assertion not in str(caught.value)
    return caught.value.code


def _claims(**changes: Any) -> dict[str, Any]:
    claims = {"iss": "cabinet", "sub": "cabinet", "aud": URL, "iat": AT, "exp": AT + 240, "jti": "j1", **changes}
    return {k: v for k, v in claims.items() if v is not ...}


def _signed(claims: Any = None, *, pem: bytes = PEM, **header: Any) -> str:
    key = ECKey.import_key(pem)
    key.ensure_kid()
    payload = claims if isinstance(claims, bytes) else json.dumps(claims or _claims()).encode()
    head = {"alg": "ES384", "typ": "JWT", "kid": key.kid, **header}
    head = {k: v for k, v in head.items() if v is not ...}
    registry = jws.JWSRegistry(algorithms=["ES256", "ES384"], strict_check_header=False)
    return jws.serialize_compact(head, payload, key, registry=registry)


def test_a_client_proves_itself_once() -> None:
    """A right assertion passes; the same one again does not."""
    once = _Once()
    assertion = sign_client_assertion(PEM, "cabinet", URL, NOW, "j1")
    assert claimed_client_id(assertion) == "cabinet"
    proved = _verify(assertion, once=once)
    assert (proved.client_id, proved.jti) == ("cabinet", "j1")
    assert once.seen == {"j1": NOW + timedelta(seconds=240 + 60)}
    assert _code(assertion, once=once) == "AUTH-JTI-002"


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), RSA_KEY, ed25519.Ed25519PrivateKey.generate()]
)
def test_other_kinds_of_keys_sign_too(key: Any) -> None:
    """EC P-256, RSA and Ed25519 clients are served."""
    kinds = {ec.EllipticCurvePrivateKey: ECKey, rsa.RSAPrivateKey: RSAKey, ed25519.Ed25519PrivateKey: OKPKey}
    kind: Any = next(v for k, v in kinds.items() if isinstance(key, k))
    keys = ClientKeys.read({"keys": [kind.import_key(_pem(key)).as_dict(private=False)]})
    assert _verify(sign_client_assertion(_pem(key), "cabinet", URL, NOW, "j1"), keys=keys).jti == "j1"


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "PS256"])
def test_rsa_algorithms_of_the_list_pass_and_others_do_not(algorithm: str) -> None:
    """RS256, RS384 and PS256 pass; RS512 with the same key does not."""
    key = RSAKey.import_key(_pem(RSA_KEY))
    key.ensure_kid()
    keys = ClientKeys.read({"keys": [key.as_dict(private=False)]})
    for name, passes in ((algorithm, True), ("RS512", False)):
        registry = jws.JWSRegistry(algorithms=[name])
        token = jws.serialize_compact({"alg": name, "kid": key.kid}, json.dumps(_claims()), key, registry=registry)
        if passes:
            assert _verify(token, keys=keys)
        else:
            assert _code(token, keys=keys) == "AUTH-ALG-001"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "autre"}, "AUTH-ISS-001"),
        ({"sub": "autre"}, "AUTH-ISS-001"),
        ({"iss": ...}, "AUTH-ISS-001"),
        ({"aud": "https://ailleurs.exemple.fr/oauth/token"}, "AUTH-AUD-001"),
        ({"aud": [URL, "https://ailleurs.exemple.fr"]}, "AUTH-AUD-001"),
        ({"aud": []}, "AUTH-AUD-001"),
        ({"aud": ...}, "AUTH-AUD-001"),
        ({"aud": {"a": 1}}, "AUTH-AUD-001"),
        ({"exp": ...}, "AUTH-EXP-001"),
        ({"exp": AT - 61}, "AUTH-EXP-001"),
        ({"exp": str(AT + 60)}, "AUTH-EXP-001"),
        ({"exp": True}, "AUTH-EXP-001"),
        ({"exp": 10**30}, "AUTH-EXP-001"),
        ({"exp": AT + 361}, "AUTH-EXP-002"),
        ({"iat": AT + 61}, "AUTH-NBF-001"),
        ({"nbf": AT + 61}, "AUTH-NBF-001"),
        ({"jti": ...}, "AUTH-JTI-001"),
        ({"jti": ""}, "AUTH-JTI-001"),
        ({"jti": 7}, "AUTH-JTI-001"),
        ({"jti": "x" * 257}, "AUTH-JTI-001"),
    ],
)
def test_wrong_claims_are_refused_and_the_jti_is_not_used_up(changes: dict[str, Any], code: str) -> None:
    """Each claim is checked; a refused assertion leaves no trace in the register."""
    once = _Once()
    assert _code(_signed(_claims(**changes)), once=once) == code
    assert once.seen == {}


@pytest.mark.parametrize(
    "changes", [{"exp": AT - 59}, {"exp": AT + 359}, {"iat": AT + 59}, {"aud": [URL]}, {"iat": ...}]
)
def test_a_minute_of_skew_is_forgiven(changes: dict[str, Any]) -> None:
    """Clocks differ; one audience in a list is one audience; ``iat`` is optional."""
    assert _verify(_signed(_claims(**changes)))


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"kid": "inconnu"}, "AUTH-KEY-001"),
        ({"kid": 7}, "AUTH-KEY-001"),
        ({"typ": "at+jwt"}, "AUTH-TYP-001"),
        ({"typ": ["JWT"]}, "AUTH-TYP-001"),
    ],
)
def test_wrong_headers_are_refused(header: dict[str, Any], code: str) -> None:
    """Unknown keys, and tokens of another type."""
    if isinstance(header.get("kid", ""), str) and isinstance(header.get("typ", ""), str):
        token = _signed(**header)
    else:
        token = _forged({"alg": "ES384", "typ": "JWT", **header})
    assert _code(token) == code


def _part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _forged(header: Any, claims: Any = None, signature: bytes = b"\x00" * 96) -> str:
    return f"{_part(header)}.{_part(claims or _claims())}.{_part(signature)}"


def test_a_key_may_be_left_unnamed_when_there_is_one() -> None:
    """With one registered key ``kid`` is optional; with two it is not."""
    assert _verify(_signed(kid=...))
    _, other = make_client_key("P-256")
    two = ClientKeys.read({"keys": JWKS["keys"] + other["keys"]})
    assert _code(_signed(kid=...), keys=two) == "AUTH-KEY-001"
    assert _verify(_signed(), keys=two)


def test_no_signature_and_shared_secrets_are_refused() -> None:
    """``none``, and HMAC under the public key, the two oldest tricks."""
    assert _code(_forged({"alg": "none"}, signature=b"")) == "AUTH-ALG-001"
    assert _code(_forged({"alg": "None"}, signature=b"")) == "AUTH-ALG-001"
    secret = OctKey.import_key(json.dumps(JWKS["keys"][0]).encode())
    registry = jws.JWSRegistry(algorithms=["HS256"])
    token = jws.serialize_compact(
        {"alg": "HS256", "kid": JWKS["keys"][0]["kid"]}, json.dumps(_claims()), secret, registry=registry
    )
    assert _code(token) == "AUTH-ALG-001"


def test_a_signature_by_another_key_is_refused() -> None:
    """Also when the token brings that key along, or says where to fetch it."""
    other, other_jwks = make_client_key()
    kid = JWKS["keys"][0]["kid"]
    assert _code(_signed(pem=other, kid=kid)) == "AUTH-SIG-001"
    for extra in ({"jwk": other_jwks["keys"][0]}, {"jku": "https://attaquant.exemple/jwks"}):
        head = {"alg": "ES384", "kid": kid, **extra}
        key = ECKey.import_key(other)
        registry = jws.JWSRegistry(algorithms=["ES384"], strict_check_header=False)
        registry.max_header_length = 4096
        token = jws.serialize_compact(head, json.dumps(_claims()), key, registry=registry)
        assert _code(token) == "AUTH-SIG-001"


def test_a_changed_token_is_refused() -> None:
    """One changed character anywhere refuses the token."""
    token = sign_client_assertion(PEM, "cabinet", URL, NOW, "j1")
    for place in (5, token.index(".") + 30, len(token) - 20):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(TokenRefused):
            _verify(changed)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.b.c",
        "x" * 9000,
        _forged(b"not json"),
        _forged([1]),
        _forged(b'{"alg":"ES384","alg":"ES384"}'),
        _forged({"alg": 7}).replace("=", ""),
        _forged({"alg": "ES384", "b64": False, "crit": ["b64"]}),
        _forged({"alg": "ES384"}, b"[" * 500),
    ],
)
def test_no_token_breaks_the_reader(token: str) -> None:
    """Whatever comes, a refusal with a code."""
    assert _code(token).startswith("AUTH-")
    with pytest.raises(TokenRefused):
        claimed_client_id(_forged({"alg": "ES384"}, {"iss": 7}))


@given(st.text(alphabet="ABCeyJ._-0=é", max_size=80))
def test_noise_is_refused(token: str) -> None:
    """No noise passes, none raises anything else."""
    assert _code(token + ".").startswith("AUTH-")


def test_a_repeated_claim_is_refused() -> None:
    """Two readers must not see two tokens, even rightly signed."""
    body = json.dumps(_claims())[:-1].encode() + b', "iss": "cabinet"}'
    assert _code(_signed(body)) == "AUTH-JWT-001"
    assert _code(_signed(b"[]")) == "AUTH-JWT-001"


@pytest.mark.parametrize(
    ("jwks", "code"),
    [
        ({}, "AUTH-JWKS-001"),
        ({"keys": []}, "AUTH-JWKS-001"),
        ({"keys": "x"}, "AUTH-JWKS-001"),
        ({"keys": JWKS["keys"] * 2}, "AUTH-JWKS-002"),
        ({"keys": [ECKey.import_key(PEM).as_dict(private=True)]}, "AUTH-JWKS-003"),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}, "AUTH-JWKS-003"),
        ({"keys": ["x"]}, "AUTH-JWKS-003"),
        ({"keys": [{"kty": "EC"}]}, "AUTH-JWKS-004"),
        ({"keys": [{"kty": "??"}]}, "AUTH-JWKS-004"),
        ({"keys": [{**JWKS["keys"][0], "x": "AAAA"}]}, "AUTH-JWKS-004"),
        ({"keys": [ECKey.generate_key("P-521").as_dict(private=False)]}, "AUTH-JWKS-004"),
        ({"keys": [OKPKey.generate_key("X25519").as_dict(private=False)]}, "AUTH-JWKS-004"),
        ({"keys": [{**JWKS["keys"][0], "use": "enc"}]}, "AUTH-JWKS-005"),
        ({"keys": [{**JWKS["keys"][0], "alg": "HS256"}]}, "AUTH-JWKS-005"),
    ],
)
def test_bad_key_sets_are_refused_at_registration(jwks: dict[str, Any], code: str) -> None:
    """Private, symmetric, weak, broken, repeated or encryption keys are not registered."""
    with pytest.raises(TokenRefused) as caught:
        ClientKeys.read(jwks)
    assert caught.value.code == code


@pytest.mark.filterwarnings("ignore")
def test_a_short_rsa_key_is_not_registered() -> None:
    """1024 bits are no proof."""
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505
    numbers = weak.public_key().public_numbers()
    member = {"kty": "RSA", "e": "AQAB", "n": _part(numbers.n.to_bytes(128, "big"))}
    with pytest.raises(TokenRefused, match="AUTH-JWKS-004"):
        ClientKeys.read({"keys": [member]})


def test_the_algorithm_registered_with_a_key_is_the_only_one() -> None:
    """A P-384 key registered for another algorithm refuses ES384."""
    keys = ClientKeys.read({"keys": [{**JWKS["keys"][0], "alg": "ES256"}]})
    assert _code(_signed(), keys=keys) == "AUTH-ALG-001"


def test_a_key_that_signs_nothing_here_is_refused() -> None:
    """Signing needs EC, RSA or Ed25519."""
    from cryptography.hazmat.primitives.asymmetric import x25519

    with pytest.raises(TypeError, match="neither"):
        sign_client_assertion(_pem(x25519.X25519PrivateKey.generate()), "c", URL, NOW, "j")


# Access tokens

OWN = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def issuer() -> AccessTokens:
    """The gateway's own tokens."""
    return AccessTokens(issuer="https://passerelle.exemple.fr", private_key=OWN)


def _issue(issuer: AccessTokens, **changes: Any) -> str:
    values: dict[str, Any] = {
        "client_id": "cabinet",
        "scopes": ["documents:write", "documents:read"],
        "tenants": ["t1", "t2"],
        "now": NOW,
        "jti": "a1",
        **changes,
    }
    return issuer.issue(**values)[0]


def test_an_access_token_says_what_it_was_given(issuer: AccessTokens) -> None:
    """Client, scopes, structures, times and certificate come back."""
    token, life = issuer.issue(
        client_id="cabinet", scopes={"feeds:read"}, tenants=["t1"], now=NOW, jti="a1", certificate_sha256="abc"
    )
    access = issuer.verify(token, now=NOW)
    assert life == 300
    assert (access.client_id, access.scopes, access.tenants) == ("cabinet", frozenset({"feeds:read"}), ("t1",))
    assert (access.issued_at, access.expires_at) == (NOW, NOW + timedelta(seconds=300))
    assert (access.jti, access.certificate_sha256) == ("a1", "abc")
    assert issuer.verify(_issue(issuer), now=NOW).certificate_sha256 is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda i: (i, _issue(i), NOW + timedelta(seconds=306)), "AUTH-EXP-001"),
        (lambda i: (i, _issue(i, now=NOW + timedelta(seconds=6)), NOW), "AUTH-NBF-001"),
        (lambda i: (AccessTokens(issuer="https://autre", private_key=OWN), _issue(i), NOW), "AUTH-ISS-001"),
        (
            lambda i: (
                AccessTokens(issuer=i.issuer, private_key=ec.generate_private_key(ec.SECP256R1())),
                _issue(i),
                NOW,
            ),
            "AUTH-KEY-001",
        ),
        (lambda i: (i, sign_client_assertion(_pem(OWN), "cabinet", i.issuer, NOW, "j"), NOW), "AUTH-TYP-001"),
        (lambda i: (i, _issue(i)[:-4] + "AAAA", NOW), "AUTH-SIG-001"),
    ],
)
def test_bad_access_tokens_are_refused(
    issuer: AccessTokens, change: Callable[[AccessTokens], tuple[AccessTokens, str, datetime]], code: str
) -> None:
    """Over, from the future, of another gateway, under another key, of another type, changed."""
    verifier, token, now = change(issuer)
    with pytest.raises(TokenRefused) as caught:
        verifier.verify(token, now=now)
    assert caught.value.code == code


def test_an_access_token_is_no_assertion(issuer: AccessTokens) -> None:
    """What we issue cannot be played back as a proof of identity."""
    keys = ClientKeys.read(issuer.jwks())
    assert _code(_issue(issuer), keys=keys) == "AUTH-TYP-001"


def test_a_former_key_still_verifies(issuer: AccessTokens) -> None:
    """After a change of key, tokens alive are still good, and both keys are published."""
    token = _issue(issuer)
    renewed = AccessTokens(
        issuer=issuer.issuer,
        private_key=ec.generate_private_key(ec.SECP384R1()),
        former_keys=(OWN.public_key(),),
    )
    assert renewed.verify(token, now=NOW).client_id == "cabinet"
    assert renewed.verify(_issue(renewed), now=NOW).client_id == "cabinet"
    published = renewed.jwks()["keys"]
    assert len(published) == 2
    assert not any("d" in key for key in published)


def test_nothing_shows_the_key(issuer: AccessTokens) -> None:
    """Neither repr nor the published keys hold a private key."""
    assert "Private" not in repr(issuer)
    assert repr(KEYS) == "ClientKeys(1)"


def test_a_signature_verified_once_says_nothing_of_the_time(issuer: AccessTokens) -> None:
    """A token known already is refused when it has expired, or when one sign of it changes; few are remembered."""
    token = _issue(issuer)
    assert issuer.verify(token, now=NOW) == issuer.verify(token, now=NOW)
    late = NOW + issuer.lifetime + issuer.skew + timedelta(seconds=1)
    with pytest.raises(TokenRefused, match="AUTH-EXP"):
        issuer.verify(token, now=late)
    with pytest.raises(TokenRefused):
        issuer.verify(token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"), now=NOW)
    for number in range(1100):
        issuer._known[number.to_bytes(2)] = {}
    issuer.verify(_issue(issuer), now=NOW)
    assert len(issuer._known) <= 1024


def test_verifying_is_fast(issuer: AccessTokens) -> None:
    """Every request pays it: well under a millisecond."""
    token = _issue(issuer)
    best = min(_seconds(issuer, token) for _ in range(20))
    assert best < 0.002


def _seconds(issuer: AccessTokens, token: str) -> float:
    start = time.perf_counter()
    issuer.verify(token, now=NOW)
    return time.perf_counter() - start
