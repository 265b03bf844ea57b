"""Section text: tables and paragraphs whose pieces have an ID, for entries to refer to."""

from __future__ import annotations

import pytest

from mappings.cda.build import Builder, root_element, sub
from mappings.cda.narrative import Narrative
from mappings.cda.tree import ROOT_SPACES, written
from mappings.document.people import Identifier

DECLARED = "".join(f' xmlns:{prefix}="{uri}"' if prefix else f' xmlns="{uri}"' for prefix, uri in ROOT_SPACES.items())


@pytest.fixture
def builder() -> Builder:
    """A builder of a document of its own."""
    return Builder(
        document_id=Identifier(root="1.2.3"),
        root=root_element("ClinicalDocument"),
        created_at="2026-11-20T10:00:00+01:00",
    )


@pytest.fixture
def narrative(builder: Builder) -> Narrative:
    """The text of a section."""
    return Narrative(builder, sub(builder.root, "section"))


def shown(narrative: Narrative) -> str:
    """The narrative without its namespace."""
    return written(narrative.element).decode().replace(DECLARED, "")


def test_a_cell_gives_the_reference_of_its_text(narrative: Narrative) -> None:
    """The ID stands on the content, the reference starts with a number sign."""
    row = narrative.table("Médicament", "Quantité").row()
    assert row.cell("PARACETAMOL", "med") == "#med-1"
    assert row.cell("2 boîtes") == ""
    assert row.cell(None, "vide") == ""
    assert (
        "<thead><tr><th>Médicament</th><th>Quantité</th></tr></thead>"
        '<tbody><tr><td><content ID="med-1">PARACETAMOL</content></td><td>2 boîtes</td><td></td></tr></tbody>'
    ) in shown(narrative)


def test_line_breaks_become_br(narrative: Narrative) -> None:
    """A text of several lines keeps them."""
    assert narrative.paragraph("un\ndeux\n", "note") == "#note-1"
    assert (
        shown(narrative)
        == '<text><paragraph><content ID="note-1">un<br></br>deux<br></br></content></paragraph></text>'
    )


def test_a_cell_of_several_pieces_keeps_their_order(narrative: Narrative) -> None:
    """Anchored or not, before or after each other."""
    references = (
        narrative.table().row().cells(("de ", None), ("1", "dose"), (" à ", None), ("2", "dose"), (" max", None))
    )
    assert references == ["", "#dose-1", "", "#dose-2", ""]
    assert '<td>de <content ID="dose-1">1</content> à <content ID="dose-2">2</content> max</td>' in shown(narrative)


def test_markup_in_a_text_is_escaped(narrative: Narrative) -> None:
    """What the sender wrote is text, never markup."""
    narrative.paragraph("<table> & co")
    assert "&lt;table&gt; &amp; co" in shown(narrative)


def test_a_cell_may_span_columns_and_a_media_is_shown_by_its_id(narrative: Narrative) -> None:
    """The two other things that sections need."""
    narrative.table("a", "b").row().cell("tout", span=2)
    narrative.media("pdf-1")
    assert '<td colspan="2">tout</td>' in shown(narrative)
    assert '<renderMultiMedia referencedObject="pdf-1">' in shown(narrative)
