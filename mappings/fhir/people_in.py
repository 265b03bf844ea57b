"""Patient, professionals, structures, devices and relatives read from FHIR: both identifier forms, both role styles."""

from __future__ import annotations

import re
from typing import Any, Final

from conformance.verdict import Text
from mappings.document.people import (
    Device,
    Identifier,
    IdentityStatus,
    Ins,
    Organization,
    Patient,
    Professional,
    RelatedPerson,
    Sex,
)
from mappings.document.values import Address, Code, Telecom
from mappings.fhir.names import SYSTEMS, system_name
from mappings.fhir.node import Node
from mappings.fhir.people_out import ATTRIBUTES, FUNCTION, INS_BY_AUTHORITY, PROFESSION, ROLE_CLASS
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import address, code, codings, first_code, identifier, moment, telecom

__all__ = ["People", "Person"]

Person = dict[str, Any]

_SEXES: Final = {"male": Sex.MALE, "female": Sex.FEMALE, "unknown": Sex.UNDETERMINED, "other": Sex.UNDETERMINED}
_STATUSES: Final = {
    "QUAL": IdentityStatus.QUALIFIED,
    "VALI": IdentityStatus.VALIDATED,
    "RECUP": IdentityStatus.RETRIEVED,
}
_ATTRIBUTES: Final = {symbol: word for word, symbol in ATTRIBUTES.items()} | {"HOMD": "homonyme"}
_PROFESSIONAL: Final = "1.2.250.1.71.4.2.1"
_STRUCTURE: Final = "1.2.250.1.71.4.2.2"
#: Systems of JDV_J47, the functions of a professional for this patient.
_FUNCTIONS: Final = frozenset({"2.16.840.1.113883.5.88", "1.2.250.1.213.1.1.4.2.280"})
_PREFIXES: Final = {"m": "M", "m.": "M", "mr": "M", "monsieur": "M", "mme": "MME", "madame": "MME", "mlle": "MME"}
_SUFFIXES: Final = frozenset({"DR", "PR", "MC", "MG", "PC", "PG"})
_LANG_PREFIX: Final = {"dr": "DR", "docteur": "DR", "pr": "PR", "professeur": "PR"}
_BILLING = Text(
    "Le numéro de sécurité sociale de facturation (NSS) n'est pas une INS : il n'est pas repris.",
    "The billing number (NSS) is not an INS: it is not kept.",
)
_NO_OID = Text(
    "Cet identifiant n'a pas d'OID connu : il n'est pas repris.", "This identifier has no known OID: it is not kept."
)
_NOT_KEPT = Text(
    "Cette coordonnée ne peut pas être reprise telle quelle.", "This contact detail cannot be kept as it is."
)
_OTHER_NAME = Text("Le modèle garde un nom de naissance et un nom utilisé.", "The model holds a birth and a used name.")


class People:
    """Reads the people of a Bundle, each resource once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.log = source.log
        self._roles: dict[int, Person] = {}
        self._organizations: dict[int, Organization] = {}

    # -- contact ----------------------------------------------------------------------------------------------------

    def _contact(self, node: Node) -> tuple[tuple[Address, ...], tuple[Telecom, ...]]:
        places, calls = [], []
        for item in node.nodes("address"):
            if (where := address(item)) is not None:
                places.append(where)
        for item in node.nodes("telecom"):
            if (call := telecom(item)) is not None:
                calls.append(call)
            else:
                self.log.lost(item.place, "ContactPoint", _NOT_KEPT)
        return tuple(places), tuple(calls)

    def _identifiers(self, node: Node) -> list[tuple[Node, Identifier | None]]:
        return [(item, identifier(item)) for item in node.nodes("identifier")]

    def _national(self, node: Node, root: str) -> Identifier | None:
        """The identifier the hub keeps: the national one in any of its forms, else the first that has an OID."""
        found = self._identifiers(node)
        for _, value in found:
            if value is not None and value.root == root and value.extension:
                return value
        for item, value in found:
            if value is None:
                self.log.lost(item.place, "Identifier", _NO_OID)
        return next((value for _, value in found if value is not None), None)

    # -- patient ----------------------------------------------------------------------------------------------------

    def patient(self, node: Node) -> Patient:
        """The Patient; an INS is told from a billing number by its type, never by its system alone."""
        ins, locals_ = self._patient_identifiers(node)
        status, details = self._reliability(node, ins)
        official, usual = self._names(node)
        birth_place = place_name = None
        place = node.extension("birth-place")
        if place is not None and (born := place.node("valueAddress")) is not None:
            place_name = born.text("city")
            insee = born.extension("insee-code")
            if insee is not None and (commune := insee.node("valueCoding")) is not None:
                birth_place = commune.text("code")
                commune.use("system", "display")
            born.use("use", "country", "line", "postalCode")
        addresses, telecoms = self._contact(node)
        guardian = self._guardian(node)
        deceased_at = moment(node, "deceasedDateTime")
        deceased = node.flag("deceasedBoolean")
        many = node.integer("multipleBirthInteger")
        node.use("active", "multipleBirthBoolean")
        gender = node.text("gender")
        return self.source.attempt(
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
                birth_date=self._birth_date(node),
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

    def _birth_date(self, node: Node) -> str:
        born = moment(node, "birthDate")
        exact = node.node("_birthDate")
        if exact is not None and (time := exact.extension("birth-time")) is not None:
            return moment(time, "valueDateTime") or born or ""
        return born or ""

    def _patient_identifiers(self, node: Node) -> tuple[Ins | None, list[Identifier]]:
        ins: Ins | None = None
        others: list[Identifier] = []
        for item, value in self._identifiers(node):
            raw = item.raw("type")
            types = [c.get("code") for c in codings(raw, item.place) if type(c) is dict] if raw else []
            if value is None:
                self.log.lost(item.place, "Identifier", _NO_OID)
            elif value.root in INS_BY_AUTHORITY and value.extension and "PI" not in types:
                if "NH" in types or item.text("use") == "old":
                    self.log.lost(item.place, "Identifier", _BILLING)
                elif ins is None:
                    ins = Ins(value=value.extension, authority=value.root)
                else:
                    self.log.lost(item.place, "Identifier", _BILLING)
            else:
                others.append(value)
        return ins, others

    def _reliability(self, node: Node, ins: Ins | None) -> tuple[IdentityStatus, dict[str, Any]]:
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
            if (word := self._comment(part)) and word not in attributes:
                attributes.append(word)
        details["attributes"] = tuple(attributes)
        for name in ("methodCollection", "validationDate", "lastUpdated"):
            for part in parts.pop(name, []):
                part.use(*part.value)
        return status, details

    def _comment(self, part: Node) -> str | None:
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

    def _names(self, node: Node) -> tuple[dict[str, str | None], dict[str, str | None]]:
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
                self.log.lost(name.place, "Patient.name", _OTHER_NAME)
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

    # -- relatives --------------------------------------------------------------------------------------------------

    def _relation(self, node: Node) -> tuple[list[str], Code | None]:
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

    def _person_name(self, node: Node) -> tuple[str, str | None]:
        value = node.value.get("name")
        name = node.nodes("name")[0] if type(value) is list and value else node.node("name") if value else None
        if name is None:
            return "", None
        name.use("use", "text", "prefix", "suffix", "period")
        given = name.texts("given")
        return name.text("family") or name.text("text") or "", " ".join(given) or None

    def _guardian(self, node: Node) -> RelatedPerson | None:
        guardian: RelatedPerson | None = None
        for contact in node.nodes("contact"):
            classes, relation = self._relation(contact)
            if "GUARD" not in classes or guardian is not None:
                contact.use(*contact.value)
                self.log.lost(contact.place, "Patient.contact", _NOT_KEPT)
                continue
            others = [c for c in classes if c != "GUARD"]
            family, given = self._person_name(contact)
            where = contact.node("address")
            calls = [t for t in map(telecom, contact.nodes("telecom")) if t]
            contact.use("period")
            kept = address(where) if where is not None else None
            guardian = self.source.attempt(
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

    def related(self, node: Node) -> RelatedPerson:
        """A RelatedPerson."""
        classes, relation = self._relation(node)
        family, given = self._person_name(node)
        addresses, telecoms = self._contact(node)
        node.use("patient", "active")
        return self.source.attempt(
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

    # -- professionals ----------------------------------------------------------------------------------------------

    def organization(self, node: Node) -> Organization:
        """An Organization."""
        known = self._organizations.get(id(node))
        if known is not None:
            return known
        key = self._national(node, _STRUCTURE)
        name = node.text("name")
        kinds = node.raw("type")
        setting: Code | None = None
        for i, kind in enumerate(kinds if type(kinds) is list else []):
            for j, item in enumerate(codings(kind, f"{node.place}/type/{i}")):
                setting = setting or code(item, f"{node.place}/type/{i}/coding/{j}")
        addresses, telecoms = self._contact(node)
        node.use("active")
        made = self.source.attempt(
            lambda: Organization(id=key, name=name, practice_setting=setting, addresses=addresses, telecoms=telecoms),
            node,
        )
        self._organizations[id(node)] = made
        return made

    def person(self, node: Node) -> Person:
        """What a PractitionerRole, a Practitioner or an Organization says, as the members of a hub person.

        Members: id, family, given, prefix, suffix, specialty, function, entity_class, organization, addresses,
        telecoms.
        """
        known = self._roles.get(id(node))
        if known is not None:
            return known
        made: Person = {}
        if node.kind == "PractitionerRole":
            self._role(node, made)
        elif node.kind == "Practitioner":
            self._practitioner(node, made)
        elif node.kind == "Organization":
            made["organization"] = self.organization(node)
        else:
            raise refuse(
                "FHIR-READ-032",
                node.place,
                "Ce participant n'est pas un professionnel ni une structure.",
                "This participant is not a professional nor an organization.",
                "Désignez un PractitionerRole.",
                "Refer to a PractitionerRole.",
                found=node.kind,
                expected="PractitionerRole",
            )
        self._roles[id(node)] = made
        return made

    def _role(self, node: Node, made: Person) -> None:
        practitioner = self.source.resolve(node, "practitioner")
        if practitioner is not None:
            self._practitioner(practitioner, made)
        structure = self.source.resolve(node, "organization")
        if structure is not None:
            made["organization"] = self.organization(structure)
        addresses, telecoms = self._contact(node)
        if telecoms:
            made["telecoms"] = telecoms
        if addresses and not made.get("addresses"):
            made["addresses"] = addresses
        self._codes(node, made)
        node.use("active")

    def _codes(self, node: Node, made: Person) -> None:
        profession: str | None = None
        display: str | None = None
        other: Code | None = None
        for i, item in enumerate(node.nodes("code")):
            place = f"{node.place}/code/{i}"
            text = item.text("text")
            for j, coding in enumerate(codings(item.value, place)):
                if type(coding) is dict and coding.get("system") == SYSTEMS["profession"]:
                    profession, display = coding.get("code"), text or coding.get("display")
                    continue
                read = code(coding, f"{place}/coding/{j}")
                if read is None:
                    continue
                if text == FUNCTION or (read.system in _FUNCTIONS and "function" not in made):
                    made["function"] = read
                elif read.system == ROLE_CLASS:
                    made["entity_class"] = read.code
                elif other is None:
                    other = read
            item.use("coding")
        special: str | None = None
        specialties = node.raw("specialty")
        for item in specialties if type(specialties) is list else []:
            for coding in codings(item, f"{node.place}/specialty"):
                symbol = coding.get("code") if type(coding) is dict else None
                if isinstance(symbol, str) and re.match(r"SM[0-9]+\Z", symbol) and special is None:
                    special = symbol
                    display = display or item.get("text") or coding.get("display")
        if profession:
            special = special or made.pop("_savoir", None)
            whole = f"G15_{profession}/{special}" if special else f"G15_{profession}"
            made["specialty"] = Code(
                code=whole, system=PROFESSION, display=display, system_name=system_name(PROFESSION)
            )
        elif other is not None:
            made["specialty"] = other
        made.pop("_savoir", None)

    def _practitioner(self, node: Node, made: Person) -> None:
        made["id"] = self._national(node, _PROFESSIONAL)
        names = node.nodes("name")
        if names:
            name = names[0]
            for extra in names[1:]:
                extra.use(*extra.value)
            made["family"] = name.text("family")
            made["given"] = " ".join(name.texts("given")) or None
            for word in (*name.texts("prefix"), *name.texts("suffix")):
                key = word.lower().rstrip(".") if word.lower() not in _PREFIXES else word.lower()
                if key in _PREFIXES:
                    made.setdefault("prefix", _PREFIXES[key])
                elif word.upper().rstrip(".") in _SUFFIXES:
                    made.setdefault("suffix", word.upper().rstrip("."))
                elif key in _LANG_PREFIX:
                    made.setdefault("suffix", _LANG_PREFIX[key])
            name.use("use", "text", "period")
        made["addresses"], telecoms = self._contact(node)
        if telecoms:
            made["telecoms"] = telecoms
        for item in node.nodes("qualification"):
            item.use("identifier", "period", "issuer")
            value = item.raw("code")
            for coding in codings(value, item.place) if value else []:
                symbol = coding.get("code") if type(coding) is dict else None
                if isinstance(symbol, str) and re.match(r"SM[0-9]+\Z", symbol):
                    made.setdefault("_savoir", symbol)
        node.use("active")

    def professional(self, node: Node) -> Professional:
        """A professional: identifier and family name are due."""
        made = self.person(node)
        for name, words in (("id", "identifiant national"), ("family", "nom de famille")):
            if not made.get(name):
                raise refuse(
                    "FHIR-READ-033",
                    node.place,
                    f"Un professionnel n'a pas d'{words}." if name == "id" else f"Un professionnel n'a pas de {words}.",
                    f"A professional has no {'identifier' if name == 'id' else 'family name'}.",
                    "Complétez la ressource Practitioner (RPPS ou IDNPS, name.family).",
                    "Complete the Practitioner (RPPS or IDNPS, name.family).",
                )
        members = {k: v for k, v in made.items() if k not in ("function", "entity_class") and v is not None}
        return self.source.attempt(lambda: Professional(**members), node)

    def device(self, node: Node) -> Device:
        """The Device that wrote the document."""
        key = next((value for _, value in self._identifiers(node) if value is not None), None)
        names = {n.text("type") or "": n.text("name") for n in node.nodes("deviceName")}
        model = names.get("model-name") or node.text("modelNumber") or node.text("manufacturer")
        software = names.get("user-friendly-name") or next((n for n in names.values() if n), None)
        kind = first_code(node, "type")
        owner = self.source.resolve(node, "owner")
        node.use("status", "manufacturer", "modelNumber", "version", "patient")
        structure = self.organization(owner) if owner is not None else None
        if key is None:
            raise refuse(
                "FHIR-READ-034",
                f"{node.place}/identifier",
                "Le dispositif auteur n'a pas d'identifiant.",
                "The authoring device has no identifier.",
                "Donnez un identifiant (OID).",
                "Give an identifier (OID).",
            )
        return self.source.attempt(
            lambda: Device(
                id=key,
                manufacturer_model=model or software or "",
                software=software or model or "",
                code=kind,
                organization=structure,
            ),
            node,
        )


_CLASSES: Final = frozenset({"ECON", "NOK", "CON", "CAREGIVER", "PAT", "GUARD"})
