"""Client against simulator: refusals, faults, card mode, verification, and foreign clients."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from adapters.insi.assertions import AssertionSigner, Caller
from adapters.insi.messages import CardData
from adapters.insi.people import generate
from adapters.insi.sandbox import InsiSandbox
from adapters.insi.verification import Claim
from conformance.identity.history import InsNumber
from conformance.identity.traits import Traits
from security import xml
from security.keyring import KeyRef, client_ssl_context, open_files
from security.pki import SandboxPki
from tests.integration.insi.test_cnda_cases import someone

Use = Callable[..., Any]
ZOE = someone("ADRUN", "ZOE", "F", "1975-12-31", "63220")


def test_an_unknown_authorisation_number_is_for_the_operator(use: Use) -> None:
    """desir_550: nobody retries, the setting is named."""
    result = use(lambda c: c.search(ZOE), idam="INCONNU")
    assert (result.outcome.code, result.outcome.kind) == ("INSI-FLT-002", "operator")
    assert result.outcome.original_code == "desir_550"


def test_another_common_name_is_refused(use: Use, pki: SandboxPki) -> None:
    """A certificate of the structure that is not for INSi gives desir_560."""
    result = use(lambda c: c.search(ZOE), files=pki.auth)
    assert (result.outcome.code, result.outcome.original_code) == ("INSI-FLT-003", "desir_560")


def test_without_a_certificate_tls_itself_refuses(use: Use) -> None:
    """The handshake says no, and it is said as such."""
    result = use(lambda c: c.search(ZOE), files=None)
    assert (result.outcome.code, result.outcome.kind) == ("INSI-TLS-002", "operator")


def test_a_server_of_another_authority_is_not_talked_to(insi: InsiSandbox, use: Use, tmp_path: Path) -> None:
    """A server whose certificate we do not trust gets nothing."""
    trust = tmp_path / "trust.pem"
    trust.write_bytes(SandboxPki.foreign().pem)
    result = use(lambda c: c.search(ZOE), trust=trust)
    assert (result.outcome.code, result.outcome.kind) == ("INSI-TLS-001", "operator")
    assert len(insi.journal) == 0


def test_a_revoked_certificate_is_for_the_operator_and_not_retried(pki: SandboxPki, use: Use) -> None:
    """A certificate of another authority is refused after the handshake, and said as a refusal."""
    stranger = SandboxPki.foreign().issue([("C", "FR"), ("OU", "10B0152872"), ("CN", "INSI-AUTO")], "client")
    result = use(lambda c: c.search(ZOE), files=stranger.write(pki.folder / "stranger", "insi"))
    assert (result.outcome.code, result.outcome.kind) == ("INSI-TLS-002", "operator")


@pytest.mark.parametrize(
    ("fault", "parameters", "code", "kind"),
    [
        ("siram_40", {}, "INSI-FLT-001", "retry"),
        ("http_503", {}, "INSI-HTTP-001", "retry"),
        ("drop", {}, "INSI-NET-002", "retry"),
        ("lost_answer", {}, "INSI-NET-002", "retry"),
        ("timeout", {}, "INSI-NET-001", "retry"),
        ("truncated", {}, "INSI-ANS-001", "retry"),
        ("content_type", {}, "INSI-ANS-001", "retry"),
        ("wrong_key", {}, "INSI-ANS-002", "refused"),
        ("oid_10", {}, "INSI-ANS-003", "refused"),
        ("lower_case", {}, "INSI-ANS-004", "refused"),
        ("no_key", {}, "INSI-CR-00", "found"),
        ("latency", {"seconds": 0.01}, "INSI-CR-00", "found"),
    ],
)
def test_each_fault_has_its_outcome(
    use: Use, insi: InsiSandbox, fault: str, parameters: dict[str, float], code: str, kind: str
) -> None:
    """Whatever goes wrong is one outcome; a bad answer is never given as a person."""
    with httpx.Client(base_url=insi.api_url, trust_env=False) as admin:
        assert admin.post("/faults", json={"fault": fault, "parameters": parameters}).status_code == 200
    result = use(lambda c: c.search(ZOE), timeout=0.3 if fault == "timeout" else 5.0)
    assert (result.outcome.code, result.outcome.kind) == (code, kind)
    assert (result.individual is not None) is (kind == "found")
    assert all((*result.outcome.cause, *result.outcome.fix))


def test_repeated_failures_suspend_the_calls_and_one_success_resumes(use: Use, insi: InsiSandbox) -> None:
    """After so many technical faults in a row nothing is sent any more."""
    insi.faults.set("siram_40", count=None)

    async def work(client: Any) -> list[str]:
        return [(await client.search(ZOE)).outcome.code for _ in range(4)]

    assert use(work, breaker_threshold=2) == ["INSI-FLT-001", "INSI-FLT-001", "INSI-REQ-003", "INSI-REQ-003"]
    assert len(insi.journal) == 2


def test_the_authorities_of_a_test_platform_can_be_renamed(use: Use) -> None:
    """INSi's test platform answers with the real authority: a setting turns it into the test one."""
    nir, test = "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.10"
    result = use(lambda c: c.search(ZOE), environment="test", oid_map={nir: test})
    assert result.individual.active.oid == test


def test_given_names_may_be_looked_up_by_the_first_only(use: Use, insi: InsiSandbox) -> None:
    """Nobody knows whether the real service matches any given name: both ways can be tried."""
    local = someone("TCHITCHI", "BELLA", "F", "1936-06-21", "63220")
    assert use(lambda c: c.search(local)).comparison.verdict == "REVIEW"
    with httpx.Client(base_url=insi.api_url, trust_env=False) as admin:
        assert admin.put("/settings", json={"givenNames": "first"}).status_code == 204
        assert admin.put("/settings", json={"givenNames": "some"}).status_code == 400
    assert use(lambda c: c.search(local)).outcome.kind == "not_found"


def test_people_are_listed_and_added_over_http(use: Use, insi: InsiSandbox) -> None:
    """An injected identity is found at the next search; a wrong matricule is refused."""
    with httpx.Client(base_url=insi.api_url, trust_env=False) as admin:
        known = admin.get("/people").json()
        assert any(p["matricule"] == "275126322074974" for p in known)
        injected = {
            "birthName": "INJECTE",
            "givenNames": "ANNE",
            "sex": "F",
            "birthDate": "1979-03-28",
            "birthPlace": "51215",
            "matricule": "279035121518989",
            "oid": "1.2.250.1.213.1.4.9",
        }
        assert admin.post("/people", json=injected).status_code == 204
        assert admin.post("/people", json=injected | {"matricule": "279035121518988"}).status_code == 400
        assert admin.post("/people", content=b"[").status_code == 400
    result = use(lambda c: c.search(someone("INJECTE", "ANNE", "F", "1979-03-28", "51215")))
    assert result.individual.active.oid == "1.2.250.1.213.1.4.9"


def test_a_search_by_card_needs_assertions_and_finds_the_beneficiary(
    use: Use, insi: InsiSandbox, pki: SandboxPki
) -> None:
    """On the second listener the professional signs, and the card read goes with it."""
    key = open_files(KeyRef(name="sign", path=pki.sign.cert_path, key_path=pki.sign.key_path))
    signer = AssertionSigner(key=key.private_key, certificate=key.certificate)
    caller = Caller(name_id="899700870589", billing_id="750803447", sector="SA07", specialty="SM26")
    card = CardData(number="2751263220749", key="74", birth_name="ADRUN", birth_date="1975-12-31", is_holder=True)

    async def work(client: Any) -> list[str]:
        now = datetime.now(UTC)
        ps = signer.practitioner(caller, assertion_id="_ps", at=now)
        vitale = signer.vitale("80250000012345678901", assertion_id="_v", at=now - timedelta(minutes=10))
        stale = signer.vitale("80250000012345678901", assertion_id="_v", at=now - timedelta(minutes=21))
        forged = xml.parse(xml.serialize(ps).replace(b"SA07", b"SA01"))
        seen = []
        for assertions in ([ps, vitale], [ps, stale], [ps], [vitale], [forged, vitale], []):
            # lxml moves an element: each message gets its own copy.
            copies = [xml.parse(xml.serialize(a)) for a in assertions]
            result = await client.search_card(card, ZOE, assertions=copies)
            seen.append(result.outcome.original_code)
        return seen

    seen = use(work, url=insi.assertion_url, files=None)
    assert seen == ["00", "sim_221", "sim_222", "sim_220", "sim_221", "sim_220"]


def test_a_search_by_traits_in_card_mode_signs_each_call_anew(use: Use, insi: InsiSandbox, pki: SandboxPki) -> None:
    """The ladder asks for fresh assertions at each rung; with an organisation certificate none is expected."""
    key = open_files(KeyRef(name="sign", path=pki.sign.cert_path, key_path=pki.sign.key_path))
    signer = AssertionSigner(key=key.private_key, certificate=key.certificate)
    caller = Caller(name_id="899700870589", billing_id="750803447", sector="SA07")
    made = []

    def fresh() -> list[Any]:
        made.append(1)
        return [signer.practitioner(caller, assertion_id=f"_a{len(made)}", at=datetime.now(UTC))]

    local = someone("DE VINCI", "LEONARDO PIERO", "M", "2014-02-01", "63220")
    result = use(lambda c: c.search(local, assertions=fresh), url=insi.assertion_url, files=None)
    assert (result.outcome.kind, len(made)) == ("found", 2)
    refused = use(lambda c: c.search(ZOE, assertions=fresh))
    assert refused.outcome.original_code == "sim_223"


def claims_of(people: list[Any]) -> list[Claim]:
    return [
        Claim(number=p.individual.active, traits=p.traits, reference=f"r{n}")
        for n, p in enumerate(people)
        if p.individual is not None
    ]


def test_a_held_identity_is_confirmed_or_not(use: Use) -> None:
    """A yes for the right five traits, a no for one wrong, never a trait in the answer."""
    number = InsNumber(value="275126322074974", oid="1.2.250.1.213.1.4.8")
    assert use(lambda c: c.verify(Claim(number=number, traits=ZOE))).outcome.code == "INSI-VER-OK"
    wrong = Traits(**{**ZOE.as_dict(), "birth_date": "1975-12-30"})
    result = use(lambda c: c.verify(Claim(number=number, traits=wrong)))
    assert (result.outcome.code, result.outcome.kind) == ("INSI-VER-KO", "not_found")


def test_a_patient_base_is_verified_in_lots(use: Use, insi: InsiSandbox) -> None:
    """Four thousand identities in lots, one of them wrong; progress is told, lots not ready are asked for again."""
    claims = claims_of(generate(200))
    swapped = Claim(number=claims[0].number, traits=claims[20].traits, reference="swapped")
    everyone = [swapped] + [
        Claim(number=c.number, traits=c.traits, reference=f"{n}-{c.reference}") for n in range(20) for c in claims
    ]
    seen: list[int] = []

    async def work(client: Any) -> dict[str, str]:
        return {r.reference: r.outcome.code async for r in client.verify_all(iter(everyone), progress=seen.append)}

    insi._polls = 1
    answers = use(work, lot_poll_seconds=0.0)
    insi._polls = 0
    assert len(answers) == len(everyone)
    assert [k for k, code in answers.items() if code != "INSI-VER-OK"] == ["swapped"]
    assert seen == [2000, 4000, 4001]


def test_a_lot_that_fails_says_so_for_each_of_its_identities(use: Use, insi: InsiSandbox) -> None:
    """A deposit that fails for good, a lot never ready: each identity has its outcome; a short failure is got over."""
    claims = claims_of(generate(12))

    async def work(client: Any) -> list[str]:
        return [r.outcome.code async for r in client.verify_all(claims)]

    insi.faults.set("siram_40", count=2, transaction="deposerLotVerification")
    assert set(use(work, lot_tries=2, lot_retry_seconds=0.0)) == {"INSI-FLT-001"}
    insi.faults.set("siram_40", count=2, transaction="deposerLotVerification")
    assert set(use(work, lot_retry_seconds=0.0)) == {"INSI-VER-OK"}
    insi._polls = 99
    assert set(use(work, lot_poll_seconds=0.0, lot_attempts=2, lot_tries=1)) == {"INSI-NET-001"}
    insi._polls = 0


FOREIGN = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://www.w3.org/2003/05/soap-envelope"><Header xmlns:a="http://www.w3.org/2005/08/addressing">
<a:MessageID>uuid:0f9b4c8e-6a55-4d5f-8d11-6d6f6f2c9a01</a:MessageID>
<a:Action>urn:ServiceIdentiteCertifiee:1.0.0:rechercherInsAvecTraitsIdentite</a:Action>
<ns4:ContexteLPS xmlns:ns4="urn:siram:lps:ctxlps" Version="01_00" Nature="CTXLPS">
<ns4:Id>0f9b4c8e-6a55-4d5f-8d11-6d6f6f2c9a02</ns4:Id><ns4:Temps>2026-11-20T09:30:00.000Z</ns4:Temps>
<ns4:LPS><ns4:IDAM R="4">PASSERELLE-SANDBOX</ns4:IDAM><ns4:Version>1</ns4:Version>
<ns4:Instance>0f9b4c8e-6a55-4d5f-8d11-6d6f6f2c9a03</ns4:Instance><ns4:Nom>urn:lps:autre:1</ns4:Nom></ns4:LPS>
</ns4:ContexteLPS>
<ContexteBAM xmlns="urn:siram:bam:ctxbam" Version="01_02"><Id>0f9b4c8e-6a55-4d5f-8d11-6d6f6f2c9a04</Id>
<Temps>2026-11-20T10:30:00+01:00</Temps><COUVERTURE/></ContexteBAM></Header>
<Body><RECSANSVITALE xmlns="http://www.cnamts.fr/INSiRecSans"><NomNaissance>ADRUN</NomNaissance><Prenom>ZOE</Prenom>
<Sexe>F</Sexe><DateNaissance>1975-12-31</DateNaissance></RECSANSVITALE></Body></Envelope>"""


def post(insi: InsiSandbox, pki: SandboxPki, text: str) -> tuple[int, str]:
    with httpx.Client(verify=client_ssl_context(pki.insi, pki.trust), trust_env=False) as client:
        answer = client.post(insi.url, content=text.encode(), headers={"content-type": "application/soap+xml"})
    return answer.status_code, answer.text


def test_any_client_that_follows_the_wsdl_is_served(insi: InsiSandbox, pki: SandboxPki) -> None:
    """Default namespaces, other prefixes, header blocks in another order: only meaning counts."""
    status, text = post(insi, pki, FOREIGN)
    assert status == 200
    assert "2751263220749" in text


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("http://www.w3.org/2003/05/soap-envelope", "http://schemas.xmlsoap.org/soap/envelope/", "sim_200"),
        ("</Envelope>", "", "sim_200"),
        ("PASSERELLE-SANDBOX", "AUTRE", "desir_550"),
        ('Version="01_00"', 'Version="01_01"', "sim_201"),
        ("<ns4:Version>1</ns4:Version>", "", "sim_201"),
        ("<ns4:Id>0f9b4c8e", "<ns4:Id>zf9b4c8e", "sim_201"),
        ("<COUVERTURE/>", "", "sim_202"),
        ("2026-11-20T10:30:00+01:00", "20/11/2026", "sim_202"),
        ("uuid:0f9b4c8e-6a55-4d5f-8d11-6d6f6f2c9a01", "", "sim_203"),
        ("AvecTraitsIdentite", "AvecCarteVitale", "sim_203"),
        ("<Prenom>ZOE</Prenom>", "<Prenom>ZOE</Prenom><Nom/>", "sim_204"),
        ("<Prenom>ZOE</Prenom>\n<Sexe>F</Sexe>", "<Sexe>F</Sexe><Prenom>ZOE</Prenom>", "sim_204"),
        ("<Prenom>ZOE</Prenom>", "", "sim_210"),
        ("ADRUN", "Adrun", "sim_211"),
        ("ZOE", "ZOÉ", "sim_212"),
        ("<Sexe>F", "<Sexe>I", "sim_213"),
        ("1975-12-31", "31/12/1975", "sim_214"),
        ("</DateNaissance>", "</DateNaissance><LieuNaissance>6322</LieuNaissance>", "sim_215"),
    ],
)
def test_what_the_wsdl_does_not_allow_is_refused_by_name(
    insi: InsiSandbox, pki: SandboxPki, old: str, new: str, code: str
) -> None:
    """Each check of the simulator has its fault, and the journal its line."""
    assert old in FOREIGN
    status, text = post(insi, pki, FOREIGN.replace(old, new))
    assert status == 500
    assert f'code="{code}"' in text
    assert insi.journal.all()[-1].outcome == code


def test_evidence_of_each_exchange_goes_to_the_recorder(use: Use, insi: InsiSandbox) -> None:
    """Both messages, the status and our outcome are handed over, byte for byte what the simulator saw."""
    kept: list[dict[str, Any]] = []

    async def work(client: Any) -> None:
        client._recorder = lambda **exchange: kept.append(exchange)
        await client.search(ZOE)

    use(work)
    (exchange,) = kept
    seen = insi.journal.all()[0]
    assert (exchange["request"], exchange["response"], exchange["status"]) == (seen.request, seen.response, 200)
    assert (exchange["operation"], exchange["outcome"]) == ("rechercherInsAvecTraitsIdentite", "INSI-CR-00")


def test_a_hundred_searches_share_one_connection(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool is kept: mutual TLS is paid once, whatever the number of searches."""
    opened: list[int] = []
    connect = anyio.connect_tcp

    async def counted(*args: Any, **options: Any) -> Any:
        opened.append(1)
        return await connect(*args, **options)

    monkeypatch.setattr(anyio, "connect_tcp", counted)

    async def work(client: Any) -> None:
        for _ in range(100):
            await client.search(ZOE)

    use(work)
    assert len(opened) == 1


@pytest.mark.long
def test_a_hundred_thousand_identities_are_verified_in_bounded_memory(use: Use) -> None:
    """The base streams through lot by lot: what is held at the end is not more than after the first lots."""
    people = claims_of(generate(200))

    def base() -> Any:
        for n in range(100_000):
            yield replace(people[n % len(people)], reference=str(n))

    peaks: list[int] = []

    def told(_: int) -> None:
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)

    async def work(client: Any) -> int:
        confirmed = 0
        async for result in client.verify_all(base(), progress=told):
            confirmed += result.outcome.code == "INSI-VER-OK"
        return confirmed

    assert use(work, lot_poll_seconds=0.0) == 100_000
    # In MB. The journal of the simulator, in this same process, is what grows: its bodies are capped at 128 MB.
    assert peaks[-1] - peaks[2] < 160
