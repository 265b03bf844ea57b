"""The ladder of given names, and the messages of the teleservice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapters.insi.judge import judge
from adapters.insi.ladder import NotSendable, given_name_rungs, query_of
from adapters.insi.messages import (
    Answer,
    CardData,
    Individual,
    TraitQuery,
    parse_answer,
    write_answer,
    write_card_search,
    write_trait_search,
)
from adapters.insi.people import PUBLISHED, Population, generate
from adapters.insi.soap import LpsContext, Malformed, SoapFault, Stamp, open_envelope, parse_fault, write_fault
from adapters.insi.verification import MODULES, Claim, Draft1
from conformance.identifiers import INS_NIR, INS_NIR_TEST, Matricule
from conformance.identity.history import InsNumber
from conformance.identity.traits import Traits
from security import xml

CONTEXT = LpsContext(idam="D1", software="urn:lps:passerelle:0.1", version="0.1", instance="i", emitter="10B0152872")
STAMP = Stamp(message_id="m", bam_id="b", lps_id="l", at=datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=UTC))
QUERY = TraitQuery(birth_name="ADRUN", given_name="ZOE", sex="F", birth_date="1975-12-31", birth_place="63220")


@pytest.mark.parametrize(
    ("first", "names", "rungs"),
    [
        ("ZOE", "", ["ZOE"]),
        ("ZOE", "ZOE", ["ZOE"]),
        ("", "PIERRE PAUL", ["PIERRE", "PAUL", "PIERRE PAUL"]),
        ("PIERRE", "PIERRE PAUL JACQUES", ["PIERRE", "PAUL", "JACQUES", "PIERRE PAUL JACQUES"]),
        ("Pierre Alain", "Pierre-Alain Muriel", ["PIERRE ALAIN", "MURIEL", "PIERRE-ALAIN MURIEL"]),
        ("JEAN PAUL", "JEAN PAUL LUC", ["JEAN PAUL", "LUC", "JEAN PAUL LUC"]),
        ("A", "A B C D E F G H", ["A", "B", "C", "D", "E", "A B C D E F G H"]),
        ("ANNE", "ANNE ANNE", ["ANNE", "ANNE ANNE"]),
    ],
)
def test_the_ladder_tries_each_given_name_then_all(first: str, names: str, rungs: list[str]) -> None:
    """First, following ones alone, all together; each once, at most six."""
    assert given_name_rungs(Traits(first_given_name=first, given_names=names)) == rungs


@given(st.lists(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), min_size=1, max_size=12), st.integers(2, 8))
def test_a_ladder_is_short_starts_with_the_first_and_ends_with_all(words: list[str], limit: int) -> None:
    """Whatever the list, the cap holds and nothing is asked twice."""
    rungs = given_name_rungs(Traits(given_names=" ".join(words)), limit=limit)
    assert len(rungs) <= limit
    assert rungs[0] == words[0]
    assert " ".join(words) in rungs
    assert len(set(rungs)) == len(rungs)


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"birth_name": "ADRUN 2"}, {"birth_name": "FORBIDDEN_CHARACTER"}),
        ({"birth_name": ""}, {"birth_name": "EMPTY"}),
        ({"sex": "I"}, {"sex": "SEX_UNDETERMINED"}),
        ({"sex": ""}, {"sex": "BAD_SEX"}),
        ({"birth_date": "31/12/1975"}, {"birth_date": "BAD_FORMAT"}),
        ({"birth_date": "1975"}, {"birth_date": "BAD_FORMAT"}),
        ({"sex": "X", "birth_date": ""}, {"sex": "BAD_SEX", "birth_date": "BAD_FORMAT"}),
    ],
)
def test_what_cannot_be_sent_is_said_by_trait(change: dict[str, str], faults: dict[str, str]) -> None:
    """Every trait at fault is named with its code, and none of them shown."""
    traits = Traits(**{"birth_name": "ADRUN", "sex": "F", "birth_date": "1975-12-31", **change})
    with pytest.raises(NotSendable) as caught:
        query_of(traits)
    assert caught.value.faults == faults
    assert "ADRUN" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "names", "fault"),
    [
        ("", "", {"first_given_name": "EMPTY"}),
        ("ZOE-", "", {"first_given_name": "BAD_LAST_CHARACTER"}),
        ("ZOE", "ZOE--A", {"given_names": "DOUBLE_HYPHEN_IN_GIVEN_NAME"}),
    ],
)
def test_given_names_that_cannot_be_sent(first: str, names: str, fault: dict[str, str]) -> None:
    """A wrong or absent given name stops the ladder before its first call."""
    with pytest.raises(NotSendable) as caught:
        given_name_rungs(Traits(first_given_name=first, given_names=names))
    assert caught.value.faults == fault


def test_a_search_has_the_shape_of_the_wsdl() -> None:
    """Contexts with their versions, an empty COUVERTURE, the action, and the body in order."""
    envelope = open_envelope(write_trait_search(QUERY, CONTEXT, STAMP))
    assert envelope.action == "urn:ServiceIdentiteCertifiee:1.0.0:rechercherInsAvecTraitsIdentite"
    assert envelope.message_id == "uuid:m"
    bam, lps = envelope.block("ctxbam", "ContexteBAM"), envelope.block("ctxlps", "ContexteLPS")
    assert bam is not None
    assert lps is not None
    assert [etree.QName(n).localname for n in bam] == ["Id", "Temps", "Emetteur", "COUVERTURE"]
    assert (bam.get("Version"), bam[1].text, len(bam[3])) == ("01_02", "2026-11-20T09:30:00.123Z", 0)
    assert [etree.QName(n).localname for n in lps[3]] == ["IDAM", "Version", "Instance", "Nom"]
    assert lps[3][0].get("R") == "4"
    assert [(etree.QName(n).localname, n.text) for n in envelope.payload] == [
        ("NomNaissance", "ADRUN"),
        ("Prenom", "ZOE"),
        ("Sexe", "F"),
        ("DateNaissance", "1975-12-31"),
        ("LieuNaissance", "63220"),
    ]
    assert envelope.block("wsse", "Security") is None


def test_a_search_by_card_carries_the_coverage() -> None:
    """What was read on the card stands in the context and in the body; absent data leave no element."""
    card = CardData(number="2751263220749", key="74", insured_number="1510675116001", insured_key="47", regime="01")
    envelope = open_envelope(write_card_search(card, CONTEXT, STAMP))
    bam = envelope.block("ctxbam", "ContexteBAM")
    assert bam is not None
    text = etree.tostring(bam).decode()
    assert "GrandRegime>01<" in text
    assert "DateNai" not in text
    assert [etree.QName(n).localname for n in envelope.payload] == ["MatriculeIndividu", "MatriculeOD"]
    assert "2751263220749" not in repr(card)
    assert "ADRUN" not in repr(QUERY)


ZOE = PUBLISHED[0].individual
assert ZOE is not None


def test_an_answer_is_read_as_written_whatever_its_prefix() -> None:
    """Result, person, history and traits survive; the first given name comes from the list."""
    herman = next(p.individual for p in PUBLISHED if p.traits.birth_name == "HERMAN")
    for prefix in ("S", "soap", "ns0"):
        answer = parse_answer(write_answer("x", Answer(code="00", label="OK", individual=herman), prefix=prefix))
        assert (answer.code, answer.label, answer.fault) == ("00", "OK", None)
        assert answer.individual == herman
    nobody = parse_answer(write_answer("x", Answer(code="01", label="Aucune identite trouvee")))
    assert (nobody.code, nobody.individual) == ("01", None)


def test_a_captured_looking_answer_with_stray_prefixes_is_read() -> None:
    """Unused prefixes, a key left out, Prenom given, dates out of order: all were seen in captured answers."""
    data = b"""<S:Envelope xmlns:S="http://www.w3.org/2003/05/soap-envelope" xmlns:ns0="urn:x"><S:Body>
    <ns2:RESULTAT xmlns:ns2="http://www.cnamts.fr/INSiResultat"><ns2:CR><ns2:CodeCR>00</ns2:CodeCR></ns2:CR>
    <ns2:INDIVIDU><ns2:INSACTIF><ns2:IdIndividu><ns2:NumIdentifiant>297022a020778</ns2:NumIdentifiant></ns2:IdIndividu>
    <ns2:OID>1.2.250.1.213.1.4.8</ns2:OID><ns2:DateDeb>2020-01-02</ns2:DateDeb><ns2:DateFin>2010-01-01</ns2:DateFin>
    </ns2:INSACTIF><ns2:TIQ><ns2:NomNaissance>ADRTROIS</ns2:NomNaissance><ns2:Prenom>DOMINIQUE</ns2:Prenom>
    <ns2:Sexe>F</ns2:Sexe><ns2:DateNaissance>1997-02-26</ns2:DateNaissance></ns2:TIQ></ns2:INDIVIDU></ns2:RESULTAT>
    </S:Body></S:Envelope>"""
    individual = parse_answer(data).individual
    assert individual is not None
    assert individual.active == InsNumber(value="297022A020778", oid=INS_NIR, start="2020-01-02", end="2010-01-01")
    assert (individual.traits.first_given_name, individual.traits.given_names) == ("DOMINIQUE", "DOMINIQUE")
    judged, refused = judge(individual, "production", {})
    assert (judged.active.value, refused) == ("297022A02077878", None)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<a/>", "NOT_SOAP_12"),
        (b"nothing", "XML-SYNTAX-001"),
        (b"<!DOCTYPE a><a/>", "XML-DTD-001"),
        (b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body/></e:Envelope>', "BAD_BODY"),
        (
            b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><a/></e:Body></e:Envelope>',
            "NOT_A_RESULT",
        ),
    ],
)
def test_what_is_no_answer_is_malformed(data: bytes, code: str) -> None:
    """Each malformation has its code; hostile XML never gets further than the reader."""
    with pytest.raises(Malformed) as caught:
        parse_answer(data)
    assert caught.value.code == code


def test_found_without_anybody_is_malformed() -> None:
    """A code 00 must name somebody, with an authority."""
    with pytest.raises(Malformed, match="NOBODY_IN_RESULT"):
        parse_answer(write_answer("x", Answer(code="00", label="OK")))
    no_oid = write_answer("x", Answer(code="00", individual=ZOE)).replace(INS_NIR.encode(), b"")
    with pytest.raises(Malformed, match="NUMBER_WITHOUT_OID"):
        parse_answer(no_oid)


def test_faults_go_there_and_back_with_any_prefix() -> None:
    """Side, subcode, code, severity and text for the user are all kept."""
    fault = SoapFault(
        side="Sender", subcode="siram_100", code="desir_550", severity="erreur", text="Inconnu", message_id="uuid:m"
    )
    assert parse_fault(open_envelope(write_fault(fault))) == fault
    bare = b"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault/></s:Body></s:Envelope>"""
    assert parse_fault(open_envelope(bare)) == SoapFault(side="Receiver")


@pytest.mark.parametrize(
    ("value", "oid", "environment", "refused"),
    [
        ("275126322074974", INS_NIR, "production", None),
        ("275126322074975", INS_NIR, "production", "INSI-ANS-002"),
        ("2751263220749", INS_NIR, "production", None),
        ("27512632207", INS_NIR, "production", "INSI-ANS-002"),
        ("275126322074974", INS_NIR_TEST, "production", "INSI-ANS-003"),
        ("275126322074975", INS_NIR_TEST, "test", None),
        ("275126322074974", "1.2.250.1.213.1.4.13", "test", "INSI-ANS-003"),
    ],
)
def test_a_number_is_judged_before_anyone_sees_it(value: str, oid: str, environment: str, refused: str | None) -> None:
    """Wrong keys and foreign authorities never get through; the key that was left out is computed."""
    individual = Individual(active=InsNumber(value=value, oid=oid), traits=PUBLISHED[0].traits)
    assert judge(individual, environment, {})[1] == refused


@pytest.mark.parametrize(
    "change",
    [{"birth_name": "Adrun"}, {"given_names": "ZOÉ"}, {"given_names": ""}, {"sex": "I"}, {"birth_date": "1975"}],
)
def test_traits_out_of_profile_are_not_those_of_the_national_base(change: dict[str, str]) -> None:
    """Lower case, accents, an undetermined sex: the whole answer is refused."""
    traits = Traits(**{**PUBLISHED[0].traits.as_dict(), **change})
    individual = Individual(active=InsNumber(value="275126322074974", oid=INS_NIR), traits=traits)
    assert judge(individual, "production", {})[1] == "INSI-ANS-004"


def test_the_population_is_right_and_repeatable() -> None:
    """Every number checks, nobody is there twice, the same seed gives the same people."""
    people = generate(300)
    assert people == generate(300)
    assert len(generate(3)) == 3
    numbers = [p.individual.active.value for p in [*PUBLISHED, *people] if p.individual]
    for number in numbers:
        assert Matricule.parse(number).key_ok
    assert len(set(numbers)) == len(numbers)
    for one in people:
        assert judge(one.individual, "production", {})[1] is None if one.individual else True


def test_somebody_added_again_is_replaced() -> None:
    """A number names one person: the new entry takes the place of the old."""
    population = Population(PUBLISHED)
    count = len(population)
    population.add(PUBLISHED[0])
    assert len(population) == count
    assert population.by_number("2751263220749") is PUBLISHED[0]
    assert population.by_number("1751263220749") is None


def test_the_draft_of_verification_reads_what_it_writes() -> None:
    """Unit and lots, there and back; the module is named and versioned."""
    draft = MODULES["passerelle-draft-1"]
    assert isinstance(draft, Draft1)
    claim = Claim(number=ZOE.active, traits=ZOE.traits, reference="r1")
    assert b"IndividuVerifie" in draft.unit(claim, CONTEXT, STAMP)
    assert draft.read_unit(draft.write_unit(True)).confirmed
    assert not draft.read_unit(draft.write_unit(False)).confirmed
    assert draft.read_deposit(draft.write_deposit("LOT1")).lot == "LOT1"
    assert not draft.read_lot(draft.write_lot(None)).ready
    lot = draft.read_lot(draft.write_lot([("r1", True), ("r2", False)]))
    assert [(a.reference, a.confirmed) for a in lot.answers] == [("r1", True), ("r2", False)]
    for read in (draft.read_unit, draft.read_deposit, draft.read_lot):
        assert read(write_fault(SoapFault(side="Receiver", code="x"))).fault is not None
        with pytest.raises(Malformed):
            read(write_answer("x", Answer(code="01")))
    with pytest.raises(Malformed, match="NEITHER"):
        draft.read_unit(draft.write_unit(True).replace(b"OUI", b"PEUT-ETRE"))
    with pytest.raises(ValueError, match="a lot holds"):
        draft.deposit([], CONTEXT, STAMP)


def test_messages_are_written_by_the_strict_writer() -> None:
    """A name with an apostrophe and an ampersand-free profile goes out as UTF-8 XML."""
    assert xml.parse(write_trait_search(QUERY, CONTEXT, STAMP)) is not None
