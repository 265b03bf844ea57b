"""What each role sees on the pages, what is written down about it, and that nothing given comes out as markup."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select, text

from gateway.context import Gateway
from gateway.feeds.offline import verify_export
from gateway.feeds.tables import entries
from tests.support.console import OTHER
from tests.support.feeds import DOCTOR
from tests.unit.gateway.console.conftest import People, csrf_of

RULE = "/console/indicators/fr.medecin.forfait-structure.dmp/2023"


def queries(gateway: Gateway) -> list[dict[str, object]]:
    """The auditors' queries entered so far."""
    query = select(entries.c.details).where(entries.c.kind == "audit.query").order_by(entries.c.id)
    return [orjson.loads(value) for value in gateway.store.read_now(lambda c: c.execute(query).scalars().all())]


def entry_of(gateway: Gateway, rpps: str) -> str:
    """An accepted line of a professional."""
    query = select(entries.c.entry_id).where(entries.c.actor_rpps == rpps, entries.c.state == "accepted")
    return bytes(gateway.store.read_now(lambda c: c.execute(query.limit(1)).scalar_one())).hex()


def test_every_page_keeps_the_browser_in_bounds(people: People) -> None:
    """Nothing from elsewhere, no script, no frame, not kept; the stylesheet is ours and is kept."""
    browser = people("docteur")
    for path in ("/console", "/console/feeds", "/console/nowhere", "/console/signin"):
        answer = browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "<script" not in answer.text
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', answer.text)
        assert 'style="' not in answer.text
    css = browser.get("/console/console.css")
    assert css.headers["content-type"].startswith("text/css")
    again = browser.get("/console/console.css", headers={"if-none-match": css.headers["etag"]})
    assert again.status_code == 304
    assert "http" not in css.text


def test_what_is_given_comes_out_as_text(people: People) -> None:
    """Filters, subjects and seeds never come out as markup."""
    browser = people("auditeur")
    evil = "\"><b id=x>'&"
    for path in (
        "/console/feeds?by=month&structure=",
        f"{RULE}?subject=",
        "/console/sample?size=3&seed=",
        "/console/lines?reason=",
        "/console/indicators?subject=",
    ):
        answer = browser.get(path + evil.replace("&", "%26").replace("#", "%23"))
        assert answer.status_code == 200, path
        assert "<b id=x>" not in answer.text
        assert "&lt;b id=x&gt;" in answer.text


def test_an_auditor_says_why_first_and_every_query_is_entered(people: People, gateway: Gateway) -> None:
    """No figure before a purpose and a legal basis; then each page read is an entry with both."""
    browser = people("auditeur", stated=False)
    assert browser.get("/console").headers["location"].startswith("/console/purpose?next=")
    token = csrf_of(browser.get("/console/purpose"))
    refused = browser.post("/console/purpose", data={"csrf": token, "purpose": "x", "legal_basis": "convention"})
    assert refused.status_code == 422
    said = {"csrf": token, "purpose": "Taux contesté", "legal_basis": "ccss", "next": RULE}
    assert browser.post("/console/purpose", data=said).headers["location"] == RULE
    before = len(queries(gateway))
    assert browser.get(f"{RULE}?subject={DOCTOR}").status_code == 200
    (entered,) = queries(gateway)[before:]
    assert entered["purpose"] == "Taux contesté"
    assert "L. 114-9" in str(entered["legal_basis"])
    assert entered["accreditation"] == "AGR-2023-001"
    assert entered["scope"]["subject"] == DOCTOR  # type: ignore[index]
    browser.get(f"/console/lines?professional={DOCTOR}")
    assert len(queries(gateway)) == before + 2


def test_the_indicator_page_explains_both_readings(people: People) -> None:
    """10.14 % met, 9.79 % missed by 11, both versions of the rule, and the source of each number."""
    page = people("auditeur").get(f"{RULE}?subject={DOCTOR}").text
    for words in (
        "10,14\u00a0%",
        "9,79\u00a0%",
        "471 jours-patients alimentés sur 4\u202f812 consultations (9,79\u00a0%).",
        "Il en manquait 11 pour atteindre 10\u00a0%.",
        "280,00\u00a0€",
        "importé (CNAM)",
        "source secondaire",
        "montré, jamais payé",
        "version 2",
    ):
        assert words in page


def test_the_funnel_gives_each_loss_its_reason_and_its_lines(people: People) -> None:
    """556 to 471 with every loss named; the number behind each opens as many lines."""
    browser = people("docteur")
    page = browser.get("/console/funnel?rule=fr.medecin.forfait-structure.2023.dmp&measure=fed_days")
    counts = re.findall(r'class="count">[^<\d]*(?:<a href="([^"]+)">)?([\d\u202f]+)', page.text)
    assert [count for _, count in counts] == ["556", "16", "540", "21", "14", "505", "8", "6", "3", "488", "471"]
    for link, count in counts:
        if link and count != "488":
            lines = browser.get(link.replace("&amp;", "&")).text
            assert lines.count("/console/entries/") == int(count), link
    assert browser.get("/console/funnel?rule=fr.medecin.forfait-structure.2023.dmp&part=x").status_code == 200
    assert browser.get("/console/funnel/lines?rule=fr.medecin.forfait-structure.2023.dmp&part=x").status_code == 404
    assert browser.get("/console/funnel?rule=inconnue").status_code == 404


def test_a_professional_sees_only_their_own_lines(people: People, gateway: Gateway) -> None:
    """Whatever is asked for: lists, entries, indicators, samples and exports are theirs alone."""
    browser = people("docteur")
    assert OTHER not in browser.get("/console/lines").text
    assert browser.get(f"/console/lines?professional={OTHER}").status_code == 403
    assert browser.get(f"/console/entries/{entry_of(gateway, DOCTOR)}").status_code == 200
    assert browser.get(f"/console/entries/{entry_of(gateway, OTHER)}").status_code == 404
    assert "4\u202f812 consultations" in browser.get(f"{RULE}?subject={OTHER}").text
    page = browser.get("/console/sample?size=1000&seed=graine")
    assert "130000011" not in page.text
    whole = browser.post("/console/sample/export", data={"csrf": csrf_of(page), "whole": "1"})
    with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
        lines = archive.read("entries-1.ndjson").splitlines()
    assert {orjson.loads(one)["entry"]["actor_rpps"] for one in lines} == {DOCTOR}
    assert browser.get("/console/indicators/fr.officine.remu-num/2024").status_code == 404
    assert "130000011" not in browser.get("/console/feeds?by=structure&by=month").text
    assert not any(one["who"].startswith("acc") and "docteur" in str(one) for one in queries(gateway))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("login", "refused"),
    [
        ("docteur", ["/console/deliveries", "/console/health", "/console/identities", "/console/purpose"]),
        ("exploitant", ["/console/feeds", "/console/lines", RULE, "/console/sample", "/console/funnel"]),
        ("national", ["/console/lines", "/console/sample", RULE, "/console/entries/00", "/console/funnel"]),
    ],
)
def test_pages_of_other_roles_are_refused(people: People, login: str, refused: list[str]) -> None:
    """A page that says so, not a problem document; nothing of it in the menu."""
    browser = people(login)
    home = browser.get("/console/verify").text
    for path in refused:
        answer = browser.get(path)
        assert answer.status_code == 403, path
        assert answer.headers["content-type"].startswith("text/html")
        assert f'<a href="{path}"' not in home


def test_small_cells_are_withheld_from_auditors_only(people: People) -> None:
    """Type, place and month crossed: under 11 is not shown to a fund, and is shown to the structure it concerns."""
    crossed = "/console/feeds?by=month&by=outcome&by=structure&from=2023-01&to=2023-12"
    auditor, own = people("auditeur").get(crossed).text, people("cabinet").get(crossed).text
    assert "&lt;\u202f11" in auditor or "<\u202f11" in auditor
    assert "<\u202f11" not in own
    assert "690000026" not in own
    assert "750000018" in own


def test_an_entry_shows_its_proof_and_is_verified_again(people: People, gateway: Gateway) -> None:
    """Every step is worked out from what is stored; no trait, no commitment is shown."""
    browser = people("auditeur")
    address = f"/console/entries/{entry_of(gateway, DOCTOR)}"
    page = browser.get(address).text
    assert "Preuve d&#39;inclusion" in page or "Preuve d'inclusion" in page
    assert "patient_commit" not in page
    checked = browser.get(f"{address}?verify=1").text
    assert "intacte" in checked
    assert "altérée" not in checked
    assert browser.get("/console/entries/zz").status_code == 404


def test_a_sample_is_drawn_again_and_leaves_signed(people: People, gateway: Gateway, folder: Path) -> None:
    """A seed is chosen and shown when none is given; the export holds those lines, and the checker accepts it."""
    browser = people("auditeur")
    chosen = browser.get("/console/sample?size=5")
    assert chosen.status_code == 303
    first, second = (browser.get(chosen.headers["location"]).text for _ in range(2))
    names = re.findall(r"/console/entries/([0-9a-f]{64})", first)
    assert len(names) == 5
    assert names == re.findall(r"/console/entries/([0-9a-f]{64})", second)
    seed = re.search(r"seed=(\w+)", chosen.headers["location"])
    assert seed is not None
    before = len(queries(gateway))
    fields = {"csrf": csrf_of(browser.get("/console/sample")), "size": "5", "seed": seed[1]}
    answer = browser.post("/console/sample/export", data=fields)
    assert answer.headers["content-type"] == "application/zip"
    target = folder / "export.zip"
    target.write_bytes(answer.content)
    report = verify_export(target)
    assert report.ok, report.as_json()
    assert report.entries == 5
    with zipfile.ZipFile(target) as archive:
        manifest = orjson.loads(archive.read("manifest.json"))
        lines = [orjson.loads(one) for one in archive.read("entries-1.ndjson").splitlines()]
    assert manifest["statement"]["sample"]["seed"] == seed[1]
    assert {one["entry"]["entry_id"] for one in lines} == set(names)
    assert len(queries(gateway)) == before + 1
    for size in ("0", "1001", "x"):
        assert browser.get("/console/sample", params={"size": size, "seed": "a"}).status_code == 422
    assert browser.post("/console/sample/export", data={**fields, "seed": ""}).status_code == 422


def test_the_ledger_is_verified_from_the_page(people: People, gateway: Gateway) -> None:
    """Intact, then an edited row (by somebody who got round the triggers) is told by its code and place."""
    browser = people("auditeur")
    token = csrf_of(browser.get("/console/verify"))
    assert "intact" in browser.post("/console/verify", data={"csrf": token}).text
    heads = browser.get("/console/verify/heads.json")
    assert heads.status_code == 200
    assert browser.get("/console/verify/key.pem").text.startswith("-----BEGIN PUBLIC KEY")
    with gateway.store.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER feed_entries_no_UPDATE"))
        connection.execute(text("UPDATE feed_entries SET structure_finess = '130000022' WHERE id = 3"))
    try:
        altered = browser.post("/console/verify", data={"csrf": token}).text
        assert "altéré" in altered
        assert "seq/3" in altered
    finally:
        with gateway.store.engine.begin() as connection:
            query = "UPDATE feed_entries SET structure_finess = '690000026' WHERE id = 3"
            connection.execute(text(query))


@pytest.mark.parametrize(
    "path",
    [
        "/console?month=2026-13",
        "/console?month=hier",
        "/console/feeds?from=2026",
        "/console/lines?from=hier",
        "/console/lines?before=-1",
        "/console/sample?from=2026-99&size=3&seed=a",
    ],
)
def test_nonsense_is_refused_in_words(people: People, path: str) -> None:
    """A page that says what was expected, never an error of ours."""
    answer = people("auditeur").get(path)
    assert answer.status_code in (400, 422), answer.text
    assert "<h1>" in answer.text


def test_an_unknown_page_says_so(people: People) -> None:
    """404, as a page."""
    answer = people("docteur").get("/console/nowhere")
    assert answer.status_code == 404
    assert "n'existe pas" in answer.text or "n&#39;existe pas" in answer.text


def test_an_empty_month_says_what_would_fill_it(people: People) -> None:
    """No figure is no error."""
    page = people("docteur").get("/console?month=2020-01").text
    assert "POST /v1/documents" in page
