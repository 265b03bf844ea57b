"""Questions about identity answered without any network: one mapping in, one mapping out, never an exception.

The same questions come as JSON lines to ``passerelle identity evaluate`` and over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from conformance.identifiers import IDENTIFIER_KINDS, Environment, Matricule, authority_gate, check_identifier
from conformance.identifiers import check_matricule as _check_matricule
from conformance.identity.comparison import compare
from conformance.identity.datamatrix import DatamatrixError, InsDatamatrix, write_payload
from conformance.identity.lexical import NameKind, normalise
from conformance.identity.status import Attribute, Event, IdentityState, Status, StatusError, transitions
from conformance.identity.traits import Traits, complete_date, first_name_coherent

__all__ = ["OPERATIONS", "evaluate"]

Question = Mapping[str, Any]
Answer = dict[str, Any]


class _Asked(Exception):
    """The question itself is not understood; the message is the answer."""


def _text(question: Question, name: str) -> str:
    value = question.get(name)
    if not isinstance(value, str):
        raise _Asked(f"{name}: expected a text")
    return value


def _optional(question: Question, name: str, default: str = "") -> str:
    return default if question.get(name) is None else _text(question, name)


def _mapping(question: Question, name: str) -> Mapping[str, Any]:
    value = question.get(name)
    if not isinstance(value, Mapping):
        raise _Asked(f"{name}: expected an object")
    return value


def _environment(question: Question) -> str:
    value = _optional(question, "environment", Environment.PRODUCTION)
    if value not in ("production", "test"):
        raise _Asked("environment: expected production or test")
    return value


def _matricule(question: Question) -> Answer:
    authority = _optional(question, "authority")
    result = _check_matricule(_text(question, "value"), authority, _environment(question))
    return {"verdict": str(result.verdict), "code": result.code}


def _normalise(question: Question) -> Answer:
    kind = _text(question, "kind")
    if kind not in ("birth_name", "given_name"):
        raise _Asked("kind: expected birth_name or given_name")
    output, code = normalise(_optional(question, "value"), NameKind(kind))
    return {"output": output, "code": code}


def _side(question: Question, name: str) -> Traits:
    try:
        return Traits.of(_mapping(question, name))
    except TypeError as error:
        raise _Asked(f"{name}: {error}") from None


def _compare(question: Question) -> Answer:
    result = compare(_side(question, "local"), _side(question, "insi"))
    return {
        "verdict": result.verdict,
        "reasons": list(result.reasons),
        "attended": result.attended,
        "unattended": result.unattended,
    }


def _state(question: Question) -> IdentityState | str:
    start = _mapping(question, "start")
    try:
        status = Status.of(_optional(start, "status", Status.PROV))
    except ValueError:
        raise _Asked("start.status: expected PROV, RECUP, VALI or QUAL") from None
    attributes = start.get("attributes") or ()
    if not isinstance(attributes, list | tuple) or not all(isinstance(a, str) for a in attributes):
        raise _Asked("start.attributes: expected a list of texts")
    try:
        held = frozenset(Attribute(a) for a in attributes)
    except ValueError:
        raise _Asked("start.attributes: expected homonyme, douteux or fictif") from None
    ins = start.get("ins")
    if ins is None:
        ins = status in (Status.RECUP, Status.QUAL)
    if not isinstance(ins, bool):
        raise _Asked("start.ins: expected true or false")
    try:
        return IdentityState(status=status, attributes=held, ins=ins)
    except StatusError as error:
        return str(error.refusal)


def _transition(question: Question) -> Answer:
    state = _state(question)
    names = question.get("events", question.get("event", ()))
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list | tuple):
        raise _Asked("events: expected a list")
    try:
        events = [Event(name) for name in names]
    except ValueError:
        raise _Asked("events: unknown event") from None
    if isinstance(state, str):
        # The start itself cannot be: nothing moves, and the reason is the answer.
        return {"result": state, "end": dict(_mapping(question, "start"))}
    result, end = transitions(state, events)
    return {
        "result": result,
        "end": {"status": str(end.status), "attributes": sorted(map(str, end.attributes)), "ins": end.ins},
    }


def _birth_date(question: Question) -> Answer:
    output, estimated, code = complete_date(_optional(question, "value"))
    return {"output": output, "estimated": estimated, "code": code}


def _first_name(question: Question) -> Answer:
    coherent = first_name_coherent(_optional(question, "first_given_name"), _optional(question, "given_names"))
    return {"coherent": coherent}


def _any_of(identity: Mapping[str, Any], *names: str) -> str:
    return next((_text(identity, name) for name in names if identity.get(name)), "")


def _datamatrix(question: Question) -> Answer:
    identity = _mapping(question, "identity")
    ins = identity.get("ins")
    if isinstance(ins, Mapping):
        identity = {**ins, **{k: v for k, v in identity.items() if k != "ins"}}
    status = _optional(identity, "status")
    # Printed for a qualified identity only (EXI DIF 02); a question may leave the status out.
    if status and Status.of(status) is not Status.QUAL:
        return {"error": "identity_not_qualified"}
    matricule = _any_of(identity, "matricule", "value", "ins")
    oid = _any_of(identity, "oid", "authority")
    if (gate := authority_gate(oid, Environment.TEST)) != "accepted":
        return {"error": gate}
    given_names = _any_of(identity, "given_names", "first_given_name")
    try:
        payload = write_payload(
            InsDatamatrix(
                matricule=Matricule.clean(matricule + _any_of(identity, "key")),
                oid=oid,
                given_names=normalise(given_names, NameKind.GIVEN_NAME).output,
                birth_name=normalise(_any_of(identity, "birth_name"), NameKind.BIRTH_NAME).output,
                sex=_any_of(identity, "sex"),
                birth_date=_any_of(identity, "birth_date"),
                birth_place=_any_of(identity, "birth_place").upper(),
            )
        )
    except DatamatrixError as error:
        return {"error": str(error)}
    return {"payload": payload}


def _identifier(question: Question) -> Answer:
    kind = _text(question, "kind").lower()
    if kind not in IDENTIFIER_KINDS:
        raise _Asked(f"kind: expected one of {', '.join(sorted(IDENTIFIER_KINDS))}")
    result = check_identifier(kind, _text(question, "value"), _environment(question))
    return {"verdict": str(result.verdict), "code": result.code}


#: Every question by its word.
OPERATIONS: Final[dict[str, Callable[[Question], Answer]]] = {
    "matricule": _matricule,
    "normalise": _normalise,
    "compare": _compare,
    "transition": _transition,
    "birth_date": _birth_date,
    "first_name": _first_name,
    "datamatrix": _datamatrix,
    "identifier": _identifier,
}


def evaluate(question: object) -> Answer:
    """Answer one question (``{"op": ...}``); what is not understood gives ``{"error": why}`` and never an exception."""
    if not isinstance(question, Mapping):
        return {"error": "expected an object"}
    operation = question.get("op")
    handler = OPERATIONS.get(operation) if isinstance(operation, str) else None
    if handler is None:
        return {"error": f"op: expected one of {', '.join(OPERATIONS)}"}
    try:
        return handler(question)
    except _Asked as error:
        return {"error": str(error)}
    except ValueError:
        # A value no rule foresaw: the answer says so without repeating it.
        return {"error": "unexpected value"}
