"""Other documents of the CI-SIS as CDA: imaging report, vaccination note, liaison letter, laboratory report.

Each becomes a Bundle with its sections, their words and the entries of known families; the report accounts for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from conformance.fhir import check_bundle
from mappings import cda, fhir
from mappings.document import OtherDocument
from mappings.document.other import OtherSection
from mappings.loss import Fate
from tests.support import documents, fhir_tools
from tests.unit.mappings.cda.support import changed, data_of, find, one, tree

HEAD = (
    '<structuredBody xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xmlns:pharm="urn:ihe:pharm:medication" xmlns:lab="urn:oid:1.3.6.1.4.1.19376.1.3.2"'
    ' xmlns:ps3-20="urn:dicom-org:ps3-20">'
)
LOINC = 'codeSystem="2.16.840.1.113883.6.1"'
AUTHOR = (
    '<author><time value="20260110143000+0100"/><assignedAuthor>'
    '<id root="1.2.250.1.71.4.2.1" extension="899700218896"/></assignedAuthor></author>'
)

#: Addendum with an author, a section that only holds others, coded observations with words for values, an act of
#: imaging with the product given, a study with its series and images, a dose of radiation.
IMAGING = f"""{HEAD}<component><section><templateId root="1.2.840.10008.9.6"/><code code="55107-7" {LOINC}/>
<title>Addendum</title><text>Relecture <br/> sans changement</text>{AUTHOR}</section></component>
<component><section><templateId root="1.2.840.10008.9.2"/><code code="55752-0" {LOINC}/><title>Clinique</title><text/>
<component><section classCode="DOCSECT" moodCode="EVN"><templateId root="1.2.840.10008.9.7"/>
<code code="55115-0" {LOINC}/>
<title>Demande</title><text><table border="0"><thead><tr><th>Motif</th></tr></thead>
<tbody><tr><td><content ID="motif">Céphalées</content></td></tr></tbody></table></text>
<entry><observation classCode="OBS" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.6.2.13"/>
<id root="B5CD6E3C-7520-4F97-B15E-E5CB9B4EFB12"/><code code="11348-0" displayName="Antécédents" {LOINC}/>
<text><reference value="#motif"/></text><statusCode code="completed"/>
<value xsi:type="CD"><originalText><reference value="#motif"/></originalText></value>
<targetSiteCode nullFlavor="MSK"/></observation></entry></section></component></section></component>
<component><section><templateId root="1.2.840.10008.9.3"/><code code="55111-9" {LOINC}/><title>Acte</title>
<text><list><item><content ID="acte">Scanner du crâne</content></item>
<item><content ID="produit">Iode</content></item></list></text>
<entry><procedure classCode="PROC" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.6.2.5"/>
<id root="1.2.250.1.999.9.9.1"/><code code="24727-0" displayName="Scanner" {LOINC}/>
<text><reference value="#acte"/></text>
<statusCode code="completed"/><effectiveTime><low value="20260110"/></effectiveTime>
<methodCode code="CT" codeSystem="1.2.840.10008.2.16.4"/>
<entryRelationship typeCode="COMP"><substanceAdministration classCode="SBADM" moodCode="EVN">
<text><reference value="#produit"/></text><statusCode code="completed"/><doseQuantity value="150" unit="mL"/>
<consumable><manufacturedProduct><manufacturedMaterial><name>Iode</name></manufacturedMaterial></manufacturedProduct>
</consumable></substanceAdministration></entryRelationship></procedure></entry>
<entry><act classCode="ACT" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.6.2.6"/>
<id root="1.2.3.4.5.6"/><code code="113014" codeSystem="1.2.840.10008.2.16.4"/>
<entryRelationship typeCode="COMP"><act classCode="ACT" moodCode="EVN"><id root="1.2.3.4.5.7"/>
<code code="113015" codeSystem="1.2.840.10008.2.16.4"><qualifier><name code="121139" codeSystem="1.2.840.10008.2.16.4"/>
<value code="CT" codeSystem="1.2.840.10008.2.16.4"/></qualifier></code></act></entryRelationship></act></entry>
<component><section><templateId root="1.2.840.10008.9.8"/><code code="73569-6" {LOINC}/><title>Exposition</title>
<text><paragraph ID="dose">Dose 2,3 mGy</paragraph></text>
<entry><observation classCode="OBS" moodCode="EVN"><code code="113839" codeSystem="1.2.840.10008.2.16.4"
 displayName="Dose"/><text><reference value="#dose"/></text><value xsi:type="PQ" value="2.3" unit="mGy"/></observation>
</entry>
</section></component></section></component></structuredBody>"""

#: A vaccine given with its lot, one refused, a reaction, words about what comes next.
VACCINATION = f"""{HEAD}<component><section><templateId root="1.3.6.1.4.1.19376.1.5.3.1.3.23"/>
<code code="11369-6" {LOINC}/>
<title>Vaccinations</title><text><table><tbody><tr ID="v1"><td>REPEVAX</td></tr></tbody></table></text>
<entry><substanceAdministration classCode="SBADM" moodCode="EVN" negationInd="false">
<templateId root="2.16.840.1.113883.10.20.1.24"/><templateId root="1.3.6.1.4.1.19376.1.5.3.1.4.12"/>
<id root="B5CD6E3C-7520-4F97-B15E-E5CB9B4EFB13"/><code code="INITIMMUNIZ" codeSystem="2.16.840.1.113883.5.4"/>
<text><reference value="#v1"/></text><statusCode code="completed"/><effectiveTime value="20260105"/>
<routeCode code="IM" codeSystem="2.16.840.1.113883.5.112"/><doseQuantity value="0.5" unit="mL"/>
<consumable><manufacturedProduct><templateId root="1.3.6.1.4.1.19376.1.5.3.1.4.7.2"/><manufacturedMaterial>
<code code="3400935955838" codeSystem="1.2.250.1.213.2.3.2" displayName="REPEVAX"/><name>REPEVAX</name>
<lotNumberText>L42</lotNumberText></manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration></entry>
<entry><substanceAdministration classCode="SBADM" moodCode="EVN" negationInd="true">
<templateId root="1.3.6.1.4.1.19376.1.5.3.1.4.12"/><code code="IMMUNIZ" codeSystem="2.16.840.1.113883.5.4"/>
<statusCode code="completed"/><effectiveTime value="20260105"/><consumable><manufacturedProduct><manufacturedMaterial>
<name>Refusé</name></manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration></entry>
</section></component>
<component><section><code code="18776-5" {LOINC}/><title>À faire</title><text>Rappel dans dix ans</text></section>
</component></structuredBody>"""

#: A problem, a treatment and an unknown entry; a section in a section in a section; words with markup everywhere.
LIAISON = f"""{HEAD}<component><section><code code="42349-1" {LOINC}/><title>Motif</title>
<text><paragraph styleCode="Bold">Chute</paragraph><footnote ID="f1">note</footnote></text>
<component><section><title>Détail</title><text>a<component/></text>
<component><section><title>Plus loin</title><text><list listType="ordered"><item>un</item></list></text>
<entry><act classCode="ACT" moodCode="EVN"><templateId root="1.3.6.1.4.1.19376.1.5.3.1.4.5.2"/>
<id root="B5CD6E3C-7520-4F97-B15E-E5CB9B4EFB14"/><code nullFlavor="NA"/><statusCode code="active"/>
<effectiveTime><low value="2019"/></effectiveTime>
<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">
<templateId root="1.3.6.1.4.1.19376.1.5.3.1.4.5"/><code code="55607006" codeSystem="2.16.840.1.113883.6.96"/>
<statusCode code="completed"/><effectiveTime><low value="2019"/></effectiveTime>
<value xsi:type="CD" code="I10" codeSystem="2.16.840.1.113883.6.3" displayName="HTA"/></observation></entryRelationship>
</act></entry>
<entry typeCode="DRIV"><observation classCode="OBS" moodCode="RQO"><templateId root="9.9.9"/><code nullFlavor="UNK"/>
</observation></entry></section></component></section></component></section></component></structuredBody>"""

#: A specimen, a battery in a battery, a titre, a result in words, one without value, a reference range, a performer.
LABORATORY = f"""{HEAD}<component><section><templateId root="1.3.6.1.4.1.19376.1.3.3.2.1"/>
<code code="18725-2" {LOINC}/>
<title>Microbiologie</title><text><table><tbody><tr><td ID="b1">ECBU : E. coli</td></tr></tbody></table></text>
<entry typeCode="DRIV"><templateId root="1.3.6.1.4.1.19376.1.3.1"/><act classCode="ACT" moodCode="EVN">
<code code="18725-2" {LOINC}/><statusCode code="completed"/>
<entryRelationship typeCode="COMP"><procedure classCode="PROC" moodCode="EVN"><code code="33882-2" {LOINC}/>
<effectiveTime value="20260110"/><participant typeCode="PRD"><participantRole classCode="SPEC"><id root="1.2.3"/>
</participantRole></participant></procedure></entryRelationship>
<entryRelationship typeCode="COMP"><organizer classCode="CLUSTER" moodCode="EVN"><code code="6463-4" {LOINC}/>
<statusCode code="completed"/>
<component><organizer classCode="BATTERY" moodCode="EVN"><code code="29576-6" {LOINC}/><statusCode code="completed"/>
<component><observation classCode="OBS" moodCode="EVN"><code code="18906-8" {LOINC}/><statusCode code="completed"/>
<effectiveTime value="20260111"/><value xsi:type="ST">S</value><performer><assignedEntity><id nullFlavor="UNK"/>
</assignedEntity></performer><referenceRange typeCode="REFV"><observationRange><value xsi:type="IVL_PQ"><low value="1"/>
</value></observationRange></referenceRange></observation></component>
<component><observation classCode="OBS" moodCode="EVN"><code code="630-4" {LOINC}/><statusCode code="aborted"/>
<value nullFlavor="NASK"/></observation></component></organizer></component>
<component><observation classCode="OBS" moodCode="EVN"><code code="5778-6" {LOINC}/>
<value xsi:type="IVL_PQ"><low value="10" unit="/mL" inclusive="true"/></value></observation></component>
</organizer></entryRelationship></act></entry></section></component></structuredBody>"""

BODIES = {"imaging": IMAGING, "vaccination": VACCINATION, "liaison": LIAISON, "laboratory": LABORATORY}
#: The entries of known families that each holds.
KNOWN = {
    "imaging": {"result": 2, "treatment": 1},
    "vaccination": {"immunization": 1},
    "liaison": {"problem": 1},
    "laboratory": {"results": 2},
}


def document(name: str) -> bytes:
    """A document with a header of ours and the body of another kind."""

    def put(root: Any) -> None:
        component = one(root, "h:component")
        component.clear()
        component.append(tree(BODIES[name].encode()))
        parent = root.makeelement("{urn:hl7-org:v3}relatedDocument", {"typeCode": "RPLC"})
        replaced = parent.makeelement("{urn:hl7-org:v3}parentDocument")
        replaced.append(replaced.makeelement("{urn:hl7-org:v3}id", {"root": "90E1C8EC-F951-4B26-A305-A34848818DD6"}))
        parent.append(replaced)
        one(root, "h:componentOf").addprevious(parent)

    return changed(data_of(documents.report()), put)


def walk(sections: tuple[OtherSection, ...]) -> Iterator[OtherSection]:
    """Every section, the inner ones too."""
    for section in sections:
        yield section
        yield from walk(section.sections)


@pytest.mark.parametrize("name", sorted(BODIES))
def test_it_is_read_whole(name: str) -> None:
    """No section missing, each with its title and words; the known entries counted."""
    data = document(name)
    reading = cda.read(data)
    assert isinstance(reading.document, OtherDocument)
    sections = list(walk(reading.document.sections))
    assert [s.title for s in sections] == [e.text for e in find(tree(data), "//h:section/h:title")]
    written = ["".join(e.itertext()).strip() for e in find(tree(data), "//h:section/h:text")]
    assert sum(bool(s.text) for s in sections) == sum(bool(words) for words in written)
    found = Counter(
        member
        for section in sections
        for entry in section.entries
        for member in type(entry).model_fields
        if getattr(entry, member) is not None
    )
    assert found == KNOWN[name]


@pytest.mark.parametrize("name", sorted(BODIES))
def test_the_report_accounts_for_every_section_and_entry(name: str) -> None:
    """By its place; what is not read is in words, or named as lost."""
    data = document(name)
    items = cda.read(data).loss.items
    places = Counter(item.place.rpartition("/")[2].partition("[")[0] for item in items)
    root = tree(data)
    assert places["section"] == len(find(root, "//h:section"))
    assert places["entry"] == len(find(root, "//h:section/h:entry"))
    assert all(item.reason is not None for item in items if item.fate is not Fate.CARRIED)


@pytest.mark.parametrize("name", sorted(BODIES))
def test_it_becomes_a_document_bundle(name: str) -> None:
    """Clean for the outside checker and for our rules, with a section and a narrative for each of its own."""
    reading = cda.read(document(name))
    bundle = orjson.loads(orjson.dumps(fhir.write(reading.document).bundle))
    assert fhir_tools.base_errors(bundle) == []
    # A section without a code is the sender's doing.
    assert {finding.code for finding in check_bundle(bundle).errors} <= {"FHIR-CMP-024"}
    composition = bundle["entry"][0]["resource"]

    def titles(sections: list[dict[str, Any]]) -> Iterator[str]:
        for section in sections:
            if "title" in section:
                yield section["title"]
            yield from titles(section.get("section", []))

    assert isinstance(reading.document, OtherDocument)
    wanted = [s.title for s in walk(reading.document.sections)]
    assert [t for t in titles(composition["section"]) if t in wanted] == wanted
    again = fhir.read(bundle)
    assert isinstance(again.document, OtherDocument)
    assert [s.text for s in walk(again.document.sections)] == [s.text for s in walk(reading.document.sections)]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("vaccination", "//h:substanceAdministration[@negationInd='false']"),
        ("laboratory", "//h:observation[h:code/@code='18906-8']"),
        ("imaging", "//h:observation[h:code/@code='113839']"),
        ("liaison", "//h:entryRelationship/h:observation"),
    ],
)
def test_what_is_denied_is_never_read_as_a_fact(name: str, path: str) -> None:
    """negationInd: the entry leaves the structure for the words, aloud."""

    def count(data: bytes) -> int:
        reading = cda.read(data)
        assert isinstance(reading.document, OtherDocument)
        entries = [entry for section in walk(reading.document.sections) for entry in section.entries]
        return sum(len(e.results.results) if e.results is not None else 1 for e in entries)

    plain = document(name)
    denied = changed(plain, lambda root: one(root, path).set("negationInd", "true"))
    assert count(denied) == count(plain) - 1
    assert any(item.fate is Fate.TEXT_ONLY and item.clinical for item in cda.read(denied).loss.items)


@pytest.mark.parametrize(("name", "path"), [("laboratory", "//h:observation[h:code/@code='18906-8']")])
def test_what_is_asked_for_is_no_result(name: str, path: str) -> None:
    """moodCode RQO: an observation asked for has no result."""
    asked = changed(document(name), lambda root: one(root, path).set("moodCode", "RQO"))
    reading = cda.read(asked)
    assert isinstance(reading.document, OtherDocument)
    codes = [r.code.code for s in walk(reading.document.sections) for e in s.entries for r in e.results.results]
    assert codes == ["5778-6"]
