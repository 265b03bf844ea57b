"""A level-1 document whose header holds everything a French header may hold: what single changes are made to.

One part of the header at a time is rich and the others hold the least, so that each document stays small. In the rich
part everything is there: both forms of address (free lines, or parts), organisations with their attachment, codes with
original text and translation. People and numbers are invented; the INS is of the test authority.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from tests.support import documents

__all__ = ["PARTS", "rich_header"]

_LINES = "<streetAddressLine>1 rue de l'Exemple</streetAddressLine><streetAddressLine>29000 QUIMPER</streetAddressLine>"
_PARTS = (
    "<houseNumber>1</houseNumber><houseNumberNumeric>1</houseNumberNumeric><streetName>de l'Exemple</streetName>"
    "<streetNameType>rue</streetNameType><additionalLocator>Bat. A</additionalLocator><unitID>12</unitID>"
    "<postBox>BP 1</postBox><precinct>Le Bourg</precinct><county>29232</county><postalCode>29000</postalCode>"
    "<city>QUIMPER</city><state>Bretagne</state><country>France</country>"
)
_TELECOMS = '<telecom value="tel:0298000000" use="WP"/><telecom value="mailto:a@example.org" use="WP"/>'
_NAME = "<prefix>MME</prefix><given>Odile</given><family>KERVELLA</family><suffix>DR</suffix>"
_PROFESSION = 'code="G15_10/SM54" displayName="Médecin - Médecine Générale (SM)" codeSystem="1.2.250.1.213.1.1.4.5"'
_SETTING = (
    '<standardIndustryClassCode code="AMBULATOIRE" displayName="Ambulatoire" codeSystem="1.2.250.1.213.1.1.4.9"/>'
)
_PERSON_ID = '<id root="1.2.250.1.71.4.2.1" extension="899700218896" assigningAuthorityName="GIP-CPS"/>'
_STRUCTURE_ID = '<id root="1.2.250.1.71.4.2.2" extension="1290099886"/>'
_MOMENT = "20260110093000+0100"
_PERIOD = '<low value="20260110090000+0100"/><high value="20260110092000+0100"/>'
_ATTACHMENT = (
    '<asOrganizationPartOf>{template}<id root="1.2.250.1.999.9.4" extension="U1"/>'
    '<code code="UF" displayName="Unité" codeSystem="1.2.250.1.999.9.8"/><statusCode code="active"/>'
    "<effectiveTime><low value='20200101'/></effectiveTime></asOrganizationPartOf>"
)


def _organization(tag: str, form: str, *, attached: bool = False) -> str:
    attachment = _ATTACHMENT.format(template="") if attached else ""
    return (
        f"<{tag}>{_STRUCTURE_ID}<name>CABINET FICTIF</name>{_TELECOMS}{_addresses(form)}{_SETTING}{attachment}</{tag}>"
    )


def _address(form: str, use: str = "WP") -> str:
    return f'<addr use="{use}">{_LINES if form == "lines" else _PARTS}</addr>'


def _addresses(form: str) -> str:
    other = "parts" if form == "lines" else "lines"
    return _address(form, "WP") + _address(other, "H")


def _contact(form: str) -> str:
    return _addresses(form) + _TELECOMS


def _entity(form: str, *, attached: bool = False) -> str:
    return (
        f"<assignedEntity>{_PERSON_ID}<code {_PROFESSION}/>{_contact(form)}<assignedPerson><name>{_NAME}</name>"
        f"</assignedPerson>{_organization('representedOrganization', form, attached=attached)}</assignedEntity>"
    )


def _patient(form: str) -> str:
    return f"""<recordTarget><patientRole><id root="1.2.250.1.213.1.4.10" extension="279035121518989"/>
<id root="1.2.250.1.999.9.5" extension="IPP42"/>{_contact(form)}<patient>
<name><prefix>MME</prefix><family qualifier="BR">PAT-TROIS</family><family qualifier="CL">PAT-UN</family>
{_GIVEN}<suffix>X</suffix></name>
<administrativeGenderCode code="F" displayName="Féminin" codeSystem="2.16.840.1.113883.5.1"/>
<birthTime value="19790328"/><sdtc:deceasedInd value="false"/><sdtc:deceasedTime nullFlavor="NA"/>
<sdtc:multipleBirthInd value="true"/><sdtc:multipleBirthOrderNumber value="2"/>
<guardian><id root="1.2.250.1.999.9.5" extension="G1"/>{_contact(form)}<guardianPerson><name><prefix>M</prefix>
<given>Yann</given><family>MORVAN</family></name></guardianPerson></guardian>
<guardian><id root="1.2.250.1.999.9.5" extension="G2"/>{_contact(form)}
{_organization("guardianOrganization", form)}</guardian>
<birthplace><place><name>CHATELRAOULD-SAINT-LOUVENT</name>
<addr use="H">{_BIRTH_LINES if form == "lines" else _BIRTH}</addr>
</place></birthplace></patient></patientRole></recordTarget>"""


_GIVEN = (
    '<given>DOMINIQUE MARIE-LOUISE</given><given qualifier="BR">DOMINIQUE</given><given qualifier="CL">DOMI</given>'
)
_BIRTH_LINES = "<streetAddressLine>Le Bourg</streetAddressLine><county>51215</county>"
_BIRTH = _PARTS.replace("29232", "51215")


def _authors(form: str) -> str:
    return f"""<author><functionCode code="PCP" displayName="Médecin traitant" codeSystem="2.16.840.1.113883.5.88">
<originalText>Médecin</originalText></functionCode><time value="{_MOMENT}"/><assignedAuthor>{_PERSON_ID}
<code {_PROFESSION}/>{_contact(form)}<assignedPerson><name>{_NAME}</name></assignedPerson>
{_organization("representedOrganization", form, attached=True)}</assignedAuthor></author>
<author><time value="{_MOMENT}"/><assignedAuthor><id root="1.2.250.1.999.9.7" extension="1"/>
<assignedAuthoringDevice><manufacturerModelName>Automate X</manufacturerModelName><softwareName>Suite 3</softwareName>
</assignedAuthoringDevice>{_organization("representedOrganization", form)}</assignedAuthor></author>"""


def _enterer(form: str) -> str:
    return f"""<dataEnterer><time value="{_MOMENT}"/>{_entity(form)}</dataEnterer>"""


def _informants(form: str) -> str:
    return f"""<informant>{_entity(form, attached=True)}</informant>
<informant><relatedEntity classCode="ECON"><code code="MTH" displayName="Mère" codeSystem="2.16.840.1.113883.5.111">
<originalText>Maman</originalText></code>{_contact(form)}<relatedPerson><name>{_NAME.replace("DR", "PR")}</name>
</relatedPerson></relatedEntity></informant>"""


def _custodian(form: str) -> str:
    return f"""<custodian><assignedCustodian><representedCustodianOrganization>{_STRUCTURE_ID}
<name>CABINET FICTIF</name><telecom value="tel:0298000000" use="WP"/>{_address(form)}
</representedCustodianOrganization></assignedCustodian></custodian>"""


def _recipient(form: str) -> str:
    return f"""<informationRecipient><intendedRecipient>{_TEMPLATE}{_PERSON_ID}{_contact(form)}
<informationRecipient><name>{_NAME}</name></informationRecipient>
{_organization("receivedOrganization", form)}</intendedRecipient></informationRecipient>"""


def _legal(form: str) -> str:
    return f"""<legalAuthenticator><time value="{_MOMENT}"/><signatureCode code="S"/>{_entity(form, attached=True)}
</legalAuthenticator>"""


def _authenticator(form: str) -> str:
    return f"""<authenticator>{_TEMPLATE}<time value="{_MOMENT}"/><signatureCode code="S"/>
{_entity(form, attached=True)}</authenticator>"""


def _participant(form: str) -> str:
    return f"""<participant typeCode="INF">{_TEMPLATE}
<functionCode code="PCP" displayName="Médecin traitant" codeSystem="2.16.840.1.113883.5.88">
<originalText>Médecin</originalText><translation code="A" displayName="A" codeSystem="1.2.250.1.999.9.8"/>
</functionCode><time>{_PERIOD}</time><associatedEntity classCode="PROV">{_PERSON_ID}<code {_PROFESSION}/>
{_contact(form)}<associatedPerson><name>{_NAME}</name></associatedPerson>
{_organization("scopingOrganization", form)}</associatedEntity></participant>"""


def _order(form: str) -> str:
    return """<inFulfillmentOf><order><id root="1.2.250.1.999.9.3" extension="D1"/>
<code code="11488-4" displayName="Consultation" codeSystem="2.16.840.1.113883.6.1"><originalText>Avis</originalText>
</code><ps3-20:accessionNumber root="1.2.250.1.999.9.3" extension="A1"/></order></inFulfillmentOf>"""


def _act(form: str) -> str:
    performer = _entity(form).replace("</representedOrganization>", f"{_ATTACHED}</representedOrganization>")
    return f"""<documentationOf><serviceEvent><id root="1.2.250.1.999.9.3" extension="S1"/>
<code code="34117-2" displayName="Historique et clinique" codeSystem="2.16.840.1.113883.6.1" codeSystemName="LOINC">
<originalText>Consultation</originalText><translation code="A" displayName="A" codeSystem="1.2.250.1.999.9.8">
<qualifier><name code="B" displayName="B" codeSystem="1.2.250.1.999.9.8"/></qualifier></translation></code>
<lab:statusCode code="completed"/><effectiveTime>{_PERIOD}</effectiveTime>
<performer typeCode="PRF">{_TEMPLATE}
<functionCode code="PCP" displayName="Médecin traitant" codeSystem="2.16.840.1.113883.5.88"/><time>{_PERIOD}</time>
{performer}</performer></serviceEvent></documentationOf>"""


def _links(form: str) -> str:
    return """<relatedDocument typeCode="RPLC"><parentDocument><id root="1.2.250.1.999.9.2.0"/>
<setId root="1.2.250.1.999.9.2"/><versionNumber value="1"/></parentDocument></relatedDocument>
<authorization><consent><id root="1.2.250.1.999.9.3" extension="C1"/>
<code code="A" displayName="Accord" codeSystem="1.2.250.1.999.9.8"/><statusCode code="completed"/></consent>
</authorization>"""


_TEMPLATE = '<templateId root="1.2.250.1.999.9.6"/>'
_ATTACHED = _ATTACHMENT.format(template=_TEMPLATE)


def _encounter(form: str) -> str:
    return f"""<componentOf><encompassingEncounter><id root="1.2.250.1.999.9.3" extension="E1"/>
<code code="AMB" displayName="Ambulatoire (hors établissement)" codeSystem="2.16.840.1.113883.5.4">
<originalText>Cabinet</originalText></code><effectiveTime>{_PERIOD}</effectiveTime>
<dischargeDispositionCode code="8" displayName="Domicile" codeSystem="1.2.250.1.213.2.14"/>
<encounterParticipant typeCode="ATND"><time>{_PERIOD}</time>{_entity(form)}</encounterParticipant>
<location><healthCareFacility><id root="1.2.250.1.71.4.2.2" extension="1290099886"/>
<code code="SA07" displayName="Cabinet individuel" codeSystem="1.2.250.1.71.4.2.4"><originalText>Cabinet</originalText>
<translation code="A" displayName="A" codeSystem="1.2.250.1.999.9.8"/></code>
<location><name>Cabinet du Bourg</name>{_address(form)}</location></healthCareFacility></location>
</encompassingEncounter></componentOf>"""


def _responsible(form: str) -> str:
    party = _entity(form).replace("</representedOrganization>", f"{_ATTACHED}</representedOrganization>")
    return _ENCOUNTER.replace("<location>", f"<responsibleParty>{party}</responsibleParty><location>")


_PERSON = f"{_PERSON_ID}<code {_PROFESSION}/><assignedPerson><name><family>KERVELLA</family></name></assignedPerson>"
_ENCOUNTER = """<componentOf><encompassingEncounter><effectiveTime><low value="20260110"/></effectiveTime><location>
<healthCareFacility><code code="SA07" displayName="Cabinet individuel" codeSystem="1.2.250.1.71.4.2.4"/>
</healthCareFacility></location></encompassingEncounter></componentOf>"""
#: Each part, in the order of the schema: the least of it, and how to make the whole of it.
PARTS: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    "patient": (
        """<recordTarget><patientRole><id root="1.2.250.1.999.9.5" extension="IPP42"/><addr nullFlavor="NAV"/>
<telecom nullFlavor="NAV"/><patient><name><family qualifier="BR">PAT-TROIS</family><given>DOMINIQUE</given></name>
<administrativeGenderCode code="F" displayName="Féminin" codeSystem="2.16.840.1.113883.5.1"/>
<birthTime value="19790328"/></patient></patientRole></recordTarget>""",
        _patient,
    ),
    "author": (
        f"""<author><time value="{_MOMENT}"/><assignedAuthor>{_PERSON}<representedOrganization>{_STRUCTURE_ID}
<name>CABINET FICTIF</name></representedOrganization></assignedAuthor></author>""",
        _authors,
    ),
    "enterer": ("", _enterer),
    "informant": ("", _informants),
    "custodian": (
        f"""<custodian><assignedCustodian><representedCustodianOrganization>{_STRUCTURE_ID}<name>CABINET FICTIF</name>
</representedCustodianOrganization></assignedCustodian></custodian>""",
        _custodian,
    ),
    "recipient": ("", _recipient),
    "legal": (
        f"""<legalAuthenticator><time value="{_MOMENT}"/><signatureCode code="S"/><assignedEntity>{_PERSON}
</assignedEntity></legalAuthenticator>""",
        _legal,
    ),
    "authenticator": ("", _authenticator),
    "participant": ("", _participant),
    "order": ("", _order),
    "act": (
        f"""<documentationOf><serviceEvent><effectiveTime><low value="20260110"/></effectiveTime>
<performer typeCode="PRF"><assignedEntity>{_PERSON}<representedOrganization>{_SETTING}</representedOrganization>
</assignedEntity></performer></serviceEvent></documentationOf>""",
        _act,
    ),
    "links": ("", _links),
    "encounter": (_ENCOUNTER, _encounter),
    "responsible": (_ENCOUNTER, _responsible),
}


def rich_header(part: str, form: str = "lines") -> bytes:
    """The document with one part rich; ``form`` is that of the addresses where only one may stand."""
    rest = {name: least for name, (least, _) in PARTS.items()}
    rest["encounter" if part == "responsible" else "responsible"] = ""  # two ways to fill one element
    rest[part] = PARTS[part][1](form)
    body = base64.b64encode(documents.PDF).decode("ascii")
    return f"""<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xmlns:sdtc="urn:hl7-org:sdtc" xmlns:lab="urn:oid:1.3.6.1.4.1.19376.1.3.2" xmlns:ps3-20="urn:dicom-org:ps3-20">
<realmCode code="FR"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<templateId root="2.16.840.1.113883.2.8.2.1"/><templateId root="1.2.250.1.213.1.1.1.1"/>
<templateId root="1.3.6.1.4.1.19376.1.2.20"/><id root="1.2.250.1.999.9.2.1"/>
<code code="11488-4" displayName="CR ou fiche de consultation ou de visite" codeSystem="2.16.840.1.113883.6.1">
<originalText>Compte rendu</originalText></code>
<title>Compte rendu de consultation</title><effectiveTime value="{_MOMENT}"/>
<confidentialityCode code="N" displayName="Normal" codeSystem="2.16.840.1.113883.5.25"/>
<languageCode code="fr-FR"/><setId root="1.2.250.1.999.9.2"/><versionNumber value="2"/>
{"".join(rest.values())}
<component><nonXMLBody><text mediaType="application/pdf" representation="B64">{body}</text></nonXMLBody></component>
</ClinicalDocument>""".encode()
