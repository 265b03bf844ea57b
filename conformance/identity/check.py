"""The check of a declared identity when a document comes in: number, authority, traits, status, without any network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from conformance.identifiers import AUTHORITIES, Cog, IdentifierError, Matricule, authority_gate, matricule_key
from conformance.identity import rules
from conformance.identity.lexical import NameKind, normalise
from conformance.identity.status import Attribute, IdentityState, Refusal, Status, StatusError
from conformance.identity.traits import Traits, complete_date, first_name_coherent
from conformance.verdict import Finding, Verdict

__all__ = ["check_identity"]


def check_identity(
    *,
    matricule: str | None,
    oid: str | None,
    environment: str,
    traits: Traits,
    status: str,
    attributes: Iterable[str] = (),
    at: str = "/patient",
) -> Verdict:
    """Judge an identity as a document declares it; findings are placed by JSON pointers under ``at``.

    ``status`` is a code (``QUAL``) or the French word (``qualifiee``). No finding repeats a trait or the number.
    """
    findings = [*_status(matricule, oid, status, attributes), *_traits(traits, with_ins=bool(matricule))]
    if matricule or oid:
        findings += _number(matricule or "", oid, environment, traits)
    if _is_qualified(status):
        findings += _as_returned(traits)
    return Verdict.of(f.at(at) for f in findings)


def _is_qualified(status: str) -> bool:
    try:
        return Status.of(status) is Status.QUAL
    except ValueError:
        return False


def _number(matricule: str, oid: str | None, environment: str, traits: Traits) -> Iterator[Finding]:
    gate = authority_gate(oid, environment)
    if gate != "accepted":
        yield rules.AUTHORITY_RULES[gate].finding("/ins/authority", expected=_authorities(environment))
    authority = AUTHORITIES.get((oid or "").strip())
    try:
        number = Matricule.parse(matricule, wrong_key=True)
    except IdentifierError as error:
        yield _malformed(error.code, matricule)
        return
    if not number.key_ok:
        forgiven = authority is not None and not authority.key_blocks
        rule = rules.KEY_TEST if forgiven else rules.KEY
        yield rule.finding("/ins/value", found=f"clé {number.key}", expected=f"clé {matricule_key(number.body)}")
    if authority is not None and authority.provisional:
        yield rules.NIA.finding("/ins/authority")
    yield from _coherence(number.value, traits)


def _authorities(environment: str) -> str:
    return ", ".join(oid for oid in AUTHORITIES if authority_gate(oid, environment) == "accepted")


def _malformed(code: str, matricule: str) -> Finding:
    # The number itself is a trait: only what is needed to see the fault is shown.
    cleaned = Matricule.clean(matricule)
    found, expected = {
        "BAD_FORMAT": (f"{len(cleaned)} caractères", "13 caractères et une clé de 2 chiffres"),
        "BAD_FIRST_DIGIT": (f"premier chiffre {cleaned[:1]}", "1, 2, 3, 4, 7 ou 8"),
        "BAD_MONTH": (f"mois {cleaned[3:5]}", "01 à 12, 20 à 42 ou 50 à 99"),
        "BAD_SERIAL": ("numéro d'ordre 000", "001 à 999"),
    }[code]
    return rules.MATRICULE_RULES[code].finding("/ins/value", found=found, expected=expected)


def disagrees(number: str, traits: Traits) -> bool:
    """True when a matricule says another sex or date of birth than the traits: lawful at times, never to be trusted.

    The place is left out: old codes make it differ for many.
    """
    return any(finding.rule is not rules.COHERENCE_PLACE for finding in _coherence(number, traits))


_SEX_DIGITS: Final = {"M": "137", "F": "248"}


def _coherence(number: str, traits: Traits) -> Iterator[Finding]:
    if number[0] not in _SEX_DIGITS.get(traits.sex, number[0]):
        yield rules.COHERENCE_SEX.finding("/sex")
    date = traits.birth_date
    month = number[3:5]
    # Months of 20 and above say nothing of the real one.
    if date[:4].isdecimal() and (
        number[1:3] != date[2:4] or ("01" <= month <= "12" and date[5:7] not in ("00", "", month))
    ):
        yield rules.COHERENCE_DATE.finding("/birthDate")
    if traits.birth_place not in ("", "99999", number[5:10]):
        yield rules.COHERENCE_PLACE.finding("/birthPlace")


_MANDATORY: Final = (
    ("birth_name", "/birthName"),
    ("first_given_name", "/firstGivenName"),
    ("given_names", "/givenNames"),
    ("sex", "/sex"),
    ("birth_date", "/birthDate"),
    ("birth_place", "/birthPlace"),
)
_NAMES: Final = (
    ("birth_name", "/birthName", NameKind.BIRTH_NAME),
    ("first_given_name", "/firstGivenName", NameKind.GIVEN_NAME),
    ("given_names", "/givenNames", NameKind.GIVEN_NAME),
)


def _traits(traits: Traits, *, with_ins: bool) -> Iterator[Finding]:
    if with_ins:
        for name, place in _MANDATORY:
            if not getattr(traits, name).strip():
                yield rules.TRAIT_MISSING.finding(place, found="absent")
        if traits.sex == "I":
            yield rules.SEX.finding("/sex", expected="M ou F")
    for name, place, kind in _NAMES:
        value = getattr(traits, name)
        if value and (code := normalise(value, kind).code):
            yield rules.LEXICAL.finding(place, found=code)
    first, names = traits.first_given_name, traits.given_names
    if first and names and not first_name_coherent(first, names):
        yield rules.FIRST_NAME.finding("/firstGivenName")
    if traits.birth_date:
        # A time of birth, which CDA allows, says nothing of the date.
        date = complete_date(traits.birth_date.partition("T")[0])
        if date.code == "BAD_FORMAT":
            yield rules.BIRTH_DATE.finding("/birthDate", expected="AAAA-MM-JJ")
        elif date.estimated:
            yield rules.BIRTH_DATE_INCOMPLETE.finding("/birthDate")
    if traits.birth_place and Cog.fault(Cog.clean(traits.birth_place)):
        yield rules.BIRTH_PLACE.finding("/birthPlace", expected="5 caractères")


def _as_returned(traits: Traits) -> Iterator[Finding]:
    for name, place, kind in _NAMES:
        value = getattr(traits, name)
        if value and normalise(value, kind).output != value:
            yield rules.NOT_AS_RETURNED.finding(place)


def _status(matricule: str | None, oid: str | None, status: str, attributes: Iterable[str]) -> Iterator[Finding]:
    try:
        known = Status.of(status)
    except ValueError:
        yield rules.STATUS_UNKNOWN.finding("/status")
        return
    try:
        held = frozenset(Attribute(a) for a in attributes)
    except ValueError:
        yield rules.STATUS_UNKNOWN.finding("/attributes")
        return
    try:
        IdentityState(status=known, attributes=held, ins=bool(matricule))
    except StatusError as error:
        if error.refusal is Refusal.ATTRIBUTES_INCOMPATIBLE:
            yield rules.ATTRIBUTES.finding("/attributes", found=", ".join(sorted(held)))
        else:
            yield rules.STATUS_LOCKED.finding("/status", found=str(known), expected=str(Status.PROV))
        return
    if known is Status.QUAL and not matricule:
        yield rules.QUALIFIED_WITHOUT_INS.finding("/ins", found="absent")
    elif known is not Status.QUAL and (matricule or oid):
        yield rules.INS_NOT_QUALIFIED.finding("/status", found=str(known), expected=str(Status.QUAL))
