"""Who a mail may go to: addresses, citizen addresses, visibility and opposition, checked before any connection."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from adapters.mss.rules import MailRefused, refuse, rule
from conformance.identifiers import Environment, Matricule, check_matricule
from conformance.verdict import Finding

__all__ = [
    "CITIZEN_DOMAIN",
    "Audience",
    "PatientConsent",
    "Visibility",
    "audience_of",
    "check_recipients",
    "citizen_address",
    "mask",
    "normalize",
]

#: Domain of Mon espace santé, the only one that holds citizens' mailboxes (Référentiel socle #2, ECO.2.2.6).
CITIZEN_DOMAIN = "patient.mssante.fr"

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")


class Audience(StrEnum):
    """Who a message is for: the two never share one."""

    PROFESSIONAL = "professional"
    CITIZEN = "citizen"


def normalize(address: str) -> str:
    """Check an address and write its domain in lower case.

    Raises :class:`MailRefused` (MSS-ADR-001; MSS-HDR-001 for a line break, which would inject a header or a command).
    """
    if any(ord(c) < 32 or ord(c) == 127 for c in address):
        raise refuse("MSS-HDR-001", found="caractère de commande dans une adresse")
    local, at, domain = address.partition("@")
    if (
        not at
        or not address.isascii()
        or len(local) > 64  # RFC 5321 4.5.3.1.1
        or len(address) > 254
        or not _LOCAL.fullmatch(local)
        or not _DOMAIN.fullmatch(domain)
    ):
        raise refuse("MSS-ADR-001", expected="partie-locale@domaine, en ASCII")
    return f"{local}@{domain.lower()}"


def audience_of(address: str, *, citizen_domain: str = CITIZEN_DOMAIN) -> Audience:
    """Tell a citizen's address from a professional's, by its domain."""
    return Audience.CITIZEN if address.rpartition("@")[2].lower() == citizen_domain else Audience.PROFESSIONAL


def mask(address: str, *, citizen_domain: str = CITIZEN_DOMAIN) -> str:
    """The address as logs and metrics may show it: a citizen's local part is a matricule and is hidden."""
    return (
        f"***@{citizen_domain}" if audience_of(address, citizen_domain=citizen_domain) is Audience.CITIZEN else address
    )


def citizen_address(
    matricule: str,
    authority: str,
    *,
    qualified: bool,
    environment: str = Environment.PRODUCTION,
    citizen_domain: str = CITIZEN_DOMAIN,
) -> str:
    """Form the citizen address of a patient from the qualified INS: 13 characters and the key, then the domain.

    ``authority`` is the OID of the INS; the test authorities are for the ``test`` environment only. Raises
    :class:`MailRefused`: MSS-PAT-001 when the identity is not qualified, MSS-PAT-002 when the INS is not valid.
    """
    if not qualified:
        raise refuse("MSS-PAT-001")
    result = check_matricule(matricule, authority, environment)
    if not result.ok:
        raise refuse("MSS-PAT-002", found=result.code, expected="13 caractères et 2 chiffres de clé")
    # A Corsican matricule holds a letter: written in capitals, compared without case.
    return f"{Matricule.clean(matricule)}@{citizen_domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """What may be seen of a document by whom, as the caller states it (HL7v2 flags)."""

    masked_to_professionals: bool = False  #: MASQUE_PS
    invisible_to_patient: bool = False  #: INVISIBLE_PATIENT
    invisible_to_guardians: bool = False  #: INVISIBLE_REP_LEGAUX
    secret_connection: bool = False  #: CONNEXION_SECRETE
    to_dmp: bool = True  #: DESTDMP

    @property
    def audiences(self) -> frozenset[Audience]:
        """Who a mail with this document may go to; empty when the combination is an error.

        Volet Transmission HL7v2, table DESTMSSANTEPS / DESTMSSANTEPAT; the table says of itself that it is exhaustive.
        """
        if not self.masked_to_professionals and not self.invisible_to_guardians:
            if not self.invisible_to_patient:
                return frozenset(Audience)
            return frozenset({Audience.PROFESSIONAL})
        if not self.invisible_to_patient and not self.secret_connection and not self.to_dmp:
            return frozenset({Audience.CITIZEN})
        return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientConsent:
    """What the patient's record says of mails about them."""

    qualified: bool  #: the INS is qualified
    matricule: str = field(default="", repr=False)  #: 15 characters, when qualified
    authority: str = ""  #: OID of the INS, when qualified
    opposed_to_citizen_mail: bool = False  #: MSS/va1.20
    opposed_to_professional_mail: bool = False  #: MSS/va1.22


def check_recipients(
    recipients: Sequence[str],
    *,
    patient: PatientConsent,
    white_list: Container[str] | None,
    visibility: Iterable[Visibility] = (),
    max_recipients: int = 100,
    allow_unqualified: bool = False,
    environment: str = Environment.PRODUCTION,
    citizen_domain: str = CITIZEN_DOMAIN,
) -> tuple[Audience, tuple[str, ...]]:
    """Check the recipients of one message; give who it is for and the addresses in their normal form.

    ``white_list`` holds domains in lower case (``None`` leaves the check to the operator); ``visibility`` is that of
    each document; ``allow_unqualified`` lets a document about an unqualified identity go to professionals
    (X-MSS-INS: N). Raises :class:`MailRefused` with every fault found.
    """
    if not recipients:
        raise refuse("MSS-ADR-003")
    faults: list[Finding] = []
    if len(recipients) > max_recipients:
        faults.append(rule("MSS-ADR-004", found=str(len(recipients)), expected=f"{max_recipients} au plus"))
    addresses: list[str] = []
    for index, recipient in enumerate(recipients):
        place = f"/recipients/{index}"
        try:
            address = normalize(recipient)
        except MailRefused as refused:
            faults.extend(f.at(place) for f in refused.findings)
            continue
        if white_list is not None and address.rpartition("@")[2] not in white_list:
            faults.append(rule("MSS-ADR-002", place))
        if address.lower() in (a.lower() for a in addresses):
            faults.append(rule("MSS-ADR-007", place))
        addresses.append(address)
    audiences = {audience_of(a, citizen_domain=citizen_domain) for a in addresses}
    if len(audiences) > 1:
        faults.append(rule("MSS-ADR-005"))
    for audience in sorted(audiences):
        faults.extend(_audience_faults(audience, patient, visibility, allow_unqualified))
    if Audience.CITIZEN in audiences and patient.qualified:
        faults.extend(_not_their_own(addresses, patient, environment, citizen_domain))
    if faults:
        raise MailRefused(faults)
    return audiences.pop(), tuple(addresses)


def _audience_faults(
    audience: Audience, patient: PatientConsent, visibility: Iterable[Visibility], allow_unqualified: bool
) -> list[Finding]:
    faults = []
    if audience is Audience.CITIZEN:
        if not patient.qualified:
            faults.append(rule("MSS-PAT-001"))
        if patient.opposed_to_citizen_mail:
            faults.append(rule("MSS-PAT-003"))
    else:
        if not patient.qualified and not allow_unqualified:
            faults.append(rule("MSS-PAT-006"))
        if patient.opposed_to_professional_mail:
            faults.append(rule("MSS-PAT-004"))
    faults.extend(
        rule("MSS-PAT-005", f"/documents/{index}")
        for index, seen in enumerate(visibility)
        if audience not in seen.audiences
    )
    return faults


def _not_their_own(
    addresses: Sequence[str], patient: PatientConsent, environment: str, citizen_domain: str
) -> list[Finding]:
    try:
        own = citizen_address(
            patient.matricule,
            patient.authority,
            qualified=True,
            environment=environment,
            citizen_domain=citizen_domain,
        )
    except MailRefused as refused:
        return list(refused.findings)
    return [
        rule("MSS-ADR-006", f"/recipients/{index}")
        for index, address in enumerate(addresses)
        if audience_of(address, citizen_domain=citizen_domain) is Audience.CITIZEN and address.lower() != own.lower()
    ]
