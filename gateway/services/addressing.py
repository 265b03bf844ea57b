"""Whom a mail is for, as the caller says it: addresses, teams, and the conversation it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, select

from adapters.mss.addresses import Audience, audience_of, normalize
from adapters.mss.rules import MailRefused
from conformance.verdict import Finding
from gateway.problems import Invalid, rule
from gateway.store.mail_tables import mail_received, mail_sent, mail_threads, messages, teams
from gateway.store.tables import deliveries
from gateway.vault import Vault

__all__ = ["MOST", "Answered", "addressed", "answered", "check_address", "members_of"]

#: Recipients of one message, members of teams included (RFC 5321 4.5.3.1.8).
MOST = 100

NOBODY = rule(
    "API-MSG-001",
    "Il n'y a aucun destinataire.",
    "There is no recipient.",
    "Donnez au moins un destinataire ou une équipe.",
    "Give at least one recipient or a team.",
)
TOO_MANY = rule(
    "API-MSG-002",
    "Le message a trop de destinataires.",
    "The message has too many recipients.",
    "Partagez l'envoi en plusieurs messages.",
    "Split the sending into several messages.",
)
WRONG_KIND = rule(
    "API-MSG-003",
    "La nature du destinataire ne correspond pas à son adresse.",
    "The kind of recipient does not match the address.",
    "Donnez kind: citizen pour une adresse de Mon espace santé, et pour elle seule.",
    "Give kind: citizen for an address of Mon espace santé, and for no other.",
)
UNKNOWN_TEAM = rule(
    "API-TEAM-001",
    "Cette équipe n'existe pas pour vous.",
    "This team does not exist for you.",
    "Vérifiez son identifiant ou son nom.",
    "Check its id or its name.",
)
UNKNOWN_REPLY = rule(
    "API-MSG-004",
    "Ce à quoi le message répond n'existe pas pour vous.",
    "What the message answers does not exist for you.",
    "Donnez l'identifiant d'un courriel reçu (rcv_), d'un message (msg_) ou d'une conversation (thr_).",
    "Give the id of a mail received (rcv_), of a message (msg_) or of a conversation (thr_).",
)


def check_address(address: str, kind: str, place: str) -> tuple[str, list[Finding]]:
    """An address in its normal form, and what is wrong with it or with the kind it is given."""
    try:
        normal = normalize(address)
    except MailRefused as refused:
        return address, [finding.at(place) for finding in refused.findings]
    citizen = audience_of(normal) is Audience.CITIZEN
    if citizen != (kind == "citizen"):
        return normal, [WRONG_KIND.finding(f"{place}/kind")]
    return normal, []


def members_of(vault: Vault, row: Row[Any]) -> list[dict[str, Any]]:
    """The members of a team: address, kind, label, id."""
    members: list[dict[str, Any]] = orjson.loads(vault.open(row.tenant_id, row.sealed, row.id))
    return members


def addressed(
    connection: Connection,
    vault: Vault,
    tenant: str,
    recipients: Sequence[dict[str, Any]],
    wanted: Sequence[str],
    *,
    place: str = "",
) -> tuple[dict[str, Any], ...]:
    """The recipients named and the members of the teams, each once; :class:`Invalid` with every fault."""
    faults: list[Finding] = []
    out: dict[str, dict[str, Any]] = {}
    named = [(str(one.get("place") or f"{place}/recipients/{i}"), one) for i, one in enumerate(recipients)]
    for index, name in enumerate(wanted):
        row = connection.execute(
            select(teams).where(teams.c.tenant_id == tenant, (teams.c.id == name) | (teams.c.name == name))
        ).first()
        if row is None:
            faults.append(UNKNOWN_TEAM.finding(f"{place}/teams/{index}"))
            continue
        named += [(f"{place}/teams/{index}", member) for member in members_of(vault, row)]
    for where, one in named:
        address, found = check_address(str(one["address"]), str(one["kind"]), where)
        faults += found
        sure = {"confidence": one["confidence"]} if one.get("confidence") else {}
        out.setdefault(address.lower(), {"address": address, "kind": one["kind"], **sure})
    if not named and not faults:
        faults.append(NOBODY.finding(f"{place}/recipients"))
    if len(out) > MOST:
        faults.append(TOO_MANY.finding(f"{place}/recipients", found=str(len(out)), expected=f"{MOST} au plus"))
    if faults:
        raise Invalid(faults)
    return tuple(out.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a message answers."""

    thread: str
    audience: str
    identity: str | None
    message_id: str | None  #: of the mail answered; None for the last one of the conversation


def answered(connection: Connection, tenant: str, reference: str, place: str = "/inReplyTo") -> Answered:
    """The conversation, and the mail in it, that an id of the caller names; :class:`Invalid` when there is none."""
    thread, message_id = _found(connection, tenant, reference)
    row = connection.execute(
        select(mail_threads).where(mail_threads.c.id == thread, mail_threads.c.tenant_id == tenant)
    ).first()
    if row is None:
        raise Invalid([UNKNOWN_REPLY.finding(place)])
    return Answered(thread=row.id, audience=row.audience, identity=row.identity_id, message_id=message_id)


def _found(connection: Connection, tenant: str, reference: str) -> tuple[str | None, str | None]:
    if reference.startswith("thr_"):
        return reference, None
    if reference.startswith("rcv_"):
        query = select(mail_received.c.thread_id, mail_received.c.message_id).where(
            mail_received.c.tenant_id == tenant, mail_received.c.id == reference
        )
    elif reference.startswith("msg_"):
        query = (
            select(messages.c.thread_id, mail_sent.c.message_id)
            .outerjoin(deliveries, deliveries.c.message_id == messages.c.id)
            .outerjoin(
                mail_sent,
                (mail_sent.c.delivery_id == deliveries.c.id) & (mail_sent.c.thread_id == messages.c.thread_id),
            )
            .where(messages.c.tenant_id == tenant, messages.c.id == reference)
            .order_by(mail_sent.c.message_id.is_(None))
        )
    else:
        query = select(mail_sent.c.thread_id, mail_sent.c.message_id).where(
            mail_sent.c.tenant_id == tenant, mail_sent.c.delivery_id == reference
        )
    row = connection.execute(query.limit(1)).first()
    return (row.thread_id, row.message_id or None) if row is not None else (None, None)
