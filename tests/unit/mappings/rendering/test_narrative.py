"""Narrative written by others becomes plain blocks: all its words, none of its markup."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.rendering.layout import Run
from mappings.rendering.narrative import (
    Block,
    Bullets,
    Grid,
    Illustration,
    Media,
    Paragraph,
    narrative_blocks,
    words_of,
)
from security.xml import parse

V3 = "urn:hl7-org:v3"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def cda(inner: str) -> tuple[Block, ...]:
    """Blocks of a CDA section text."""
    return narrative_blocks(
        parse(f'<text xmlns="{V3}">{inner}</text>'.encode()), {"img1": Media("image/png", PIXEL)}.get
    )


def xhtml(inner: str) -> tuple[Block, ...]:
    """Blocks of a FHIR narrative."""
    return narrative_blocks(parse(f'<div xmlns="http://www.w3.org/1999/xhtml">{inner}</div>'.encode()))


def test_bare_text_is_a_paragraph_with_its_breaks() -> None:
    """Spaces collapse as in a browser; br breaks the line; blank ends go."""
    assert cda("  un\n   deux<br/> trois  ") == (Paragraph((Run("un deux"), Run("\n"), Run("trois"))),)


def test_paragraphs_part_the_text_around_them() -> None:
    """Text before, in and after a paragraph stays in order."""
    assert [words_of((b,)) for b in cda("a<paragraph>b</paragraph>c<content>d</content>")] == ["a", "b", "cd"]


@pytest.mark.parametrize(
    ("markup", "look"),
    [
        ('<content styleCode="Bold">x</content>', Run("x", bold=True)),
        ('<content styleCode="Bold Italics">x</content>', Run("x", bold=True, italic=True)),
        ('<content styleCode="Emphasis">x</content>', Run("x", bold=True)),
        ('<content styleCode="Underline">x</content>', Run("x", underline=True)),
        ('<content revised="delete">x</content>', Run("x", strike=True)),
        ("<sup>x</sup>", Run("x", rise=1)),
        ("<sub>x</sub>", Run("x", rise=-1)),
        ('<content ID="a"><content styleCode="Bold">x</content></content>', Run("x", bold=True)),
    ],
)
def test_looks_of_cda_are_kept(markup: str, look: Run) -> None:
    """What styleCode and revised say is said too; struck text never reads as plain."""
    assert cda(markup) == (Paragraph((look,)),)


@pytest.mark.parametrize(
    ("markup", "look"),
    [
        ("<b>x</b>", Run("x", bold=True)),
        ("<strong><em>x</em></strong>", Run("x", bold=True, italic=True)),
        ("<u>x</u>", Run("x", underline=True)),
        ("<del>x</del>", Run("x", strike=True)),
        ('<span style="color:red">x</span>', Run("x")),
    ],
)
def test_looks_of_xhtml_are_kept(markup: str, look: Run) -> None:
    """The names of XHTML elements give the look; styles are dropped."""
    assert xhtml(markup) == (Paragraph((look,)),)


def test_headings_have_their_level() -> None:
    """h1 to h6 become headings."""
    assert xhtml("<h3>Titre</h3><p>mots</p>") == (Paragraph((Run("Titre"),), 3), Paragraph((Run("mots"),)))


def test_lists_nest() -> None:
    """Items are blocks; ordered lists say so; the caption is kept."""
    (block,) = cda(
        '<list listType="ordered"><caption>Cause</caption>'
        "<item>a<list><item>b</item></list></item><item>c</item></list>"
    )
    assert isinstance(block, Bullets)
    assert block.ordered
    assert block.caption == (Run("Cause"),)
    assert isinstance(block.items[0][1], Bullets)
    assert words_of((block,)) == "a b c"
    (ol,) = xhtml("<ol><li>un</li></ol>")
    assert isinstance(ol, Bullets)
    assert ol.ordered


def test_tables_keep_headings_spans_and_foot() -> None:
    """thead, tbody and tfoot in order, th bold, colspan and rowspan, caption."""
    (block,) = cda(
        "<table><caption>Bilan</caption><thead><tr><th>A</th><th>B</th></tr></thead>"
        '<tfoot><tr><td colspan="2">pied</td></tr></tfoot>'
        '<tbody><tr><td rowspan="2">1</td><td>2</td></tr><tr><td>3</td></tr></tbody></table>'
    )
    assert isinstance(block, Grid)
    assert block.headings == 1
    assert [[(words_of(c.blocks), c.heading, c.span, c.depth) for c in row] for row in block.rows] == [
        [("A", True, 1, 1), ("B", True, 1, 1)],
        [("1", False, 1, 2), ("2", False, 1, 1)],
        [("3", False, 1, 1)],
        [("pied", False, 2, 1)],
    ]
    assert block.caption == (Run("Bilan"),)


@pytest.mark.parametrize("span", ["0", "-3", "99999", "abc", "²"])
def test_foolish_spans_are_bounded(span: str) -> None:
    """No span can blow a table up."""
    (block,) = cda(f'<table><tr><td colspan="{span}" rowspan="{span}">x</td></tr></table>')
    assert isinstance(block, Grid)
    assert block.rows[0][0].span in (1, 200)


def test_words_out_of_place_in_a_table_are_kept() -> None:
    """A stray paragraph inside a table is shown at its end."""
    (block,) = xhtml("<table><p>perdu</p><tr><td>a</td><p>b</p></tr></table>")
    assert words_of((block,)) == "a b perdu"


def test_images_are_found_by_their_id() -> None:
    """renderMultiMedia shows the observationMedia it names; an absent one is said."""
    picture, missing = cda('<renderMultiMedia referencedObject="img1"/><renderMultiMedia referencedObject="x"/>')
    assert picture == Illustration(PIXEL)
    assert missing == Paragraph((Run("[objet joint absent du document]"),))


def test_a_file_that_is_no_image_is_named() -> None:
    """A PDF copy is said, with its size."""
    blocks = narrative_blocks(
        parse(f'<text xmlns="{V3}"><renderMultiMedia referencedObject="p"/></text>'.encode()),
        lambda _: Media("application/pdf", b"%PDF-1.4"),
    )
    assert words_of(blocks) == "[fichier joint : application/pdf, 8 octets]"


def test_only_images_inside_the_document_are_shown() -> None:
    """A data URI is an image; anything to fetch is only named."""
    data = base64.b64encode(PIXEL).decode()
    assert xhtml(f'<img alt="logo" src="data:image/png;base64,{data}"/>') == (Illustration(PIXEL, "logo"),)
    for source in (
        "http://evil.example/x.png",
        "file:///etc/passwd",
        "data:text/html;base64,AAAA",
        "data:image/png;base64,%%",
    ):
        assert words_of(xhtml(f'<img alt="logo" src="{source}"/>')) == "[image : logo]"


def test_links_are_words() -> None:
    """The target is shown when it is not in the words; an anchor is not."""
    assert words_of(xhtml('<a href="http://a.example/">ici</a>')) == "ici (http://a.example/)"
    assert words_of(cda('<linkHtml href="#x">là</linkHtml>')) == "là"
    assert words_of(xhtml('<a href="http://a.example/"/>')) == "http://a.example/"


@pytest.mark.parametrize("name", ["script", "style", "iframe", "object", "svg", "template", "noscript"])
def test_what_is_not_for_people_is_dropped(name: str) -> None:
    """Code and frames vanish whole, the words around stay."""
    assert words_of(xhtml(f"a<{name}>alert(1)</{name}>b")) == "ab"


def test_comments_and_instructions_are_dropped() -> None:
    """No comment or processing instruction shows, and none eats the words after it."""
    assert words_of(cda("a<!-- <b>x</b> -->b<?php x?>c")) == "abc"


def test_unknown_elements_leave_their_words() -> None:
    """Nothing written for people is lost."""
    assert words_of(cda("<strange>mot<other>s</other></strange>")) == "mots"


@given(
    st.recursive(
        st.text("abc é", min_size=1, max_size=5).map(lambda t: (t, t)),
        lambda inner: st.tuples(
            st.sampled_from(["content", "paragraph", "list", "item", "table", "tbody", "tr", "td", "sub", "zzz"]),
            st.lists(inner, max_size=3),
        ).map(
            lambda pair: (f"<{pair[0]}>{''.join(x for x, _ in pair[1])}</{pair[0]}>", "".join(w for _, w in pair[1]))
        ),
        max_leaves=12,
    )
)
def test_no_word_is_ever_lost(case: tuple[str, str]) -> None:
    """Whatever the nesting, every letter comes through."""
    markup, words = case
    assert sorted(words_of(cda(markup)).replace(" ", "")) == sorted(words.replace(" ", ""))
