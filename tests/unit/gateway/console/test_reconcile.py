"""The payer's figure beside ours: the difference, the reading that explains it, and a whole file pasted."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from gateway.context import Gateway
from gateway.feeds.tables import entries
from tests.support.console import OTHER
from tests.support.feeds import DOCTOR
from tests.unit.gateway.console.conftest import People, csrf_of

PAGE = "/console/reconcile"
RULE = "fr.medecin.forfait-structure.dmp/2023"
HEAD = "measure;by;subject;value;from;to\n"


def asked(**more: str) -> dict[str, str]:
    """The form, filled."""
    return {"rule": RULE, "subject": DOCTOR, "measure": "fed_lineages", "payer": "540", **more}


def test_the_reading_that_gives_the_payers_number_is_named(people: People) -> None:
    """540 against 488: every positive answer counted gives 540 exactly; in agreement nothing is to be explained."""
    auditor = people("auditeur")
    page = auditor.get(PAGE, params=asked()).text
    assert "Le payeur compte 540, la passerelle 488" in page
    assert "écart de 52" in page
    assert "toutes les réponses positives comptées" in page
    assert "expliqué" in page
    same = auditor.get(PAGE, params=asked(payer="488")).text
    assert "aucun écart" in same
    none = auditor.get(PAGE, params=asked(payer="77")).text
    assert "non expliqué" in none
    assert "autre logiciel" in none


def test_what_cannot_be_compared_is_refused_in_words(people: People) -> None:
    """No number, no person, no measure, no such rule."""
    auditor = people("auditeur")
    for change in ({"payer": "12,5"}, {"payer": "-3"}, {"subject": ""}, {"measure": "consultations"}):
        assert auditor.get(PAGE, params=asked(**change)).status_code == 422, change
    assert auditor.get(PAGE, params=asked(rule="fr.nothing/2023")).status_code == 404
    assert "Choisir" in auditor.get(PAGE).text


def test_a_pasted_file_is_compared_and_not_kept(people: People, gateway: Gateway) -> None:
    """Each figure of the payer's has its answer; one the ledger does not count says so; nothing is imported."""
    auditor = people("auditeur")
    form = auditor.get(PAGE, params={"rule": RULE})
    line = f"{DOCTOR};{{}};2023-01-01;2023-12-31\n"
    file = HEAD + "fed_lineages;rpps;" + line.format(540) + "consultations;rpps;" + line.format(4812)

    def imported() -> int:
        query = select(func.count()).where(entries.c.kind == "measure.imported")
        return int(gateway.store.read_now(lambda c: c.execute(query).scalar_one()))

    before = imported()
    answer = auditor.post(PAGE, data={"csrf": csrf_of(form), "rule": RULE, "file": file})
    assert answer.status_code == 200, answer.text
    assert "écart de 52" in answer.text
    assert "non comparé" in answer.text
    assert imported() == before
    bad = auditor.post(PAGE, data={"csrf": csrf_of(form), "rule": RULE, "file": HEAD + "x;rpps;1;1_0;2023-01-01;x\n"})
    assert bad.status_code == 422
    assert "Ligne" in bad.text
    assert auditor.post(PAGE, data={"csrf": "x", "rule": RULE, "file": file}).status_code == 403


@pytest.mark.parametrize("login", ["exploitant", "national"])
def test_who_sees_no_line_compares_nothing(people: People, login: str) -> None:
    """The operator and the national role."""
    assert people(login).get(PAGE).status_code == 403


def test_a_professional_compares_their_own(people: People) -> None:
    """Whoever is named in the address."""
    page = people("docteur").get(PAGE, params=asked(subject=OTHER)).text
    assert "la passerelle 488" in page
