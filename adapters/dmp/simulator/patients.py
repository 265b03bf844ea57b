"""TD0.2 and TD0.3 as the simulated DMP answers them (dmp.md 7, 15.5)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from adapters.dmp.messages import HABILITATIONS, HL7
from adapters.dmp.simulator.caller import Caller, allowed
from adapters.dmp.simulator.refusals import SoapFault
from adapters.dmp.simulator.state import Patient, State
from mappings.xds import PatientId
from mappings.xds.times import dtm

__all__ = ["patient_status", "set_authorization"]

_H: Final = f"{{{HL7}}}"
_DMP: Final = "1.2.250.1.213.4.1.1.1"


def patient_status(body: etree._Element, caller: Caller, state: State, now: datetime) -> bytes:
    """Answer PRPA_IN201308UV02. Raises :class:`SoapFault`."""
    value = body.find(f".//{_H}patientIdentifier/{_H}value")
    reason = body.find(f".//{_H}reasonCode")
    interaction = body.find(_H + "interactionId")
    query = body.find(f".//{_H}queryByParameter/{_H}queryId")
    message = body.find(_H + "id")
    if value is None or reason is None or interaction is None or query is None or message is None:
        raise SoapFault("Sender", "DMPInvalidRequest", "PRPA_IN201307UV02 incomplet")
    if interaction.get("extension") != "PRPA_IN201307UV02" or reason.get("code") != "TEST_EXST":
        raise SoapFault("Sender", "DMPInvalidRequest", "interactionId ou reasonCode inattendu")
    receiver = body.find(f"{_H}receiver/{_H}device/{_H}id")
    if receiver is None or receiver.get("root") != _DMP:
        raise SoapFault("Sender", "DMPInvalidRequest", "le destinataire n'est pas le DMP")
    asked = PatientId(value=value.get("extension", ""), authority=value.get("root", ""))
    if caller.patient is None or (asked.value, asked.authority) != (caller.patient.value, caller.patient.authority):
        raise SoapFault("Sender", "DMPInvalidRequest", "le patient n'est pas celui du VIHF")
    patient = state.patient(asked)
    if not allowed(caller, "TD0.2", patient):
        raise SoapFault("Sender", "DMPAccessDenied", f"TD0.2 refusé en mode {caller.mode}")
    return _reply(message, query, asked, patient, caller, now)


def _reply(
    message: etree._Element,
    query: etree._Element,
    asked: PatientId,
    patient: Patient | None,
    caller: Caller,
    now: datetime,
) -> bytes:
    name = "PRPA_IN201308UV02"
    target = (
        f"<targetMessage><id root={quoteattr(message.get('root', ''))} "
        f"extension={quoteattr(message.get('extension', ''))}/></targetMessage>"
    )
    acknowledgement = '<acknowledgement typeCode="AA">' + target + "</acknowledgement>"
    lines = subject = ""
    code = "OK"
    if patient is None:
        code = "NF"
    else:
        status = "active"
        if patient.state == "closed":
            status = "terminated"
            acknowledgement = (
                f'<acknowledgement typeCode="AE">{target}<acknowledgementDetail typeCode="E">'
                '<code code="DMPClosed"/><text>Le DMP du patient est fermé.</text></acknowledgementDetail>'
                "</acknowledgement>"
            )
        authorization = patient.authorizations.get(caller.person) or patient.authorizations.get(caller.structure)
        treating = "true" if patient.treating_doctor == caller.person else "false"
        lines = _line("AUTORISATION", "1.2.250.1.213.4.1.2.6.1", authorization or "NON_EXISTE", coded=True)
        lines += _line("STATUT_MT", "1.2.250.1.213.4.1.2.6.3", treating, coded=False)
        observations = _observation("RATTACHEMENT_ENS", "1.2.250.1.213.4.1.2.3", patient.mon_espace_sante)
        observations += _observation("COMPTE_INTERNET_OUVERT", "1.2.250.1.213.4.1.2.9", patient.mon_espace_sante)
        if patient.closing_reason:
            observations += (
                '<subjectOf typeCode="SBJ"><administrativeObservation classCode="OBS" moodCode="EVN">'
                f'<code code="MOTIF_FERMETURE"/><value code={quoteattr(patient.closing_reason)}/>'
                "</administrativeObservation></subjectOf>"
            )
        subject = (
            '<subject typeCode="SUBJ"><registrationEvent classCode="REG" moodCode="EVN"><statusCode code="active"/>'
            f'<subject1 typeCode="SBJ"><patient classCode="PAT"><id root={quoteattr(asked.authority)} '
            f'extension={quoteattr(asked.value)}/><statusCode code="{status}"/>{observations}</patient></subject1>'
            "</registrationEvent></subject>"
        )
    return (
        f'<{name} xmlns="{HL7}" ITSVersion="XML_1.0"><id root="{_DMP}" extension="{uuid.uuid4()}"/>'
        f'<creationTime value="{dtm(now)}"/><interactionId root="2.16.840.1.113883.1.6" extension="{name}"/>'
        f'<processingCode code="D"/><processingModeCode code="T"/><acceptAckCode code="NE"/>'
        f'{lines}{acknowledgement}<controlActProcess classCode="CACT" moodCode="EVN">{subject}<queryAck>'
        f"<queryId root={quoteattr(query.get('root', ''))} extension={quoteattr(query.get('extension', ''))}/>"
        f'<queryResponseCode code="{code}"/></queryAck></controlActProcess></{name}>'
    ).encode()


def _line(code: str, system: str, value: str, *, coded: bool) -> str:
    # The kind of value differs between the lines; readers take either.
    attribute = "code" if coded else "value"
    return (
        f'<attentionLine><keyWordText code="{code}" codeSystem="{system}"/><value {attribute}="{escape(value)}"/>'
        "</attentionLine>"
    )


def _observation(code: str, system: str, value: bool) -> str:
    return (
        '<subjectOf typeCode="SBJ"><administrativeObservation classCode="OBS" moodCode="EVN">'
        f'<code code="{code}" codeSystem="{system}"/><value value="{str(value).lower()}"/>'
        "</administrativeObservation></subjectOf>"
    )


def set_authorization(body: etree._Element, caller: Caller, state: State, now: datetime) -> bytes:
    """Declare or remove the caller's authorisation; repeating is idempotent. Raises :class:`SoapFault`."""
    texts = {etree.QName(n).localname: (n.text or "").strip() for n in body.iter(etree.Element) if n is not body}
    action = texts.get("action", "")
    if etree.QName(body).localname != "setAuthorization" or action not in ("AJOUT", "SUPPRESSION"):
        raise SoapFault("Sender", "DMPInvalidRequest", "action AJOUT ou SUPPRESSION attendue")
    patient = None if caller.patient is None else state.patient(caller.patient)
    treating = texts.get("role") == "MEDECIN_TRAITANT"
    right = "TD0.3-add" if action == "AJOUT" else "TD0.3-give-up" if treating else "TD0.3-remove"
    if not allowed(caller, right, patient):
        raise SoapFault("Sender", "DMPAccessDenied", f"{right} refusé en mode {caller.mode}")
    if patient is None:
        return _output("DMPUnknownPatient", "Aucun DMP pour ce patient")
    if patient.state == "closed":
        return _output("DMPClosed", "Le DMP du patient est fermé")
    # Staff who are no professionals get the authorisation for their structure.
    who = caller.structure if caller.column(patient) == "staff" else caller.person
    if patient.authorizations.get(who) == "INTERDIT":
        return _output("DMPAccessDenied", "Le patient a bloqué ce professionnel")
    if action == "AJOUT":
        already = patient.authorizations.get(who) == "VALIDE"
        patient.authorizations[who] = "VALIDE"
        if not already:
            patient.authorized_at[who] = now.replace(microsecond=0)
        if treating:
            patient.treating_doctor = caller.person
        return _output("DMPOk", "Autorisation déjà présente" if already else "Autorisation ajoutée")
    if treating:
        patient.treating_doctor = ""
        return _output("DMPOk", "Rôle de médecin traitant retiré")
    patient.authorizations.pop(who, None)
    patient.authorized_at.pop(who, None)
    return _output("DMPOk", "Autorisation supprimée")


def _output(status: str, context: str) -> bytes:
    return (
        f'<h:setAuthorizationResponse xmlns:h="{HABILITATIONS}"><h:output><h:status>{escape(status)}</h:status>'
        f"<h:context>{escape(context)}</h:context></h:output></h:setAuthorizationResponse>"
    ).encode()
