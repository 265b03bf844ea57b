"""ITI-18 and ITI-43 as the simulated DMP answers them: what the caller's rights let through.

IHE ITI TF-2 3.18.4.1.2.3 (queries and their parameters), 3.43; dmp.md 8.1, 8.2.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from adapters.dmp.messages import QUERIES, XDS
from adapters.dmp.simulator.caller import Caller, allowed
from adapters.dmp.simulator.refusals import Refused, RegistryProblem, SoapFault
from adapters.dmp.simulator.state import REPOSITORY, Patient, Registered, State
from mappings.xds import Association, Code, DocumentEntry, SubmissionSet
from mappings.xds import vocabulary as v
from mappings.xds.cx import format_xcn, parse_cx
from mappings.xds.ebrim import QUERY, RIM

__all__ = ["QueryResult", "query", "retrieve", "visible"]

_R: Final = f"{{{RIM}}}"
_Q: Final = f"{{{QUERY}}}"
_NAMES: Final = {identifier: name for name, identifier in QUERIES.items()}
_STRING: Final = re.compile(r"'((?:[^']|'')*)'")
_STATUSES: Final = (v.APPROVED, v.DEPRECATED, v.ARCHIVED, v.DELETED)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """What a query found."""

    leaf_class: bool
    entries: tuple[DocumentEntry, ...] = ()
    sets: tuple[SubmissionSet, ...] = ()
    associations: tuple[Association, ...] = ()


class _Parameters:
    """The slots of a query: strings quoted, lists in parentheses, a repeated slot means AND (ITI-18)."""

    def __init__(self, node: etree._Element) -> None:
        self._slots: dict[str, list[list[str]]] = {}
        for slot in node.iterfind(_R + "Slot"):
            name = slot.get("name", "").removeprefix("$")
            raw = [(value.text or "").strip() for value in slot.iterfind(f"{_R}ValueList/{_R}Value")]
            values = [text for one in raw for text in _values(name, one)]
            if values:
                self._slots.setdefault(name, []).append(values)

    def groups(self, name: str) -> list[list[str]]:
        """OR inside a group, AND between groups."""
        return self._slots.get(name, [])

    def all(self, name: str) -> list[str]:
        return [text for group in self.groups(name) for text in group]

    def one(self, name: str) -> str:
        values = self.all(name)
        if len(values) > 1:
            raise Refused.because("XDSStoredQueryParamNumber", f"${name} : une seule valeur attendue")
        return values[0] if values else ""

    def need(self, name: str) -> list[str]:
        values = self.all(name)
        if not values:
            raise Refused.because("XDSStoredQueryMissingParam", f"${name} est obligatoire")
        return values


def _values(name: str, raw: str) -> list[str]:
    numeric = name.endswith(("From", "To"))
    if numeric:
        # Times go without quotes; others quote them all the same.
        return [raw.strip("'")] if raw else []
    inner = raw
    if raw.startswith("("):
        if not raw.endswith(")"):
            raise Refused.because("XDSRegistryError", f"${name} : parenthèse non fermée")
        inner = raw[1:-1]
    found = [text.replace("''", "'") for text in _STRING.findall(inner)]
    if not found or _STRING.sub("", inner).strip(" ,"):
        raise Refused.because("XDSRegistryError", f"${name} : valeur sans apostrophes")
    if name.endswith("PatientId") and raw.startswith("("):
        raise Refused.because("XDSRegistryError", f"${name} : sans parenthèses")
    return found


def query(body: etree._Element, caller: Caller, state: State) -> QueryResult:
    """Run a stored query for a caller. Raises :class:`Refused` or :class:`SoapFault`."""
    option, asked = body.find(_Q + "ResponseOption"), body.find(_R + "AdhocQuery")
    kind = "" if option is None else option.get("returnType", "")
    if body.tag != _Q + "AdhocQueryRequest" or asked is None or kind not in ("LeafClass", "ObjectRef"):
        raise Refused.because("XDSRegistryError", "AdhocQueryRequest incomplet")
    name = _NAMES.get(asked.get("id", ""))
    if name is None:
        raise Refused.because("XDSUnknownStoredQuery", "requête inconnue")
    patient = _patient(caller, state)
    leaf = kind == "LeafClass"
    parameters = _Parameters(asked)
    reference = name == "GetDocuments" and not leaf
    right = "TD3.1-reference" if reference else "TD3.1"
    if not allowed(caller, right, patient):
        raise SoapFault("Sender", "DMPAccessDenied", f"Recherche refusée en mode {caller.mode}")
    if not reference:
        authorised(caller, patient)
    return _RUN[name](parameters, caller, patient, state, leaf)


def _patient(caller: Caller, state: State) -> Patient:
    known = None if caller.patient is None else state.patient(caller.patient)
    if known is None:
        raise Refused.because("XDSUnknownPatientId", "aucun DMP pour ce patient")
    return known


def authorised(caller: Caller, patient: Patient) -> None:
    """Consulting needs the patient's authorisation, or a reason to do without that the patient did not forbid."""
    given = {patient.authorizations.get(caller.person, ""), patient.authorizations.get(caller.structure, "")}
    if "INTERDIT" in given:
        raise SoapFault("Sender", "DMPAccessDenied", "Le patient a bloqué ce professionnel")
    if caller.purpose != "normal":
        if not patient.allows_break_glass:
            raise SoapFault("Sender", "DMPAccessDenied", "Le patient refuse l'accès en urgence")
        return
    if "VALIDE" not in given and patient.treating_doctor != caller.person:
        raise SoapFault("Sender", "DMPAccessDenied", "Aucune autorisation en cours")


def visible(registered: Registered, caller: Caller, patient: Patient) -> bool:
    """Say whether a caller sees a document: masked ones for their author, the treating doctor, or by permission."""
    codes = {code.code for code in registered.entry.confidentiality}
    return "MASQUE_PS" not in codes or allowed(caller, "TD3.2-masked", patient, registered)


def _seen(found: Iterable[Registered], caller: Caller, patient: Patient) -> list[DocumentEntry]:
    return [
        r.entry
        for r in found
        if r.entry.patient_id is not None
        and r.entry.patient_id.value == patient.matricule
        and visible(r, caller, patient)
    ]


def _mine(parameters: _Parameters, name: str, patient: Patient) -> None:
    identifier = parse_cx(parameters.need(name)[0])
    if identifier is None or not identifier.authority:
        raise Refused.because("XDSRegistryError", f"${name} mal formé")
    if identifier.value != patient.matricule:
        raise Refused.because("XDSPatientIdDoesNotMatch", f"${name} n'est pas le patient du VIHF")


#: Code parameters of FindDocuments, and where each is in an entry.
_CODES: Final[Mapping[str, Callable[[DocumentEntry], Sequence[Code | None]]]] = {
    "ClassCode": lambda e: (e.class_code,),
    "TypeCode": lambda e: (e.type_code,),
    "PracticeSettingCode": lambda e: (e.practice_setting,),
    "HealthcareFacilityTypeCode": lambda e: (e.facility_type,),
    "EventCodeList": lambda e: e.events,
    "ConfidentialityCode": lambda e: e.confidentiality,
    "FormatCode": lambda e: (e.format_code,),
}
_TIMES: Final[Mapping[str, Callable[[DocumentEntry], str]]] = {
    "CreationTime": lambda e: e.creation_time,
    "ServiceStartTime": lambda e: e.service_start_time,
    "ServiceStopTime": lambda e: e.service_stop_time,
}


def _find_documents(parameters: _Parameters, caller: Caller, patient: Patient, state: State, leaf: bool) -> QueryResult:
    statuses = parameters.need("XDSDocumentEntryStatus")
    _mine(parameters, "XDSDocumentEntryPatientId", patient)
    if any(status not in _STATUSES for status in statuses):
        raise Refused.because("XDSRegistryError", "statut inconnu")
    entries = [
        entry
        for entry in _seen(state.of_patient(patient.matricule), caller, patient)
        if entry.status in statuses and _matches(entry, parameters)
    ]
    return QueryResult(leaf_class=leaf, entries=tuple(entries))


def _matches(entry: DocumentEntry, parameters: _Parameters) -> bool:
    prefix = "XDSDocumentEntry"
    for name, get in _CODES.items():
        for group in parameters.groups(prefix + name):
            if not any(_is(code, text) for code in get(entry) for text in group):
                return False
    for name, read in _TIMES.items():
        moment = read(entry)
        start, stop = parameters.one(f"{prefix}{name}From"), parameters.one(f"{prefix}{name}To")
        # DTM of unequal precision compare as texts padded with zeros (3.18.4.1.2.3.4: from inclusive, to exclusive).
        if start and moment.ljust(14, "0") < start.ljust(14, "0"):
            return False
        if stop and moment.ljust(14, "0") >= stop.ljust(14, "0"):
            return False
    for group in parameters.groups(prefix + "AuthorPerson"):
        people = [format_xcn(a.person) for a in entry.authors if a.person is not None]
        patterns = [fnmatch.translate(text.replace("%", "*").replace("_", "?")) for text in group]
        if not any(re.match(pattern, person) for pattern in patterns for person in people):
            return False
    return True


def _is(code: Code | None, text: str) -> bool:
    value, _, scheme = text.partition("^^")
    return code is not None and code.code == value and (not scheme or code.scheme == scheme)


def _get_documents(parameters: _Parameters, caller: Caller, patient: Patient, state: State, leaf: bool) -> QueryResult:
    by_uuid, by_unique = (
        parameters.all("XDSDocumentEntryEntryUUID"),
        parameters.all("XDSDocumentEntryUniqueId"),
    )
    if bool(by_uuid) == bool(by_unique):
        raise Refused.because("XDSStoredQueryParamNumber", "entryUUID ou uniqueId, l'un des deux")
    found = [r for u in by_uuid if (r := state.entry(u)) is not None]
    for unique_id in by_unique:
        # The newest version of each entry: older ones are its own past.
        found += [
            r
            for r in state.of_unique_id(unique_id)
            if (current := state.current(r.entry.logical_id)) is not None
            and current.entry.entry_uuid == r.entry.entry_uuid
        ]
    entries = (
        tuple(_seen(found, caller, patient))
        if leaf
        else tuple(r.entry for r in found if r.entry.patient_id and r.entry.patient_id.value == patient.matricule)
    )
    return QueryResult(leaf_class=leaf, entries=entries)


def _find_sets(parameters: _Parameters, caller: Caller, patient: Patient, state: State, leaf: bool) -> QueryResult:
    parameters.need("XDSSubmissionSetStatus")
    _mine(parameters, "XDSSubmissionSetPatientId", patient)
    start, stop = (
        parameters.one("XDSSubmissionSetSubmissionTimeFrom"),
        parameters.one("XDSSubmissionSetSubmissionTimeTo"),
    )
    found = [
        _stored(sent, identifier)
        for sent, identifier in _sets(state)
        if sent.patient_id is not None
        and sent.patient_id.value == patient.matricule
        and (not start or sent.submission_time >= start.ljust(14, "0"))
        and (not stop or sent.submission_time < stop.ljust(14, "0"))
    ]
    return QueryResult(leaf_class=leaf, sets=tuple(found))


def _sets(state: State) -> list[tuple[SubmissionSet, str]]:
    with state.lock:
        return list(state.sets.values())


def _stored(sent: SubmissionSet, identifier: str) -> SubmissionSet:
    return replace(sent, entry_uuid=identifier, status=v.APPROVED)


def _linked(state: State, ends: set[str]) -> list[Association]:
    with state.lock:
        return [a for a in state.associations if a.source in ends or a.target in ends]


def _get_associations(
    parameters: _Parameters, caller: Caller, patient: Patient, state: State, leaf: bool
) -> QueryResult:
    return QueryResult(leaf_class=leaf, associations=tuple(_linked(state, set(parameters.need("uuid")))))


def _documents_and_associations(
    parameters: _Parameters, caller: Caller, patient: Patient, state: State, leaf: bool
) -> QueryResult:
    found = _get_documents(parameters, caller, patient, state, leaf)
    ends = {entry.entry_uuid for entry in found.entries}
    return QueryResult(leaf_class=leaf, entries=found.entries, associations=tuple(_linked(state, ends)))


def _by_reference(parameters: _Parameters, caller: Caller, patient: Patient, state: State, leaf: bool) -> QueryResult:
    wanted = parameters.need("XDSDocumentEntryReferenceIdList")
    found = _find_documents(parameters, caller, patient, state, leaf)
    entries = tuple(e for e in found.entries if any(w in e.reference_ids for w in wanted))
    return QueryResult(leaf_class=leaf, entries=entries)


def _set_and_contents(
    parameters: _Parameters, caller: Caller, patient: Patient, state: State, leaf: bool
) -> QueryResult:
    wanted = {*parameters.all("XDSSubmissionSetEntryUUID"), *parameters.all("XDSSubmissionSetUniqueId")}
    if not wanted:
        raise Refused.because("XDSStoredQueryMissingParam", "lot non désigné")
    sets = [
        _stored(sent, identifier)
        for sent, identifier in _sets(state)
        if {identifier, sent.unique_id} & wanted and sent.patient_id and sent.patient_id.value == patient.matricule
    ]
    links = _linked(state, {s.entry_uuid for s in sets})
    found = [r for link in links if (r := state.entry(link.target)) is not None]
    return QueryResult(
        leaf_class=leaf,
        sets=tuple(sets),
        entries=tuple(_seen(found, caller, patient)),
        associations=tuple(links),
    )


_RUN: Final[Mapping[str, Callable[[_Parameters, Caller, Patient, State, bool], QueryResult]]] = {
    "FindDocuments": _find_documents,
    "GetDocuments": _get_documents,
    "FindSubmissionSets": _find_sets,
    "GetAssociations": _get_associations,
    "GetDocumentsAndAssociations": _documents_and_associations,
    "FindDocumentsByReferenceId": _by_reference,
    "GetSubmissionSetAndContents": _set_and_contents,
}


def retrieve(
    body: etree._Element, caller: Caller, state: State
) -> tuple[list[tuple[DocumentEntry, bytes]], list[RegistryProblem]]:
    """Give the documents asked for, and an error for each that cannot be given."""
    patient = _patient(caller, state)
    if not allowed(caller, "TD3.2", patient):
        raise SoapFault("Sender", "DMPAccessDenied", f"Consultation refusée en mode {caller.mode}")
    authorised(caller, patient)
    found: list[tuple[DocumentEntry, bytes]] = []
    problems: list[RegistryProblem] = []
    requests = body.findall(f"{{{XDS}}}DocumentRequest")
    if body.tag != f"{{{XDS}}}RetrieveDocumentSetRequest" or not requests:
        raise Refused.because("XDSRepositoryError", "RetrieveDocumentSetRequest incomplet")
    for request in requests:
        names = [etree.QName(n).localname for n in request if isinstance(n.tag, str)]
        if [n for n in names if n != "HomeCommunityId"] != ["RepositoryUniqueId", "DocumentUniqueId"]:
            raise Refused.because("XDSRepositoryError", "DocumentRequest mal ordonné")
        repository = (request.findtext(f"{{{XDS}}}RepositoryUniqueId") or "").strip()
        unique_id = (request.findtext(f"{{{XDS}}}DocumentUniqueId") or "").strip()
        versions = [r for r in state.of_unique_id(unique_id) if visible(r, caller, patient)]
        mine = [r for r in versions if r.entry.patient_id and r.entry.patient_id.value == patient.matricule]
        content = state.document(unique_id)
        if repository != REPOSITORY:
            problems.append(RegistryProblem(code="XDSUnknownRepositoryId", context="entrepôt inconnu"))
        elif not mine or content is None:
            problems.append(RegistryProblem(code="XDSDocumentUniqueIdError", context="document inconnu"))
        else:
            found.append((mine[-1].entry, content))
    return found, problems
