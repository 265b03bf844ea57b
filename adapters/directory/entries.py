"""What the directory says of practitioners and structures, read out of its FHIR resources (tolerant of both models)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Confidence", "DirectoryEntry", "Mailbox", "Place", "mailboxes_of", "read_bundle"]

_RPPS = "https://rpps.esante.gouv.fr"
_PS = "urn:oid:1.2.250.1.71.4.2.1"
_FINESS = ("https://finess.esante.gouv.fr", "http://finess.esante.gouv.fr", "http://finess.sante.gouv.fr")
_STRUCT = "urn:oid:1.2.250.1.71.4.2.2"
_SIREN = "https://sirene.fr"
_EMAIL_TYPE = "fr-core-contact-point-email-type"
_MAILBOX = "as-ext-mailbox-mss-metadata"


class Confidence(StrEnum):
    """How sure it is that a mailbox reaches the person at the place meant (mss.md 3.2)."""

    PLACE = "place"  #: tied to the person and this very workplace
    PERSON = "person"  #: the person's own box
    STRUCTURE = "structure"  #: a box of the structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """A secure mailbox."""

    address: str = field(repr=False)
    kind: str  #: PER, ORG, APP, CAB
    confidence: Confidence
    structure: str | None = None  #: Struct_IdNat it is tied to
    red_list: bool = False
    rank: int = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A structure where somebody practises."""

    structure: str  #: Struct_IdNat
    name: str
    profession: str = ""  #: G15
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    """A practitioner or a structure of the directory."""

    id: str  #: PS_IdNat or Struct_IdNat
    name: str
    active: bool
    places: tuple[Place, ...] = ()
    mailboxes: tuple[Mailbox, ...] = ()

    def usable_mailboxes(self, structure: str | None = None) -> list[Mailbox]:
        """The mailboxes that may be offered, the surest first: of the workplace, then by rank, the personal, the rest.

        Never a red-listed one, nor an applicative one. Of somebody who practises in several places, no place stated,
        only those that are the person's own: which place is meant cannot be guessed.
        """
        found = [m for m in self.mailboxes if not m.red_list and m.kind != "APP"]
        if structure is not None:
            found = [m for m in found if m.structure in (None, structure)]
        elif len({m.structure for m in found if m.structure is not None}) > 1:
            found = [m for m in found if m.structure is None]
        order = list(Confidence)
        kept: dict[str, Mailbox] = {}
        for one in sorted(found, key=lambda m: (order.index(m.confidence), m.rank, m.address)):
            kept.setdefault(one.address.lower(), one)
        return list(kept.values())

    def best_mailbox(self, structure: str | None = None) -> Mailbox | None:
        """The first of :meth:`usable_mailboxes`, or None."""
        return next(iter(self.usable_mailboxes(structure)), None)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _identifier(resource: Mapping[str, Any], *, structure: bool) -> str:
    """The national identifier with its prefix, whichever form the resource holds."""
    found: dict[str, str] = {}
    for one in _list(resource.get("identifier")):
        if isinstance(one, Mapping) and one.get("value"):
            found.setdefault(str(one.get("system") or ""), str(one["value"]))
    if not structure:
        return found.get(_PS) or (f"8{found[_RPPS]}" if _RPPS in found else "")
    if _STRUCT in found:
        return found[_STRUCT]
    for system in _FINESS:
        if system in found:
            return f"1{found[system]}"
    sirene = found.get(_SIREN, "")
    return f"3{sirene}" if len(sirene) == 14 else f"2{sirene}" if len(sirene) == 9 else ""


def _sub(extension: Mapping[str, Any], name: str) -> Any:
    """A sub-extension's value, under any of the value types met in the guide's own examples."""
    for one in _list(extension.get("extension")):
        if isinstance(one, Mapping) and one.get("url") == name:
            for key, value in one.items():
                if key.startswith("value"):
                    if isinstance(value, Mapping):
                        coding = _list(value.get("coding")) or [value]
                        return coding[0].get("code")
                    return value
    return None


def mailboxes_of(
    resource: Mapping[str, Any], confidence: Confidence, structure: str | None = None
) -> Iterator[Mailbox]:
    """The secure mailboxes of a resource; an ordinary e-mail address is not one."""
    for contact in _list(resource.get("telecom")):
        if not isinstance(contact, Mapping) or contact.get("system") != "email" or not contact.get("value"):
            continue
        kind, secure, red = "", False, False
        for extension in _list(contact.get("extension")):
            url = str(extension.get("url") or "") if isinstance(extension, Mapping) else ""
            if url.endswith(_EMAIL_TYPE):
                secure = secure or (extension.get("valueCoding") or {}).get("code") == "MSSANTE"
            elif url.endswith(_MAILBOX):
                kind = str(_sub(extension, "type") or "")
                red = bool(_sub(extension, "listeRouge"))
        if secure:
            yield Mailbox(
                address=str(contact["value"]),
                kind=kind or {"structure": "ORG"}.get(confidence.value, "PER"),
                confidence=confidence,
                structure=structure,
                red_list=red,
                rank=int(contact.get("rank") or 99),
            )


def read_bundle(bundle: Mapping[str, Any]) -> list[DirectoryEntry]:
    """The practitioners (with their places) and the structures of a search answer."""
    resources = [
        entry["resource"]
        for entry in _list(bundle.get("entry"))
        if isinstance(entry, Mapping) and isinstance(entry.get("resource"), Mapping)
    ]
    by_reference = {f"{r.get('resourceType')}/{r.get('id')}": r for r in resources}
    roles: dict[str, list[Mapping[str, Any]]] = {}
    for role in resources:
        if role.get("resourceType") == "PractitionerRole":
            reference = str((role.get("practitioner") or {}).get("reference") or "")
            roles.setdefault(reference, []).append(role)
    out: list[DirectoryEntry] = []
    for resource in resources:
        kind = resource.get("resourceType")
        if kind == "Practitioner":
            out.append(_practitioner(resource, roles.get(f"Practitioner/{resource.get('id')}", []), by_reference))
        elif kind == "Organization" and not roles:
            out.append(_organization(resource))
    return out


def _organization(resource: Mapping[str, Any]) -> DirectoryEntry:
    identifier = _identifier(resource, structure=True)
    return DirectoryEntry(
        id=identifier,
        name=str(resource.get("name") or ""),
        active=resource.get("active") is not False,
        mailboxes=tuple(mailboxes_of(resource, Confidence.STRUCTURE, identifier)),
    )


def _practitioner(
    resource: Mapping[str, Any], roles: Sequence[Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]]
) -> DirectoryEntry:
    names = _list(resource.get("name"))
    name = names[0] if names and isinstance(names[0], Mapping) else {}
    places: list[Place] = []
    boxes = list(mailboxes_of(resource, Confidence.PERSON))
    for role in roles:
        organization = known.get(str((role.get("organization") or {}).get("reference") or ""), {})
        structure = _identifier(organization, structure=True)
        codes = [
            coding.get("code", "")
            for concept in _list(role.get("code"))
            for coding in _list(concept.get("coding"))
            if "TRE_G15" in str(coding.get("system") or "")
        ]
        if structure:
            places.append(
                Place(
                    structure=structure,
                    name=str(organization.get("name") or ""),
                    profession=codes[0] if codes else "",
                    active=role.get("active") is not False,
                )
            )
        boxes += mailboxes_of(role, Confidence.PLACE, structure or None)
        if organization:
            boxes += mailboxes_of(organization, Confidence.STRUCTURE, structure or None)
    given = " ".join(str(g) for g in _list(name.get("given")))
    return DirectoryEntry(
        id=_identifier(resource, structure=False),
        name=f"{given} {name.get('family') or ''}".strip(),
        active=resource.get("active") is not False,
        places=tuple(places),
        mailboxes=tuple(boxes),
    )
