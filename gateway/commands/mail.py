"""``passerelle mail``: read a mail or an archive by hand, or make one without sending it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from adapters.mss.receive import Received
    from adapters.mss.unpack import ReceivedPackage
    from conformance.verdict import Finding

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Messages MSSanté : lire ou fabriquer, sans envoyer (mail).",
)

_REJECTED = 1  #: exit code of a mail that a rule refuses
_UNREADABLE = 2  #: exit code of a file that is neither a mail nor an archive, or of a wrong usage
_MAX_FILE = 64 * 1024 * 1024
#: A mail begins with a header field, or with the separator line of a mailbox file.
_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?(?:From [^\r\n]*\r?\n)?[!-9;-~]+[ \t]*:")

_Language = Annotated[str, typer.Option("--lang", help="Langue des motifs : fr ou en.")]


def _write(value: Any) -> None:
    import orjson

    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()


def _load(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE:
            typer.echo(f"{path.name}: plus de {_MAX_FILE} octets.", err=True)
            raise typer.Exit(_UNREADABLE)
        return path.read_bytes()
    except OSError as exc:
        typer.echo(f"{path.name}: {exc.strerror or 'illisible'}.", err=True)
        raise typer.Exit(_UNREADABLE) from None


def _reasons(findings: tuple[Finding, ...], language: str) -> list[dict[str, Any]]:
    out = []
    for finding in findings:
        reason = finding.as_json(language)
        reason["text"] = reason["message"]
        out.append(reason)
    return out


def _package(package: ReceivedPackage) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    documents = [
        {
            "path": d.path,
            "size": d.size,
            "sha1": d.sha1,
            "typeCode": d.document.code,
            "uniqueId": d.unique_id,
            "title": d.document.entry.title,
        }
        for d in package.documents
    ]
    key, traits = package.patient.identifier, package.patient.traits
    birth = traits.birth_date
    patient = {
        "matricule": key.value if key is not None else None,
        "authority": key.authority if key is not None else None,
        "birthName": traits.family or None,
        "firstGivenName": traits.given or None,
        "birthDate": f"{birth[:4]}-{birth[4:6]}-{birth[6:]}" if len(birth) == 8 else birth or None,
        "sex": traits.sex or None,
    }
    return documents, patient


def _notices(received: Received) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if (delivery := received.delivery) is not None:
        out["delivery"] = {
            "envelopeId": delivery.envelope_id or None,
            "originalMessageId": delivery.original_message_id or None,
            "recipients": [
                {"address": r.address, "state": r.state.value, "status": r.status, "text": r.diagnostic}
                for r in delivery.recipients
            ],
        }
    if (disposition := received.disposition) is not None:
        out["disposition"] = {
            "originalMessageId": disposition.original_message_id or None,
            "recipient": disposition.recipient or None,
            "disposition": disposition.disposition,
            "failed": disposition.failed,
            "errorCode": disposition.error_code or None,
            "text": disposition.error_text or None,
        }
    if (failure := received.failure) is not None:
        out["failure"] = {
            "originalMessageId": failure.original_message_id or None,
            "errorCode": failure.error_code,
        }
    return out


def _answer(verdict: str, kind: str, findings: tuple[Finding, ...], language: str, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"verdict": verdict, "kind": kind, "reasons": _reasons(findings, language)}
    return {**base, "documents": [], "patient": None, **more}


@app.command()
def read(
    file: Annotated[
        Path, typer.Argument(help="Message (.eml) ou archive IHE XDM (.zip).", metavar="FILE.eml|FILE.zip")
    ],
    language: _Language = "fr",
) -> None:
    """Lire un message ou une archive et dire en JSON s'il est accepté, ce qu'il porte et de quel patient il parle.

    Sortie 0 : accepté ; 1 : rejeté ; 2 : illisible.
    """
    data = _load(file)
    if data.startswith(b"PK") or file.suffix.lower() == ".zip":
        answer, status = _read_archive(data, language)
    elif _FIELD.match(data):
        answer, status = _read_mail(data.removeprefix(b"\xef\xbb\xbf"), language)
    else:
        typer.echo(f"{file.name}: ni un message, ni une archive ZIP.", err=True)
        raise typer.Exit(_UNREADABLE)
    _write(answer)
    raise typer.Exit(status)


def _read_archive(data: bytes, language: str) -> tuple[dict[str, Any], int]:
    from adapters.mss.rules import MailRefused
    from adapters.mss.unpack import read_package

    try:
        package = read_package(data)
    except MailRefused as refused:
        # Damage inside one entry is a refusal; bytes that are no archive at all are unreadable.
        found = [f.found or "" for f in refused.findings]
        unreadable = any(f.startswith("ZIP-SYNTAX-001") and "entry" not in f for f in found)
        status = _UNREADABLE if unreadable else _REJECTED
        return _answer("rejected", "document", refused.findings, language), status
    documents, patient = _package(package)
    return _answer("accepted", "document", package.warnings, language, documents=documents, patient=patient), 0


def _read_mail(data: bytes, language: str) -> tuple[dict[str, Any], int]:
    from adapters.mss.receive import MailKind, receive
    from adapters.mss.rules import MailRefused

    try:
        received = receive(data)
    except MailRefused as refused:
        return _answer("rejected", "other", refused.findings, language), _REJECTED
    kind = received.kind.value if received.kind in (MailKind.DOCUMENT, MailKind.DSN, MailKind.MDN) else "other"
    more: dict[str, Any] = {
        "detail": received.kind.value,
        "messageId": received.message_id or None,
        "receiptRequested": received.receipt_to is not None,
        **_notices(received),
    }
    if not received.accepted:
        return _answer("rejected", kind, received.reasons, language, **more), _REJECTED
    if received.package is not None:
        more["documents"], more["patient"] = _package(received.package)
    return _answer("accepted", kind, received.reasons, language, **more), 0


@app.command()
def build(
    cdas: Annotated[list[Path], typer.Argument(help="Documents CDA d'un même patient.", metavar="CDA...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Fichier à écrire : .eml ou .zip.")],
    to: Annotated[list[str] | None, typer.Option("--to", help="Adresse d'un destinataire (répétable).")] = None,
    sender: Annotated[str, typer.Option("--from", help="Boîte d'expédition.")] = "",
    label: Annotated[str, typer.Option("--label", help="Libellé de l'expéditeur.")] = "",
    pdf: Annotated[
        list[Path] | None, typer.Option("--pdf", help="PDF de chaque document, dans l'ordre (niveau 3).")
    ] = None,
    nil: Annotated[str, typer.Option("--nil", help="Référence du produit (X-MSS-NIL).")] = "PASSERELLE",
    source_id: Annotated[str, typer.Option("--source-id", help="OID du système émetteur.")] = "",
    close: Annotated[bool, typer.Option("--close", help="Le patient ne pourra pas répondre.")] = False,
    language: _Language = "fr",
) -> None:
    """Fabriquer un message ou son archive IHE XDM, sans l'envoyer.

    Sortie 0 : écrit ; 1 : refusé, avec les motifs en JSON ; 2 : mauvais usage ou fichier illisible.
    """
    from adapters.mss.rules import MailRefused

    kind = output.suffix.lower()
    if kind not in (".eml", ".zip"):
        typer.echo("Le fichier à écrire finit par .eml ou .zip.", err=True)
        raise typer.Exit(_UNREADABLE)
    if kind == ".eml" and not (to and sender):
        typer.echo("Un message demande --from et au moins un --to.", err=True)
        raise typer.Exit(_UNREADABLE)
    documents = [_load(path) for path in cdas]
    pdfs = [_load(path) for path in pdf or []]
    try:
        data = _make(documents, pdfs, kind, to or [], sender, label or sender, nil, source_id, close)
    except MailRefused as refused:
        _write(_answer("rejected", "document", refused.findings, language))
        raise typer.Exit(_REJECTED) from None
    try:
        output.write_bytes(data)
    except OSError as exc:
        typer.echo(f"{output.name}: {exc.strerror or 'non écrit'}.", err=True)
        raise typer.Exit(_UNREADABLE) from None
    typer.echo(f"{output.name} : {len(data)} octets.", err=True)


def _make(
    documents: list[bytes],
    pdfs: list[bytes],
    kind: str,
    to: list[str],
    sender: str,
    label: str,
    nil: str,
    source_id: str,
    close: bool,
) -> bytes:
    import uuid
    from datetime import UTC, datetime
    from importlib.metadata import version

    from adapters.mss.addresses import PatientConsent, check_recipients
    from adapters.mss.documents import read_document
    from adapters.mss.message import Draft, Sender, build_mail
    from adapters.mss.package import Producer, SetInfo, build_package, intended_recipient
    from conformance.identifiers import Environment
    from mappings.xds.model import Author, Code

    now = datetime.now(UTC)
    read_ones = [read_document(data) for data in documents]
    entry = read_ones[0].entry
    author = entry.authors[0] if entry.authors else Author()
    institution = next((o.name for o in author.institutions if o.name), label or "Non précisé")
    info = SetInfo(
        unique_id=f"2.25.{uuid.uuid4().int}",
        source_id=source_id or f"2.25.{uuid.uuid5(uuid.NAMESPACE_DNS, sender or 'passerelle').int}",
        submission_time=now,
        author=author,
        content_type=Code(code="07", scheme="1.2.250.1.213.2.2", display="Consultation, soins externes"),
        intended_recipients=tuple(intended_recipient(address) for address in to),
    )
    producer = Producer(
        institution=institution,
        institution_contact=sender or institution,
        product="Passerelle",
        product_version=version("passerelle-dmp"),
        vendor_contact="https://pypi.org/project/passerelle-dmp/",
    )
    made = build_package(read_ones, info, producer)
    if kind == ".zip":
        return made.data
    qualified = all(d.qualified for d in made.documents)
    key = entry.patient_id
    audience, addresses = check_recipients(
        to,
        patient=PatientConsent(
            qualified=qualified,
            matricule=key.value if key is not None else "",
            authority=key.authority if key is not None else "",
        ),
        white_list=None,
        allow_unqualified=True,
        environment=Environment.TEST,
    )
    number = uuid.uuid4().hex
    draft = Draft(
        sender=Sender(address=sender, label=label),
        recipients=addresses,
        audience=audience,
        message_id=f"<{number}@{sender.rpartition('@')[2] or 'localhost'}>",
        envelope_id=number,
        date=now,
        product_reference=nil,
        documents=made.documents,
        archive=made.data,
        pdfs=tuple(pdfs),
        close_conversation=close,
    )
    return build_mail(draft, max_bytes=25 * 1024 * 1024).data
