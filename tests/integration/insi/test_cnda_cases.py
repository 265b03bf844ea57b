"""The certification cases of the teleservice, client against simulator over mutual TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.insi.sandbox import InsiSandbox
from conformance.identity.history import HistoryAction, InsNumber, resolve_matricule
from conformance.identity.traits import Traits

Use = Callable[..., Any]
NIR, NIA = "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.9"


def someone(name: str, given: str, sex: str, born: str, place: str = "", first: str = "") -> Traits:
    return Traits(
        birth_name=name,
        first_given_name=first or given.split(" ")[0],
        given_names=given,
        sex=sex,
        birth_date=born,
        birth_place=place,
    )


@pytest.mark.parametrize(
    ("label", "local", "number", "oid", "calls", "verdict"),
    [
        ("plain", someone("ADRUN", "ZOE", "F", "1975-12-31", "63220"), "275126322074974", NIR, ["00"], "MATCH_EXACT"),
        (
            "2.03-1 apostrophes",
            someone("D’Artagnan de l’Hérault", "Pierre-Alain Gunther", "M", "2001-06-17", "63220"),
            "101066322075460",
            NIR,
            ["00"],
            "MATCH_EXACT",
        ),
        (
            "2.03-2 Corsica",
            someone("ADRTROIS", "TOUSSAINT", "M", "1960-01-01", "2B020"),
            "160012B02077713",
            NIR,
            ["00"],
            "MATCH_EXACT",
        ),
        (
            "Corsica 2A",
            someone("ADRTROIS", "DOMINIQUE", "F", "1997-02-26", "2A020"),
            "297022A02077878",
            NIR,
            ["00"],
            "MATCH_EXACT",
        ),
        (
            "2.04 history",
            someone("ECETINSI", "PIERRE-ALAIN", "M", "2009-07-14", "63220"),
            "109076322083489",
            NIR,
            ["00"],
            "MATCH_EQUIVALENT",
        ),
        (
            "2.05 waiting number",
            someone("PROVISOIRE", "MATRICULE", "M", "2009-07-01", "63220"),
            "109076322088835",
            NIA,
            ["00"],
            "MATCH_EXACT",
        ),
        (
            "2.06 several, then the place",
            someone("DE VINCI", "LEONARDO PIERO", "M", "2014-02-01", "63220"),
            "114026322083356",
            NIR,
            ["02", "00"],
            "MATCH_EXACT",
        ),
        (
            "2.07-1 second given name",
            someone("TCHITCHI", "OLA CATARINA", "F", "1936-06-21", "63220"),
            "236066322083656",
            NIR,
            ["01", "00"],
            "NO_MATCH",
        ),
        (
            "2.08-1 history repeats",
            someone("CORSE", "ANTHONY", "M", "1980-03-02", "2B020"),
            "180032B02040123",
            NIR,
            ["00"],
            "MATCH_EXACT",
        ),
        (
            "2.08-2 two earlier",
            someone("HERMAN", "GATIEN", "M", "1981-03-24", "63220"),
            "181036322045676",
            NIR,
            ["00"],
            "MATCH_EXACT",
        ),
        (
            "3.05-3",
            someone("NESSI", "NATHALIE", "F", "1977-07-14", "63220"),
            "277076322082910",
            NIR,
            ["00"],
            "MATCH_EXACT",
        ),
    ],
)
def test_a_case_ends_as_certification_wants(
    use: Use, label: str, local: Traits, number: str, oid: str, calls: list[str], verdict: str
) -> None:
    """Each published case gives its number, in its number of calls, with the verdict the traits deserve."""
    result = use(lambda client: client.search(local))
    assert [c.outcome.original_code for c in result.calls] == calls, label
    assert result.individual is not None
    assert (result.individual.active.value, result.individual.active.oid) == (number, oid)
    assert result.comparison is not None
    assert result.comparison.verdict == verdict


def test_case_2_03_3_ligatures_never_leave_and_the_service_fails(use: Use, insi: InsiSandbox) -> None:
    """The ligatures are written out, then the platform answers its technical fault."""
    result = use(lambda client: client.search(someone("D’ÆION", "CŒUR", "M", "1987-01-25")))
    assert (result.outcome.code, result.outcome.kind) == ("INSI-FLT-001", "retry")
    assert result.outcome.original_code == "insi_102"
    assert "inaccessible" in (result.outcome.original_text or "")
    sent = insi.journal.all()[0].request or b""
    assert b"D'AEION" in sent
    assert b"COEUR" in sent


def test_case_2_07_2_four_calls_and_nobody(use: Use, insi: InsiSandbox) -> None:
    """Each given name, then all together; nobody answers, the status stays."""
    result = use(lambda client: client.search(someone("HOUILLES", "PIERRE PAUL JACQUES", "M", "1993-01-27")))
    assert result.outcome.kind == "not_found"
    asked = [e.request or b"" for e in insi.journal.all()]
    names = [request.partition(b":Prenom>")[2].partition(b"<")[0] for request in asked]
    assert names == [b"PIERRE", b"PAUL", b"JACQUES", b"PIERRE PAUL JACQUES"]


def test_case_2_06_without_a_place_stays_several(use: Use) -> None:
    """Without the place nothing tells the namesakes apart: every given name is tried, then it stops."""
    result = use(lambda client: client.search(someone("DE VINCI", "LEONARDO PIERO", "M", "2014-02-01")))
    assert (result.outcome.kind, len(result.calls)) == ("several", 3)
    assert result.individual is None


def test_histories_are_kept_identically_and_decide(use: Use) -> None:
    """The earlier numbers come as returned; an old number held is replaced, a foreign one raises the alarm."""
    result = use(lambda c: c.search(someone("HERMAN", "GATIEN", "M", "1981-03-24", "63220")))
    individual = result.individual
    assert [h.value for h in individual.history] == ["181036322045676", "281036322045610"]
    held = InsNumber(value="281036322045610", oid=NIR)
    assert resolve_matricule(held, individual.active, individual.history) is HistoryAction.REPLACE_AND_ARCHIVE
    foreign = InsNumber(value="275126322074974", oid=NIR)
    assert resolve_matricule(foreign, individual.active, individual.history) is HistoryAction.COLLISION_REFUSE_AND_ALERT


@pytest.mark.parametrize(
    ("name", "given", "sex", "born", "place", "reasons"),
    [
        ("SANSLIEU", "PAULINE", "F", "1931-02-14", "63220", ("BIRTH_PLACE_ABSENT_IN_INSI",)),
        ("SANSJOUR", "BRUNO", "M", "1944-00-00", "99352", ()),
        ("LEGRAND--LEPETIT", "HUGO", "M", "2005-10-01", "59350", ()),
        ("'AITALI", "YASMINE", "F", "1983-12-25", "69123", ()),
        ("COURT", "O", "M", "1962-03-08", "33063", ()),
        ("NEALETRANGER", "SOFIA INES", "F", "1976-06-18", "99132", ()),
    ],
)
def test_the_unusual_people_of_the_population(
    use: Use, name: str, given: str, sex: str, born: str, place: str, reasons: tuple[str, ...]
) -> None:
    """Absent place, date with zeros, double hyphen, leading apostrophe, one letter, born abroad: all are found."""
    result = use(lambda client: client.search(someone(name, given, sex, born, place)))
    assert result.outcome.kind == "found"
    assert result.comparison.reasons == reasons


def test_namesakes_and_waiting_numbers_of_the_population(use: Use) -> None:
    """Namesakes need the place; a NIA that became a NIR says so in its history."""
    several = use(lambda c: c.search(someone("HOMONYMET", "JULIE ROSE", "F", "1988-05-12", "13055")))
    assert [c.outcome.original_code for c in several.calls] == ["02", "00"]
    became = use(lambda c: c.search(someone("DEVENU", "KARIM ADAM", "M", "1990-11-30", "99350")))
    assert became.individual.active.oid == NIR
    assert [h.oid for h in became.individual.history] == [NIA]
