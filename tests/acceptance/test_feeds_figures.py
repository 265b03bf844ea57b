"""The worked examples through HTTP, to the cent: entered, imported, evaluated, stated, closed and compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.measure import Measure
from fhir.resources.R4B.measurereport import MeasureReport

from gateway.demonstration import CABINET, PHARMACY, Client, Demonstration
from gateway.feeds.entry import LedgerEntry, entry_id, opaque_hash
from gateway.feeds.ledger import record_many
from tests.support.feed_examples import PHARMACY as OFFICINE
from tests.support.feed_examples import REGULAR_DOCTOR, SECOND_SITE, example_1, example_2, example_3
from tests.support.feeds import DOCTOR, PRACTICE

DMP = "fr.medecin.forfait-structure"
VSM = "fr.medecin.vsm-ald"
#: A doctor whose period gets closed.
CLOSED = "10100000044"
HEAD = "measure;by;subject;value;from;to\n"
OFFICINE_SCHEME = "fr.officine.remu-num"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway that counts as in production: test identities do not count."""
    folder = tmp_path_factory.mktemp("figures")
    with Demonstration(folder, pool_processes=0, settings={"feeds": {"policy": ""}}).running() as one:
        for structure, entries in (
            (CABINET[0], [*example_1(), *example_2(), *example_2(CLOSED)]),
            (PHARMACY[0], example_3()),
        ):
            enter(one, structure, entries)
        yield one


def enter(running: Demonstration, structure: str, entries: list[LedgerEntry]) -> None:
    """Put lines in the ledger of a structure."""
    from gateway import tenants

    found = running.gateway.store.read_now(lambda c: tenants.tenant_of_structure(c, structure))
    running.gateway.store.write_now(lambda c: record_many(c, found.id, entries))


def send(client: Client, path: str, body: Any, status: int = 201, tenant: str | None = None, **params: Any) -> Any:
    """Post something; the JSON of the answer."""
    headers = {"Passerelle-Tenant": tenant} if tenant else {}
    options: dict[str, Any] = {"content": body} if isinstance(body, (bytes, str)) else {"json": body}
    answer = client.request("POST", path, params=params, headers=headers, **options)
    assert answer.status_code == status, answer.text
    return answer.json()


def get(client: Client, path: str, status: int = 200, **params: Any) -> Any:
    """Read something; the JSON of the answer."""
    answer = client.request("GET", path, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


def payer(subject: str, year: int, by: str = "rpps", start: int | None = None, **measures: int) -> str:
    """A payer's file."""
    rows = [f"{name};{by};{subject};{value};{start or year}-01-01;{year}-12-31" for name, value in measures.items()]
    return "\n".join(["measure;by;subject;value;from;to", *rows]) + "\n"


@pytest.fixture(scope="module")
def imported(running: Demonstration, auditor: Client, pharmacy: Client) -> None:
    """The numbers the payer and the pharmacy's own software give."""
    practice, officine = CABINET[0], PHARMACY[0]
    send(auditor, "/v1/feeds/imports", payer(DOCTOR, 2023, consultations=4812), tenant=practice, origin="cnam")
    regular = payer(REGULAR_DOCTOR, 2023, start=2022, ald_patients_mt=212, mt_patients=1040)
    send(auditor, "/v1/feeds/imports", regular, tenant=practice, origin="cnam")
    theirs = payer(
        OFFICINE,
        2024,
        by="finess",
        dispensations_city_prescription=21_400,
        fse_sent=38_250,
        claims_all=39_800,
        scor_conforming=9_340,
        scor_files=9_396,
    )
    send(auditor, "/v1/feeds/imports", theirs, tenant=officine, origin="cnam")
    own = payer(OFFICINE, 2024, by="finess", reviews_finalised=46, dispensations=24_900)
    send(pharmacy, "/v1/feeds/imports", own, origin="lgo")
    for name in ("coordinated_practice", "segur_software", "no_fraud_conviction"):
        declared = {"measure": name, "by": "finess", "subject": OFFICINE, "value": True, "from": "2024-01-01"}
        send(pharmacy, "/v1/feeds/declarations", declared)


def part(answer: dict[str, Any], identifier: str) -> dict[str, Any]:
    """One rule of an answer."""
    return next(one for one in answer["rules"] if one["rule"]["id"] == identifier)


def test_example_1_both_readings_both_versions(vendor: Client, imported: None) -> None:
    """488/4812 meets 10 % and 471/4812 does not, both shown; under the former threshold neither did."""
    found = part(get(vendor, f"/v1/feeds/indicators/{DMP}/2023", professional=DOCTOR), f"{DMP}.2023.dmp")
    paid, other = found["indicators"]
    assert (paid["value"], paid["met"], paid["percent"]) == ("488/4812", True, "10,14\u00a0%")
    assert (other["value"], other["met"], other["percent"]) == ("471/4812", False, "9,79\u00a0%")
    assert other["missing"] == 11
    assert "Il en manquait 11 pour atteindre 10\u00a0%." in other["sentence"]
    assert found["total"] == {"points": 40, "amount": "280.00"}
    assert [(one["version"], one["total"]["amount"]) for one in found["versions"]] == [(1, "0.00"), (2, "280.00")]
    assert found["rule"]["version"] == 2
    assert {source["mark"] for source in found["trust"]["sources"]} == {"B"}
    funnel = found["measures"]["fed_lineages"]["funnel"]
    assert (funnel["submitted"], funnel["accepted"], funnel["lineages"], funnel["countable"]) == (556, 540, 505, 488)
    assert funnel["excluded"] == {"deleted_by_author": 6, "excluded.ins": 8, "excluded.test": 3}
    # A person is one over all their sites, and the parts are shown.
    assert set(found["parts"]) == {PRACTICE, SECOND_SITE}
    older = get(vendor, f"/v1/feeds/indicators/{DMP}.dmp/2023", professional=DOCTOR, version=1)
    assert older["rules"][0]["total"]["amount"] == "0.00"


def test_example_2_vsm_of_ald_patients(vendor: Client, imported: None) -> None:
    """131 of 212, weighted by 1,040 patients, with the bonus of structured data: 2,340.00 EUR, and said unverified."""
    found = get(vendor, f"/v1/feeds/indicators/{VSM}/2023", professional=REGULAR_DOCTOR)["rules"][0]
    assert found["indicators"][0]["value"] == "131/212"
    assert found["measures"]["vsm_structured"]["value"] == 98
    assert found["total"]["amount"] == "2340.00"
    assert found["trust"]["unverified"] is True


def test_example_3_a_pharmacy_and_its_gate(running: Demonstration, pharmacy: Client, imported: None) -> None:
    """Gates open: 3,697.50 EUR, the mail indicator short of 95; what was counted stands beside each number."""
    found = get(pharmacy, f"/v1/feeds/indicators/{OFFICINE_SCHEME}/2024", structure=OFFICINE)["rules"][0]
    by_id = {one["id"]: one for one in found["indicators"]}
    assert by_id["erx"]["value"] == "15622/21400"
    assert (by_id["mss"]["value"], by_id["mss"]["met"], by_id["mss"]["missing"]) == ("1150/24900", False, 95)
    assert by_id["dmp"]["value"] == "42/46"
    assert all(gate["met"] for gate in found["gates"])
    assert found["total"]["amount"] == "3697.50"
    assert by_id["lad"]["neutralised"] is True


def test_a_figure_without_its_denominator_is_not_computable(vendor: Client, imported: None) -> None:
    """Nothing imported for that year: neither met nor missed, and the lack is named."""
    found = part(get(vendor, f"/v1/feeds/indicators/{DMP}/2022", professional=DOCTOR), f"{DMP}.2022.dmp")
    assert found["indicators"][0]["met"] is None
    assert found["indicators"][0]["value"] is None
    assert "consultations" in found["missingMeasures"]


def test_a_statement_in_json_and_on_paper(vendor: Client, imported: None) -> None:
    """The same numbers; the PDF is a PDF/A; a scheme of several rules asks which."""
    about = {"scheme": f"{DMP}.dmp", "year": 2023, "professional": DOCTOR}
    stated = get(vendor, "/v1/feeds/statements", **about)["items"][0]
    assert stated["schema"] == "feed-statement/1"
    assert stated["measures"]["fed_days"]["value"] == 471
    paper = vendor.request("GET", "/v1/feeds/statements", params=about, headers={"Accept": "application/pdf"})
    assert paper.status_code == 200, paper.text
    assert paper.headers["content-type"] == "application/pdf"
    assert paper.content.startswith(b"%PDF-1.4")
    assert b"pdfaid" in paper.content
    both = get(vendor, "/v1/feeds/statements", 422, **{**about, "scheme": DMP, "format": "pdf"})
    assert both["faults"][0]["code"] == "FEED-FIGURE-002"


def test_a_payers_file_is_explained(auditor: Client, vendor: Client, imported: None) -> None:
    """540 by the payer, 488 here: counting every positive answer gives the very number, so that is the likely cause."""
    file = payer(DOCTOR, 2023, fed_lineages=540, consultations=4812)
    made = send(auditor, f"/v1/feeds/reconciliations/{DMP}/2023", file, 200)["items"]
    fed = next(one for one in made if one["measure"] == "fed_lineages")
    assert (fed["payer"], fed["gateway"], fed["difference"]) == (540, 488, 52)
    assert [one["code"] for one in fed["readings"] if one["matches"]] == ["accepted"]
    assert fed["explained"] is True
    assert fed["notMeasured"]
    assert next(one for one in made if one["measure"] == "consultations")["notCompared"] is True


def test_a_closed_period_is_a_line_and_is_amended_with_its_difference(
    running: Demonstration, vendor: Client, imported: None
) -> None:
    """Counts are closed once; a late deletion is amended entry by entry; a threshold reopens nothing."""
    who = {"professional": CLOSED}
    before = get(vendor, f"/v1/feeds/periods/{VSM}/2023", **who)["periods"][0]
    assert before["state"] == "due"
    closed = send(vendor, f"/v1/feeds/periods/{VSM}/2023/close", {}, 201, **who)["closings"][0]
    assert closed["measures"]["vsm_patients"] == 131
    assert send(vendor, f"/v1/feeds/periods/{VSM}/2023/close", {}, 201, **who)["closings"][0] == closed
    line = get(vendor, f"/v1/feeds/entries/{closed['entry']}")
    assert (line["kind"], line["details"]["entries_root"]) == ("period.closed", closed["entriesRoot"])
    nothing = send(vendor, f"/v1/feeds/periods/{VSM}/2023/amend", {"reason": "late_answer"}, 409, **who)
    assert nothing["faults"][0]["found"] == "FEED-PERIOD-003"
    late = example_2(CLOSED)[0]
    missed = replace(
        late,
        entry_id=entry_id("example-2", "late", 1, "accepted"),
        recorded_at=datetime.now(UTC),
        patient_commit=opaque_hash("patient", "ald-late"),
        lineage_ref=opaque_hash("lineage", "vsm-late"),
        content_digest=opaque_hash("content", "vsm-late"),
    )
    enter(running, CABINET[0], [missed])
    amended = send(vendor, f"/v1/feeds/periods/{VSM}/2023/amend", {"reason": "late_answer"}, 201, **who)["closings"][0]
    assert amended["state"] == "amended"
    assert amended["difference"]["added"] == [missed.entry_id]
    assert get(vendor, f"/v1/feeds/periods/{VSM}/2023", **who)["periods"][0]["state"] == "amended"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (f"{HEAD}consultations;rpps;10100000999;1;2023-01-01;2023-12-31\n", "FEED-IMPORT-003"),
        (f"{HEAD}consultations;rpps;10100000001;1;2023-06-01;2024-05-31\n", "FEED-IMPORT-004"),
        (f"{HEAD}consultations;rpps;10100000001;1,5;2023-01-01;2023-12-31\n", "FEED-IMPORT-002"),
        ("not a file at all", "FEED-IMPORT-001"),
        ("\xff", "FEED-IMPORT-001"),
    ],
)
def test_a_faulty_import_enters_nothing(auditor: Client, imported: None, body: str, code: str) -> None:
    """Unknown subject, overlapping period, a number that is none: each told with its line."""
    data = body.encode("latin-1")
    problem = send(auditor, "/v1/feeds/imports", data, 422, tenant=CABINET[0], origin="cnam")
    assert problem["faults"][0]["code"] == code


def test_nobody_enters_anothers_numbers(vendor: Client, professional: Client, imported: None) -> None:
    """A payer's number is the payer's to give; a reader writes nothing; a professional sees their own figures alone."""
    file = payer(DOCTOR, 2023, consultations=1)
    refused = send(vendor, "/v1/feeds/imports", file, 403, origin="cnam")
    assert refused["faults"][0]["code"] == "FEED-ACCESS-004"
    send(professional, "/v1/feeds/imports", file, 403, origin="declared")
    other = get(professional, f"/v1/feeds/indicators/{DMP}/2023", 403, professional=DOCTOR)
    assert other["faults"][0]["code"] == "FEED-ACCESS-003"
    own = get(professional, f"/v1/feeds/indicators/{DMP}.dmp/2023")
    assert own["rules"][0]["subject"]["id"] == "99700218896"


@pytest.fixture(scope="module")
def professional(running: Demonstration) -> Iterator[Client]:
    """A professional's own view."""
    client = running.client("professional")
    yield client
    client.http.close()


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("indicators/fr.medecin.nothing/2023", {}, 404, "FEED-SCHEME-001"),
        (f"indicators/{DMP}/1999", {}, 404, "FEED-SCHEME-001"),
        (f"indicators/{DMP}/2023", {}, 422, "FEED-FIGURE-001"),
        (f"indicators/{DMP}/2023", {"structure": PRACTICE}, 422, "FEED-FIGURE-001"),
        (f"indicators/{DMP}/2023", {"professional": DOCTOR, "asOf": "hier"}, 422, "API-FEEDS-005"),
        ("funnel", {"from": "2023-01-01", "to": "2023-12-31"}, 422, "FEED-FIGURE-001"),
        ("funnel", {"from": "2023-01-01", "to": "jamais", "professional": DOCTOR}, 422, "API-FEEDS-002"),
    ],
)
def test_what_cannot_be_asked_is_named(
    vendor: Client, path: str, params: dict[str, str], status: int, code: str
) -> None:
    """Unknown scheme or year, no subject or another kind of subject, an instant without offset."""
    assert get(vendor, f"/v1/feeds/{path}", status, **params)["faults"][0]["code"] == code


def test_a_membership_is_a_dimension_of_counts(vendor: Client, imported: None) -> None:
    """Declared and dated: the feeds of the time of the membership count under it, the others under none."""
    days = {"from": "2023-01-01", "to": "2023-06-30"}
    belongs = {"member": DOCTOR, "kind": "cpts", "organisation": "cpts-fictive", **days}
    assert send(vendor, "/v1/feeds/memberships", belongs)["entry"]
    held = get(vendor, "/v1/feeds/memberships", member=DOCTOR)["items"]
    assert held == [{"kind": "cpts", "organisation": "cpts-fictive", **days}]
    rows = get(vendor, "/v1/feeds/counts", by="membership", professional=DOCTOR, service="dmp.document")["rows"]
    counted = {row["by"]["membership"]: row["count"] for row in rows}
    assert counted["cpts-fictive"] > 0
    assert counted[""] > 0
    assert sum(counted.values()) == 540
    wrong = send(vendor, "/v1/feeds/memberships", {**belongs, "kind": "club"}, 422)
    assert wrong["faults"][0]["code"] == "API-FEEDS-006"


def test_the_funnel_of_a_year_needs_no_rule(vendor: Client, imported: None) -> None:
    """From 556 submitted to 488 that count, every loss with its reason."""
    found = get(vendor, "/v1/feeds/funnel", professional=DOCTOR, **{"from": "2023-01-01", "to": "2023-12-31"})["funnel"]
    assert (found["submitted"], found["accepted"], found["countable"]) == (556, 540, 488)
    assert found["refused"] == {"dmp_closed": 16}


def test_the_rules_at_hand_say_how_far_to_trust_them(vendor: Client) -> None:
    """Each scheme and year with its versions and sources; those not verified say so."""
    items = get(vendor, "/v1/feeds/rules")["items"]
    dmp = next(one for one in items if one["id"] == f"{DMP}.2023.dmp")
    assert (dmp["scheme"], dmp["year"], dmp["part"]) == (DMP, 2023, "dmp")
    assert [one["version"] for one in dmp["versions"]] == [1, 2]
    assert any(one["unverified"] for one in items)


def test_a_figure_is_a_measure_report(vendor: Client, imported: None) -> None:
    """The rule as a Measure, the figure as a MeasureReport, both read by an outside reader of FHIR R4."""
    name = f"{DMP}.2023.dmp"
    rule = get(vendor, f"/fhir/Measure/{name}")
    assert (rule["resourceType"], rule["version"]) == ("Measure", "2")
    every = get(vendor, "/fhir/Measure", url=rule["url"])
    assert every["total"] == 1
    old = get(vendor, "/fhir/Measure", url=rule["url"], version="1")
    assert old["entry"][0]["resource"]["version"] == "1"
    about = {"practitioner": f"Practitioner/{DOCTOR}", "periodStart": "2023-01-01", "periodEnd": "2023-12-31"}
    report = get(vendor, f"/fhir/Measure/{name}/$evaluate-measure", **about)
    counts = {one["code"]["coding"][0]["code"]: one["count"] for one in report["group"][0]["population"]}
    assert counts == {"numerator": 488, "denominator": 4812}
    assert report["measure"] == f"{rule['url']}|2"
    Measure.model_validate(rule)
    MeasureReport.model_validate(report)
    wrong = get(vendor, f"/fhir/Measure/{name}/$evaluate-measure", 422, **{**about, "periodEnd": "2023-06-30"})
    assert wrong["resourceType"] == "OperationOutcome"
    assert get(vendor, "/fhir/Measure/nothing", 404)["resourceType"] == "OperationOutcome"
    face = get(vendor, "/fhir/metadata")
    assert "Measure" in [one["type"] for one in face["rest"][0]["resource"]]
