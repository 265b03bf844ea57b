"""A hundred mails a second on one core, over one TLS connection, client and strict operator together."""

from __future__ import annotations

import asyncio
import random
import smtplib
import time
from collections.abc import Callable
from pathlib import Path

from adapters.mss.client import MssAccount, MssClient
from adapters.mss.message import build_mail
from adapters.mss.outcomes import Kind
from adapters.mss.sandbox import MssSandbox
from security.pki import make_sandbox_pki
from security.tls import client_ssl_context
from tests.support.mss import DOCTOR, PDF, SENDER, cda, draft, package

COUNT = 200


def test_a_hundred_mails_a_second_on_one_core(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Processor time of both sides under 10 ms a mail of 60 kB; a plain smtplib run beside it for comparison."""
    pki = make_sandbox_pki(tmp_path)
    made = package(cda(pdf=PDF + random.Random(1).randbytes(20_000)))
    mails = [build_mail(draft(made, message_id=f"<{n}@x.fr>", envelope_id=f"e{n}")) for n in range(COUNT)]
    context = client_ssl_context(pki.mss, pki.trust)
    with MssSandbox(pki) as operator:

        async def run() -> tuple[float, float]:
            account = MssAccount(host="localhost", port=operator.smtp_port, mailbox=SENDER, ssl_context=context)
            async with MssClient(account) as client:
                await client.send(mails[0])
                wall, cpu = time.perf_counter(), time.process_time()
                for mail in mails:
                    assert (await client.send(mail)).worst.kind is Kind.ACCEPTED
                return (time.perf_counter() - wall) / COUNT, (time.process_time() - cpu) / COUNT

        wall, cpu = asyncio.run(run())
        assert operator.connections == 1
        plain = smtplib.SMTP("localhost", operator.smtp_port)
        plain.starttls(context=context)
        plain.ehlo()
        begun = time.perf_counter()
        for mail in mails[:50]:
            plain.sendmail(SENDER, [DOCTOR], mail.data)
        beside = (time.perf_counter() - begun) / 50
        plain.quit()
    for name, value in (("mails_per_second", 1 / wall), ("cpu_ms", cpu * 1000), ("smtplib_per_second", 1 / beside)):
        record_property(name, round(value, 2))
    assert cpu < 0.010, f"{cpu * 1000:.1f} ms of processor a mail"
    assert wall < beside * 1.2, f"{1 / wall:.0f}/s against {1 / beside:.0f}/s of smtplib"
