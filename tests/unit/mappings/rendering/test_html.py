"""The HTML view shows every word and runs nothing."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mappings.rendering.html import CONTENT_SECURITY_POLICY, bundle_html, cda_html, document_html, view_html
from mappings.rendering.layout import Run
from mappings.rendering.narrative import Paragraph
from mappings.rendering.view import Fact, Group, Section, View
from mappings.rendering.view_bundle import NotBundle
from mappings.rendering.view_cda import NotCda
from tests.support import documents, outside
from tests.unit.mappings.rendering.test_pdf import cda, level_1, section

ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1", "h2", "h3", "h4", "h5", "h6",
    "p", "span", "strong", "em", "u", "s", "sup", "sub", "br", "ul", "ol", "li", "div", "table", "caption", "thead",
    "tbody", "tr", "th", "td", "img",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "role", "scope", "colspan", "rowspan", "alt", "src",
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would see: elements, attributes, words."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self._style = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._style = tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.words += f"{data} "
        self._style = False

    @property
    def flat(self) -> str:
        """The words on one line."""
        return re.sub(r"\s+", " ", self.words)


def safe(text: str) -> Page:
    """The page, once it is sure that only our elements and attributes are in it."""
    page = Page(text)
    assert page.elements <= ALLOWED
    for tag, name, value in page.attributes:
        assert name in ATTRIBUTES, name
        assert name != "src" or value.startswith("data:image/"), tag
    return page


HOSTILE = (
    "<script>alert(1)</script>",
    '<img src="x" onerror="alert(1)"/>',
    '<a href="javascript:alert(1)">clic</a>',
    '<iframe src="https://evil.example/"/>',
    '<content onclick="alert(1)" style="background:url(https://evil.example/)">mot</content>',
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<style>body{display:none}</style>",
    '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    '<form action="https://evil.example/"><input name="a"/></form>',
    '<linkHtml href="data:text/html;base64,PHNjcmlwdD4=">x</linkHtml>',
    '<object data="https://evil.example/x.swf"/>',
    '<base href="https://evil.example/"/>',
    '<meta http-equiv="refresh" content="0;url=https://evil.example/"/>',
)


@pytest.mark.parametrize("markup", HOSTILE)
def test_a_hostile_cda_narrative_is_harmless(markup: str) -> None:
    """Only our own elements and attributes come out, the words around stay."""
    page = safe(cda_html(cda(section(f"avant {markup} après"))))
    assert "avant" in page.flat
    assert "après" in page.flat


@pytest.mark.parametrize("markup", HOSTILE)
def test_a_hostile_fhir_narrative_is_harmless(markup: str) -> None:
    """The same through a Bundle."""
    page = safe(bundle_html(bundle(f"avant {markup} après")))
    assert "avant" in page.flat
    assert "après" in page.flat


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</title><script>",
        "</style><script>",
        "' onload='x",
    ],
)
def test_every_word_of_a_view_is_escaped(text: str) -> None:
    """Titles, labels, values, notices, language: all are words."""
    view = View(
        title=text,
        kind=text,
        date=text,
        language=text,
        groups=(Group(text, (Fact(text, text), Fact("", text))),),
        sections=(Section(text, (Paragraph((Run(text, bold=True),)), Paragraph((Run(text),), 2))),),
        notices=(text,),
    )
    page = safe(view_html(view))
    assert page.flat.count(re.sub(r"\s+", " ", text)) >= 8


@given(st.text(max_size=40))
def test_any_text_comes_out_as_written(text: str) -> None:
    """Whatever the characters, the page holds them as words."""
    page = safe(view_html(View(title="t", sections=(Section("", (Paragraph((Run(f"[{text}]"),)),)),))))
    seen = re.sub(r"[\s\x00]+", "", page.words)
    assert re.sub(r"[\s\x00]+", "", f"[{text}]") in seen


def test_the_policy_forbids_everything_else() -> None:
    """The page says it too, in a meta element."""
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    page = Page(cda_html(cda(section("x"))))
    policies = [v for tag, name, v in page.attributes if tag == "meta" and name == "content" and "default-src" in v]
    assert policies
    assert "script" not in policies[0]


def test_a_cda_shows_header_and_tables() -> None:
    """French labels, sections as headings, tables with their headings."""
    table = "<table><thead><tr><th>A</th></tr></thead><tbody><tr><td colspan='2'>1<br/>2</td></tr></tbody></table>"
    text = cda_html(cda(section(table)))
    assert '<th scope="row">Patient</th>' in text
    assert "<h2>Examen</h2>" in text
    assert "<thead><tr><th><strong>A</strong></th></tr></thead>" in text
    assert '<td colspan="2">1<br>2</td>' in text
    assert 'lang="fr-FR"' in text
    assert "279035121518989@" not in text


def test_level_1_says_what_it_carries() -> None:
    """A text is shown, another file is named."""
    assert "bonjour" in Page(cda_html(level_1(b"bonjour", "text/plain"))).flat
    assert "[fichier joint : application/pdf" in Page(cda_html(level_1(documents.PDF, "application/pdf"))).flat


def test_images_are_written_anew() -> None:
    """An image shows from its pixels; what else the file held, and a broken one, do not pass."""
    out = io.BytesIO()
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(out, "PNG")
    good = base64.b64encode(out.getvalue() + b"<script>").decode()
    media = (
        '<renderMultiMedia referencedObject="i1"/></text><entry><observationMedia ID="i1">'
        '<value mediaType="image/png" representation="B64">{}</value></observationMedia></entry><text>'
    )
    text = cda_html(cda(section(media.format(good))))
    data = re.search(r'src="data:image/png;base64,([^"]+)"', text)
    assert data is not None
    assert b"<script>" not in base64.b64decode(data[1])
    assert "[image illisible]" in cda_html(cda(section(media.format(base64.b64encode(b"GIF89a<").decode()))))


@pytest.mark.official
def test_the_official_examples_show_every_word() -> None:
    """Every official CDA is shown, all the words of its narrative included."""
    from security.xml import CDA_LIMITS, parse

    for path in sorted((outside.packs() / "ans-cda" / "ExemplesCDA").glob("*.xml")):
        data = path.read_bytes()
        page = safe(cda_html(data))
        squeezed = re.sub(r"\s+", "", page.words)
        root = parse(data, CDA_LIMITS)
        v3 = "{urn:hl7-org:v3}"
        for text in root.iter(f"{v3}text"):
            parent = text.getparent()
            if parent is not None and parent.tag == f"{v3}section":
                for piece in text.itertext():
                    assert re.sub(r"\s+", "", str(piece)) in squeezed or "<!--" in str(piece), path.name


def test_what_is_no_cda_or_bundle_is_refused() -> None:
    """Named refusals."""
    with pytest.raises(NotCda):
        cda_html(b"<ClinicalDocument/>")
    for value in ({}, {"resourceType": "Patient"}):
        with pytest.raises(NotBundle):
            bundle_html(value)


# -- Bundles --------------------------------------------------------------------------------------------------------


def bundle(narrative: str, **composition: Any) -> dict[str, Any]:
    """A small document Bundle."""
    return {
        "resourceType": "Bundle",
        "type": "document",
        "entry": [
            {
                "fullUrl": "urn:uuid:c",
                "resource": {
                    "resourceType": "Composition",
                    "title": "Synthèse",
                    "type": {"coding": [{"code": "SYNTH", "display": "Synthèse médicale"}]},
                    "date": "2026-11-20T10:00:00+01:00",
                    "subject": {"reference": "urn:uuid:p"},
                    "author": [{"reference": "PractitionerRole/r"}],
                    "custodian": {"reference": "https://x.example/fhir/Organization/o"},
                    "encounter": {"reference": "urn:uuid:e"},
                    "attester": [{"mode": "legal", "time": "2026-11-20", "party": {"reference": "urn:uuid:d"}}],
                    "event": [{"code": [{"text": "Consultation"}], "period": {"start": "2026-11-20"}}],
                    "section": [
                        {
                            "title": "Problèmes",
                            "text": {"div": f'<div xmlns="http://www.w3.org/1999/xhtml">{narrative}</div>'},
                            "section": [
                                {"title": "Vide", "emptyReason": {"coding": [{"code": "nilknown"}]}},
                                {"title": "Entrées", "entry": [{"reference": "urn:uuid:k"}, {"reference": "x/y"}]},
                            ],
                        }
                    ],
                    **composition,
                },
            },
            {
                "fullUrl": "urn:uuid:p",
                "resource": {
                    "resourceType": "Patient",
                    "name": [{"use": "official", "family": "PAT-TROIS", "given": ["DOMINIQUE"]}],
                    "gender": "female",
                    "birthDate": "1979-03-28",
                    "identifier": [{"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "279035121518989"}],
                    "telecom": [{"system": "phone", "value": "0600000000"}],
                },
            },
            {
                "resource": {
                    "resourceType": "PractitionerRole",
                    "id": "r",
                    "practitioner": {"reference": "urn:uuid:d"},
                    "organization": {"reference": "Organization/o"},
                    "specialty": [{"coding": [{"display": "Médecine générale"}]}],
                }
            },
            {
                "fullUrl": "urn:uuid:d",
                "resource": {
                    "resourceType": "Practitioner",
                    "name": [{"family": "Kervella", "given": ["Odile"], "prefix": ["Dr"]}],
                    "identifier": [{"type": {"coding": [{"code": "RPPS"}]}, "value": "99700218896"}],
                },
            },
            {"resource": {"resourceType": "Organization", "id": "o", "name": "CABINET FICTIF"}},
            {"fullUrl": "urn:uuid:e", "resource": {"resourceType": "Encounter", "class": {"display": "Ambulatoire"}}},
            {"fullUrl": "urn:uuid:k", "resource": {"resourceType": "Condition", "code": {"text": "Asthme"}}},
        ],
    }


def test_a_bundle_shows_who_when_and_what() -> None:
    """References are followed by fullUrl, by kind and id, and by absolute URL."""
    words = safe(bundle_html(bundle("Diabète &nbsp;&eacute;quilibr&eacute; &amp; suivi"))).flat
    for expected in (
        "Synthèse médicale – 20/11/2026 à 10 h",
        "Nom de naissance : PAT-TROIS",
        "INS (NIR de test) : 279035121518989",
        "Dr Odile KERVELLA",
        "RPPS : 99700218896",
        "Médecine générale",
        "CABINET FICTIF",
        "Ambulatoire",
        "Consultation",
        "équilibré & suivi",
        "Aucun élément connu",
        "Asthme",
    ):
        assert expected in re.sub(r"\s+", " ", words.replace("\u00a0", " ")), expected


def test_a_broken_narrative_is_said() -> None:
    """Malformed XHTML and DOCTYPE are replaced by a notice; the rest is shown."""
    for broken in ("<p>", "<!DOCTYPE x>", "&#0;"):
        words = safe(bundle_html(bundle(broken))).flat
        assert "narratif illisible" in words
        assert "Asthme" in words


def test_a_preliminary_document_says_so() -> None:
    """The status is a notice at the top."""
    assert "Document provisoire" in safe(bundle_html(bundle("x", status="preliminary"))).flat


@pytest.mark.parametrize(
    "wrong",
    [
        {"section": "x"},
        {"section": [None, 3, {"section": [{}]}]},
        {"author": {"reference": 3}},
        {"type": [], "date": 5, "subject": "p"},
        {"title": None, "language": ["fr"]},
    ],
)
def test_ill_typed_members_are_passed_over(wrong: dict[str, Any]) -> None:
    """A Bundle with wrong types is shown as far as it goes."""
    assert "<body>" in bundle_html(bundle("x", **wrong))


def test_sections_without_end_stop() -> None:
    """A thousand nested sections neither hang nor crash."""
    inner: dict[str, Any] = {"title": "fond"}
    for _ in range(1000):
        inner = {"title": "n", "section": [inner]}
    assert bundle_html(bundle("x", section=[inner])).count("<h6>n</h6>") > 5


def test_samples_of_others_are_shown() -> None:
    """Bundles that are no documents list their resources, with the posology."""
    shown = 0
    for path in sorted((outside.samples() / "fhir-eprescription").glob("Bundle-*.json")):
        page = safe(bundle_html(json.loads(path.read_bytes())))
        assert "Médicament prescrit" in page.flat, path.name
        shown += 1
    assert shown > 40


@pytest.mark.parametrize("kind", ["report", "prescription", "dispensation", "summary"])
def test_each_kind_of_the_hub_has_a_page(kind: str) -> None:
    """The hub's documents are shown with the same care."""
    page = safe(document_html(documents.load(getattr(documents, kind)())))
    assert "PAT-TROIS" in page.flat
    expected = {
        "report": "[fichier joint",
        "prescription": "NON SUBSTITUABLE",
        "dispensation": "DOLIPRANE",
        "summary": "Arachide",
    }
    assert expected[kind] in page.flat


def test_any_other_structured_document_has_its_words_and_files() -> None:
    """Markup as written, text by lines, images shown once, other files named, sub-sections in place."""
    out = io.BytesIO()
    Image.new("RGB", (3, 3)).save(out, "PNG")
    picture = base64.b64encode(out.getvalue()).decode()
    value = documents.report()
    for name in ("mediaType", "content"):
        del value[name]
    value["kind"] = "other"
    value["sections"] = [
        {
            "title": "Biochimie",
            "markup": '<text xmlns="urn:hl7-org:v3"><table><tr><td>Glucose</td><td>5,2</td></tr></table>'
            '<renderMultiMedia referencedObject="a1"/><script>alert(1)</script></text>',
            "attachments": [
                {"anchor": "a1", "mediaType": "image/png", "content": picture},
                {"anchor": "a2", "mediaType": "application/pdf", "content": base64.b64encode(documents.PDF).decode()},
            ],
            "sections": [{"code": {"code": "1", "display": "Sous-partie", "system": "1.2.3"}, "text": "un\ndeux"}],
        },
        {"title": "Cassé", "markup": "<text>"},
    ]
    text = document_html(documents.load(value))
    page = safe(text)
    assert "<td>Glucose</td><td>5,2</td>" in text
    assert text.count("<img") == 1
    assert "[fichier joint : application/pdf" in page.flat
    assert "<h3>Sous-partie</h3><p>un</p><p>deux</p>" in text
    assert "[narratif illisible]" in page.flat
