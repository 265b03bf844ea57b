"""The patient and relatives read from FHIR: the INS is told from a billing number, names and statuses are kept."""

from __future__ import annotations

from typing import Any, Final

from conformance.verdict import Text
from mappings.document.people import Identifier, IdentityStatus, Ins, Patient, RelatedPerson, Sex
from mappings.document.values import Code
from mappings.fhir.contact_in import NO_OID, contacts, identifiers
from mappings.fhir.node import Node
from mappings.fhir.people_out import ATTRIBUTES, INS_BY_AUTHORITY, ROLE_CLASS
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import address, code, codings, moment, telecom

__all__ = ["read_patient", "read_related"]

_SEXES: Final = {"male": Sex.MALE, "female": Sex.FEMALE, "unknown": Sex.UNDETERMINED, "other": Sex.UNDETERMINED}
_STATUSES: Final = {
    "QUAL": IdentityStatus.QUALIFIED,
    "VALI": IdentityStatus.VALIDATED,
    "RECUP": IdentityStatus.RETRIEVED,
}
_ATTRIBUTES: Final = {symbol: word for word, symbol in ATTRIBUTES.items()} | {"HOMD": "homonyme"}
#: Classes of a relative (JDV of RoleClass), told from the bond itself.
_CLASSES: Final = frozenset({"ECON", "NOK", "CON", "CAREGIVER", "PAT", "GUARD"})
_BILLING = Text(
    "Le numéro de sécurité sociale de facturation (NSS) n'est pas une INS : il n'est pas repris.",
    "The billing number (NSS) is not an INS: it is not kept.",
)
_NOT_KEPT = Text(
    "Des contacts du patient, le modèle ne garde qu'un représentant légal.",
    "Of the patient's contacts the model keeps one guardian.",
)
_OTHER_NAME = Text("Le modèle garde un nom de naissance et un nom utilisé.", "The model holds a birth and a used name.")


def read_patient(source: Source, node: Node) -> Patient:
    """The Patient; an INS is told from a billing number by its type, never by its system alone."""
    ins, locals_ = _patient_identifiers(source, node)
    status, details = _reliability(source, node, ins)
    official, usual = _names(source, node)
    birth_place = place_name = None
    place = node.extension("birth-place")
    if place is not None and (born := place.node("valueAddress")) is not None:
        place_name = born.text("city")
        insee = born.extension("insee-code")
        if insee is not None and (commune := insee.node("valueCoding")) is not None:
            birth_place = commune.text("code")
            commune.use("system", "display")
        born.use("use", "country", "line", "postalCode")
    addresses, telecoms = contacts(source, node)
    guardian = _guardian(source, node)
    deceased_at = moment(node, "deceasedDateTime")
    deceased = node.flag("deceasedBoolean")
    many = node.integer("multipleBirthInteger")
    node.use("active", "multipleBirthBoolean")
    gender = node.text("gender")
    return source.attempt(
        lambda: Patient(
            ins=ins,
            identifiers=tuple(locals_),
            status=status,
            **details,
            birth_name=official.get("family", ""),
            first_given_name=official.get("first"),
            given_names=official.get("all"),
            used_name=usual.get("family"),
            used_given_name=usual.get("first"),
            sex=_SEXES.get(gender or "unknown", Sex.UNDETERMINED),
            birth_date=_birth_date(node),
            birth_place=birth_place,
            birth_place_name=place_name,
            deceased=True if deceased_at else deceased,
            deceased_at=deceased_at,
            multiple_birth_order=many,
            addresses=addresses,
            telecoms=telecoms,
            guardian=guardian,
        ),
        node,
    )


def _birth_date(node: Node) -> str:
    born = moment(node, "birthDate")
    exact = node.node("_birthDate")
    if exact is not None and (time := exact.extension("birth-time")) is not None:
        return moment(time, "valueDateTime") or born or ""
    return born or ""


def _patient_identifiers(source: Source, node: Node) -> tuple[Ins | None, list[Identifier]]:
    ins: Ins | None = None
    others: list[Identifier] = []
    for item, value in identifiers(node):
        raw = item.raw("type")
        types = [c.get("code") for c in codings(raw, item.place) if type(c) is dict] if raw else []
        if value is None:
            source.log.lost(item.place, "Identifier", NO_OID)
        elif value.root in INS_BY_AUTHORITY and value.extension and "PI" not in types:
            if "NH" in types or item.text("use") == "old":
                source.log.lost(item.place, "Identifier", _BILLING)
            elif ins is None:
                ins = Ins(value=value.extension, authority=value.root)
            else:
                source.log.lost(item.place, "Identifier", _BILLING)
        else:
            others.append(value)
    return ins, others


def _reliability(source: Source, node: Node, ins: Ins | None) -> tuple[IdentityStatus, dict[str, Any]]:
    """Identity status: QUAL, or VALI with an INS, is qualified (ins-identity 7)."""
    found = node.extension("identity-reliability")
    if found is None:
        # CDA has no status either: an INS stands in a document only once qualified.
        return (IdentityStatus.QUALIFIED if ins else IdentityStatus.PROVISIONAL), {}
    parts = found.parts()
    status = IdentityStatus.PROVISIONAL
    for part in parts.pop("identityStatus", []):
        if (said := part.node("valueCoding")) is not None:
            said.use("system", "display")
            status = _STATUSES.get(said.text("code") or "", IdentityStatus.PROVISIONAL)
    if status is IdentityStatus.VALIDATED and ins is not None:
        status = IdentityStatus.QUALIFIED
    details: dict[str, Any] = {}
    for name in ("dateInterrogationINSi", "dateCollection"):
        for part in parts.pop(name, []):
            details["ins_checked_on"] = moment(part, "valueDate")
    for part in parts.pop("validationMode", []):
        if (shown := part.node("valueCoding")) is not None:
            shown.use("system", "display")
            details["proof"] = shown.text("code")
    attributes = []
    for part in parts.pop("comment", []):
        if (word := _comment(part)) and word not in attributes:
            attributes.append(word)
    details["attributes"] = tuple(attributes)
    for name in ("methodCollection", "validationDate", "lastUpdated"):
        for part in parts.pop(name, []):
            part.use(*part.value)
    return status, details


def _comment(part: Node) -> str | None:
    if (text := part.text("valueString")) is not None:
        return text
    note = part.raw("valueCoding")
    if note is None:
        whole = part.raw("valueCodeableConcept")
        found = codings(whole, part.place) if whole else []
        note = found[0] if found else None
    if type(note) is not dict:
        return None
    symbol, display = note.get("code"), note.get("display")
    return _ATTRIBUTES.get(symbol or "") or display or symbol


def _names(source: Source, node: Node) -> tuple[dict[str, str | None], dict[str, str | None]]:
    names = node.nodes("name")
    official = next((n for n in names if n.value.get("use") == "official"), None)
    if official is None:
        official = next((n for n in names if n.value.get("use") in (None, "maiden")), names[0] if names else None)
    usual = next((n for n in names if n is not official and n.value.get("use") == "usual"), None)
    out: list[dict[str, str | None]] = []
    for name in (official, usual):
        if name is None:
            out.append({})
            continue
        name.use("use", "text", "prefix", "suffix", "period")
        given = name.texts("given")
        listed = name.extension("given-names")
        every = listed.text("valueString") if listed is not None else None
        if every is None and len(given) > 1:
            every = " ".join(given)
        out.append({"family": name.text("family") or "", "first": given[0] if given else None, "all": every})
    for name in names:
        if name not in (official, usual):
            name.use(*name.value)
            source.log.lost(name.place, "Patient.name", _OTHER_NAME)
    if not out[0].get("family"):
        raise refuse(
            "FHIR-READ-031",
            f"{node.place}/name",
            "Le nom de naissance du patient manque.",
            "The patient's birth name is missing.",
            "Donnez un nom d'usage « official » avec family.",
            "Give a name of use official with family.",
        )
    return out[0], {k: v or None for k, v in out[1].items()}


def _relation(node: Node) -> tuple[list[str], Code | None]:
    classes: list[str] = []
    relation: Code | None = None
    value = node.raw("relationship")
    items = value if type(value) is list else [value] if value else []
    for i, item in enumerate(items):
        for j, one in enumerate(codings(item, f"{node.place}/relationship/{i}")):
            read = code(one, f"{node.place}/relationship/{i}/coding/{j}")
            if read is None:
                continue
            if read.system == ROLE_CLASS and relation is None and read.code in _CLASSES:
                classes.append(read.code)
            elif relation is None:
                relation = read
    return classes, relation


def _person_name(node: Node) -> tuple[str, str | None]:
    value = node.value.get("name")
    name = node.nodes("name")[0] if type(value) is list and value else node.node("name") if value else None
    if name is None:
        return "", None
    name.use("use", "text", "prefix", "suffix", "period")
    given = name.texts("given")
    return name.text("family") or name.text("text") or "", " ".join(given) or None


def _guardian(source: Source, node: Node) -> RelatedPerson | None:
    guardian: RelatedPerson | None = None
    for contact in node.nodes("contact"):
        classes, relation = _relation(contact)
        if "GUARD" not in classes or guardian is not None:
            contact.use(*contact.value)
            source.log.lost(contact.place, "Patient.contact", _NOT_KEPT)
            continue
        others = [c for c in classes if c != "GUARD"]
        family, given = _person_name(contact)
        where = contact.node("address")
        calls = [t for t in map(telecom, contact.nodes("telecom")) if t]
        contact.use("period")
        kept = address(where) if where is not None else None
        guardian = source.attempt(
            lambda others=others, relation=relation, family=family, given=given, kept=kept, calls=calls: (  # type: ignore[misc]
                RelatedPerson(
                    relation_class=others[0] if others else "GUARD",
                    relation=relation,
                    family=family,
                    given=given,
                    addresses=(kept,) if kept else (),
                    telecoms=tuple(calls),
                )
            ),
            contact,
        )
    return guardian


def read_related(source: Source, node: Node) -> RelatedPerson:
    """A RelatedPerson."""
    classes, relation = _relation(node)
    family, given = _person_name(node)
    addresses, telecoms = contacts(source, node)
    node.use("patient", "active")
    return source.attempt(
        lambda: RelatedPerson(
            relation_class=classes[0] if classes else "CON",
            relation=relation,
            family=family,
            given=given,
            addresses=addresses,
            telecoms=telecoms,
        ),
        node,
    )
