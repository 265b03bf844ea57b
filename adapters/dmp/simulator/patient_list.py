"""TD0.4 as the simulated DMP answers it: the records on which the caller, or the caller's structure, is authorised."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from adapters.dmp.patient_list import PATIENTS, ListedBy
from adapters.dmp.simulator.caller import Caller, allowed
from adapters.dmp.simulator.refusals import SoapFault
from adapters.dmp.simulator.state import Patient, State
from mappings.xds.times import dtm, parse_dtm

__all__ = ["patient_list"]

_AUTHORITY: Final = "1.2.250.1.213.1.4.10"
#: When seeds were authorised: before any start date a test would give, after none.
_ALWAYS: Final = datetime(2020, 1, 1, tzinfo=UTC)


def patient_list(body: etree._Element, caller: Caller, state: State, now: datetime) -> bytes:
    """Answer patientListResponse. Raises :class:`SoapFault`."""
    given = {etree.QName(n).localname: (n.text or "").strip() for n in body.iter(etree.Element) if n is not body}
    since = _instant(given.get("startDate", ""))
    if etree.QName(body) != etree.QName(PATIENTS, "patientList") or since is None or since > now:
        raise SoapFault("Sender", "DMPInvalidRequest", "patientList avec une startDate passée attendu")
    try:
        by = ListedBy(given.get("dateType", ""))
    except ValueError:
        raise SoapFault("Sender", "DMPInvalidRequest", "dateType LASTDOC ou LASTAUTORIZATION attendu") from None
    if not allowed(caller, "TD0.4", None) or (
        # A structure is told of new authorisations only (PDT-INF-526).
        caller.mode == "INDIRECTE" and by is not ListedBy.LAST_AUTHORIZATION
    ):
        raise SoapFault("Sender", "DMPAccessDenied", f"TD0.4 refusé en mode {caller.mode}")
    # Staff and structures see what was given to their structure, professionals what was given to them too.
    staff = caller.mode == "INDIRECTE" or caller.column(None) == "staff"
    who = (caller.structure,) if staff else (caller.person, caller.structure)
    lines = []
    for patient in state.patients():
        if patient.state != "active" or all(patient.authorizations.get(one) != "VALIDE" for one in who):
            continue
        authorized = max((patient.authorized_at[one] for one in who if one in patient.authorized_at), default=_ALWAYS)
        document = _last_document(state, patient)
        date = document if by is ListedBy.LAST_DOCUMENT else authorized
        if date is not None and date >= since:
            lines.append(_line(patient, document, authorized))
    return (
        f'<p:patientListResponse xmlns:p="{PATIENTS}"><p:output><p:status>DMPOk</p:status>'
        f"<p:context>{len(lines)} DMP</p:context>{''.join(lines)}</p:output></p:patientListResponse>"
    ).encode()


def _instant(text: str) -> datetime | None:
    if text.isdigit():
        return parse_dtm(text)
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _last_document(state: State, patient: Patient) -> datetime | None:
    sets = {one.set_unique_id for one in state.of_patient(patient.matricule)}
    times = [parse_dtm(state.sets[one][0].submission_time) for one in sets if one in state.sets]
    return max((time for time in times if time is not None), default=None)


def _line(patient: Patient, document: datetime | None, authorized: datetime) -> str:
    last = "" if document is None else f"<p:lastDocumentDate>{escape(dtm(document))}</p:lastDocumentDate>"
    return (
        f'<p:patient><p:id root="{_AUTHORITY}" extension={quoteattr(patient.matricule)}/>{last}'
        f"<p:lastAuthorizationDate>{dtm(authorized)}</p:lastAuthorizationDate></p:patient>"
    )
