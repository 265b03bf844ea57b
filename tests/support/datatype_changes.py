"""Changes that break the HL7 data types one assertion at a time: what is set, added inside, or put beside an element.

The names are the keys of the mutants. A change is made at the first element of its type in a document, and again where
the place differs (``mutants``). Source: HL7 v3 Data Types R1 and its published Schematrons (DTr1).
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["CHANGES", "NEAR_TYPES", "Change"]


class Change(NamedTuple):
    """One change to an element."""

    name: str
    set: tuple[tuple[str, str], ...] = ()
    inside: str = ""  #: elements added at the end, in CDA's namespace
    clear: bool = False  #: what was inside, and the attributes, go first
    beside: str = ""  #: attributes of a second element of the same name, put after
    text: str | None = None  #: the new text


def _null(**more: str) -> tuple[tuple[str, str], ...]:
    return (("nullFlavor", "UNK"), *more.items())


_ANY: Final = (
    Change("null-kind", (("nullFlavor", "NI"),), clear=True),
    Change("null-invalid", (("nullFlavor", "INV"),), clear=True),
)
_ED: Final = (
    Change("integrity", (("integrityCheck", "AAAA"),)),
    Change("compression", (("compression", "GZ"),), clear=True, text="a"),
    Change("thumbnail", inside='<thumbnail nullFlavor="UNK"><reference value="#a"/></thumbnail>'),
    Change("thumbnail-twice", inside="<thumbnail><thumbnail>a</thumbnail></thumbnail>"),
    Change("value-media", (("value", "a"), ("mediaType", "image/png"))),
    Change("reference-update", inside='<reference value="#a" updateMode="A"/>'),
    Change("charset", (("value", "a"), ("charset", "utf-8"))),
    Change("translation", inside="<translation>a</translation>"),
    Change("null-media", _null(mediaType="image/png"), clear=True),
    Change("null-charset", _null(charset="utf-8"), clear=True),
    Change("null-language", _null(language="fr"), clear=True),
    Change("null-compression", _null(compression="GZ"), clear=True),
    Change("null-integrity", _null(integrityCheck="AAAA"), clear=True),
    Change("null-algorithm", _null(integrityCheckAlgorithm="SHA-256"), clear=True),
    Change("null-thumbnail", _null(), inside="<thumbnail>a</thumbnail>", clear=True),
    Change("null-translation", _null(), inside="<translation>a</translation>", clear=True),
    Change("language", (("language", "!!"),)),
    *(
        Change(f"thumb-{name}", inside=f"<thumbnail {attributes}>{inside}</thumbnail>")
        for name, attributes, inside in (
            ("integrity", 'integrityCheck="AAAA"', "a"),
            ("null-reference", 'nullFlavor="UNK"', '<reference value="#a"/>'),
            ("thumbnail", "", "<thumbnail>a</thumbnail>"),
            ("compression", 'compression="GZ"', ""),
            ("value-media", 'value="a" mediaType="image/png"', "a"),
            ("reference-update", "", '<reference value="#a" updateMode="A"/>'),
            ("charset", 'value="a" charset="utf-8"', "a"),
            ("null-media", 'nullFlavor="UNK" mediaType="image/png"', ""),
            ("null-charset", 'nullFlavor="UNK" charset="utf-8"', ""),
            ("null-language", 'nullFlavor="UNK" language="fr"', ""),
            ("null-compression", 'nullFlavor="UNK" compression="GZ"', ""),
            ("null-integrity", 'nullFlavor="UNK" integrityCheck="AAAA"', ""),
            ("null-algorithm", 'nullFlavor="UNK" integrityCheckAlgorithm="SHA-256"', ""),
        )
    ),
)
_ST: Final = (
    *_ED,
    Change("reference", inside='<reference value="#a"/>'),
    Change("thumbnail-here", inside="<thumbnail>a</thumbnail>"),
    Change("base64", (("representation", "B64"),)),
    Change("media", (("mediaType", "text/html"),)),
    Change("algorithm", (("integrityCheckAlgorithm", "SHA-256"),)),
    Change("twin", beside="="),
)
_CD: Final = (
    Change("original-null", inside='<originalText nullFlavor="UNK"/>', clear=True),
    Change("no-system", (("code", "A"),), clear=True),
    Change("system-name", (("codeSystemName", "A"),), clear=True),
    Change("system-version", (("codeSystemVersion", "1"),), clear=True),
    Change("label-alone", (("displayName", "A"),), clear=True),
    Change("null-code", _null(code="A", codeSystem="1.2.3"), clear=True),
    Change("null-label", _null(displayName="A"), clear=True),
    Change("label-tab", (("displayName", "A\tB"),)),
    Change("translation-null", inside='<translation nullFlavor="UNK"/>'),
    Change("translation-system", inside='<translation codeSystem="1.2.3"/>'),
    Change("translation-system-name", inside='<translation code="A" codeSystemName="A"/>'),
    Change("translation-system-version", inside='<translation code="A" codeSystemVersion="A"/>'),
    Change("translation-label", inside='<translation displayName="A"/>'),
    Change("translations-same", inside='<translation code="A" codeSystem="1.2.3"/>' * 2),
    Change("original-language", inside='<originalText language="!!">a</originalText>'),
    Change("twin", beside="="),
)
_CE: Final = (*_CD, Change("qualifier", inside='<qualifier><name code="A" codeSystem="1.2.3"/></qualifier>'))
_EN: Final = (
    Change("null-text", _null(), clear=True, text="a"),
    Change("mixed", inside="<prefix>M</prefix>", text="a"),
    Change("nothing", clear=True),
    Change("blank-part", inside="<suffix> </suffix>"),
    Change("quote", clear=True, text='"a"'),
    Change("null-beside-known", beside='nullFlavor="UNK"'),
    Change("twin", beside="="),
    Change("qualifier-twice", inside='<given qualifier="BR BR">A</given>', clear=True),
)
_QTY: Final = (
    Change("uncertainty", inside='<uncertainty expression="a"/>'),
    Change("uncertainty-update", inside='<uncertainty updateMode="A"/>'),
    Change("null-beside-known", beside='nullFlavor="UNK"'),
    Change("unit-twin", (("unit", "d"),), beside="="),
)
_TS: Final = (
    *_QTY,
    Change("nothing", clear=True),
    Change("no-zone", (("value", "20260110093000"),), clear=True),
    Change("no-day", (("value", "20260230"),), clear=True),
    Change("no-hour", (("value", "20260110256000+0100"),), clear=True),
    Change("zone-only-date", (("value", "20260110+0100"),), clear=True),
    Change("fraction", (("value", "20260110093000.5+0100"),), clear=True),
    Change("text", inside="<originalText>a</originalText>"),
)
_IVXB: Final = (*_TS, Change("null-inclusive", _null(inclusive="false"), clear=True))
_IVL: Final = (
    *_QTY,
    Change("nothing", clear=True),
    Change("null-operator", _null(operator="A"), clear=True),
    Change("null-value", _null(value="20260110"), clear=True),
    Change("value-inside", (("value", "20260110"),), inside="<low value='20260110'/>", clear=True),
    Change("center-low", inside="<center value='20260110'/><low value='20260110'/>", clear=True),
    Change(
        "all-three",
        inside="<low value='20260110'/><width value='1' unit='d'/><high value='20260111'/>",
        clear=True,
    ),
    Change("update", inside="<low value='20260110' updateMode='A'/>", clear=True),
    Change("equal", inside="<low value='20260110'/><high value='20260110'/>", clear=True),
    Change("reversed", inside="<low value='20260111'/><high value='20260110'/>", clear=True),
    Change("width-unit", inside="<low value='20260110'/><width unit='d'/>", clear=True),
    Change(
        "width-translation",
        inside="<low value='20260110'/><width value='1' unit='d'><translation value='24'/></width>",
        clear=True,
    ),
    Change("low-infinite", inside="<low nullFlavor='PINF'/>", clear=True),
    Change("high-infinite", inside="<low value='20260110'/><high nullFlavor='NINF'/>", clear=True),
    Change("width-words", inside="<low value='20260110'/><width value='1' unit='days'/>", clear=True),
    Change("low-no-zone", inside="<low value='20260110093000'/>", clear=True),
    Change("high-no-day", inside="<low value='20260110'/><high value='20260230'/>", clear=True),
    Change("center-no-zone", inside="<center value='20260110093000'/>", clear=True),
    Change("center-no-day", inside="<center value='20260230'/>", clear=True),
)
_CS: Final = (
    Change("system", (("codeSystem", "1.2.3"),)),
    Change("system-name", (("codeSystemName", "A"),)),
    Change("system-version", (("codeSystemVersion", "1"),)),
    Change("label", (("displayName", "A"),)),
    Change("original", inside="<originalText>a</originalText>"),
    Change("qualifier", inside="<qualifier/>"),
    Change("translation", inside='<translation code="A" codeSystem="1.2.3"/>'),
    Change("null-code", _null(code="A"), clear=True),
    Change("nothing", clear=True),
)
_INT: Final = (
    *_QTY,
    Change("nothing", clear=True),
    Change("null-value", _null(value="1"), clear=True),
    Change("zero", (("value", "0"),)),
    Change("negative", (("value", "-1"),)),
)
_AD: Final = (
    Change("mixed", text="a"),
    Change("nothing", clear=True),
    Change("null-period", _null(), inside="<thumbnail/><useablePeriod><low value='2026'/></useablePeriod>", clear=True),
    Change("period-update", inside='<useablePeriod updateMode="A"/>'),
    Change("period-lengths", inside="<useablePeriod><low value='2026'/><high value='20270101'/></useablePeriod>"),
    Change("period-order", inside="<useablePeriod><low value='2026'/><high value='2025'/></useablePeriod>"),
    Change("period-width", inside="<useablePeriod><width value='1' unit='days'/></useablePeriod>"),
    Change("blank-part", inside="<unitType> </unitType>"),
    Change("null-beside-known", beside='nullFlavor="UNK"'),
    Change("twin", beside="="),
    Change("use", (("use", "PHYS"),)),
    Change("lines-and-parts", inside="<streetAddressLine>a</streetAddressLine><city>b</city>", clear=True),
    Change("eight-lines", inside="<streetAddressLine>a</streetAddressLine>" * 8, clear=True),
)
_TEL: Final = (
    Change("null-period", _null(), inside="<useablePeriod value='2026'/>", clear=True),
    Change("nothing", clear=True),
    Change("space", (("value", "tel:02 98 00 00 00"),)),
    Change("accent", (("value", "mailto:é@example.org"),)),
    Change("percent", (("value", "http://a/%zz b"),)),
    Change("scheme", (("value", "sip:a@example.org"),)),
    Change("no-scheme", (("value", "0298000000"),)),
    Change("prefix-only", (("value", "tel:"),)),
    Change("null-beside-known", beside='nullFlavor="UNK"'),
    Change("null-kind-here", (("nullFlavor", "NI"),), clear=True),
    Change("twin", beside="="),
)
_II: Final = (
    Change("null-root", _null(root="1.2.3"), clear=True),
    Change("null-name", _null(identifierName="a"), clear=True),
    Change("null-displayable", _null(displayable="true"), clear=True),
    Change("null-reliability", _null(reliability="ISS"), clear=True),
    Change("null-authority", _null(assigningAuthorityName="a"), clear=True),
    Change("long-root", (("root", "1.2" + ".1234567890" * 12),)),
    Change("long-extension", (("extension", "X" * 65),)),
    Change("form", (("root", "1.2.x"),)),
    Change("leading-zero", (("root", "1.02.3"),)),
    Change("words", (("root", "RUID-abc"),)),
    Change("lower-case", (("root", "aaaaaaaa-1111-4111-8111-111111111111"),)),
    Change("nothing", clear=True),
    Change("twin", beside="="),
    Change("twin-bare", beside="=root"),
)
#: Type of CDA -> its changes.
CHANGES: Final[dict[str, tuple[Change, ...]]] = {
    "II": (*_ANY, *_II),
    "CD": (*_ANY, *_CD),
    "CE": (*_ANY, *_CE),
    "CV": (*_ANY, *_CE),
    "CS": (*_ANY, *_CS),
    "CR": (*_ANY, Change("nothing", clear=True), Change("null-name", (("nullFlavor", "UNK"),))),
    "ED": (*_ANY, *_ED, Change("nothing", clear=True)),
    "ST": (*_ANY, *_ST, Change("nothing", clear=True)),
    "SC": (
        *_ANY,
        *_ST,
        Change("code-alone", (("code", "A"),)),
        Change("system-name", (("codeSystemName", "A"),)),
        Change("system-version", (("codeSystemVersion", "A"),)),
        Change("label-alone", (("displayName", "A"),)),
        Change("null-code", _null(code="A", codeSystem="1.2.3"), clear=True),
        Change("null-label", _null(code="A", codeSystem="1.2.3", displayName="A"), clear=True),
    ),
    "EN": (*_ANY, *_EN),
    "PN": (*_ANY, *_EN, Change("legal", inside='<given qualifier="LS">A</given>')),
    "ON": (
        *_ANY,
        *_EN,
        Change("parts", inside="<prefix>a</prefix>", clear=True),
        Change("family", inside="<family>a</family>", clear=True),
    ),
    "TS": (*_ANY, *_TS),
    "IVXB_TS": (*_ANY, *_IVXB),
    "IVL_TS": (*_ANY, *_IVL),
    "BL": (*_ANY, Change("nothing", clear=True)),
    "INT": (*_ANY, *_INT),
    "sdtc:INT_POS": (*_ANY, *_INT),
    "TEL": (*_ANY, *_TEL),
    "AD": (*_ANY, *_AD),
    "adxp.streetAddressLine": (*_ANY, *_ST),
    "adxp.city": (*_ANY, *_ST),
}
#: A type that CDA's schema would accept in the place of another, and the French header does not.
NEAR_TYPES: Final = {
    "TS": "IVL_TS",
    "CD": "CE",
    "CE": "CV",
    "CV": "CS",
    "ED": "ST",
    "ST": "SC",
    "EN": "ON",
}
