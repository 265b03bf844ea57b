"""Messages of other XDS software, each put to what reads its kind here: over mutual TLS when it asks a service."""

from __future__ import annotations

import base64
import functools
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import orjson
from cryptography import x509
from lxml import etree

from adapters.dmp import mtom
from adapters.dmp.answers import read_query, read_registry_response, read_retrieved
from adapters.dmp.envelope import SOAP12, WSSE, NotSoap, read_envelope, write_envelope
from adapters.dmp.messages import ACTIONS
from adapters.dmp.mtom import MtomError, Package
from security import xml
from security.errors import UnsafeInput
from security.tls import client_ssl_context
from security.vihf import Mode
from security.vihf_verify import TrustPolicy, VihfRefused, verify_vihf
from tests.support import outside
from tests.support.dmp import OPEN_PATIENT, Bench, a_doctor

__all__ = ["Foreign", "Sample", "assertion_verdict", "index", "response_outcome"]

#: Which service of the DMP a message of each transaction goes to.
SERVICES: Final = {"ITI-41": "repository", "ITI-43": "repository", "ITI-86": "repository", "XDS.a": "repository"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row of the index, with its bytes."""

    file: str
    transaction: str
    kind: str
    packaging: str
    expect: str
    data: bytes = field(repr=False)

    @property
    def rejected(self) -> bool:
        """Whether the index wants the message refused."""
        return self.expect.startswith("reject")

    def http(self) -> tuple[str, bytes]:
        """Content type and body, as a stack would send them."""
        if self.packaging.startswith("http"):
            head, _, body = self.data.replace(b"\r\n", b"\n").partition(b"\n\n")
            lines = re.sub(rb"\n[ \t]", b" ", head).split(b"\n")
            kinds = [line.partition(b":")[2].strip() for line in lines if line.lower().startswith(b"content-type:")]
            return kinds[0].decode(), body
        if self.packaging == "multipart":
            first = next(line for line in self.data.splitlines() if line.startswith(b"--")).strip()[2:].decode()
            return f'multipart/related; type="application/xop+xml"; boundary="{first}"', self.data
        return "application/soap+xml; charset=utf-8", self.data


@functools.cache
def index() -> dict[str, Sample]:
    """Every sample by its name."""
    folder = outside.samples() / "xds"
    rows = orjson.loads((folder / "index.json").read_bytes())["files"]
    names = ("file", "transaction", "kind", "packaging", "expect")
    return {
        row["file"]: Sample(**{name: row[name] for name in names}, data=(folder / row["file"]).read_bytes())
        for row in rows
    }


class Foreign:
    """Sends foreign messages to a simulated DMP, and says in a word what it answered."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._client = bench.client()
        tls = client_ssl_context(bench.pki.auth, bench.pki.trust)
        self._http = httpx.Client(verify=tls, trust_env=False, timeout=20)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def as_it_is(self, sample: Sample) -> str:
        """Send the very bytes."""
        kind, body = sample.http()
        return self._post(sample, kind, body)

    def with_an_assertion(self, sample: Sample) -> str:
        """Send the message with an assertion of ours in its header; a bare body in an envelope of ours."""
        if sample.packaging == "bare":
            body = re.sub(rb"^\s*<\?xml[^>]*\?>", b"", sample.data).strip()
            known = ACTIONS.get(sample.transaction)
            action = known.request if known else f"urn:ihe:iti:2007:{sample.transaction}"
            chunks = write_envelope(
                action=action, to="urn:x", message_id="urn:uuid:1", assertion=self._assertion(), body=[body]
            )
            return self._post(sample, "application/soap+xml", b"".join(chunks))
        kind, raw = sample.http()
        package = mtom.read(kind, raw)
        root = xml.parse(package.root)
        header = root.find(f"{{{SOAP12}}}Header")
        if header is None:
            header = etree.Element(f"{{{SOAP12}}}Header")
            root.insert(0, header)
        for old in header.findall(f"{{{WSSE}}}Security"):
            header.remove(old)
        etree.SubElement(etree.SubElement(header, f"{{{WSSE}}}Security"), "OURS")
        made = etree.tostring(root).replace(b"<OURS/>", self._assertion())
        if not package.parts:
            return self._post(sample, "application/soap+xml", made)
        parts = [mtom.Part(content_id=name, content=content) for name, content in package.parts.items()]
        kind, chunks = mtom.write([made], parts, boundary="uuid-again", root_id="root@x", action="")
        return self._post(sample, kind, b"".join(chunks))

    def by_fhir(self, sample: Sample) -> str:
        """Send a FHIR resource to the FHIR face, the assertion as bearer; gives status and registry code."""
        body = sample.http()[1]
        token = base64.urlsafe_b64encode(self._assertion()).decode()
        answer = self._http.post(
            self._bench.sandbox.fhir_url,
            content=body,
            headers={"Content-Type": "application/fhir+json", "Authorization": f"Bearer {token}"},
        )
        said = answer.json()
        if said["resourceType"] != "OperationOutcome":
            return str(answer.status_code)
        return f"{answer.status_code} {said['issue'][0]['details']['coding'][0]['code']}"

    def _assertion(self) -> bytes:
        claims = a_doctor().claims(Mode.DIRECT, self._client.endpoint.software, patient=OPEN_PATIENT)
        return self._client._assert(claims)

    def _post(self, sample: Sample, kind: str, body: bytes) -> str:
        service = SERVICES.get(sample.transaction, "registry")
        answer = self._http.post(
            f"{self._bench.sandbox.base_url}/{service}", content=body, headers={"Content-Type": kind}
        )
        assert b"Traceback" not in answer.content
        if not answer.content:
            return str(answer.status_code)
        package = mtom.read(answer.headers["content-type"], answer.content)
        envelope = read_envelope(package.root)
        if envelope.fault is not None:
            return envelope.fault.subcode or envelope.fault.code
        assert envelope.body is not None
        inner = envelope.body.find("{urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0}RegistryResponse")
        return read_registry_response(envelope.body if inner is None else inner).original_code


def response_outcome(sample: Sample) -> str:
    """What the client makes of an answer: the code of its outcome."""
    try:
        if sample.packaging == "bare":
            body: etree._Element | None = xml.parse(sample.data)
            package = Package(root=b"")
        else:
            kind, raw = sample.http()
            package = mtom.read(kind, raw)
            envelope = read_envelope(package.root)
            if envelope.version != SOAP12:
                return "SOAP 1.1"
            if envelope.fault is not None:
                return f"fault {envelope.fault.code}"
            body = envelope.body
        assert body is not None
        name = etree.QName(body).localname
        if name == "AdhocQueryResponse":
            return read_query(body)[0].code
        if name == "RetrieveDocumentSetResponse":
            return read_retrieved(body, package)[0].code
        if name == "RegistryResponse":
            return read_registry_response(body).code
    except (NotSoap, UnsafeInput, MtomError) as exc:
        return getattr(exc, "code", type(exc).__name__)
    return f"no answer of a registry: {name}"


def assertion_verdict(sample: Sample, authority: Path) -> str:
    """What the simulator makes of a foreign assertion: the code of its refusal."""
    roots = tuple(x509.load_pem_x509_certificates(authority.read_bytes()))
    try:
        verify_vihf(xml.parse(sample.data), TrustPolicy(roots=roots), now=datetime.now(UTC))
    except VihfRefused as exc:
        return exc.code
    return "verified"
