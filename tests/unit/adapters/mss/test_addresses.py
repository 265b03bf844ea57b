"""Recipients are checked before any connection."""

from __future__ import annotations

import pytest

from adapters.mss.addresses import (
    Audience,
    PatientConsent,
    Visibility,
    audience_of,
    check_recipients,
    citizen_address,
    mask,
    normalize,
)
from adapters.mss.rules import MailRefused
from conformance.identifiers import matricule_key
from tests.support.mss import AUTHORITY, CITIZEN, DOCTOR, MATRICULE, NURSE

WHITE = {"medecin.formation.mssante.fr", "hopital.formation.mssante.fr", "patient.mssante.fr"}
QUALIFIED = PatientConsent(qualified=True, matricule=MATRICULE, authority=AUTHORITY)
PRODUCTION_INS = "1.2.250.1.213.1.4.8"


def codes(error: pytest.ExceptionInfo[MailRefused]) -> list[str]:
    return [f.code for f in error.value.findings]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x",
        "@medecin.mssante.fr",
        "josé@medecin.mssante.fr",
        "a b@medecin.mssante.fr",
        "a@médecin.mssante.fr",
        "a@b@medecin.mssante.fr",
        ".a@medecin.mssante.fr",
        "a..b@medecin.mssante.fr",
        '"a b"@medecin.mssante.fr',
        "a@[127.0.0.1]",
        "a@localhost",
        "x" * 65 + "@medecin.mssante.fr",
        "a@-bad.mssante.fr",
    ],
)
def test_an_address_that_is_not_plain_ascii_is_refused(address: str) -> None:
    """No SMTPUTF8, no quoted local part, no literal: MSS-ADR-001."""
    with pytest.raises(MailRefused) as error:
        normalize(address)
    assert codes(error) == ["MSS-ADR-001"]


@pytest.mark.parametrize("address", ["a@medecin.fr\r\nRCPT TO:<b@c.fr>", "a\n@b.fr", "a\x00@b.fr", "a@b.fr\x7f"])
def test_a_control_character_in_an_address_is_an_injection(address: str) -> None:
    """CR, LF, NUL and DEL never reach a command or a header."""
    with pytest.raises(MailRefused) as error:
        normalize(address)
    assert codes(error) == ["MSS-HDR-001"]


def test_the_domain_is_compared_in_lower_case() -> None:
    """The local part keeps its case, the domain does not."""
    assert normalize("Camille.Leroy@Medecin.MSSANTE.fr") == "Camille.Leroy@medecin.mssante.fr"


def test_a_citizen_address_is_the_qualified_matricule() -> None:
    """Fifteen characters at the citizens' domain (ECO.2.2.6), in the environment that allows the authority."""
    assert citizen_address(MATRICULE, AUTHORITY, qualified=True, environment="test") == CITIZEN


def test_a_corsican_matricule_keeps_its_letter_in_capitals() -> None:
    """The key counts 2A as 19; the address is written in capitals."""
    body = "179032a004011".upper()
    assert citizen_address(body.lower() + matricule_key(body), PRODUCTION_INS, qualified=True).startswith(
        "179032A004011"
    )


@pytest.mark.parametrize(
    ("matricule", "authority", "qualified", "code"),
    [
        (MATRICULE, AUTHORITY, False, "MSS-PAT-001"),
        (MATRICULE, AUTHORITY, True, "MSS-PAT-002"),  # a test authority in production
        ("179032600401199", PRODUCTION_INS, True, "MSS-PAT-002"),  # wrong key
        ("1790326004011", PRODUCTION_INS, True, "MSS-PAT-002"),
        (MATRICULE, "1.2.3.4", True, "MSS-PAT-002"),
    ],
)
def test_no_citizen_address_without_a_valid_qualified_ins(
    matricule: str, authority: str, qualified: bool, code: str
) -> None:
    """An unqualified identity, a wrong key or a foreign authority forms no address."""
    with pytest.raises(MailRefused) as error:
        citizen_address(matricule, authority, qualified=qualified)
    assert codes(error) == [code]


def test_professionals_get_their_normal_addresses() -> None:
    """Valid recipients come back with their audience."""
    audience, addresses = check_recipients([DOCTOR, NURSE], patient=QUALIFIED, white_list=WHITE)
    assert audience is Audience.PROFESSIONAL
    assert addresses == (DOCTOR, NURSE)


def test_the_patient_gets_mail_at_their_own_address_only() -> None:
    """A citizen address of somebody else is refused."""
    audience, _ = check_recipients([CITIZEN], patient=QUALIFIED, white_list=WHITE, environment="test")
    assert audience is Audience.CITIZEN
    with pytest.raises(MailRefused) as error:
        check_recipients(
            ["279035121518900@patient.mssante.fr"], patient=QUALIFIED, white_list=WHITE, environment="test"
        )
    assert codes(error) == ["MSS-ADR-006"]


def test_every_fault_of_the_recipients_is_listed() -> None:
    """Faults carry the place of their recipient."""
    with pytest.raises(MailRefused) as error:
        check_recipients(
            ["josé@x.fr", "a@gmail.com", DOCTOR, DOCTOR.upper()],
            patient=QUALIFIED,
            white_list=WHITE,
            max_recipients=3,
        )
    found = {(f.code, f.location) for f in error.value.findings}
    assert found == {
        ("MSS-ADR-004", ""),
        ("MSS-ADR-001", "/recipients/0"),
        ("MSS-ADR-002", "/recipients/1"),
        ("MSS-ADR-007", "/recipients/3"),
    }


def test_no_recipient_is_refused() -> None:
    """An empty list is a fault, not a success."""
    with pytest.raises(MailRefused, match="MSS-ADR-003"):
        check_recipients([], patient=QUALIFIED, white_list=WHITE)


def test_professionals_and_patient_never_share_a_message() -> None:
    """Two audiences, two messages."""
    with pytest.raises(MailRefused, match="MSS-ADR-005"):
        check_recipients([DOCTOR, CITIZEN], patient=QUALIFIED, white_list=WHITE, environment="test")


def test_a_subdomain_of_a_listed_domain_is_not_listed() -> None:
    """The white list has no wildcard."""
    with pytest.raises(MailRefused, match="MSS-ADR-002"):
        check_recipients(["a@x.medecin.formation.mssante.fr"], patient=QUALIFIED, white_list=WHITE)


def test_an_unqualified_identity_goes_to_professionals_only_by_setting() -> None:
    """Off by default; never to a citizen."""
    unknown = PatientConsent(qualified=False)
    with pytest.raises(MailRefused, match="MSS-PAT-006"):
        check_recipients([DOCTOR], patient=unknown, white_list=WHITE)
    assert check_recipients([DOCTOR], patient=unknown, white_list=WHITE, allow_unqualified=True)
    with pytest.raises(MailRefused, match="MSS-PAT-001"):
        check_recipients([CITIZEN], patient=unknown, white_list=WHITE, allow_unqualified=True)


def test_opposition_blocks_the_audience_it_names() -> None:
    """MSS/va1.20 for the patient's own mailbox, MSS/va1.22 for professionals."""
    patient = PatientConsent(qualified=True, matricule=MATRICULE, authority=AUTHORITY, opposed_to_citizen_mail=True)
    assert check_recipients([DOCTOR], patient=patient, white_list=WHITE)
    with pytest.raises(MailRefused, match="MSS-PAT-003"):
        check_recipients([CITIZEN], patient=patient, white_list=WHITE, environment="test")
    opposed = PatientConsent(qualified=True, opposed_to_professional_mail=True)
    with pytest.raises(MailRefused, match="MSS-PAT-004"):
        check_recipients([DOCTOR], patient=opposed, white_list=WHITE)


BOTH = frozenset(Audience)
PRO, PAT, NOBODY = frozenset({Audience.PROFESSIONAL}), frozenset({Audience.CITIZEN}), frozenset[Audience]()


@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        ((0, 0, 0, 0, 1), BOTH),
        ((0, 0, 0, 1, 0), BOTH),
        ((0, 1, 0, 0, 1), PRO),
        ((1, 0, 0, 0, 0), PAT),
        ((1, 0, 1, 0, 0), PAT),
        ((0, 0, 1, 0, 0), PAT),
        ((1, 0, 0, 0, 1), NOBODY),
        ((1, 0, 0, 1, 0), NOBODY),
        ((1, 1, 0, 0, 0), NOBODY),
        ((0, 1, 1, 0, 0), NOBODY),
    ],
)
def test_visibility_decides_who_a_mail_may_go_to(flags: tuple[int, ...], allowed: frozenset[Audience]) -> None:
    """The matrix of the HL7v2 transmission volume; what it does not list is an error."""
    masked, patient, guardians, secret, dmp = map(bool, flags)
    visibility = Visibility(
        masked_to_professionals=masked,
        invisible_to_patient=patient,
        invisible_to_guardians=guardians,
        secret_connection=secret,
        to_dmp=dmp,
    )
    assert visibility.audiences == allowed


def test_a_masked_document_is_not_mailed_to_professionals() -> None:
    """The fault names the document."""
    with pytest.raises(MailRefused) as error:
        check_recipients(
            [DOCTOR],
            patient=QUALIFIED,
            white_list=WHITE,
            visibility=[Visibility(), Visibility(masked_to_professionals=True)],
        )
    assert [(f.code, f.location) for f in error.value.findings] == [("MSS-PAT-005", "/documents/1")]


def test_a_citizen_address_is_masked_where_it_shows() -> None:
    """It is the matricule."""
    assert mask(CITIZEN) == "***@patient.mssante.fr"
    assert mask(DOCTOR) == DOCTOR
    assert audience_of(CITIZEN.upper()) is Audience.CITIZEN
    assert MATRICULE not in repr(QUALIFIED)
