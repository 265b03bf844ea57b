"""Reading, converting and checking what a caller sends, all at once: pure CPU work, run in the process pool.

Nothing here keeps or sends anything: bytes in, an :class:`Intake` out, or an :class:`IntakeRefused` with every fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from conformance.verdict import Finding, Severity, Verdict
from gateway.problems import rule
from gateway.services.faults import doubts_of, findings_of
from gateway.services.feed_facts import facts_of
from gateway.services.files import as_pdf
from gateway.traits import strict_traits
from mappings import document as hub
from mappings.document.people import Professional
from mappings.loss import LossReport
from security.errors import Unreadable, UnsafeInput

__all__ = [
    "Form",
    "Intake",
    "IntakeOptions",
    "IntakeRefused",
    "Values",
    "check_identity_of",
    "convert",
    "describe_actor",
    "printed_form",
    "read_document",
]

Form = Literal["json", "fhir", "cda"]

UNREADABLE = rule(
    "DOC-READ-001",
    "Le contenu ne peut pas être lu.",
    "The content cannot be read.",
    "Envoyez un document bien formé, en UTF-8, sans DOCTYPE, dans la limite de taille.",
    "Send a well-formed document, in UTF-8, without DOCTYPE, within the size limit.",
)
CLINICAL_LOSS = rule(
    "DOC-LOSS-001",
    "Un élément clinique du document serait perdu.",
    "A clinical part of the document would be lost.",
    "Corrigez cet élément, ou acceptez la perte avec allowLoss.",
    "Correct this part, or accept the loss with allowLoss.",
)
NO_IDENTIFIER = rule(
    "DOC-IDENT-001",
    "Le patient n'a ni INS qualifiée ni identifiant local.",
    "The patient has neither a qualified INS nor a local identifier.",
    "Donnez l'identifiant local du patient (IPP) avec l'OID de votre structure.",
    "Give the patient's local identifier (IPP) with your structure's OID.",
    "cda-header.md 4",
)
ROOT_ONLY = rule(
    "DOC-IDENT-002",
    "L'identifiant du document doit être un OID seul.",
    "The document's identifier must be an OID alone.",
    "Donnez l'OID dans root, sans extension.",
    "Give the OID in root, without extension.",
    "cda-header.md 2, row 4",
)


TOO_LARGE = rule(
    "document_too_large",
    "Le document dépasse la taille que le DMP accepte.",
    "The document is larger than the DMP takes.",
    "Réduisez le PDF, par exemple la définition de ses images, ou séparez-le en plusieurs documents.",
    "Make the PDF smaller, for instance the resolution of its images, or cut it into several documents.",
    "dmp.md 10",
)


class IntakeRefused(Exception):
    """The document was refused; every fault found is in ``findings``."""

    def __init__(self, findings: list[Finding], *, unreadable: bool = False, too_large: bool = False) -> None:
        # Errors first: what refuses is what one reads first.
        self.findings = list(Verdict.of(findings).findings)
        self.unreadable = unreadable
        self.too_large = too_large
        super().__init__(", ".join(sorted({f.code for f in findings})))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.findings, self.unreadable, self.too_large)


def _rebuild(findings: list[Finding], unreadable: bool, too_large: bool) -> IntakeRefused:
    return IntakeRefused(findings, unreadable=unreadable, too_large=too_large)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeOptions:
    """What the caller and the gateway say beside the bytes."""

    environment: Literal["test", "production"] = "test"
    allow_loss: bool = False
    fresh_oid: str = ""  #: unique id for a document that brings none
    now: str = ""  #: RFC 3339, for a PDF made here
    max_document_bytes: int = 5 * 1024 * 1024
    tolerant: bool = False  #: read a Bundle that breaks rules, as far as it can be: translating is not accepting


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """A document read, written in both forms and checked."""

    form: Form
    kind: str
    model: bytes  #: the hub model as JSON
    patient: bytes  #: of the model, the patient alone
    cda: bytes
    cda_qualified: bool  #: the CDA carries the INS
    fhir: bytes
    pdf: bytes | None
    unique_id: str
    brought_id: bool
    set_id: str
    version_number: int
    replaces: str | None
    type_code: str
    type_system: str
    acted_at: str
    visibility: tuple[str, ...]
    authors: tuple[dict[str, Any], ...]
    loss: dict[str, Any]
    warnings: tuple[Finding, ...] = field(default=())
    facts: dict[str, Any] = field(default_factory=dict)  #: see :mod:`gateway.services.feed_facts`


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The plain values of a document whose JSON was read already, in a request of so many bytes."""

    value: Any
    size: int


def convert(body: bytes | Values, form: Form, options: IntakeOptions) -> Intake:
    """Read a document, write it as CDA and FHIR, and check both.

    Raises :class:`IntakeRefused` with every fault found, each with its place in the bytes sent.
    """
    document, loss, warnings = read_document(body, form, options)
    document, brought = _with_ids(document, options)
    document, left_out = as_pdf(document)
    loss = loss + left_out
    findings = [*warnings, *check_identity_of(document, options.environment)]
    refuse(findings)

    from mappings import cda

    pdf = printed_form(document)
    try:
        written = cda.write(document, pdf=pdf)
    except cda.CdaError as exc:
        raise IntakeRefused(list(exc.findings)) from exc
    qualified = document.patient.qualified
    data = written.data
    if form == "cda" and qualified and isinstance(body, bytes):
        # A caller's own CDA is relayed as it is, canonical so that the bytes sent are the bytes signed (dmp.md 5).
        from security.xml import CDA_LIMITS, canonical, parse

        data = canonical(parse(body, CDA_LIMITS))
    else:
        loss = loss + written.loss
    refuse_larger(len(data), options.max_document_bytes)
    bundle, lost = _as_bundle(document)
    loss = loss + lost
    if loss.refuses and not options.allow_loss:
        findings += [
            CLINICAL_LOSS.finding(item.place, found=item.name or None)
            for item in loss.items
            if item.clinical and item.fate == "lost"
        ]
    findings += _conformance(data, options.environment)
    refuse(findings)

    main = document.acts[0]
    # Bytes at once: the text between would be one more copy of the file the document holds.
    model = bytes(document.__pydantic_serializer__.to_json(document, exclude_none=True))
    return Intake(
        form=form,
        kind=document.kind,
        model=model,
        patient=bytes(document.patient.__pydantic_serializer__.to_json(document.patient, exclude_none=True)),
        cda=data,
        cda_qualified=qualified,
        fhir=bundle,
        pdf=pdf,
        unique_id=document.id.root,
        brought_id=brought,
        set_id=_ii(document.set_id),
        version_number=document.version_number,
        replaces=document.replaces.id.root if document.replaces else None,
        type_code=document.type.code,
        type_system=document.type.system,
        acted_at=main.period.start,
        visibility=tuple(sorted(document.visibility.codes)),
        authors=tuple(describe_actor(a.professional) for a in document.authors if a.professional),
        loss=loss.as_json(),
        warnings=tuple(f for f in findings if f.severity is not Severity.ERROR),
        facts=facts_of(document, model),
    )


def refuse_larger(size: int, limit: int, place: str = "") -> None:
    """Refuse by name what is larger than the DMP takes."""
    if size > limit:
        finding = TOO_LARGE.finding(place, found=f"{size} octets", expected=f"{limit} octets au plus")
        raise IntakeRefused([finding], too_large=True)


def _refuse_long_text(value: Any, limit: int, place: str = "") -> None:
    """Refuse a file in base64 that alone is over the limit, before it is decoded."""
    if isinstance(value, str):
        refuse_larger(len(value), limit, place)
    elif isinstance(value, dict):
        for name, member in value.items():
            _refuse_long_text(member, limit, f"{place}/{name}")
    elif isinstance(value, list):
        for number, member in enumerate(value):
            _refuse_long_text(member, limit, f"{place}/{number}")


def _json(body: bytes | Values, limit: int) -> Any:
    from security import json as hard_json

    if isinstance(body, Values):
        value, size = body.value, body.size
    else:
        value, size = hard_json.loads(body, max_bytes=limit * 4), len(body)
    if size > limit:
        _refuse_long_text(value, limit)
    return value


def _as_bundle(document: Any) -> tuple[bytes, LossReport]:
    """The FHIR form as bytes; its plain values, file included, are let go at once."""
    import orjson

    from mappings import fhir

    try:
        written = fhir.write(document)
    except fhir.FhirError as exc:
        raise IntakeRefused(list(exc.findings)) from exc
    return orjson.dumps(written.bundle), written.loss


def refuse(findings: list[Finding]) -> None:
    """Raise when any finding is an error."""
    if any(f.severity is Severity.ERROR for f in findings):
        raise IntakeRefused(findings)


def read_document(body: bytes | Values, form: Form, options: IntakeOptions) -> tuple[Any, LossReport, list[Finding]]:
    try:
        if form == "json":
            document = hub.load(_json(body, options.max_document_bytes))
            return document, LossReport(), list(doubts_of(document))
        if form == "fhir":
            from mappings import fhir

            value = _json(body, options.max_document_bytes)
            judged = [] if options.tolerant else _bundle(value)
            try:
                reading = fhir.read(value)
            except fhir.FhirError as exc:
                raise IntakeRefused(_unless_told(judged, exc.findings)) from exc
            return reading.document, reading.loss, _unless_told(judged, reading.findings)
        from mappings import cda

        if isinstance(body, Values):
            raise TypeError("a CDA is bytes")
        refuse_larger(len(body), options.max_document_bytes)
        try:
            read = cda.read(body)
        except cda.CdaError as exc:
            raise IntakeRefused(list(exc.findings)) from exc
        return read.document, read.loss, list(read.findings)
    except ValidationError as exc:
        raise IntakeRefused(list(findings_of(exc))) from None
    except Unreadable as exc:
        found = UNREADABLE.finding("", found=f"{exc.code} {exc.found}", expected=exc.expected, line=exc.line)
        raise IntakeRefused([found], unreadable=True) from None
    except UnsafeInput as exc:
        found = UNREADABLE.finding("", found=f"{exc.code} {exc.found}", expected=exc.expected, line=exc.line)
        raise IntakeRefused([found], unreadable=True) from None


def _bundle(value: Any) -> list[Finding]:
    """Judge a Bundle as it was sent, before anything is read out of it; raises when it breaks a rule."""
    from conformance.fhir import check_bundle

    found = list(check_bundle(value).findings)
    refuse(found)
    return found


def _unless_told(told: list[Finding], more: Iterable[Finding]) -> list[Finding]:
    known = {(each.code, each.location) for each in told}
    return [*told, *(each for each in more if (each.code, each.location) not in known)]


def _with_ids(document: Any, options: IntakeOptions) -> tuple[Any, bool]:
    from mappings.document.people import Identifier

    brought = document.id is not None
    if brought and document.id.extension is not None:
        raise IntakeRefused([ROOT_ONLY.finding("/id/extension")])
    if not document.patient.qualified and not document.patient.identifiers:
        raise IntakeRefused([NO_IDENTIFIER.finding("/patient/identifiers")])
    changes: dict[str, Any] = {}
    if not brought:
        changes["id"] = Identifier(root=options.fresh_oid)
    if document.set_id is None:
        changes["set_id"] = document.id or changes["id"]
    return (document.model_copy(update=changes) if changes else document), brought


def check_identity_of(document: Any, environment: Literal["test", "production"]) -> list[Finding]:
    """Judge the identity a document declares, as far as can be known without the network."""
    from conformance.identity.check import check_identity

    patient = document.patient
    return list(
        check_identity(
            matricule=patient.ins.value if patient.ins else None,
            oid=patient.ins.authority if patient.ins else None,
            environment=environment,
            traits=strict_traits(patient),
            status=str(patient.status),
            attributes=tuple(patient.attributes),
        ).findings
    )


def printed_form(document: Any) -> bytes | None:
    """The printed form a document must or may carry: the caller's, else one made here for a prescription."""
    if document.kind == "report":
        return bytes(document.content) if document.media_type == "application/pdf" else None
    own = getattr(document, "pdf", None)
    if own:
        return bytes(own)
    if document.kind == "prescription":
        from mappings.rendering import pdf

        return bytes(pdf.render_pdf(document))
    return None


def _conformance(data: bytes, environment: Literal["test", "production"]) -> list[Finding]:
    from conformance.cda import check

    return list(check(data, environment=environment).findings)


def _ii(identifier: Any) -> str:
    return identifier.root if identifier.extension is None else f"{identifier.root}^{identifier.extension}"


def describe_actor(professional: Professional) -> dict[str, Any]:
    """What the ledger and the VIHF need of a professional; never a patient's datum."""
    organization = professional.organization
    return {
        "id": professional.id.extension or professional.id.root,
        "family": professional.family,
        "given": professional.given,
        "specialty": professional.specialty.model_dump(exclude_none=True) if professional.specialty else None,
        "structure": organization.id.extension if organization and organization.id else None,
        "structureName": organization.name if organization else None,
        "professional": professional.model_dump(mode="json", exclude_none=True),
    }
