"""Strategies of other structured documents: sections in sections, entries of every known family, files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from mappings.document.other import Attachment, OtherDocument, OtherEntry, OtherSection
from mappings.document.people import Identifier
from mappings.document.summary import Result
from tests.support.strategies.header import headers, plain_headers
from tests.support.strategies.values import LOINC_CODES, maybe, of, paragraphs, short, some, texts
from tests.unit.mappings.fhir.summaries import entry_strategies, observed

MARKUP = (
    '<text xmlns="urn:hl7-org:v3"><table><thead><tr><th>Examen</th><th>Valeur</th></tr></thead>'
    '<tbody><tr ID="r1"><td>Glycémie</td><td colspan="2">5 &lt; 6</td></tr></tbody></table>'
    '<list listType="ordered"><item>un</item><item>deux</item></list><paragraph>Fin<br/>du texte</paragraph>'
    '<renderMultiMedia referencedObject="img"/></text>'
)
#: Family of an entry by the section of a summary that holds the same.
FAMILIES = {
    "problem": "problems",
    "allergy": "allergies",
    "procedure": "procedures",
    "treatment": "treatments",
    "immunization": "immunizations",
    "device": "devices",
    "lifestyle": "lifestyle",
    "family": "family_history",
    "vital_signs": "vital_signs",
    "pregnancy": "pregnancies",
    "results": "results",
}


def _entry(name: str) -> Callable[[Any], OtherEntry]:
    return lambda value: OtherEntry(**{name: value})


def families() -> list[st.SearchStrategy[OtherEntry]]:
    """An entry of each family."""
    found = entry_strategies()
    return [
        *(found[section].map(_entry(name)) for name, section in FAMILIES.items()),
        observed(Result).map(_entry("result")),
    ]


def sections(
    children: st.SearchStrategy[Any], entries: st.SearchStrategy[Any] | None = None
) -> st.SearchStrategy[OtherSection]:
    """A section around some sub-sections, with the entries given, or some of any family."""
    words: st.SearchStrategy[dict[str, Any]] = st.one_of(
        st.just({}),
        paragraphs().map(lambda t: {"text": t}),
        st.just({"text": "Examen", "markup": MARKUP}),
    )
    return st.builds(
        lambda said, **fields: OtherSection(**said, **fields),
        words,
        id=maybe(st.uuids()),
        templates=some(st.sampled_from(("1.3.6.1.4.1.19376.1.3.3.2.1", "1.2.250.1.213.1.1.2.70")), 2),
        code=maybe(LOINC_CODES),
        title=maybe(texts()),
        attachments=some(
            of(
                Attachment,
                anchor=st.sampled_from(("img1", "pdf")),
                media_type=st.sampled_from(("image/png", "application/pdf")),
                content=st.binary(min_size=1, max_size=20),
            ),
            1,
        ),
        entries=some(st.one_of(*families()), 2) if entries is None else entries,
        sections=children,
    )


def others() -> st.SearchStrategy[OtherDocument]:
    """A document of another kind: any header, or a plain one around more content."""
    templates = some(
        of(
            Identifier,
            root=st.just("1.3.6.1.4.1.19376.1.3.3") | st.just("1.2.250.1.213.1.1.1.55"),
            extension=maybe(st.just("2024.01")),
        ),
        2,
    )

    def whole(header: dict[str, Any], nested: st.SearchStrategy[Any]) -> st.SearchStrategy[OtherDocument]:
        return of(OtherDocument, **header, type=LOINC_CODES, templates=templates, sections=nested)

    deep = some(sections(some(sections(st.just(())), 1)), 2, least=1)
    # Every family, each as likely as not: of one family at a time, some would hardly be drawn.
    wide = st.tuples(*(maybe(each) for each in families())).map(lambda es: tuple(e for e in es if e is not None))
    single = sections(st.just(()), wide).map(lambda section: (section,))
    return short(whole(plain_headers(), single) | whole(headers(), deep))
