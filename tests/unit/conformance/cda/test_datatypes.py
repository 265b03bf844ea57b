"""The HL7 data types of the header: each rule broken and kept by one small element."""

from __future__ import annotations

import pytest

from conformance.cda.datatypes import TYPES, compare, instant, siblings
from conformance.cda.report import Report
from security.xml import parse

SPACES = 'xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def broken(kind: str, text: str) -> set[str]:
    """The codes of the rules that an element breaks."""
    report = Report()
    TYPES[kind](parse(f"<p {SPACES}>{text}</p>".encode())[0], report)
    return {finding.code for finding in report.findings}


@pytest.mark.parametrize(
    ("kind", "text", "codes"),
    [
        ("ANY", "<x nullFlavor='UNK'/>", set()),
        ("ANY", "<x nullFlavor='UNK' value='1'/>", {"CDA-DT-001"}),
        ("ANY", "<x nullFlavor='UNK'>text</x>", {"CDA-DT-001"}),
        ("ANY", "<x><y nullFlavor='UNK' code='1'/></x>", {"CDA-DT-001"}),
        ("ANY", "<x nullFlavor='OTH'><originalText>t</originalText></x>", set()),
        ("ANY", "<x nullFlavor='NI'/>", {"CDA-DT-002"}),
        ("II", "<id root='1.2.3'/>", set()),
        ("II", "<id root='1.2.3' extension='a'/>", set()),
        ("II", "<id nullFlavor='UNK'/>", set()),
        ("II", "<id extension='a'/>", {"CDA-DT-010"}),
        ("II", "<id root='1.2.3' nullFlavor='UNK'/>", {"CDA-DT-001", "CDA-DT-011"}),
        ("II", "<id root='1..3'/>", {"CDA-DT-012"}),
        ("II", "<id root='RUID'/>", {"CDA-DT-012"}),
        ("II", "<id root='1.2.3' extension=''/>", {"CDA-DT-014"}),
        ("II", f"<id root='1.2.3' extension='{'x' * 65}'/>", {"CDA-DT-015"}),
        ("II", "<id root='11111111-1111-4111-8111-11111111111a'/>", {"CDA-DT-016"}),
        ("II", "<id root='11111111-1111-4111-8111-11111111111A'/>", set()),
        ("CD", "<code code='a' codeSystem='1.2'/>", set()),
        ("CD", "<code><originalText>t</originalText></code>", set()),
        ("CD", "<code/>", {"CDA-DT-020"}),
        ("CD", "<code code='a'/>", {"CDA-DT-021"}),
        ("CD", "<code nullFlavor='UNK' codeSystemName='x'/>", {"CDA-DT-001", "CDA-DT-022"}),
        ("CD", "<code displayName='x' nullFlavor='UNK'/>", {"CDA-DT-001", "CDA-DT-023", "CDA-DT-024"}),
        ("CD", "<code code='a' codeSystem='1.2' nullFlavor='UNK'/>", {"CDA-DT-001", "CDA-DT-024"}),
        ("CD", "<code code='a' codeSystem='1.2'><translation code='b'/></code>", {"CDA-DT-025"}),
        (
            "CD",
            "<code code='a' codeSystem='1.2'><translation code='b' codeSystem='1.3'/>"
            "<translation code='b' codeSystem='1.3'/></code>",
            {"CDA-DT-027"},
        ),
        ("CE", "<code code='a' codeSystem='1.2'><qualifier/></code>", {"CDA-DT-029"}),
        ("CS", "<s code='a'/>", set()),
        ("CS", "<s/>", {"CDA-DT-030"}),
        ("CS", "<s code='a' displayName='b'/>", {"CDA-DT-031"}),
        ("ST", "<t>text</t>", set()),
        ("ST", "<t/>", {"CDA-DT-040"}),
        ("ST", "<t mediaType='text/html'>text</t>", {"CDA-DT-041"}),
        ("PN", "<name><family>A</family></name>", set()),
        ("PN", "<name>A</name>", set()),
        ("PN", "<name>A<family>B</family></name>", {"CDA-DT-050"}),
        ("PN", "<name/>", {"CDA-DT-050"}),
        ("PN", "<name><family qualifier='LS'>A</family></name>", {"CDA-DT-052"}),
        ("PN", "<name><family qualifier='BR BR'>A</family></name>", {"CDA-DT-054"}),
        ("ON", "<name>Cabinet</name>", set()),
        ("ON", "<name><given>A</given></name>", {"CDA-DT-053"}),
        ("TS", "<time value='20240110093000+0100'/>", set()),
        ("TS", "<time value='202401'/>", set()),
        ("TS", "<time/>", {"CDA-DT-060"}),
        ("TS", "<time value='20240230'/>", {"CDA-DT-061"}),
        ("TS", "<time value='20240110'><low value='2024'/></time>", {"CDA-DT-062"}),
        ("TS", "<time value='20240110093000.5+0100'/>", {"CDA-DT-063"}),
        ("TS", "<time value='20240110093000'/>", {"CDA-DT-064"}),
        ("IVL_TS", "<time><low value='2023'/><high value='2024'/></time>", set()),
        ("IVL_TS", "<time value='2024'/>", set()),
        ("IVL_TS", "<time/>", {"CDA-DT-060"}),
        ("IVL_TS", "<time value='2024'><low value='2024'/></time>", {"CDA-DT-070"}),
        ("IVL_TS", "<time><center value='2024'/><low value='2024'/></time>", {"CDA-DT-071"}),
        ("IVL_TS", "<time><low value='2024'/><high value='2024'/></time>", {"CDA-DT-073"}),
        ("IVL_TS", "<time><low nullFlavor='PINF'/></time>", {"CDA-DT-002", "CDA-DT-075"}),
        ("IVL_TS", "<time><low value='2024'/><width value='1' unit='d'/></time>", set()),
        ("IVL_TS", "<time><low value='2024'/><width value='1' unit='kg'/></time>", {"CDA-DT-076"}),
        ("INT", "<n value='1'/>", set()),
        ("INT", "<n/>", {"CDA-DT-100"}),
        ("BL", "<b value='true'/>", set()),
        ("CR", "<q><name code='a' codeSystem='1.2'/></q>", set()),
        ("CR", "<q/>", {"CDA-DT-110"}),
        ("TEL", "<t value='tel:0298000000' use='WP'/>", set()),
        ("TEL", "<t nullFlavor='NAV'/>", set()),
        ("TEL", "<t nullFlavor='NI'/>", {"CDA-DT-080"}),
        ("TEL", "<t value='tel:1' nullFlavor='UNK'/>", {"CDA-DT-080"}),
        ("TEL", "<t value='0298000000'/>", {"CDA-DT-081"}),
        ("TEL", "<t value='https:x'/>", {"CDA-DT-081"}),
        ("TEL", "<t value='tel:02 98'/>", {"CDA-DT-082"}),
        ("TEL", "<t value='tel:1' use='TMP'/>", {"CDA-DT-083"}),
        ("AD", "<addr><city>A</city></addr>", set()),
        ("AD", "<addr nullFlavor='NAV'/>", set()),
        ("AD", "<addr/>", {"CDA-DT-090"}),
        ("AD", "<addr>A<city>B</city></addr>", {"CDA-DT-090"}),
        ("AD", "<addr use='PST'><city>A</city></addr>", {"CDA-DT-092"}),
        ("AD", "<addr><streetAddressLine>A</streetAddressLine><city>B</city></addr>", {"CDA-DT-094"}),
    ],
)
def test_each_rule_of_a_type(kind: str, text: str, codes: set[str]) -> None:
    """An element breaks exactly the rules it should."""
    assert broken(kind, text) == codes


@pytest.mark.parametrize(
    ("kind", "inside", "codes"),
    [
        ("II", "<i root='1.2' extension='a'/><i root='1.2' extension='b'/>", set()),
        ("II", "<i root='1.2' extension='a'/><i root='1.2' extension='a'/>", {"CDA-DT-013"}),
        ("II", "<i root='1.2' extension='a'/><i root='1.2'/>", {"CDA-DT-013"}),
        ("CD", "<i code='a' codeSystem='1.2'/><i code='a' codeSystem='1.2'/>", {"CDA-DT-027"}),
        ("PN", "<i><family>A</family></i><i><family>A</family></i>", {"CDA-DT-051"}),
        ("TS", "<i value='1' unit='d'/><i value='1' unit='d'/>", {"CDA-DT-066"}),
        ("TS", "<i value='2024'/><i value='2024'/>", set()),
        ("TEL", "<i value='tel:1' use='WP'/><i value='tel:1' use='WP'/>", {"CDA-DT-084"}),
        ("TEL", "<i value='tel:1' use='WP'/><i value='tel:1' use='H'/>", set()),
        ("TEL", "<i value='tel:1'/><i nullFlavor='UNK'/>", {"CDA-DT-004"}),
        ("AD", "<i><city>A</city></i><i><city>A</city></i>", {"CDA-DT-091"}),
        ("AD", "<i use='H'><city>A</city></i><i use='WP'><city>A</city></i>", set()),
        ("BL", "<i value='true'/><i value='true'/>", set()),
    ],
)
def test_brothers_differ(kind: str, inside: str, codes: set[str]) -> None:
    """The same value twice in one parent, or a null beside a known one."""
    report = Report()
    siblings(kind, list(parse(f"<p {SPACES}>{inside}</p>".encode())), report)
    assert {finding.code for finding in report.findings} == codes


@pytest.mark.parametrize(
    "wrong",
    "2024011 202413 20240230 2024011024 202401102360 20240110236060 2024+0100 20240110+0100 20240110093000+1500 "
    "20240110093000+0160 2024-01-10 x 20240110093000Z".split(),
)
def test_what_is_no_time_of_the_calendar(wrong: str) -> None:
    """Impossible days, hours, offsets, and other forms."""
    assert instant(wrong) is None


@pytest.mark.parametrize(
    ("low", "high", "sign"),
    [
        ("2023", "2024", -1),
        ("20240110", "20240109", 1),
        ("202401", "20240115", 0),
        ("20240110093000+0100", "20240110083000+0000", 0),
        ("20240110093000+0100", "20240110090000+0000", -1),
        ("20240110093000", "20240110092959", 1),
        ("20240110093000+01", "20240110093001+0100", -1),
        ("20240110093000+0100", "20240110093000", 0),
    ],
)
def test_times_compare_at_the_precision_both_have(low: str, high: str, sign: int) -> None:
    """Offsets count; what one of them does not say is not invented."""
    first, second = instant(low), instant(high)
    assert first is not None
    assert second is not None
    found = compare(first, second)
    assert (found > 0) - (found < 0) == sign
