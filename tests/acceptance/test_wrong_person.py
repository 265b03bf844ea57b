"""The wrong person is never fed: what INSi answers, twins, swapped numbers, changed traits, old checks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog.testing

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import fault, follow, post, simulator
from tests.support import documents

TEST = "1.2.250.1.213.1.4.10"
NATHALIE, TRANSITAIN_BEFORE = "277076322082910", "1990435238504"
_NUMBERS = itertools.count(90_000)

Traits = tuple[str, str, str, str, str]
ZOE: Traits = ("ADRUN", "ZOE", "F", "1975-12-31", "63220")
MOTHER: Traits = ("NESSI", "NATHALIE", "F", "1977-07-14", "63220")
CHILD: Traits = ("NESSI", "MICHELANGELO ANTHONY", "M", "2010-08-07", "63220")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway of this module's own: no other test's files hold these numbers."""
    with Demonstration(tmp_path_factory.mktemp("wrong"), pool_processes=0).running() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_fault_left(running: Demonstration) -> Iterator[None]:
    """Each test switches its own faults on."""
    yield
    base = running.access.simulators["insi"]["api"] if running.access else ""
    httpx.delete(f"{base}/faults", trust_env=False, timeout=10).raise_for_status()


def patient(traits: Traits, *, status: str = "validee", ins: str = "", file: str = "", checked: str = "") -> Any:
    """A patient of the practice, in a local file of their own unless it is named."""
    name, given, sex, born, place = traits
    out: dict[str, Any] = {
        "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": file or f"IPP{next(_NUMBERS)}"}],
        "status": status,
        "birthName": name,
        "firstGivenName": given.split(" ")[0],
        "givenNames": given,
        "sex": sex,
        "birthDate": born,
        "birthPlace": place,
        "addresses": documents.PATIENT["addresses"],
        "telecoms": documents.PATIENT["telecoms"],
        "proof": "CN",
    }
    if ins:
        out |= {"ins": {"value": ins, "authority": TEST}, "status": "qualifiee"}
    if checked:
        out["insCheckedOn"] = checked
    return out


def sent(client: Client, who: dict[str, Any], **envelope: Any) -> dict[str, Any]:
    """A report about somebody, taken in charge."""
    document = documents.report(next(_NUMBERS)) | {"patient": who}
    answer = post(client, document, **envelope)
    assert answer.status_code == 202, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


def held(client: Client, receipt: dict[str, Any], *reasons: str) -> dict[str, Any]:
    """The delivery of a document, once it waits for one of these reasons."""
    body = follow(
        client,
        receipt["id"],
        until=lambda b: b["deliveries"][0]["state"] == "held" and b["deliveries"][0]["reason"] in reasons,
    )
    delivery: dict[str, Any] = body["deliveries"][0]
    return delivery


def asked(running: Demonstration) -> int:
    """How often INSi was asked."""
    return len(simulator(running, "insi", "/exchanges").json())


def fed(running: Demonstration, receipt: dict[str, Any]) -> bool:
    """The registry holds the document."""
    return simulator(running, "dmp", f"/documents/{receipt['uniqueId']}").status_code == 200


@pytest.mark.parametrize(
    ("traits", "reason"),
    [
        (("TCHITCHI", "BELLA", "F", "1936-06-21", "63220"), "identity_mismatch"),  # REVIEW
        (("TCHITCHI", "OLA CATARINA", "F", "1936-06-21", "63220"), "identity_mismatch"),  # NO_MATCH
        (("ECETINSI", "PIERRE-ALAIN", "M", "2009-07-14", "63220"), "identity_mismatch"),  # MATCH_EQUIVALENT
        (("DE VINCI", "LEONARDO PIERO", "M", "2014-02-01", "99999"), "identity_not_qualified"),  # several
        (("HOUILLES", "PIERRE PAUL JACQUES", "M", "1993-01-27", "63220"), "identity_not_qualified"),  # nobody
    ],
)
def test_nothing_but_an_exact_match_lets_go_unattended(
    running: Demonstration, vendor: Client, traits: Traits, reason: str
) -> None:
    """REVIEW, NO_MATCH, an equivalence, several, nobody: the document waits, the registry never sees it."""
    receipt = sent(vendor, patient(traits))
    asked_before = asked(running)
    held(vendor, receipt, reason)
    follow(vendor, receipt["id"], until=lambda _: asked(running) >= asked_before)
    assert not fed(running, receipt)


@pytest.mark.parametrize(("name", "code"), [("wrong_key", "INSI-ANS-002"), ("lower_case", "INSI-ANS-004")])
def test_an_answer_that_does_not_hold_qualifies_nobody(
    running: Demonstration, vendor: Client, name: str, code: str
) -> None:
    """A wrong key, traits in lower case: not believed, and the number held is not dropped for it."""
    fault(running, "insi", fault=name, count=None)
    receipt = sent(vendor, patient(ZOE, ins="275126322074974"))  # no date of check: INSi is asked
    delivery = held(vendor, receipt, code)
    assert delivery["cause"]
    assert not fed(running, receipt)


def test_a_twin_under_the_same_number(running: Demonstration, vendor: Client) -> None:
    """Same traits but the first name, and the other's number, checked yesterday: INSi is asked all the same."""
    first = sent(vendor, patient(MOTHER, ins=NATHALIE, checked="2026-11-20"))
    assert follow(vendor, first["id"])["state"] == "completed"
    twin = sent(vendor, patient(("NESSI", "ZELIE", *MOTHER[2:]), ins=NATHALIE, checked="2026-11-23"))
    held(vendor, twin, "identity_mismatch")
    assert not fed(running, twin)


def test_a_mother_s_number_on_her_child(running: Demonstration, vendor: Client) -> None:
    """The number says another sex and year: INSi gives the child's own number, the document waits for a person."""
    receipt = sent(vendor, patient(CHILD, ins=NATHALIE, checked="2026-11-23"))
    assert {"INS-COH-001", "INS-COH-002"} <= {w["code"] for w in receipt["warnings"]}
    held(vendor, receipt, "identity_mismatch")
    assert not fed(running, receipt)


def test_a_second_document_does_not_lift_the_doubt(running: Demonstration, vendor: Client) -> None:
    """Sent again with a fresh date of check, the child's file under the mother's number still waits."""
    who = patient(CHILD, ins=NATHALIE, checked="2026-11-22")
    first = sent(vendor, who)
    second = sent(vendor, who | {"insCheckedOn": "2026-11-23"})
    for receipt in (first, second):
        held(vendor, receipt, "identity_mismatch")
        assert not fed(running, receipt)


def test_the_child_s_number_never_mails_the_mother(running: Demonstration, vendor: Client) -> None:
    """A mail to the mailbox of that number waits too: nothing leaves for the citizen."""
    address = f"{NATHALIE}@patient.mssante.fr"
    mail = {"dmp": False, "mss": {"recipients": [{"address": address, "kind": "citizen"}]}}
    receipt = sent(vendor, patient(CHILD, ins=NATHALIE, checked="2026-11-23"), deliverTo=mail)
    held(vendor, receipt, "identity_mismatch")
    assert address not in simulator(running, "mss", "/messages").text


def test_a_trait_changed_after_qualification_is_verified_again(running: Demonstration, vendor: Client) -> None:
    """The same file under the same number with another date of birth: the former check is worth nothing."""
    file = f"IPP{next(_NUMBERS)}"
    good = sent(vendor, patient(ZOE, ins="275126322074974", file=file, checked="2026-11-20"))
    assert follow(vendor, good["id"])["state"] == "completed"
    other = (*ZOE[:3], "1975-12-30", ZOE[4])
    changed = sent(vendor, patient(other, ins="275126322074974", file=file, checked="2026-11-24"))
    held(vendor, changed, "identity_mismatch")
    assert not fed(running, changed)


def test_a_lawful_disagreement_is_settled_by_insi(running: Demonstration, vendor: Client) -> None:
    """A former number under another sex is in the person's history: replaced, kept as former, and the record is fed."""
    from conformance.identifiers import matricule_key

    number = TRANSITAIN_BEFORE + matricule_key(TRANSITAIN_BEFORE)
    receipt = sent(
        vendor, patient(("TRANSITAIN", "ALEX", "F", "1999-04-21", "35238"), ins=number, checked="2026-11-20")
    )
    assert follow(vendor, receipt["id"])["state"] == "completed"
    cda = vendor.request("GET", f"/v1/documents/{receipt['id']}/cda").content
    assert number.encode() not in cda


@pytest.mark.parametrize(("checked", "again"), [("2026-11-01", False), ("2020-01-01", True), ("", True)])
def test_an_old_check_is_made_again_before_feeding(
    running: Demonstration, vendor: Client, checked: str, again: bool
) -> None:
    """Past the age of the setting, or without a date, INSi confirms first; a recent check is believed."""
    before = asked(running)
    receipt = sent(vendor, patient(ZOE, ins="275126322074974", checked=checked))
    assert follow(vendor, receipt["id"])["state"] == "completed"
    assert (asked(running) > before) is again


def test_traits_and_number_never_stand_in_a_log_line(vendor: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The whole way, fed and held: no line of the log holds a number, a name or a date of birth, sieve or not."""
    with structlog.testing.capture_logs() as lines, caplog.at_level("DEBUG"):
        good = sent(vendor, patient(ZOE, ins="275126322074974"))
        follow(vendor, good["id"])
        held(vendor, sent(vendor, patient(CHILD, ins=NATHALIE, checked="2026-11-23")), "identity_mismatch")
    assert "insi.answered" in {line["event"] for line in lines}
    said = repr(lines) + caplog.text
    for secret in ("275126322074974", NATHALIE, "ADRUN", "NESSI", "MICHELANGELO", "1975-12-31", "2010-08-07"):
        assert secret not in said, [r.name for r in caplog.records if secret in r.getMessage()][:3]
