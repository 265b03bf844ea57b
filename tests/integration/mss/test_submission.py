"""Mails go from the client to the simulated operator over STARTTLS and mutual TLS, on real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from adapters.mss import mime
from adapters.mss.addresses import Audience
from adapters.mss.client import AuthMode, MssAccount, MssClient
from adapters.mss.message import OutgoingMail
from adapters.mss.outcomes import Kind
from adapters.mss.receipts import State, parse_delivery, parse_disposition
from adapters.mss.sandbox import MssSandbox
from adapters.mss.sandbox_smtp import SmtpSettings
from security.pki import CredentialFiles, SandboxPki, make_sandbox_pki
from security.tls import client_ssl_context
from tests.support import outside
from tests.support.mss import CITIZEN, DOCTOR, NURSE, SENDER, cda, mail


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> SandboxPki:
    return make_sandbox_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def shared(pki: SandboxPki) -> Iterator[MssSandbox]:
    with MssSandbox(pki) as sandbox:
        yield sandbox


@pytest.fixture
def operator(shared: MssSandbox) -> Iterator[MssSandbox]:
    shared.clear()
    shared.faults.clear()
    yield shared
    shared.faults.clear()


def context(pki: SandboxPki, files: CredentialFiles | None = None, *, anonymous: bool = False) -> ssl.SSLContext:
    return client_ssl_context(None if anonymous else (files or pki.mss), pki.trust)


def account(sandbox: MssSandbox, tls: ssl.SSLContext, **changes: object) -> MssAccount:
    members: dict[str, object] = {
        "host": "localhost",
        "port": sandbox.smtp_port,
        "mailbox": SENDER,
        "ssl_context": tls,
        "timeout": 5.0,
    }
    return MssAccount(**(members | changes))  # type: ignore[arg-type]


def send(sandbox: MssSandbox, tls: ssl.SSLContext, *mails: OutgoingMail, **changes: object):  # type: ignore[no-untyped-def]
    async def run():  # type: ignore[no-untyped-def]
        async with MssClient(account(sandbox, tls, **changes)) as client:
            return [await client.send(m) for m in mails]

    return asyncio.run(run())


def test_a_document_arrives_byte_for_byte(operator: MssSandbox, pki: SandboxPki) -> None:
    """The operator keeps the same document: unique id, hash and size agree; one outcome for each recipient."""
    sent = mail(recipients=(DOCTOR, NURSE))
    (result,) = send(operator, context(pki), sent)
    assert {a: o.kind for a, o in result.outcomes.items()} == {DOCTOR: Kind.ACCEPTED, NURSE: Kind.ACCEPTED}
    assert result.dsn_requested
    (kept,) = httpx.get(f"{operator.api}/messages", trust_env=False).json()
    assert kept["messageId"] == sent.message_id
    assert kept["recipients"] == [DOCTOR, NURSE]
    assert kept["envelopeId"] == sent.envelope_id
    assert kept["documents"][0]["uniqueId"] == "1.2.250.1.999.7.1"
    assert kept["documents"][0]["size"] == len(cda())
    raw = httpx.get(f"{operator.api}/messages/{kept['id']}/raw", trust_env=False).content
    assert raw == sent.data
    assert httpx.get(f"{operator.api}/exchanges", trust_env=False).json()[0]["outcome"] == "accepted"
    assert kept["id"] in result.server_text


def test_one_connection_carries_many_mails(operator: MssSandbox, pki: SandboxPki) -> None:
    """The TLS connection is reused: one greeting for all."""
    mails = [mail(message_id=f"<{i}@x.fr>", envelope_id=f"e{i}") for i in range(5)]
    results = send(operator, context(pki), *mails)
    assert all(r.worst.kind is Kind.ACCEPTED for r in results)
    assert len(operator.messages) == 5
    assert operator.connections == 1


def test_the_national_example_travels(operator: MssSandbox, pki: SandboxPki) -> None:
    """The level-1 example published by the ANS passes every check of the operator, its PDF beside it."""
    example = (outside.packs() / "ans-cda" / "ExemplesCDA" / "DOC_NON_STRUCTURE_CDA-R2-N1.xml").read_bytes()
    (result,) = send(operator, context(pki), mail(example))
    assert result.worst.kind is Kind.ACCEPTED
    (kept,) = operator.messages
    assert kept.documents[0]["size"] == len(example)
    assert kept.documents[0]["sha1"] == hashlib.sha1(example, usedforsecurity=False).hexdigest()


def test_the_patient_gets_their_own_message(operator: MssSandbox, pki: SandboxPki) -> None:
    """A citizen's message goes to the matricule's address, closed to answers when asked."""
    sent = mail(recipients=(CITIZEN,), audience=Audience.CITIZEN, close_conversation=True)
    (result,) = send(operator, context(pki), sent)
    assert result.worst.kind is Kind.ACCEPTED
    assert b"X-MSS-MES: FIN\r\n" in operator.messages[0].raw


# Fault -> outcome code and kind; the whole table of the simulator's switches.
FAULTS = [
    ("4xx", "MAIL", {}, "MSS-OUT-TEMPORARY", Kind.RETRY),
    ("4xx", "DATA", {"code": 452, "text": "4.3.1 no space"}, "MSS-OUT-TEMPORARY", Kind.RETRY),
    ("4xx", "RCPT", {"code": 452, "text": "4.2.2 full"}, "MSS-OUT-MAILBOX-FULL-LATER", Kind.RETRY),
    ("4xx", "RCPT", {"code": 452, "text": "4.5.3 many"}, "MSS-OUT-TOO-MANY-RECIPIENTS", Kind.RETRY),
    ("4xx", "RCPT", {"code": 451, "text": "4.7.1 greylist"}, "MSS-OUT-GREYLISTED", Kind.RETRY),
    ("4xx", "MAIL", {"code": 421, "text": "4.3.2 closing"}, "MSS-OUT-TEMPORARY", Kind.RETRY),
    ("5xx", "RCPT", {"code": 550, "text": "5.1.1 unknown"}, "MSS-OUT-ADDRESS", Kind.REFUSED),
    ("5xx", "RCPT", {"code": 554, "text": "5.7.1 relay"}, "MSS-OUT-POLICY", Kind.REFUSED),
    ("5xx", "MAIL", {"code": 550}, "MSS-OUT-SENDER", Kind.OPERATOR),
    ("5xx", "MAIL", {"code": 530, "text": "5.7.0 auth"}, "MSS-OUT-TOKEN", Kind.OPERATOR),
    ("5xx", "DATA", {"code": 552, "text": "5.3.4 size"}, "MSS-OUT-SIZE", Kind.REFUSED),
    ("5xx", "DATA", {"code": 554, "text": "5.7.1 policy"}, "MSS-OUT-POLICY", Kind.REFUSED),
    ("5xx", "DATA", {"code": 550, "text": "5.6.0 content"}, "MSS-OUT-REFUSED", Kind.REFUSED),
    ("greylisting", None, {}, "MSS-OUT-GREYLISTED", Kind.RETRY),
    ("quota", None, {}, "MSS-OUT-MAILBOX-FULL", Kind.REFUSED),
    ("quota", None, {"code": 452}, "MSS-OUT-TEMPORARY", Kind.RETRY),
    ("unavailable", None, {}, "MSS-OUT-TEMPORARY", Kind.RETRY),
    ("no_starttls", None, {}, "MSS-OUT-STARTTLS", Kind.OPERATOR),
    ("eof_after_starttls", None, {}, "MSS-OUT-CERTIFICATE", Kind.OPERATOR),
    ("reset_after_dot", None, {}, "MSS-OUT-UNCERTAIN", Kind.UNCERTAIN),
    ("reset_in_data", None, {}, "MSS-OUT-UNCERTAIN", Kind.UNCERTAIN),
]


@pytest.mark.parametrize(("fault", "transaction", "parameters", "code", "kind"), FAULTS)
def test_every_fault_has_its_outcome(
    operator: MssSandbox,
    pki: SandboxPki,
    fault: str,
    transaction: str | None,
    parameters: dict[str, object],
    code: str,
    kind: Kind,
) -> None:
    """What the operator or the network does becomes one outcome with a cause and a fix; the next mail passes."""
    asked = {"fault": fault, "transaction": transaction, "parameters": parameters}
    assert httpx.post(f"{operator.api}/faults", json=asked, trust_env=False).status_code == 200
    failed, passed = send(operator, context(pki), mail(), mail(message_id="<2@x.fr>"))
    outcome = failed.outcomes[DOCTOR]
    assert (outcome.code, outcome.kind) == (code, kind)
    assert outcome.cause.fr != outcome.cause.en
    assert outcome.fix.fr
    if "code" in parameters:
        assert outcome.original_code == str(parameters["code"])
    assert passed.worst.kind is Kind.ACCEPTED


def test_the_answer_lost_after_the_final_dot_is_sent_again_as_the_same_mail(
    operator: MssSandbox, pki: SandboxPki
) -> None:
    """Uncertain, so the same bytes with the same Message-ID go again; the operator counts one message."""
    operator.faults.set("reset_after_dot")
    sent = mail()
    first, second = send(operator, context(pki), sent, sent)
    assert first.worst.kind is Kind.UNCERTAIN
    assert second.worst.kind is Kind.ACCEPTED
    kept = operator.messages
    assert [m.message_id for m in kept] == [sent.message_id] * 2
    assert [m.duplicate_of for m in kept] == [None, kept[0].id]
    assert kept[0].raw == kept[1].raw


def test_no_answer_after_the_final_dot_is_uncertain(operator: MssSandbox, pki: SandboxPki) -> None:
    """A timeout there says nothing; the connection is not used again, where the late answer would be misread."""
    operator.faults.set("silent_after_dot", parameters={"seconds": 0.6})
    first, second = send(operator, context(pki), mail(), mail(message_id="<2@x.fr>"), timeout=0.3)
    assert first.worst.kind is Kind.UNCERTAIN
    assert second.worst.kind is Kind.ACCEPTED
    assert operator.connections == 2


def test_mixed_recipients_have_their_own_outcomes(operator: MssSandbox, pki: SandboxPki) -> None:
    """One unknown, one foreign, one good: the good one is served."""
    unknown, foreign = "inconnu@medecin.formation.mssante.fr", "a@gmail.com"
    (result,) = send(operator, context(pki), mail(recipients=(unknown, foreign, DOCTOR)))
    assert {a: o.code for a, o in result.outcomes.items()} == {
        unknown: "MSS-OUT-ADDRESS",
        foreign: "MSS-OUT-POLICY",
        DOCTOR: "MSS-OUT-ACCEPTED",
    }
    assert operator.messages[0].recipients == (DOCTOR,)
    assert result.worst.kind is Kind.REFUSED


def test_only_the_recipients_still_due_are_tried_again(operator: MssSandbox, pki: SandboxPki) -> None:
    """After a partial success the same mail goes to the others alone."""
    operator.faults.set("greylisting")
    sent = mail(recipients=(DOCTOR, NURSE))

    async def run() -> None:
        async with MssClient(account(operator, context(pki))) as client:
            first = await client.send(sent)
            due = [a for a, o in first.outcomes.items() if o.kind is Kind.RETRY]
            assert due == [DOCTOR]
            assert (await client.send(sent, due)).outcomes.keys() == {DOCTOR}

    asyncio.run(run())
    assert [m.recipients for m in operator.messages] == [(NURSE,), (DOCTOR,)]


def test_slow_answers_are_waited_for(operator: MssSandbox, pki: SandboxPki) -> None:
    """An answer byte by byte is one answer."""
    operator.faults.set("slow_bytes", count=None, parameters={"seconds": 0.001})
    (result,) = send(operator, context(pki), mail())
    assert result.worst.kind is Kind.ACCEPTED


def test_a_silent_operator_is_given_up(operator: MssSandbox, pki: SandboxPki) -> None:
    """A timeout before the message is a retry."""
    operator.faults.set("slow_bytes", transaction="EHLO", parameters={"seconds": 0.2})
    (result,) = send(operator, context(pki), mail(), timeout=0.2)
    assert result.worst.kind is Kind.RETRY


def test_nobody_listening_is_a_retry(operator: MssSandbox, pki: SandboxPki) -> None:
    """A refused connection names the network, not the document."""
    (result,) = send(operator, context(pki), mail(), port=9)
    assert (result.worst.code, result.worst.kind) == ("MSS-OUT-NETWORK", Kind.RETRY)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("which", ["none", "foreign", "expired"])
def test_a_client_certificate_that_is_refused_is_for_the_operator(
    pki: SandboxPki, tmp_path: Path, version: ssl.TLSVersion, which: str
) -> None:
    """Absent, foreign or expired: a configuration error, whatever the version of TLS (mss.md 2.2)."""
    subject = [("C", "FR"), ("OU", pki.structure_id), ("CN", "MSS")]
    files = None
    if which == "foreign":
        files = pki.foreign().issue(subject, "client").write(tmp_path, "foreign")
    elif which == "expired":
        past = datetime(2020, 1, 1, tzinfo=UTC)
        credential = pki.authority().issue(subject, "client", not_before=past, not_after=past + timedelta(days=1))
        files = credential.write(tmp_path, "expired")
    with MssSandbox(pki, tls_maximum=version) as sandbox:
        (result,) = send(sandbox, context(pki, files, anonymous=files is None), mail())
        assert not sandbox.messages
    assert (result.worst.code, result.worst.kind) == ("MSS-OUT-CERTIFICATE", Kind.OPERATOR)


def test_a_server_of_another_authority_is_not_spoken_to(pki: SandboxPki, tmp_path: Path) -> None:
    """Own trust store only: the server's certificate must come from it."""
    other = make_sandbox_pki(tmp_path / "other")
    with MssSandbox(other) as sandbox:
        (result,) = send(sandbox, context(pki), mail())
    assert (result.worst.code, result.worst.kind) == ("MSS-OUT-SERVER-CERTIFICATE", Kind.OPERATOR)


def test_a_revoked_server_is_not_spoken_to(tmp_path: Path) -> None:
    """The revocation list is looked at."""
    pki = make_sandbox_pki(tmp_path / "pki")
    pki.revoke(x509.load_pem_x509_certificate(pki.server.cert_path.read_bytes()))
    with MssSandbox(pki) as sandbox:
        (result,) = send(sandbox, client_ssl_context(pki.mss, pki.trust, crl=pki.crl), mail())
    assert result.worst.code == "MSS-OUT-SERVER-CERTIFICATE"


def test_a_server_of_another_name_is_not_spoken_to(operator: MssSandbox, pki: SandboxPki, tmp_path: Path) -> None:
    """The host name is checked against the certificate."""
    server = pki.authority().issue([("CN", "smtp.autre.fr")], "server", san=["smtp.autre.fr"]).write(tmp_path, "other")
    with MssSandbox(dataclasses.replace(pki, server=server)) as sandbox:
        (result,) = send(sandbox, context(pki), mail())
    assert result.worst.code == "MSS-OUT-SERVER-CERTIFICATE"


def test_a_context_that_verifies_nothing_is_not_taken(pki: SandboxPki) -> None:
    """There is no way to send without checking the server."""
    tls = context(pki)
    tls.check_hostname = False
    with pytest.raises(ValueError, match="verify"):
        MssClient(MssAccount(host="localhost", mailbox=SENDER, ssl_context=tls))


def test_a_message_over_the_announced_size_does_not_leave(pki: SandboxPki) -> None:
    """SIZE of the second EHLO decides, before MAIL."""
    with MssSandbox(pki, settings=SmtpSettings(max_bytes=1000)) as sandbox:
        (result,) = send(sandbox, context(pki), mail())
        assert len(sandbox.journal) == 0
    assert (result.worst.code, result.worst.original_text) == ("MSS-OUT-SIZE", f"SIZE 1000, message {mail().size}")


def test_delivery_notices_are_asked_only_where_announced(pki: SandboxPki) -> None:
    """Without DSN in the second EHLO no parameter of RFC 3461 is written."""
    with MssSandbox(pki, settings=SmtpSettings(dsn=False)) as sandbox:
        (result,) = send(sandbox, context(pki), mail())
        assert sandbox.messages[0].envelope_id == ""
    assert not result.dsn_requested
    assert result.worst.kind is Kind.ACCEPTED


def test_external_authentication_names_the_mailbox(pki: SandboxPki) -> None:
    """SASL EXTERNAL with the mailbox as identity; another sender is refused."""
    with MssSandbox(pki, settings=SmtpSettings(auth=AuthMode.EXTERNAL)) as sandbox:
        (good,) = send(sandbox, context(pki), mail(), auth=AuthMode.EXTERNAL)
        (bad,) = send(sandbox, context(pki), mail(), auth=AuthMode.EXTERNAL, mailbox=DOCTOR)
        (none,) = send(sandbox, context(pki), mail())
    assert good.worst.kind is Kind.ACCEPTED
    assert bad.worst.code == "MSS-OUT-SENDER"
    assert none.worst.code == "MSS-OUT-TOKEN"


def test_a_password_is_checked(pki: SandboxPki) -> None:
    """SASL PLAIN, where an operator wants it."""
    settings = SmtpSettings(auth=AuthMode.PLAIN)
    with MssSandbox(pki, settings=settings, check_token=lambda user, secret: secret == "juste") as sandbox:
        (good,) = send(sandbox, context(pki), mail(), auth=AuthMode.PLAIN, password="juste")
        (bad,) = send(sandbox, context(pki), mail(), auth=AuthMode.PLAIN, password="faux")
    assert good.worst.kind is Kind.ACCEPTED
    assert (bad.worst.code, bad.worst.original_code) == ("MSS-OUT-TOKEN", "535")


def test_a_refused_token_is_renewed_once(pki: SandboxPki) -> None:
    """XOAUTH2: the refusal is answered with an empty line, one fresh token is tried, then a person is needed."""
    given: list[str] = []

    def source(*tokens: str):  # type: ignore[no-untyped-def]
        left = iter(tokens)

        async def token() -> str:
            given.append(next(left))
            return given[-1]

        return token

    async def run(sandbox: MssSandbox, *tokens: str) -> str:
        tls = context(pki, anonymous=True)
        client = MssClient(account(sandbox, tls, auth=AuthMode.XOAUTH2), token=source(*tokens))
        async with client:
            return (await client.send(mail())).worst.code

    settings = SmtpSettings(auth=AuthMode.XOAUTH2)
    with MssSandbox(
        pki, settings=settings, require_certificate=False, check_token=lambda user, token: token == "good"
    ) as sandbox:
        assert asyncio.run(run(sandbox, "good")) == "MSS-OUT-ACCEPTED"
        assert asyncio.run(run(sandbox, "stale", "good")) == "MSS-OUT-ACCEPTED"
        assert asyncio.run(run(sandbox, "stale", "stale", "good")) == "MSS-OUT-TOKEN"
    assert given == ["good", "stale", "good", "stale", "stale"]


def test_xoauth2_without_a_source_of_tokens_is_refused_at_once(pki: SandboxPki) -> None:
    """A configuration that cannot work fails at start."""
    with pytest.raises(ValueError, match="tokens"):
        MssClient(MssAccount(host="localhost", mailbox=SENDER, ssl_context=context(pki), auth=AuthMode.XOAUTH2))


def test_a_connection_closed_while_idle_is_opened_again(operator: MssSandbox, pki: SandboxPki) -> None:
    """Nothing had been sent on it, so the mail goes on a new one without a word."""

    async def run() -> list[Kind]:
        async with MssClient(account(operator, context(pki))) as client:
            first = await client.send(mail())
            # The operator closes idle connections with a 421 or a plain end; here the next MAIL gets one.
            operator.faults.set("4xx", transaction="MAIL", parameters={"code": 421, "text": "4.4.2 idle"})
            second = await client.send(mail(message_id="<2@x.fr>"))
            return [first.worst.kind, second.worst.kind]

    assert asyncio.run(run()) == [Kind.ACCEPTED, Kind.ACCEPTED]
    assert operator.connections == 2


def test_many_tasks_share_the_connections(operator: MssSandbox, pki: SandboxPki) -> None:
    """Concurrent sendings use at most the connections allowed, and none is mixed up."""

    async def run() -> int:
        async with MssClient(account(operator, context(pki), max_connections=2)) as client:
            mails = [mail(message_id=f"<{i}@x.fr>", envelope_id=f"e{i}") for i in range(12)]
            results = await asyncio.gather(*(client.send(m) for m in mails))
            return sum(r.worst.kind is Kind.ACCEPTED for r in results)

    assert asyncio.run(run()) == 12
    assert len({m.message_id for m in operator.messages}) == 12
    assert operator.connections <= 2


def test_only_a_mailbox_of_the_certificate_may_send(pki: SandboxPki) -> None:
    """The operator ties mailboxes to the structure of the certificate."""
    with MssSandbox(pki, senders={pki.structure_id: frozenset({NURSE})}) as sandbox:
        (result,) = send(sandbox, context(pki), mail())
    assert (result.worst.code, result.worst.kind) == ("MSS-OUT-SENDER", Kind.OPERATOR)


def test_notices_come_back_and_are_understood(operator: MssSandbox, pki: SandboxPki) -> None:
    """Delivered and processed; then a late bounce, and an integration error, each tied to its sending."""
    operator.faults.clear()
    send(operator, context(pki), mail())
    operator.faults.set("late_bounce")
    send(operator, context(pki), mail(message_id="<2@x.fr>", envelope_id="dlv_2"))
    operator.faults.set("mdn_error", parameters={"code": "904"})
    send(operator, context(pki), mail(message_id="<3@x.fr>", envelope_id="dlv_3"))
    notices = [mime.parse(raw) for raw in operator.inbox(SENDER)]
    delivered, processed, bounced, _, failed = notices
    first = parse_delivery(delivered)
    assert first is not None
    assert (first.envelope_id, first.recipients[0].state) == ("dlv_1", State.DELIVERED)
    handled = parse_disposition(processed)
    assert handled is not None
    assert (handled.original_message_id, handled.failed) == (mail().message_id, False)
    late = parse_delivery(bounced)
    assert late is not None
    assert (late.envelope_id, late.original_message_id) == ("dlv_2", "<2@x.fr>")
    assert (late.recipients[0].state, late.recipients[0].status) == (State.FAILED, "5.1.1")
    error = parse_disposition(failed)
    assert error is not None
    assert (error.failed, error.error_code, error.recipient) == (True, "904", DOCTOR)


def test_the_recorder_keeps_every_answer(operator: MssSandbox, pki: SandboxPki) -> None:
    """Evidence of each action with the operator's answer, failures included, without any recipient (ECO.4.1.1)."""
    kept: list[dict[str, str]] = []

    async def run() -> None:
        client = MssClient(account(operator, context(pki)), recorder=lambda **line: kept.append(line))
        async with client:
            await client.send(mail(recipients=("inconnu@medecin.formation.mssante.fr", DOCTOR)))

    asyncio.run(run())
    assert [line["action"] for line in kept] == ["RCPT", "DATA"]
    assert "550" in kept[0]["answer"]
    assert "MSS-OUT-ACCEPTED" in kept[1]["answer"]
    assert all(line["mailbox"] == SENDER and "inconnu@" not in str(line) for line in kept)
