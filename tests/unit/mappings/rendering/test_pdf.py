"""Documents of every kind and form as PDF/A-1b."""

from __future__ import annotations

import base64
import copy
import io
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mappings.rendering.icc import srgb_profile
from mappings.rendering.pdf import cda_pdf, embedded_pdf, pdf_name, pdf_name_of_cda, printed_pdf, render_pdf
from mappings.rendering.pdfa import printable
from mappings.rendering.view_cda import NotCda
from security.errors import UnsafeInput
from tests.support import documents, outside
from tests.support.pdf_checker import page_texts, pdfa_faults

V3 = "urn:hl7-org:v3"


def flat(pages: list[str]) -> str:
    """The words of the pages on one line."""
    return re.sub(r"\s+", " ", " ".join(pages))


def text_report(text: str) -> dict[str, Any]:
    """A report in plain text."""
    value = documents.report(content=base64.b64encode(text.encode()).decode())  # type: ignore[arg-type]
    value["mediaType"] = "text/plain"
    return value


def cda(body: str, *, header: str = "") -> bytes:
    """A small CDA with a body."""
    return f"""<ClinicalDocument xmlns="{V3}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<code code="11488-4" displayName="CR ou fiche de consultation"/><title>Compte rendu</title>
<effectiveTime value="20261120100000+0100"/>
<recordTarget><patientRole><id root="1.2.250.1.213.1.4.10" extension="279035121518989"/>
<telecom value="mailto:279035121518989@patient.mssante.fr"/>
<patient><name><family qualifier="SP">Époux</family><family qualifier="BR">Pat-Trois</family>
<given>Dominique Marie-Louise</given><given qualifier="BR">Dominique</given></name>
<administrativeGenderCode code="F"/><birthTime value="19790328"/></patient></patientRole></recordTarget>
<author><time value="20261120100000+0100"/><assignedAuthor>
<id root="1.2.250.1.71.4.2.1" extension="899700218896"/><assignedPerson><name><family>Kervella</family>
<given>Odile</given><suffix>DR</suffix></name></assignedPerson>
<representedOrganization><name>CABINET FICTIF</name></representedOrganization></assignedAuthor></author>
<documentationOf><serviceEvent><effectiveTime><low value="20261119093000+0100"/></effectiveTime></serviceEvent>
</documentationOf>
{header}<component>{body}</component></ClinicalDocument>""".encode()


def section(text: str, title: str = "Examen") -> str:
    """A structured body of one section."""
    inner = f"<section><title>{title}</title><text>{text}</text></section>"
    return f"<structuredBody><component>{inner}</component></structuredBody>"


def level_1(content: bytes, media_type: str) -> bytes:
    """A CDA that carries a file."""
    data = base64.b64encode(content).decode()
    return cda(f'<nonXMLBody><text mediaType="{media_type}" representation="B64">{data}</text></nonXMLBody>')


def picture(kind: str, size: tuple[int, int] = (60, 40), mode: str = "RGB") -> bytes:
    """A small image file."""
    out = io.BytesIO()
    Image.new(mode, size, 1 if mode == "1" else 200 if mode in ("L", "I;16") else None).save(out, kind)
    return out.getvalue()


HOSTILE = "".join(f"<td>{chr(0x1F600 + n)} {'long' * 40}</td>" for n in range(30))


def test_every_kind_and_form_is_pdf_a_1b(tmp_path: Path) -> None:
    """Hub documents, CDA of both levels, images and RTF: two outside checkers find nothing."""
    tall = section("<table>" + "<tr><td>" + "ligne<br/>" * 300 + "</td><td>x</td></tr>" + "</table>")
    png = base64.b64encode(picture("PNG", (500, 4000), "RGBA")).decode()
    media = (
        '<renderMultiMedia referencedObject="i1"/></text><entry><observationMedia ID="i1">'
        f'<value mediaType="image/png" representation="B64">{png}</value></observationMedia></entry><text>'
    )
    made = {
        "summary": render_pdf(documents.load(documents.summary())),
        "dispensation": render_pdf(documents.load(documents.dispensation())),
        "prescription": render_pdf(documents.load(documents.prescription())),
        "text report": render_pdf(documents.load(text_report("Cher confrère,\n\nœuvre\n" + "mot " * 3000))),
        "level 3": cda_pdf(cda(section("<paragraph>Normal</paragraph><list><item>a</item></list>"))),
        "tall cell": cda_pdf(cda(tall)),
        "crowded": cda_pdf(cda(section(f"<table><tr>{HOSTILE}</tr></table>"))),
        "picture": cda_pdf(cda(section(media))),
        "jpeg": cda_pdf(level_1(picture("JPEG"), "image/jpeg")),
        "cmyk": cda_pdf(level_1(picture("JPEG", mode="CMYK"), "image/jpeg")),
        "tiff": cda_pdf(level_1(picture("TIFF", mode="1"), "image/tiff")),
        "rtf": cda_pdf(level_1(rb"{\rtf1\ansi\ansicpg1252 Op\'e9ration\par fin}", "text/rtf")),
        "empty": cda_pdf(cda("<structuredBody/>")),
    }
    assert pdfa_faults(made, tmp_path) == {name: [] for name in made}


@pytest.mark.official
def test_the_official_examples_print_as_pdf_a_1b(tmp_path: Path) -> None:
    """Every official level-3 CDA gives conforming pages."""
    folder = outside.packs() / "ans-cda" / "ExemplesCDA"
    made = {
        p.name: cda_pdf(p.read_bytes()) for p in sorted(folder.glob("*.xml")) if b"<nonXMLBody" not in p.read_bytes()
    }
    assert len(made) >= 5
    assert pdfa_faults(made, tmp_path) == {name: [] for name in made}


def test_a_summary_shows_every_entry(tmp_path: Path) -> None:
    """Header data and each section's words."""
    words = flat(page_texts(render_pdf(documents.load(documents.summary())), tmp_path))
    for expected in (
        "Volet de synthèse médicale",
        "PAT-TROIS",
        "Dr Odile KERVELLA",
        "Médecin traitant",
        "Diabète de type 2 à partir du 15/03/2021 confirmé Équilibré",
        "Pneumopathie de 01/2015 à 02/2015",
        "Appendicectomie 1998",
        "Arachide allergie alimentaire Urticaire criticité élevée",
        "ancien(ne) fumeur(-euse)",
        "Père Infarctus du myocarde",
        "Aucun point de vigilance",
        "METFORMINE 1000 mg 1 comprimé matin et soir à partir du 15/03/2021",
    ):
        assert expected in words, expected


def test_nothing_known_and_no_information_are_told_apart(tmp_path: Path) -> None:
    """Each absence has its words."""
    value = documents.summary()
    value["allergies"] = {"absence": "none-known"}
    value["treatments"] = {"absence": "no-information", "text": "Le patient ne sait pas"}
    words = flat(page_texts(render_pdf(documents.load(value)), tmp_path))
    assert "Aucune allergie connue" in words
    assert "Aucune information disponible Le patient ne sait pas" in words


def test_a_dispensation_shows_what_was_given(tmp_path: Path) -> None:
    """Product, quantity, completeness, substitution, note, refusals."""
    value = documents.dispensation()
    line = value["lines"][0]
    line["medication"]["lotNumber"] = "L42"
    line["changedPosology"] = {"text": "1 comprimé par jour"}
    line["patientInstruction"] = "Avec de l'eau"
    value["refused"] = [{"prescribedLine": "22222222-2222-4222-8222-222222222222", "reason": "Produit en rupture"}]
    words = flat(page_texts(render_pdf(documents.load(value)), tmp_path))
    for expected in (
        "Ordonnance n° EPU000000000000042",
        "DOLIPRANE 1000 mg, comprimé",
        "1 boîte",
        "Première",
        "partielle",
        "Substitution : Générique accepté par le patient",
        "Posologie modifiée : 1 comprimé par jour",
        "Pour le patient : Avec de l'eau",
        "Lot L42",
        "Lignes non délivrées",
        "Produit en rupture",
    ):
        assert expected in words, expected


def test_a_pdf_report_is_given_as_it_is() -> None:
    """Byte for byte, and so is the copy given with a prescription."""
    assert render_pdf(documents.load(documents.report())) == documents.PDF
    value = documents.prescription()
    assert printed_pdf(documents.load(value)).startswith(b"%PDF-1.4")
    value["pdf"] = base64.b64encode(documents.PDF).decode()
    assert printed_pdf(documents.load(value)) == documents.PDF


def test_the_same_document_gives_the_same_bytes() -> None:
    """Determinism, and the date is an argument."""
    document = documents.load(documents.summary())
    assert render_pdf(document) == render_pdf(document)
    dated = render_pdf(document, created=datetime.fromisoformat("2030-01-02T03:04:05+00:00"))
    assert b"D:20300102030405+00'00'" in dated


# -- from a CDA -----------------------------------------------------------------------------------------------------


def test_level_1_gives_the_embedded_pdf_byte_for_byte() -> None:
    """ECO.2.1.5: identical to the PDF embedded."""
    data = level_1(documents.PDF, "application/pdf")
    assert embedded_pdf(data) == documents.PDF
    assert cda_pdf(data) == documents.PDF
    assert embedded_pdf(cda(section("x"))) is None
    assert embedded_pdf(level_1(b"not a pdf", "application/pdf")) is None


def test_level_3_shows_header_data_and_narrative(tmp_path: Path) -> None:
    """Title, type, date, author, organisation, then the words as written, struck ones too."""
    data = cda(
        section('<paragraph>TA <content styleCode="Bold">12/8</content></paragraph><list><item>toux</item></list>')
    )
    words = flat(page_texts(cda_pdf(data), tmp_path))
    for expected in (
        "Compte rendu",
        "CR ou fiche de consultation",
        "20/11/2026 à 10 h",
        "Dr Odile KERVELLA",
        "RPPS : 99700218896",
        "CABINET FICTIF",
        "Nom de naissance : Pat-Trois",
        "Nom utilisé : Époux",
        "28/03/1979",
        "Examen",
        "TA 12/8",
        "• toux",
    ):
        assert expected in words, expected
    assert "279035121518989@" not in words


def test_the_official_narrative_is_whole(tmp_path: Path) -> None:
    """Every word of the narrative of an official example is on the pages, in spite of columns and pages."""
    from lxml import etree

    from security.xml import CDA_LIMITS, parse

    path = outside.packs() / "ans-cda" / "ExemplesCDA" / "VSM_1.4_2022.01.xml"
    data = path.read_bytes()
    squeezed = re.sub(r"\W+", "", flat(page_texts(cda_pdf(data), tmp_path)))
    root = parse(data, CDA_LIMITS)
    cells = [
        "".join(cell.itertext()) for cell in root.iter(f"{{{V3}}}td", f"{{{V3}}}th") if isinstance(cell, etree._Element)
    ]
    assert len(cells) > 40
    for cell in cells:
        for word in re.findall(r"\w+", cell):
            assert word in squeezed, word


@pytest.mark.parametrize("date", ["", "2026", "abc", "20261120", "20261120100000"])
def test_any_date_gives_a_file(date: str) -> None:
    """A CDA without a good date still prints, always the same."""
    data = cda(section("x")).replace(b'value="20261120100000+0100"', f'value="{date}"'.encode())
    assert cda_pdf(data) == cda_pdf(data)


def test_what_is_no_cda_is_refused() -> None:
    """Other XML, DOCTYPE and malformed bytes are named refusals."""
    with pytest.raises(NotCda):
        cda_pdf(b"<x/>")
    with pytest.raises(UnsafeInput):
        cda_pdf(b"<!DOCTYPE x><x/>")
    with pytest.raises(UnsafeInput):
        embedded_pdf(b"<x")


def test_a_wide_table_loses_no_cell(tmp_path: Path) -> None:
    """Forty columns: all the words are still on the page."""
    cells = "".join(f"<td>c{n}z</td>" for n in range(40))
    words = re.sub(r"\s", "", flat(page_texts(cda_pdf(cda(section(f"<table><tr>{cells}</tr></table>"))), tmp_path)))
    assert all(f"c{n}z" in words for n in range(40))


def test_rows_spanned_from_above_stay_in_their_column(tmp_path: Path) -> None:
    """A cell under a rowspan is not moved left."""
    table = '<table><tr><td rowspan="2">gauche</td><td>un</td></tr><tr><td>deux</td></tr></table>'
    (page,) = page_texts(cda_pdf(cda(section(table))), tmp_path)
    first = next(line for line in page.splitlines() if "gauche" in line)
    second = next(line for line in page.splitlines() if "deux" in line)
    assert abs(first.index("un") - second.index("deux")) <= 2


def test_table_headings_come_again_on_each_page(tmp_path: Path) -> None:
    """A long table repeats its headings; no row is lost or doubled."""
    rows = "".join(f"<tr><td>rang{n}.</td><td>v</td></tr>" for n in range(150))
    table = f"<table><thead><tr><th>Colonne</th><th>Valeur</th></tr></thead><tbody>{rows}</tbody></table>"
    pages = page_texts(cda_pdf(cda(section(table))), tmp_path)
    assert len(pages) >= 3
    assert all("Colonne" in page for page in pages)
    whole = " ".join(pages)
    assert all(whole.count(f"rang{n}.") == 1 for n in range(150))


# -- names ----------------------------------------------------------------------------------------------------------


def test_the_name_follows_the_rule() -> None:
    """Date of the act, type, birth name in capitals, first given name; ECO.2.1.6."""
    data = cda(section("x"))
    assert pdf_name_of_cda(data) == "20261119_CR ou fiche de consultation_PAT-TROIS_Dominique.pdf"
    assert pdf_name_of_cda(data, folder="D12") == "20261119_CR ou fiche de consultation_PAT-TROIS_Dominique_D12.pdf"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type_label": "x" * 50}, f"20261119_{'x' * 40}_LE GOFF_Anne.pdf"),
        ({"type_label": "CR d'examens"}, "20261119_CR d'examens_LE GOFF_Anne.pdf"),
        ({"birth_name": "d'Orvault-Élie"}, "20261119_CR_D'ORVAULT-ÉLIE_Anne.pdf"),
        ({"birth_name": "a_b/c\\d:e"}, "20261119_CR_A B C D E_Anne.pdf"),
        ({"given_name": "../..\r\n\x00x"}, "20261119_CR_LE GOFF_x.pdf"),
        ({"given_name": ""}, "20261119_CR_LE GOFF_inconnu.pdf"),
        ({"date": "2026-11-19T09:00:00+01:00"}, "20261119_CR_LE GOFF_Anne.pdf"),
        ({"date": ""}, "inconnu_CR_LE GOFF_Anne.pdf"),
        ({"folder": "1/2"}, "20261119_CR_LE GOFF_Anne_1 2.pdf"),
    ],
)
def test_names_are_fit_for_any_file_system(given: dict[str, str], expected: str) -> None:
    """Separators and controls go, accents and apostrophes stay."""
    base = {"date": "20261119", "type_label": "CR", "birth_name": "Le Goff", "given_name": "Anne"}
    assert pdf_name(**{**base, **given}) == expected


# -- bricks ---------------------------------------------------------------------------------------------------------


def test_the_colour_profile_is_sound() -> None:
    """Version 2, its own length, and Pillow takes it as an RGB profile."""
    from PIL import ImageCms

    data = srgb_profile()
    assert int.from_bytes(data[:4], "big") == len(data)
    assert data[8] == 2
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    assert profile.profile.xcolor_space.strip() == "RGB"
    image = Image.new("RGB", (1, 1), (10, 128, 250))
    turned = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    assert turned is not None
    assert all(abs(a - b) <= 1 for a, b in zip(turned.getpixel((0, 0)), (10, 128, 250), strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("déjà", "déjà"),
        ("e\u0301", "é"),
        ("a\u200bb\u202ec\ufeff", "abc"),
        ("a\x07b", "a[U+0007]b"),
        ("中", "[U+4E2D]"),
        ("😀", "[U+1F600]"),
        ("10⁹ µ ≥ α ½ €", "10⁹ µ ≥ α ½ €"),
        ("a\tb\u2028c", "a b c"),
        ("1\u202f000", "1\u00a0000"),
    ],
)
def test_text_is_made_printable_without_silent_loss(text: str, shown: str) -> None:
    """What has no glyph shows its number; marks without shape go."""
    assert printable(text) == shown


def test_importing_the_package_is_light() -> None:
    """The drawing, image and code libraries load on first use only."""
    code = (
        "import sys; from mappings.rendering import pdf, html, codes, convert, posology, view_document;"
        "print([m for m in ('reportlab', 'pikepdf', 'PIL', 'zxingcpp', 'striprtf') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_long_history_stays_in_bounded_time(tmp_path: Path) -> None:
    """A summary of 2,000 problems prints them all."""
    value = documents.summary()
    entry = value["problems"]["entries"][0]
    value["problems"]["entries"] = []
    for n in range(2000):
        other = copy.deepcopy(entry)
        other["concept"] = {"text": f"Problème {n}."}
        value["problems"]["entries"].append(other)
    words = flat(page_texts(render_pdf(documents.load(value)), tmp_path))
    assert words.count("Problème 1999.") == 1
