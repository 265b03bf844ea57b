"""A DMP simulator and a client over mutual TLS, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.dmp.actor import Actor
from adapters.dmp.client import DmpClient
from adapters.dmp.prepare import OutgoingDocument
from adapters.dmp.sandbox import DmpSandbox
from adapters.dmp.settings import DmpEndpoint
from adapters.dmp.transport import ExchangeRecord
from mappings.xds import PatientId
from security.keyring import KeyRef, open_files
from security.pki import SandboxPki, make_sandbox_pki
from security.tls import client_ssl_context
from security.vihf import Coded, Software, VihfProfile, VihfSigner
from security.xades import SetSigner
from tests.support.cda_samples import INS, RPPS, STRUCTURE, TEST_AUTHORITY, level1_cda

__all__ = ["PATIENT", "Bench", "a_bench", "a_doctor", "an_endpoint", "run"]

T = TypeVar("T")
PATIENT = PatientId(value=INS, authority=TEST_AUTHORITY)
#: A patient of the seeds who authorised the professional.
OPEN_PATIENT = PatientId(value="275126322074974", authority=TEST_AUTHORITY)
SOFTWARE = Software(id="0001", name="GATEWAY TEST", version="1.0", homologation="TEST-0000")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine to its end."""
    return asyncio.run(coroutine)


def a_doctor(**changes: Any) -> Actor:
    """A general practitioner in the sandbox's structure."""
    values: dict[str, Any] = {
        "id": RPPS,
        "family": "KERVELLA",
        "given": "Odile",
        "profession": Coded(code="10", system="1.2.250.1.71.1.2.7", system_name="G15", display="Médecin"),
        "specialty": Coded(
            code="SM54", system="1.2.250.1.71.4.2.5", system_name="R01", display="Médecine Générale (SM)"
        ),
        "structure_id": STRUCTURE,
        "structure_name": "CABINET FICTIF",
        "role": "Médecin traitant",
        "authn_instant": datetime.now(UTC) - timedelta(minutes=30),
        **changes,
    }
    return Actor(**values)


def an_endpoint(base: str, **options: Any) -> DmpEndpoint:
    """An environment at a base URL."""
    return DmpEndpoint.at(base, software=SOFTWARE, source_id="1.2.250.1.999.9", **options)


@dataclass(slots=True)
class Bench:
    """A simulator and what a client needs to call it."""

    sandbox: DmpSandbox
    pki: SandboxPki
    records: list[ExchangeRecord] = field(default_factory=list)

    def client(self, *, profile: VihfProfile | None = None, tls: Any = None, **options: Any) -> DmpClient:
        """A client of the sandbox's structure."""
        key = open_files(KeyRef(name="sign", path=self.pki.sign.cert_path, key_path=self.pki.sign.key_path))
        assert isinstance(key.private_key, rsa.RSAPrivateKey)
        endpoint = an_endpoint(self.sandbox.base_url, **options)
        return DmpClient(
            endpoint,
            ssl_context=tls or client_ssl_context(self.pki.auth, self.pki.trust),
            vihf=VihfSigner(key=key.private_key, certificate=key.certificate, profile=profile),
            set_signer=SetSigner(key=key.private_key, certificate=key.certificate, digest=endpoint.set_digest),
            recorder=self.records.append,
        )

    def roots(self) -> list[bytes]:
        """The SOAP messages of every exchange, both ways."""
        return [
            data for line in self.sandbox.journal.all() for data in (line.request, line.response) if data is not None
        ]


def a_document(unique_id: str, **options: Any) -> OutgoingDocument:
    """A level-1 document to be fed."""
    sending = {k: options.pop(k) for k in ("visibility", "replaces", "appends_to") if k in options}
    if "replaces_unique_id" in options:
        options["replaces"] = [options.pop("replaces_unique_id")]
    return OutgoingDocument(content=level1_cda(unique_id, **options), **sending)


def a_bench(folder: Path, **options: Any) -> Bench:
    """A started simulator; the caller stops it."""
    pki = make_sandbox_pki(folder, structure_id=STRUCTURE)
    return Bench(sandbox=DmpSandbox(pki, **options).start(), pki=pki)
