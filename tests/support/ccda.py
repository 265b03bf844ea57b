"""A fictitious US C-CDA 2.1 (Continuity of Care Document): the format of the converter we are measured against."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

__all__ = ["ccd"]

SNOMED = 'codeSystem="2.16.840.1.113883.6.96" codeSystemName="SNOMED CT"'
LOINC = 'codeSystem="2.16.840.1.113883.6.1" codeSystemName="LOINC"'
RXNORM = 'codeSystem="2.16.840.1.113883.6.88" codeSystemName="RxNorm"'

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xmlns:sdtc="urn:hl7-org:sdtc"><realmCode code="US"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<templateId root="2.16.840.1.113883.10.20.22.1.1" extension="2015-08-01"/>
<templateId root="2.16.840.1.113883.10.20.22.1.2" extension="2015-08-01"/>
<id root="2.16.840.1.113883.19.5.99999.1" extension="TT988"/>
<code code="34133-9" codeSystem="2.16.840.1.113883.6.1" displayName="Summarization of Episode Note"/>
<title>Fictitious Continuity of Care Document</title><effectiveTime value="20261120100000+0100"/>
<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/><languageCode code="en-US"/>
<setId root="2.16.840.1.113883.19.5.99999.19" extension="sTT988"/><versionNumber value="1"/>
<recordTarget><patientRole><id root="2.16.840.1.113883.19.5.99999.2" extension="998991"/>
<addr use="HP"><streetAddressLine>1 Example Street</streetAddressLine><city>Beaverton</city><state>OR</state>
<postalCode>97867</postalCode><country>US</country></addr><telecom value="tel:+1(555)555-2003" use="HP"/>
<patient><name use="L"><given>Dominique</given><family>Example</family></name>
<administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="19790328"/>
<raceCode code="2106-3" codeSystem="2.16.840.1.113883.6.238" displayName="White"/>
<ethnicGroupCode code="2186-5" codeSystem="2.16.840.1.113883.6.238" displayName="Not Hispanic or Latino"/>
</patient></patientRole></recordTarget>
<author><time value="20261120100000+0100"/><assignedAuthor><id root="2.16.840.1.113883.4.6" extension="1234567893"/>
<addr use="WP"><streetAddressLine>2 Example Street</streetAddressLine><city>Beaverton</city><state>OR</state>
<postalCode>97867</postalCode><country>US</country></addr><telecom value="tel:+1(555)555-1002" use="WP"/>
<assignedPerson><name><given>Odile</given><family>Sample</family></name></assignedPerson></assignedAuthor></author>
<custodian><assignedCustodian><representedCustodianOrganization>
<id root="2.16.840.1.113883.4.6" extension="1245319599"/><name>Example Practice</name>
<telecom value="tel:+1(555)555-1002" use="WP"/>
<addr use="WP"><streetAddressLine>2 Example Street</streetAddressLine><city>Beaverton</city><state>OR</state>
<postalCode>97867</postalCode><country>US</country></addr>
</representedCustodianOrganization></assignedCustodian></custodian>
<component><structuredBody>"""
TAIL = "</structuredBody></component></ClinicalDocument>"

PROBLEM = """<entry typeCode="DRIV"><act classCode="ACT" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.3" extension="2015-08-01"/><id root="{id}"/>
<code code="CONC" codeSystem="2.16.840.1.113883.5.6"/><statusCode code="active"/>
<effectiveTime><low value="20200103"/></effectiveTime>
<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.4" extension="2015-08-01"/><id root="{id2}"/>
<code code="55607006" {snomed} displayName="Problem"><translation code="75326-9" {loinc} displayName="Problem"/></code>
<text><reference value="#{anchor}"/></text><statusCode code="completed"/>
<effectiveTime><low value="20200103"/></effectiveTime>
<value xsi:type="CD" code="233604007" {snomed} displayName="Pneumonia"/></observation></entryRelationship>
</act></entry>"""

ALLERGY = """<entry typeCode="DRIV"><act classCode="ACT" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.30" extension="2015-08-01"/><id root="{id}"/>
<code code="CONC" codeSystem="2.16.840.1.113883.5.6"/><statusCode code="active"/>
<effectiveTime><low value="19980501"/></effectiveTime>
<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.7" extension="2014-06-09"/><id root="{id2}"/>
<code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/><text><reference value="#{anchor}"/></text>
<statusCode code="completed"/><effectiveTime><low value="19980501"/></effectiveTime>
<value xsi:type="CD" code="419511003" {snomed} displayName="Propensity to adverse reactions to drug"/>
<participant typeCode="CSM"><participantRole classCode="MANU"><playingEntity classCode="MMAT">
<code code="2670" {rxnorm} displayName="Codeine"/></playingEntity></participantRole></participant>
<entryRelationship typeCode="MFST" inversionInd="true"><observation classCode="OBS" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.9" extension="2014-06-09"/><id root="{id3}"/>
<code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/><statusCode code="completed"/>
<effectiveTime><low value="19980501"/></effectiveTime>
<value xsi:type="CD" code="247472004" {snomed} displayName="Hives"/></observation></entryRelationship>
</observation></entryRelationship></act></entry>"""

MEDICATION = """<entry typeCode="DRIV"><substanceAdministration classCode="SBADM" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.16" extension="2014-06-09"/><id root="{id}"/>
<text><reference value="#{anchor}"/></text><statusCode code="active"/>
<effectiveTime xsi:type="IVL_TS"><low value="20260103"/></effectiveTime>
<effectiveTime xsi:type="PIVL_TS" institutionSpecified="true" operator="A"><period value="6" unit="h"/></effectiveTime>
<routeCode code="C38288" codeSystem="2.16.840.1.113883.3.26.1.1" displayName="Oral"/><doseQuantity value="1"/>
<consumable><manufacturedProduct classCode="MANU">
<templateId root="2.16.840.1.113883.10.20.22.4.23" extension="2014-06-09"/><id root="{id2}"/>
<manufacturedMaterial><code code="573621" {rxnorm} displayName="Proventil 0.09 MG/ACTUAT"/></manufacturedMaterial>
</manufacturedProduct></consumable></substanceAdministration></entry>"""

PROCEDURE = """<entry typeCode="DRIV"><procedure classCode="PROC" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.14" extension="2014-06-09"/><id root="{id}"/>
<code code="80146002" {snomed} displayName="Appendectomy"/><text><reference value="#{anchor}"/></text>
<statusCode code="completed"/><effectiveTime value="20120512"/></procedure></entry>"""

RESULT = """<entry typeCode="DRIV"><organizer classCode="BATTERY" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.1" extension="2015-08-01"/><id root="{id}"/>
<code code="57021-8" {loinc} displayName="CBC panel"/><statusCode code="completed"/>
<effectiveTime><low value="20261119081500+0100"/><high value="20261119081500+0100"/></effectiveTime>
<component><observation classCode="OBS" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.2" extension="2015-08-01"/><id root="{id2}"/>
<code code="30313-1" {loinc} displayName="HGB"/><text><reference value="#{anchor}"/></text>
<statusCode code="completed"/><effectiveTime value="20261119081500+0100"/>
<value xsi:type="PQ" value="13.2" unit="g/dL"/>
<interpretationCode code="N" codeSystem="2.16.840.1.113883.5.83"/></observation></component></organizer></entry>"""

#: Templates of the section, its LOINC code and title, its entry.
SECTIONS = (
    ("2.16.840.1.113883.10.20.22.2.5.1", "2015-08-01", "11450-4", "Problems", PROBLEM),
    ("2.16.840.1.113883.10.20.22.2.6.1", "2015-08-01", "48765-2", "Allergies", ALLERGY),
    ("2.16.840.1.113883.10.20.22.2.1.1", "2014-06-09", "10160-0", "Medications", MEDICATION),
    ("2.16.840.1.113883.10.20.22.2.7.1", "2014-06-09", "47519-4", "Procedures", PROCEDURE),
    ("2.16.840.1.113883.10.20.22.2.3.1", "2015-08-01", "30954-2", "Results", RESULT),
)


def ccd(counts: tuple[int, ...]) -> bytes:
    """A document with so many problems, allergies, medications, procedures and groups of results."""
    parts = [HEAD]
    for (root, extension, code, title, entry), count in zip(SECTIONS, counts, strict=True):
        rows = "".join(f'<tr><td ID="{title}-{i}">{title} {i}</td><td>2026</td></tr>' for i in range(count))
        parts.append(
            f'<component><section><templateId root="{root}"/><templateId root="{root}" extension="{extension}"/>'
            f'<code code="{code}" {LOINC} displayName="{title}"/><title>{title}</title>'
            f"<text><table><tbody>{rows}</tbody></table></text>"
        )
        for i in range(count):
            ids = {f"id{n or ''}": uuid5(NAMESPACE_OID, f"{title}{i}{n}") for n in ("", "2", "3")}
            parts.append(entry.format(**ids, anchor=f"{title}-{i}", snomed=SNOMED, loinc=LOINC, rxnorm=RXNORM))
        parts.append("</section></component>")
    return "".join([*parts, TAIL]).encode()
