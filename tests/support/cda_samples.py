"""Level-1 CDA documents for tests: invented people, the INS test authority, a small PDF body."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from lxml import etree

from security import xml

__all__ = ["INS", "RPPS", "STRUCTURE", "TEST_AUTHORITY", "canonical_cda", "level1_cda"]

TEST_AUTHORITY = "1.2.250.1.213.1.4.10"
INS = "279035121518989"
RPPS = "810009876543"
STRUCTURE = "1290099887"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

_TEMPLATE = """<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<realmCode code="FR"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<templateId root="2.16.840.1.113883.2.8.2.1"/><templateId root="1.2.250.1.213.1.1.1.1"/>
<templateId root="1.3.6.1.4.1.19376.1.2.20"/>
<id root="{unique_id}"/>
<code code="{type_code}" displayName="{type_label}" codeSystem="{type_scheme}"/>
<title>{title}</title><effectiveTime value="20260110093000+0100"/>
<confidentialityCode code="N" displayName="Normal" codeSystem="2.16.840.1.113883.5.25"/>
<languageCode code="fr-FR"/><setId root="1.2.250.1.999.9.2"/><versionNumber value="{version}"/>
<recordTarget><patientRole>{ids}
<addr nullFlavor="NAV"/><telecom nullFlavor="NAV"/>
<patient classCode="PSN"><name><family qualifier="BR">PAT-TROIS</family><given>DOMINIQUE MARIE-LOUISE</given>
<given qualifier="BR">DOMINIQUE</given></name>
<administrativeGenderCode code="F" displayName="Féminin" codeSystem="2.16.840.1.113883.5.1"/>
<birthTime value="19790328"/><birthplace><place><addr><county>51215</county></addr></place></birthplace></patient>
</patientRole></recordTarget>
<author><functionCode code="PCP" displayName="Médecin traitant" codeSystem="2.16.840.1.113883.5.88"/>
<time value="20260110093000+0100"/><assignedAuthor>
<id root="1.2.250.1.71.4.2.1" extension="{rpps}"/>
<code code="G15_10/SM54" displayName="Médecin - Médecine Générale (SM)" codeSystem="1.2.250.1.213.1.1.4.5"/>
<addr nullFlavor="NAV"/><telecom value="tel:0298000000" use="WP"/>
<assignedPerson><name><given>Odile</given><family>KERVELLA</family></name></assignedPerson>
<representedOrganization><id root="1.2.250.1.71.4.2.2" extension="{structure}"/><name>CABINET FICTIF</name>
</representedOrganization></assignedAuthor></author>
<custodian><assignedCustodian><representedCustodianOrganization>
<id root="1.2.250.1.71.4.2.2" extension="{structure}"/><name>CABINET FICTIF</name>
</representedCustodianOrganization></assignedCustodian></custodian>
<legalAuthenticator><time value="20260110093000+0100"/><signatureCode code="S"/><assignedEntity>
<id root="1.2.250.1.71.4.2.1" extension="{rpps}"/>
<code code="G15_10/SM54" displayName="Médecin - Médecine Générale (SM)" codeSystem="1.2.250.1.213.1.1.4.5"/>
<addr nullFlavor="NAV"/><telecom value="tel:0298000000" use="WP"/>
<assignedPerson><name><given>Odile</given><family>KERVELLA</family></name></assignedPerson>
<representedOrganization><id root="1.2.250.1.71.4.2.2" extension="{structure}"/><name>CABINET FICTIF</name>
</representedOrganization></assignedEntity></legalAuthenticator>
<documentationOf><serviceEvent>
<code code="34117-2" displayName="Historique et clinique" codeSystem="2.16.840.1.113883.6.1"/>
<effectiveTime><low value="20260110090000+0100"/><high value="20260110092000+0100"/></effectiveTime>
<performer typeCode="PRF"><assignedEntity><id root="1.2.250.1.71.4.2.1" extension="{rpps}"/>
<code code="G15_10/SM54" displayName="Médecin - Médecine Générale (SM)" codeSystem="1.2.250.1.213.1.1.4.5"/>
<addr nullFlavor="NAV"/><telecom value="tel:0298000000" use="WP"/>
<assignedPerson><name><given>Odile</given><family>KERVELLA</family></name></assignedPerson>
<representedOrganization><id root="1.2.250.1.71.4.2.2" extension="{structure}"/><name>CABINET FICTIF</name>
<standardIndustryClassCode code="AMBULATOIRE" displayName="Ambulatoire" codeSystem="1.2.250.1.213.1.1.4.9"/>
</representedOrganization></assignedEntity></performer></serviceEvent></documentationOf>{related}
<componentOf><encompassingEncounter>
<code code="AMB" displayName="Ambulatoire (hors établissement)" codeSystem="2.16.840.1.113883.5.4"/>
<effectiveTime><low value="20260110090000+0100"/></effectiveTime>
<location><healthCareFacility><code code="SA07" displayName="Cabinet individuel" codeSystem="1.2.250.1.71.4.2.4"/>
</healthCareFacility></location></encompassingEncounter></componentOf>
<component><nonXMLBody><text mediaType="{media}" representation="B64">{body}</text></nonXMLBody></component>
</ClinicalDocument>"""


def level1_cda(
    unique_id: str = "1.2.250.1.999.9.2.1",
    *,
    ins: str | None = INS,
    ins_authority: str = TEST_AUTHORITY,
    local_id: str | None = "IPP42",
    rpps: str = RPPS,
    structure: str = STRUCTURE,
    type_code: tuple[str, str, str] = ("11488-4", "2.16.840.1.113883.6.1", "CR ou fiche de consultation ou de visite"),
    title: str = "Compte rendu de consultation",
    media: str = "application/pdf",
    body: bytes = PDF,
    replaces: Sequence[str] = (),
    version: int = 1,
) -> bytes:
    """A CI-SIS level-1 document, as UTF-8 bytes without XML declaration."""
    ids = ""
    if ins is not None:
        ids += f'<id root="{ins_authority}" extension="{ins}"/>'
    if local_id is not None:
        ids += f'<id root="1.2.250.1.999.9.5" extension="{local_id}"/>'
    related = "".join(
        f'<relatedDocument typeCode="RPLC"><parentDocument><id root="{old}"/></parentDocument></relatedDocument>'
        for old in replaces
    )
    text = _TEMPLATE.format(
        unique_id=unique_id,
        type_code=type_code[0],
        type_scheme=type_code[1],
        type_label=type_code[2],
        title=title,
        ids=ids,
        rpps=rpps,
        structure=structure,
        media=media,
        body=base64.b64encode(body).decode("ascii"),
        related=related,
        version=version,
    )
    return text.encode()


def canonical_cda(unique_id: str = "1.2.250.1.999.9.2.1", **options: object) -> tuple[bytes, etree._Element]:
    """The same document in canonical form, as it travels, with its parsed root."""
    root = xml.parse(level1_cda(unique_id, **options), xml.CDA_LIMITS)  # type: ignore[arg-type]
    return xml.canonical(root), root
