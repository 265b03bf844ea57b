"""The printed prescription: everything prescribed stands on it, where a pharmacist looks."""

from __future__ import annotations

import copy
import re
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mappings.rendering.codes import PayloadFormat, Symbology, png, read, read_payload
from mappings.rendering.prescription import prescription_pdf, two_zones
from tests.support import documents
from tests.support.pdf_checker import page_texts, pdfa_faults


def one_zone() -> dict[str, Any]:
    """The sample prescription without ALD."""
    value = documents.prescription()
    for line in value["lines"]:
        line["marks"]["ald"] = False
    return value


def long(count: int) -> dict[str, Any]:
    """A prescription of ``count`` lines with long names and instructions."""
    value = documents.prescription()
    value["patient"]["birthName"] = "DE LA TOUR D'AUVERGNE-LAURAGUAIS DU CHASTEL DE KERANGAL"
    value["patient"]["givenNames"] = "MARIE-CHARLOTTE ANNE ELISABETH JOSEPHINE"
    base = value["lines"]
    value["lines"] = []
    for rank in range(count):
        line = copy.deepcopy(base[rank % 2])
        line["id"] = None
        line["medication"]["name"] = f"PRODUIT {rank} " + "AU NOM INTERMINABLE " * 5
        line["patientInstruction"] = "À prendre avec un grand verre d'eau. " * 6
        value["lines"].append(line)
    return value


def texts(value: dict[str, Any], folder: Path, **options: Any) -> list[str]:
    """Texts of the pages."""
    return page_texts(prescription_pdf(documents.load(value), **options), folder)


def test_every_form_is_pdf_a_1b(tmp_path: Path) -> None:
    """One zone, two zones, several pages, image of the code, no number, strange characters: all conform."""
    with_image = one_zone()
    with_image["codeImage"] = png("EPU42")
    bare = one_zone()
    del bare["number"]
    bare["patient"]["status"] = "provisoire"
    strange = one_zone()
    strange["lines"][0]["medication"]["name"] = "😀 \u202etxet 中文 e\u0301 10⁹/L α ≥ \u00ad"
    files = {
        "one zone": one_zone(),
        "two zones": documents.prescription(),
        "long": long(30),
        "image": with_image,
        "bare": bare,
        "strange": strange,
    }
    made = {name: prescription_pdf(documents.load(value)) for name, value in files.items()}
    assert pdfa_faults(made, tmp_path) == {name: [] for name in files}


def test_who_what_and_how_much_stand_on_the_page(tmp_path: Path) -> None:
    """Prescriber, structure, patient, number, each line with posology, quantity, renewals and bans."""
    (page,) = texts(one_zone(), tmp_path)
    flat = re.sub(r"\s+", " ", page)
    for words in (
        "Dr Odile KERVELLA",
        "Médecin - Médecine Générale (SM)",
        f"RPPS {documents.DOCTOR['id']['extension'][1:]}",
        "CABINET FICTIF",
        f"FINESS {documents.STRUCTURE['id']['extension'][1:]}",
        "29000 QUIMPER",
        "Tél. 02 98 00 00 00",
        "EPU000000000000042",
        "Établie le 20/11/2026",
        "valable du 20/11/2026 au 20/02/2027",
        "PAT-TROIS",
        "DOMINIQUE MARIE-LOUISE",
        "28/03/1979",
        "INS : 2 79 03 51 215 189 89 (NIR de test)",
        "1. PARACETAMOL 1 g, comprimé",
        "1 comprimé toutes les 8 heures pendant 5 jours",
        "Quantité : 2 boîtes – sans renouvellement",
        "CIS 63107752 · CIP 3400933516390",
        "2. LEVOTHYROXINE 75 µg, comprimé",
        "à renouveler 2 fois",
        "NON SUBSTITUABLE (MTE : marge thérapeutique étroite)",
        "3. Bas de compression classe 2",
        "LPP 1215702",
        "3 lignes prescrites",
        "Page 1/1",
    ):
        assert words in flat, words


def test_the_sentence_is_made_when_the_prescriber_gave_none(tmp_path: Path) -> None:
    """A structure without words is said."""
    value = one_zone()
    del value["lines"][0]["posology"]["text"]
    (page,) = texts(value, tmp_path)
    assert "1 comprimé toutes les 8 heures, par voie orale, du 20/11/2026 au 25/11/2026" in page


def test_ald_lines_go_to_the_upper_zone(tmp_path: Path) -> None:
    """Each line is in the zone its mark says, and numbered through."""
    (page,) = texts(documents.prescription(), tmp_path)
    upper, lower = page.split("MALADIES INTERCURRENTES")
    assert "AFFECTION EXONÉRANTE" in upper
    assert "1. LEVOTHYROXINE" in re.sub(r" +", " ", upper)
    assert "PARACETAMOL" not in upper
    assert "2. PARACETAMOL" in re.sub(r" +", " ", lower)
    assert "3. Bas de compression" in re.sub(r" +", " ", lower)


def test_an_empty_zone_says_that_it_is_empty(tmp_path: Path) -> None:
    """Nothing can be written in by hand unseen."""
    value = one_zone()
    value["contextMarks"] = ["MED-1096", "MED-1095"]
    assert two_zones(documents.load(value))
    (page,) = texts(value, tmp_path)
    assert "Aucune prescription dans cette zone" in page.split("MALADIES INTERCURRENTES")[0]
    assert "Contexte : Urgent" in re.sub(r"\s+", " ", page)


def test_marks_and_reasons_are_printed(tmp_path: Path) -> None:
    """Off-label, not reimbursable, work accident, prevention, motives, locum, measures, comment."""
    value = one_zone()
    marks = value["lines"][0]["marks"]
    for name in marks:
        marks[name] = name != "ald"
    marks["offLabelReason"] = "en l'absence d'alternative"
    value["lines"][0]["motives"] = [{"concept": {"text": "Lombalgie"}}]
    value["lines"][0]["dispenserInstruction"] = "Délivrer en une fois"
    value["lines"][0]["medication"]["ingredients"] = [{"name": "acétaminophène"}]
    value["lines"][0]["renewals"] = None
    value["weight"] = {"value": "61.5", "unit": "kg"}
    value["height"] = {"value": "168", "unit": "cm"}
    value["pregnant"] = False
    value["comment"] = "Revoir dans 3 mois"
    value["participants"] = [
        {
            "type": "CON",
            "function": {"code": "CORRE", "system": "1.2.250.1.213.1.1.4.2.280"},
            "family": "Guillou",
            "given": "Anne",
            "suffix": "DR",
        }
    ]
    flat = re.sub(r"\s+", " ", " ".join(texts(value, tmp_path)))
    for words in (
        "HORS AMM : en l'absence d'alternative",
        "NON REMBOURSABLE (NR)",
        "Accident du travail / maladie professionnelle",
        "Prévention",
        "Motif : Lombalgie",
        "Pour le pharmacien : Délivrer en une fois",
        "Substance(s) active(s) : acétaminophène",
        "Poids : 61,5 kg Taille : 168 cm Pas de grossesse en cours",
        "Commentaire : Revoir dans 3 mois",
        "Remplace : Dr Anne GUILLOU",
    ):
        assert words in flat, words
    assert flat.count("renouvel") == 2


@pytest.mark.parametrize("count", [12, 40])
def test_many_lines_take_several_pages_each_with_the_patient(count: int, tmp_path: Path) -> None:
    """Every line is printed once, every page names patient and prescription and its rank."""
    pages = texts(long(count), tmp_path)
    assert len(pages) >= 2
    for rank, page in enumerate(pages, 1):
        assert f"Page {rank}/{len(pages)}" in page
        assert "AUVERGNE" in page
        assert "EPU000000000000042" in page
    whole = " ".join(pages)
    assert [len(re.findall(rf"PRODUIT {rank} AU", whole)) for rank in range(count)] == [1] * count


def test_a_provisional_identity_prints_no_matricule(tmp_path: Path) -> None:
    """The INS is shown for a qualified identity only."""
    value = one_zone()
    value["patient"]["status"] = "recuperee"
    (page,) = texts(value, tmp_path)
    assert "279035121518989" not in re.sub(r"\s", "", page)
    assert "Identité récupérée" in page


def test_unknown_characters_show_by_their_number(tmp_path: Path) -> None:
    """What no typeface has is replaced visibly; figures in superscript stay."""
    value = one_zone()
    value["comment"] = "seuil 10⁹/L, 😀 fin"
    flat = re.sub(r"\s+", " ", texts(value, tmp_path)[0])
    assert "seuil 10⁹/L, [U+1F600] fin" in flat


@pytest.mark.parametrize("symbology", list(Symbology))
@pytest.mark.parametrize("payload_format", list(PayloadFormat))
def test_the_printed_code_reads_as_the_number(
    symbology: Symbology, payload_format: PayloadFormat, tmp_path: Path
) -> None:
    """A scan of the page at 200 dots an inch gives the number back."""
    value = one_zone()
    data = prescription_pdf(documents.load(value), symbology=symbology, payload_format=payload_format)
    found = read(scan(data, tmp_path))
    assert [f.symbology for f in found] == [symbology.value]
    assert read_payload(found[0].text, payload_format).number == value["number"]


def test_the_code_given_is_printed_as_it_is(tmp_path: Path) -> None:
    """The image that came with the prescription wins over ours."""
    value = one_zone()
    value["codeImage"] = png("CODE NATIONAL")
    found = read(scan(prescription_pdf(documents.load(value)), tmp_path))
    assert [f.text for f in found] == ["CODE NATIONAL"]


def scan(data: bytes, folder: Path) -> bytes:
    """The first page as a grey picture."""
    import shutil

    from tests.support import outside

    tool = shutil.which("pdftoppm")
    if not tool:
        outside.missing("pdftoppm", "install poppler-utils")
    (folder / "in.pdf").write_bytes(data)
    subprocess.run(
        [str(tool), "-r", "200", "-gray", "-png", "-f", "1", "-l", "1", "-singlefile", "in.pdf", "out"],
        cwd=folder,
        check=True,
        timeout=60,
    )
    return (folder / "out.png").read_bytes()


def test_the_same_prescription_gives_the_same_bytes() -> None:
    """Nothing of the clock or of chance; the date given is the file's."""
    document = documents.load(documents.prescription())
    assert prescription_pdf(document) == prescription_pdf(document)
    later = prescription_pdf(document, created=datetime.fromisoformat("2027-01-02T03:04:05+01:00"))
    assert b"D:20270102030405+01'00'" in later


def test_the_file_properties_hold_no_trait() -> None:
    """File managers show the properties: title and author only."""
    import io

    import pikepdf

    data = prescription_pdf(documents.load(documents.prescription()))
    with pikepdf.open(io.BytesIO(data)) as pdf:
        packet = pdf.Root.Metadata.read_bytes().decode()
        properties = " ".join(str(value) for value in pdf.trailer.Info.values())
    for text in (packet, properties):
        assert "PAT-TROIS" not in text
        assert "2790351" not in text
        assert "EPU" not in text
    assert "Dr Odile KERVELLA" in packet
