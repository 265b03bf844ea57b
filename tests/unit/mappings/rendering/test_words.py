"""Names, numbers, addresses and dates in French words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mappings.document.people import Organization, Patient, Professional
from mappings.document.values import Address, Period, Telecom
from mappings.rendering.words import (
    address_lines,
    clock,
    date_text,
    identity_name,
    moment_text,
    number,
    period_text,
    person_name,
    professional_id,
    sex_text,
    structure_id,
    telecom_text,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", "0"),
        ("1.50", "1,5"),
        ("-0.5", "-0,5"),
        ("1E+3", "1000"),
        ("9999", "9999"),
        ("12000", "12\u00a0000"),
        ("1234567.25", "1\u00a0234\u00a0567,25"),
        ("-12000", "-12\u00a0000"),
        ("0.000001", "0,000001"),
    ],
)
def test_numbers(value: str, expected: str) -> None:
    """Decimal comma, no exponent, no trailing zero."""
    assert number(Decimal(value)) == expected


@pytest.mark.parametrize(
    ("moment", "date", "time", "whole"),
    [
        ("2026", "2026", "", "2026"),
        ("2026-11", "11/2026", "", "11/2026"),
        ("2026-11-20", "20/11/2026", "", "20/11/2026"),
        ("2026-11-20T08:00:00+01:00", "20/11/2026", "8 h", "20/11/2026 à 8 h"),
        ("2026-11-20T18:05Z", "20/11/2026", "18 h 05", "20/11/2026 à 18 h 05"),
    ],
)
def test_moments(moment: str, date: str, time: str, whole: str) -> None:
    """As precise as known, in the offset of the sender."""
    assert (date_text(moment), clock(moment), moment_text(moment)) == (date, time, whole)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2021", None, "à partir de 2021"),
        (None, "2021-05", "jusqu'en 05/2021"),
        ("2021", "2021", "en 2021"),
        ("2021-01", "2021-03-04", "de 01/2021 au 04/03/2021"),
        (None, None, ""),
    ],
)
def test_periods_of_any_precision(start: str | None, end: str | None, expected: str) -> None:
    """A month or a year reads as one."""
    assert period_text(Period(start=start, end=end)) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("Kervella", "Odile", "MME", "DR"), "Dr Odile KERVELLA"),
        (("Kervella", "Odile", "MME", None), "Mme Odile KERVELLA"),
        (("Kervella", None, None, None), "KERVELLA"),
        ((None, None, None, None), ""),
    ],
)
def test_people(parts: tuple[Any, ...], expected: str) -> None:
    """The title before the civility, the family name in capitals."""
    assert person_name(*parts) == expected


@pytest.mark.parametrize(
    ("root", "extension", "expected"),
    [
        ("1.2.250.1.71.4.2.1", "899700218896", "RPPS 99700218896"),
        ("1.2.250.1.71.4.2.1", "0291234567", "ADELI 291234567"),
        ("1.2.250.1.71.4.2.1", "4290099887/12", "N° national 4290099887/12"),
        ("1.2.3", "1", ""),
    ],
)
def test_national_numbers_of_professionals(root: str, extension: str, expected: str) -> None:
    """RPPS and ADELI are told by their first digit."""
    professional = Professional.model_validate({"id": {"root": root, "extension": extension}, "family": "X"})
    assert professional_id(professional) == expected


@pytest.mark.parametrize(
    ("extension", "expected"),
    [("1290099887", "FINESS 290099887"), ("312345678901234", "SIRET 12345678901234"), ("4x", "N° structure 4x")],
)
def test_national_numbers_of_structures(extension: str, expected: str) -> None:
    """FINESS, SIREN and SIRET are told by their first digit."""
    place = Organization.model_validate({"id": {"root": "1.2.250.1.71.4.2.2", "extension": extension}})
    assert structure_id(place) == expected
    assert structure_id(Organization(name="X")) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("tel:0298000000", "Tél.\u00a002\u00a098\u00a000\u00a000\u00a000"),
        ("tel:+33298000000", "Tél.\u00a0+33298000000"),
        ("fax:0298000000", "Fax\u00a002\u00a098\u00a000\u00a000\u00a000"),
        ("mailto:a@b.mssante.fr", "Courriel\u00a0a@b.mssante.fr"),
        ("https://a.example", "https://a.example"),
    ],
)
def test_telecoms(value: str, expected: str) -> None:
    """French numbers by twos."""
    assert telecom_text(Telecom(value=value)) == expected


def test_a_citizen_mailbox_is_never_spelled() -> None:
    """The address is the matricule."""
    words = telecom_text(Telecom(value="mailto:279035121518989@patient.mssante.fr"))
    assert "279035121518989" not in words
    assert "messagerie citoyenne" in words


def test_addresses_and_sex() -> None:
    """The first address, as on an envelope; nothing gives nothing."""
    address = Address(lines=("1 rue X", "Bât. B"), postal_code="29000", city="QUIMPER", country="France")
    assert address_lines([address]) == ["1 rue X", "Bât. B", "29000 QUIMPER", "France"]
    assert address_lines([]) == []
    assert [sex_text(s) for s in ("M", "F", "I")] == ["masculin", "féminin", "indéterminé"]


def test_the_birth_name_comes_first_with_its_label() -> None:
    """No name stands for another."""
    patient = Patient.model_validate(
        {
            "birthName": "PAT",
            "givenNames": "DOMINIQUE MARIE",
            "firstGivenName": "DOMINIQUE",
            "usedName": "ÉPOUX",
            "usedGivenName": "DOM",
            "sex": "F",
            "birthDate": "1979-03-28",
        }
    )
    assert identity_name(patient) == [
        ("Nom de naissance", "PAT"),
        ("Prénom(s) de naissance", "DOMINIQUE MARIE"),
        ("Nom utilisé", "ÉPOUX"),
        ("Prénom utilisé", "DOM"),
    ]
