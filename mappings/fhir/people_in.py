"""Professionals, structures and devices read from FHIR: both identifier forms, both role styles."""

from __future__ import annotations

import re
from typing import Any, Final

from mappings.document.people import Device, Organization, Professional
from mappings.document.values import Code
from mappings.fhir.contact_in import contacts, identifiers, national
from mappings.fhir.names import SYSTEMS, system_name
from mappings.fhir.node import Node
from mappings.fhir.people_out import FUNCTION, PROFESSION, ROLE_CLASS
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import code, codings, first_code

__all__ = ["People", "Person"]

Person = dict[str, Any]

_PROFESSIONAL: Final = "1.2.250.1.71.4.2.1"
_STRUCTURE: Final = "1.2.250.1.71.4.2.2"
#: Systems of JDV_J47, the functions of a professional for this patient.
_FUNCTIONS: Final = frozenset({"2.16.840.1.113883.5.88", "1.2.250.1.213.1.1.4.2.280"})
_PREFIXES: Final = {"m": "M", "m.": "M", "mr": "M", "monsieur": "M", "mme": "MME", "madame": "MME", "mlle": "MME"}
_SUFFIXES: Final = frozenset({"DR", "PR", "MC", "MG", "PC", "PG"})
_LANG_PREFIX: Final = {"dr": "DR", "docteur": "DR", "pr": "PR", "professeur": "PR"}


class People:
    """Reads the people of a Bundle, each resource once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._roles: dict[int, Person] = {}
        self._organizations: dict[int, Organization] = {}

    def organization(self, node: Node) -> Organization:
        """An Organization."""
        known = self._organizations.get(id(node))
        if known is not None:
            return known
        key = national(self.source, node, _STRUCTURE)
        name = node.text("name")
        kinds = node.raw("type")
        setting: Code | None = None
        for i, kind in enumerate(kinds if type(kinds) is list else []):
            for j, item in enumerate(codings(kind, f"{node.place}/type/{i}")):
                setting = setting or code(item, f"{node.place}/type/{i}/coding/{j}")
        addresses, telecoms = contacts(self.source, node)
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
        addresses, telecoms = contacts(self.source, node)
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
        made["id"] = national(self.source, node, _PROFESSIONAL)
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
        made["addresses"], telecoms = contacts(self.source, node)
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
        key = next((value for _, value in identifiers(node) if value is not None), None)
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
