"""The console in Chromium: what an auditor and a professional do, by keyboard, on a phone, in the dark, on paper."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from adapters.psc.sandbox import CLIENT_ID, CLIENT_SECRET, PscSandbox
from gateway.console.oidc import RETURN
from gateway.context import Gateway
from gateway.demonstration import free_port
from security.pki import make_sandbox_pki
from tests.support.browser import chromium, serious_faults
from tests.support.console import OTHER, PASSWORD, Clock, gateway_with_ledger, given_up, served
from tests.support.feeds import DOCTOR

RULE = f"/console/indicators/fr.medecin.forfait-structure.dmp/2023?subject={DOCTOR}"
FUNNEL = f"/console/funnel?rule=fr.medecin.forfait-structure.2023.dmp&subject={DOCTOR}&measure=fed_days"
PAGES = (
    "/console?month=2023-11",
    "/console?month=2020-01",
    "/console/feeds?by=month&by=outcome&by=structure&from=2023-01&to=2023-12",
    FUNNEL,
    "/console/lines?outcome=rejected",
    "/console/indicators",
    RULE,
    f"/console/reconcile?rule=fr.medecin.forfait-structure.dmp/2023&subject={DOCTOR}&measure=fed_lineages&payer=540",
    "/console/sample?size=10&seed=graine",
    "/console/verify",
    "/console/purpose",
    "/console/nowhere",
)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PscSandbox, Path, int]]:
    """A simulated Pro Santé Connect that knows the console's way back, and the console's port."""
    port = free_port()
    pki = make_sandbox_pki(tmp_path_factory.mktemp("psc"))
    with PscSandbox(pki, redirect_uris=(f"http://127.0.0.1:{port}{RETURN}",)) as sandbox:
        yield sandbox, pki.trust, port


@pytest.fixture(scope="module")
def served_gateway(
    tmp_path_factory: pytest.TempPathFactory, provider: tuple[PscSandbox, Path, int]
) -> Iterator[tuple[str, Gateway]]:
    """A console over the first worked example: its address, and the gateway behind it."""
    sandbox, trust, port = provider
    psc = {
        "issuer": sandbox.issuer,
        "wallet": sandbox.wallet,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "trust": trust,
    }
    folder = tmp_path_factory.mktemp("console")
    # The provider's tokens are dated now; only the worked example is of 2023.
    with (
        gateway_with_ledger(folder, Clock(), base_url=f"http://127.0.0.1:{port}", psc=psc) as gateway,
        served(gateway, port) as url,
    ):
        yield url, gateway


@pytest.fixture(scope="module")
def console(served_gateway: tuple[str, Gateway]) -> str:
    """The address of the console."""
    return served_gateway[0]


@pytest.fixture(scope="module")
def document(served_gateway: tuple[str, Gateway]) -> str:
    """A document given up, and an account for its author; gives its id."""
    return given_up(served_gateway[1], author="10100000003", login="auteur")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with chromium() as one:
        yield one


def sign_in(context: BrowserContext, url: str, login: str) -> Page:
    """Sign in by keyboard alone, and say why when asked."""
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(f"{url}/console")
    page.get_by_label("Identifiant").focus()
    page.keyboard.type(login)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: "/signin" not in address)
    if "/purpose" in page.url:
        page.get_by_label("Motif").fill("Contestation d'un taux, campagne 2023")
        page.get_by_label("Fondement").select_option("convention")
        page.get_by_role("button", name="Continuer").click()
    expect(page.get_by_role("navigation")).to_be_visible()
    return page


def test_an_auditor_finds_why_and_leaves_with_the_proof(console: str, browser: Browser, tmp_path: Path) -> None:
    """9.79 % explained down to a line whose proof is worked out again; a sample drawn; its signed export verified."""
    with browser.new_context(locale="fr-FR", accept_downloads=True) as context:
        page = sign_in(context, console, "auditeur")
        page.get_by_role("link", name="Indicateurs").click()
        page.get_by_label("RPPS ou FINESS").fill(DOCTOR)
        page.get_by_role("button", name="Retenir").click()
        page.get_by_role("link", name="Médecins, forfait structure 2023 : alimentation du DMP (seuil abaissé)").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Où en est cet indicateur ?")
        card = page.get_by_role("region", name="Alimentation du DMP : jours-patients sur consultations")
        expect(card).to_contain_text("9,79\u00a0%")
        expect(card).to_contain_text("non atteint")
        expect(card).to_contain_text("Il en manquait 11 pour atteindre 10\u00a0%.")
        page.get_by_role("row", name="jours-patients").get_by_role("link", name="pourquoi ce compte").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Pourquoi ce compte et pas un autre ?")
        expect(page.get_by_text("INS non qualifiée", exact=True)).to_be_visible()
        page.get_by_role("listitem").filter(has_text="INS non qualifiée").get_by_role("link").click()
        lines = page.locator("tbody tr")
        expect(lines).to_have_count(8)
        expect(lines.first).to_contain_text("validée")
        lines.first.get_by_role("link").click()
        page.get_by_role("button", name="Vérifier").click()
        expect(page.get_by_role("status")).to_contain_text("intacte")

        page.get_by_role("link", name="Tirage au sort").click()
        page.get_by_label("Nombre de lignes").fill("20")
        page.get_by_label("Graine").fill("numéro du Loto du 14 février 2024")
        page.get_by_role("button", name="Tirer").click()
        expect(page.locator("tbody tr")).to_have_count(20)
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Télécharger l'export signé").click()
        export = tmp_path / "export.zip"
        waiting.value.save_as(export)
        page.get_by_role("button", name="Se déconnecter").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Qui êtes-vous ?")
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "feeds", "verify", str(export)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("20 écritures")


def test_a_professional_sees_their_own_lines_only(console: str, browser: Browser) -> None:
    """Nothing of another professional, whatever is typed in the address."""
    with browser.new_context(locale="fr-FR") as context:
        page = sign_in(context, console, "docteur")
        expect(page.get_by_text("Vos consultations sont inscrites")).to_have_count(0)
        page.goto(f"{console}/console/lines")
        whose = page.locator("tbody tr td:nth-child(5)").all_inner_texts()
        assert set(whose) == {DOCTOR}
        answer = page.goto(f"{console}/console/lines?professional={OTHER}")
        assert answer is not None
        assert answer.status == 403
        page.goto(f"{console}{RULE.replace(DOCTOR, OTHER)}")
        expect(page.get_by_text("471 jours-patients alimentés")).to_be_visible()


def test_a_professional_comes_by_pro_sante_connect(
    console: str, browser: Browser, provider: tuple[PscSandbox, Path, int]
) -> None:
    """The provider says who it is; without a line of theirs, the pages say what would fill them."""
    with browser.new_context(locale="fr-FR", ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(f"{console}/console/indicators")
        page.get_by_role("link", name="se connecter avec Pro Santé Connect").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Où en sont les indicateurs ?")
        expect(page.locator(".who")).to_contain_text("Professionnel")
        page.goto(f"{console}/console/lines")
        expect(page.get_by_text("Aucune ligne.")).to_be_visible()
    with browser.new_context(locale="fr-FR", ignore_https_errors=True) as context:
        page = context.new_page()
        # Somebody else's way back, brought by a link.
        page.goto(f"{console}{RETURN}?code=x&state=y")
        expect(page.get_by_role("alert")).to_contain_text("n'a pas commencé ici")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_no_page_has_a_serious_fault(console: str, browser: Browser, document: str, scheme: str, width: int) -> None:
    """axe finds none, nothing overflows or comes from elsewhere, in both colours, on a desk and on a phone."""
    options = {"locale": "fr-FR", "color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    faults: list[str] = []
    with browser.new_context(**options) as context:  # type: ignore[arg-type]
        complaints: list[str] = []
        context.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        outside: list[str] = []
        context.on("request", lambda asked: outside.append(asked.url))
        page = context.new_page()
        page.goto(f"{console}/console/signin")
        faults += serious_faults(page)
        page = sign_in(context, console, "auditeur")
        for path in PAGES:
            page.goto(console + path)
            faults += serious_faults(page)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                faults.append(f"{path}: wider than {width} pixels")
        page.goto(f"{console}/console/lines?outcome=accepted")
        page.locator("tbody tr").first.get_by_role("link").click()
        page.get_by_role("button", name="Vérifier").click()
        faults += serious_faults(page)
    with browser.new_context(**options) as context:  # type: ignore[arg-type]
        page = sign_in(context, console, "exploitant")
        for path in (
            "/console/deliveries",
            "/console/documents",
            f"/console/documents/{document}",
            "/console/identities",
            "/console/health",
        ):
            page.goto(console + path)
            faults += serious_faults(page)
    with browser.new_context(**options) as context:  # type: ignore[arg-type]
        page = sign_in(context, console, "auteur")
        page.goto(f"{console}/console/documents/{document}")
        expect(page.get_by_text("abandonné : à renvoyer").first).to_be_visible()
        faults += serious_faults(page)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            faults.append(f"document: wider than {width} pixels")
        page.get_by_role("link", name="Lire le document").click()
        expect(page.get_by_role("heading").first).to_be_visible()
        faults += serious_faults(page)
    assert faults == []
    assert [one for one in outside if not one.startswith((console, "data:"))] == []
    assert [one for one in complaints if one.startswith("error") and "404" not in one] == []


def test_pages_work_without_javascript_and_print(console: str, browser: Browser, tmp_path: Path) -> None:
    """No script is needed anywhere; on paper, no menu and no button."""
    with browser.new_context(locale="fr-FR", java_script_enabled=False) as context:
        page = sign_in(context, console, "auditeur")
        page.goto(console + RULE)
        expect(page.get_by_text("Il en manquait 11")).to_be_visible()
        page.emulate_media(media="print")
        expect(page.get_by_role("navigation")).to_be_hidden()
        assert page.pdf(format="A4").startswith(b"%PDF")
