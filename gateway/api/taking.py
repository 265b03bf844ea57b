"""From a request to a document in charge: its body, its actor, its key; shared by every way a document comes in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fastapi import Request
from sqlalchemy import Connection

from gateway import tenants
from gateway.api.access import NO_SCOPE, Caller, read_body
from gateway.context import Gateway
from gateway.ids import new_oid
from gateway.journey.accept import Accepted, accept, replay
from gateway.journey.accept import Request as Submission
from gateway.problems import Conflict, Forbidden, Invalid, TooLarge, Unreadable, rule
from gateway.services.addressing import addressed, answered
from gateway.services.directory import resolved
from gateway.services.envelope import Mail, Sent, form_of, media_type, open_body, open_multipart
from gateway.services.intake import TOO_LARGE, UNREADABLE, Intake, IntakeOptions, IntakeRefused, describe_actor
from gateway.services.transit import Unopened, convert, open_and_convert, open_parcel
from gateway.store.engine import ACCEPT
from gateway.tenants import Tenant

__all__ = [
    "Coming",
    "announced",
    "body_mac",
    "convert_sent",
    "keep",
    "mail_asked",
    "read_sent",
    "submission_of",
    "take",
]

NO_KEY = rule(
    "API-IDEM-001",
    "Il faut une clé d'idempotence, ou un document qui porte son identifiant unique.",
    "An idempotency key is needed, or a document that brings its unique identifier.",
    "Envoyez l'en-tête Idempotency-Key avec une valeur propre à ce document.",
    "Send the header Idempotency-Key with a value of this document's own.",
)
BAD_KEY = rule(
    "API-IDEM-004",
    "La clé d'idempotence n'a pas la forme attendue.",
    "The idempotency key does not have the expected form.",
    "Donnez de 1 à 200 caractères visibles.",
    "Give 1 to 200 visible characters.",
)
IN_PROGRESS = rule(
    "API-IDEM-005",
    "Une requête avec cette clé est en cours.",
    "A request with this key is in progress.",
    "Recommencez après le délai indiqué.",
    "Try again after the delay given.",
)
WRONG_ACTOR = rule(
    "API-ACTOR-001",
    "L'acteur n'est pas couvert par votre habilitation.",
    "The actor is not covered by your grant.",
    "L'acteur doit exercer pour la structure du compte et figurer dans l'habilitation de votre logiciel.",
    "The actor must practise for the account's structure and be in your software's grant.",
)
NO_ACTOR = rule(
    "API-ACTOR-002",
    "Aucun professionnel n'est désigné comme acteur.",
    "No professional is named as actor.",
    "Donnez un auteur professionnel avec sa structure, ou le membre actor.",
    "Give a professional author with a structure, or the member actor.",
)
#: Forms kept as they come; any other file travels in base64 inside a CDA, which makes four bytes of three.
_AS_THEY_ARE: Final = ("cda", "fhir")


async def read_sent(request: Request, gateway: Gateway, *, closed: bool = False) -> tuple[Sent, bytes]:
    """The document of a request, and a digest that tells its content from another's.

    Of a large file nothing but the document itself is kept: each copy counts. With ``closed``, our JSON is read by
    :func:`convert_sent` only, which completes the envelope.
    """
    limit = gateway.settings.max_body_bytes
    content_type = request.headers.get("content-type", "")
    try:
        body = await read_body(request, limit)
    except TooLarge as exc:
        # What no request may hold is no document the DMP takes: the narrower limit is the one to be told.
        expected = f"{gateway.settings.dmp.max_document_bytes} octets au plus"
        fault = TOO_LARGE.finding("", found=exc.faults[0].found, expected=expected)
        raise TooLarge([fault, *exc.faults], slug="document-too-large") from None
    if media_type(content_type) == "multipart/form-data":
        # The parser spools to memory here: the body was bounded before it began.
        metadata, file, file_type = await _parts(body, content_type)
        del body
        if file is not None:
            _check_size(len(file), gateway, encoded=form_of(media_type(file_type)) not in _AS_THEY_ARE)
        sent = open_multipart(metadata, file, file_type, limit)
        return sent, _digest(metadata or b"", b"\0", file or b"")
    return open_body(body, content_type, limit, closed=closed), _digest(body)


def _digest(*parts: bytes) -> bytes:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part)
    return whole.digest()


def _check_size(size: int, gateway: Gateway, *, encoded: bool) -> None:
    """Refuse what cannot fit in a CDA the DMP takes, before anything is made of it."""
    limit = gateway.settings.dmp.max_document_bytes
    most = limit * 3 // 4 if encoded else limit
    if size > most:
        expected = f"{most} octets au plus" + (f", {limit} une fois dans le CDA" if encoded else "")
        raise TooLarge(
            [TOO_LARGE.finding("/file", found=f"{size} octets", expected=expected)], slug="document-too-large"
        )


async def _parts(body: bytes, content_type: str) -> tuple[bytes | None, bytes | None, str]:
    from python_multipart.exceptions import MultipartParseError
    from starlette.datastructures import Headers, UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def stream() -> Any:
        yield body

    parser = MultiPartParser(
        Headers({"content-type": content_type}), stream(), max_files=2, max_fields=4, max_part_size=len(body) + 1
    )
    # Nothing of a document is spooled to a temporary file.
    parser.spool_max_size = len(body) + 1
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError, ValueError):
        raise Unreadable([UNREADABLE.finding("", found="multipart", expected="multipart/form-data")]) from None
    out: dict[str, tuple[bytes, str]] = {}
    for name in ("metadata", "file"):
        value = form.get(name)
        if isinstance(value, UploadFile):
            out[name] = (await value.read(), value.content_type or "")
        elif isinstance(value, str):
            out[name] = (value.encode(), "application/json" if name == "metadata" else "text/plain")
    await form.close()
    metadata = out.get("metadata", (None, ""))[0]
    file, file_type = out.get("file", (None, ""))
    return metadata, file, file_type


def announced(request: Request) -> int:
    """How large the body says it is; a guess when it does not say."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdigit() and len(declared) < 12 else 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A document on its way in, and what is said beside it."""

    sent: Sent
    content: bytes  #: tells one request's content from another's
    key: str | None = None  #: idempotency key
    actor: str | None = None  #: PS_IdNat of the actor, when not the first author
    who: Callable[[Intake], dict[str, Any]] | None = None  #: the actor, when neither envelope nor header names them
    test_case: str | None = None  #: homologation test
    amend: Callable[[Intake], Intake] | None = None  #: last word on what was read; may refuse


async def take(request: Request, gateway: Gateway, caller: Caller, tenant: Tenant, coming: Coming) -> Accepted:
    """Convert, check and keep one document, once a key."""
    if coming.key is not None and not (1 <= len(coming.key) <= 200 and coming.key.isprintable()):
        raise Invalid([BAD_KEY.finding("Idempotency-Key")])
    under_way = request.app.state.under_way
    ticket = (caller.client.id, coming.key)
    if coming.key is not None:
        if ticket in under_way:
            raise Conflict([IN_PROGRESS.finding("Idempotency-Key")], slug="in-progress", headers={"Retry-After": "1"})
        under_way.add(ticket)
    try:
        if coming.key is not None:
            key, mac = coming.key, body_mac(gateway, tenant, coming.content)
            earlier = await gateway.store.look(lambda c: replay(c, caller.client.id, key, mac))
            if earlier is not None:
                return earlier
        submission = await submission_of(gateway, caller, tenant, coming)
        return (await keep(gateway, [submission]))[0]
    finally:
        under_way.discard(ticket)


def body_mac(gateway: Gateway, tenant: Tenant, content: bytes) -> str:
    """What tells one content from another without saying it."""
    return hmac.new(gateway.vault.key(tenant.id, "body"), content, hashlib.sha256).hexdigest()


async def submission_of(gateway: Gateway, caller: Caller, tenant: Tenant, coming: Coming) -> Submission:
    """A document converted, checked and allowed, ready to be kept; raises :class:`gateway.problems.Problem`."""
    sent = coming.sent
    intake = await convert_sent(gateway, sent)
    if coming.key is None and not intake.brought_id:
        raise Invalid([NO_KEY.finding("Idempotency-Key")])
    if coming.amend is not None:
        intake = coming.amend(intake)
    # A pharmacy's scope sends dispensations and nothing else.
    if "documents:write" not in caller.scopes and intake.kind != "dispensation":
        raise Forbidden([NO_SCOPE.finding("Authorization", expected="documents:write")], slug="insufficient-scope")
    actor = coming.who(intake) if coming.who is not None else _actor(sent, intake, coming.actor)
    allowed = await gateway.store.look(
        lambda c: tenants.may_act(c, caller.client.id, tenant, str(actor["id"]), actor["structure"])
    )
    if not allowed:
        raise Forbidden([WRONG_ACTOR.finding("/actor")], slug="actor-not-granted")
    recipients, options = await mail_asked(gateway, tenant, sent.envelope.deliver_to.mss)
    intake = await _known(gateway, intake, actor)
    return Submission(
        tenant=tenant.id,
        client=caller.client.id,
        actor=actor,
        intake=intake,
        body_mac=body_mac(gateway, tenant, coming.content),
        idempotency_key=coming.key,
        to_dmp=sent.envelope.deliver_to.dmp,
        recipients=recipients,
        options=options,
        test_case=coming.test_case,
        counting=sent.envelope.counting.model_dump(mode="json", exclude_none=True, by_alias=False),
    )


async def _known(gateway: Gateway, intake: Intake, actor: dict[str, Any]) -> Intake:
    """The document with what the directory says against its authors and its actor, as warnings."""
    if gateway.directory is None:
        return intake
    people = [(f"/authors/{index}", author) for index, author in enumerate(intake.authors)]
    if actor["id"] not in {author["id"] for author in intake.authors}:
        people.insert(0, ("/actor", actor))
    noted = await gateway.directory.disagreements(people)
    return replace(intake, warnings=(*intake.warnings, *noted)) if noted else intake


async def mail_asked(
    gateway: Gateway, tenant: Tenant, mail: Mail | None
) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """Recipients and options of the mail asked for with a document: teams opened, what it answers found."""
    if mail is None:
        return (), {}
    named = await resolved(gateway.directory, mail.recipients, place="/deliverTo/mss")

    def read(connection: Connection) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
        recipients = addressed(connection, gateway.vault, tenant.id, named, mail.teams, place="/deliverTo/mss")
        options = mail.model_dump(
            mode="json", by_alias=False, exclude={"recipients", "teams", "in_reply_to"}, exclude_none=True
        )
        if mail.in_reply_to is not None:
            found = answered(connection, tenant.id, mail.in_reply_to, "/deliverTo/mss/inReplyTo")
            options |= {"thread": found.thread, "answering": found.message_id}
        return recipients, options

    return await gateway.store.look(read)


async def keep(gateway: Gateway, submissions: Sequence[Submission]) -> list[Accepted]:
    """Keep documents, all of them or none, and set the workers going."""

    def work(connection: Connection) -> list[Accepted]:
        return [
            accept(
                connection,
                gateway.vault,
                submission,
                now=gateway.now(),
                hold_days=gateway.settings.hold_days,
                max_pending=gateway.settings.max_pending,
                mail_unqualified=gateway.settings.mss.send_unqualified,
                pending=gateway.backlog,
            )
            for submission in submissions
        ]

    done = await gateway.store.write(work, ACCEPT)
    gateway.moment("after_commit")
    gateway.wake()
    return done


async def convert_sent(gateway: Gateway, sent: Sent) -> Intake:
    """What was sent, read, written in both forms and checked; raises :class:`Invalid` or :class:`Unreadable`."""
    settings = gateway.settings
    options = IntakeOptions(
        environment=settings.environment,
        allow_loss=sent.envelope.allow_loss,
        fresh_oid=new_oid(),
        now=gateway.now().isoformat(timespec="seconds"),
        max_document_bytes=settings.dmp.max_document_bytes,
    )
    try:
        body, sent.body = sent.body, b""
        if sent.closed:
            opening = gateway.compute(open_and_convert, body, settings.max_body_bytes, options)
            del body
            opened = await opening
            if isinstance(opened, Unopened):
                raise (Unreadable if opened.unreadable else Invalid)(opened.faults)
            sent.envelope, parcel = opened
            return open_parcel(parcel)
        converting = gateway.compute(convert, body, sent.form, options)
        del body
        return open_parcel(await converting)
    except IntakeRefused as exc:
        if exc.too_large:
            raise TooLarge(exc.findings, slug="document-too-large") from None
        raise (Unreadable if exc.unreadable else Invalid)(exc.findings) from None


def _actor(sent: Sent, intake: Intake, header: str | None) -> dict[str, Any]:
    if sent.envelope.actor is not None:
        return describe_actor(sent.envelope.actor)
    for author in intake.authors:
        if header is None or author["id"] == header:
            return author
    raise Invalid([NO_ACTOR.finding("/actor" if header is None else "Passerelle-Actor")])
