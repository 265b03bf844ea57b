"""What a section of a summary says, gathered while it is read: entries, the statement that there are none, words.

What an entry holds beyond the hub model stays as words of the section, and the loss report says so.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from lxml import etree

from conformance.verdict import Text
from mappings.cda.build import V3
from mappings.cda.entries_read import interval_words
from mappings.cda.node import Reader, every, first, flat, local, place, squeeze, template_roots, value_of
from mappings.cda.people_read import name_parts
from mappings.cda.section_plans import ABSENT, NOTHING_SAID, SectionPlan, absence_words
from mappings.document.prescription import Motive
from mappings.document.summary import Absence
from mappings.document.values import Concept, Moment

__all__ = ["COMMENT", "MOST_ENTRIES", "MOST_WORDS", "SectionContent", "statement"]

_Element = etree._Element

#: Bounds of a section in the hub model.
MOST_ENTRIES = 2000
MOST_WORDS = 20000

COMMENT = "1.3.6.1.4.1.19376.1.5.3.1.4.2"
_REASON = "1.3.6.1.4.1.19376.1.5.3.1.4.4.1"

_IN_WORDS = Text(
    "Le modèle n'a pas de place pour cette partie : ses mots sont gardés avec ceux de la section.",
    "The model has no place for this part: its words are kept with those of the section.",
)
_TOO_LONG = Text("Le texte dépasse la longueur admise.", "The text is longer than allowed.")
_TOO_MANY = Text("La section a trop d'entrées.", "The section has too many entries.")

#: What people read before the words of a part that the model does not hold.
_FRENCH = {
    "approachSiteCode": "voie d'abord",
    "author": "auteur",
    "entryRelationship": "précision",
    "informant": "informateur",
    "interpretationCode": "interprétation",
    "methodCode": "méthode",
    "participant": "participant",
    "performer": "réalisé par",
    "priorityCode": "priorité",
    "reference": "référence",
    "referenceRange": "valeurs de référence",
    "targetSiteCode": "localisation",
    "value": "valeur",
}
_REFERENCE = V3 + "reference"
_ID = "ID"
_TABLES = {V3 + "table", V3 + "list"}


class SectionContent:
    """The content of one section, to which its readers add."""

    __slots__ = ("_lines", "absence", "entries", "place", "plan", "reader", "section")

    def __init__(self, reader: Reader, section: _Element, plan: SectionPlan) -> None:
        self.reader = reader
        self.section = section
        self.plan = plan
        self.place = place(section)
        self.entries: list[Any] = []
        self.absence: Absence | None = None
        self._lines: list[str] = []

    # --- entries ---

    def each_entry(self) -> Iterator[tuple[_Element, _Element, str]]:
        """The entries with what each holds and its place, up to the bound of the hub."""
        entries = list(every(self.section, "entry"))
        several = len(entries) > 1
        for index, entry in enumerate(entries):
            where = f"{self.place}/entry[{index + 1}]" if several else f"{self.place}/entry"
            inner = next(entry.iterchildren("{*}*"), None)
            if inner is None:
                continue
            if len(self.entries) >= MOST_ENTRIES:
                self.reader.log.lost(where, "entry", _TOO_MANY, clinical=True)
                continue
            yield entry, inner, where

    def take(self, found: list[Any], entry: _Element, where: str) -> None:
        """Keep what an entry gave; without anything, its words, or say that it is lost."""
        log = self.reader.log
        inner = next(entry.iterchildren("{*}*"), entry)
        name = f"{local(inner)} {' '.join(sorted(template_roots(inner)))}".strip()
        if found:
            self.entries += found
            log.carried(where, name)
            return
        words = self.reader.words(first(inner, "text"))
        if words:
            self._lines.append(words)
            log.text_only(where, name, _IN_WORDS, clinical=True)
        else:
            self.reader.lost(entry, name, clinical=True)

    def says_none(self, coded: _Element | None) -> bool | None:
        """Take a code that says there is nothing: True when it was, None for a partial statement (no known food
        allergy), whose words are kept, False when the code is another one."""
        value = value_of(coded, "code")
        if coded is None or value is None or coded.get("codeSystem") != ABSENT:
            return False
        for absence in Absence:
            said = self.plan.absence_code(absence)
            if said is not None and said.code == value:
                self.absence = absence
                return True
        return None

    @property
    def created_at(self) -> Moment | None:
        """The date of the document, for what must have one."""
        return self.reader.moment(first(self.reader.root, "effectiveTime"))

    # --- words ---

    def say(self, element: _Element, name: str, words: str) -> None:
        """Keep words as text of the section, and say that no more than that is kept."""
        self._lines.append(words)
        self.reader.log.text_only(place(element), name, _IN_WORDS, clinical=True)

    def rest(self, element: _Element, known: frozenset[str], label: str | None) -> None:
        """Account for the children of an entry that its reader does not take."""
        tags = _tags(known)
        for child in element.iterchildren(tag=etree.Element):
            if child.tag not in tags and local(child) not in known:
                self.unheld(child, label)

    def unheld(self, element: _Element, label: str | None, name: str | None = None) -> None:
        """Keep as text what the model has no place for; lost when it has no words."""
        tag = local(element)
        if element.get("nullFlavor") is not None and len(element) == 0:
            return
        words = self._words(element)
        if words is None:
            self.reader.lost(element, name or tag, clinical=True)
            return
        said = _FRENCH.get(tag)
        lead = " ".join(part for part in (label, f"({said})" if said and tag != "entryRelationship" else None) if part)
        self.say(element, name or tag, f"{lead} : {words}" if lead else words)

    def _words(self, element: _Element) -> str | None:
        reader = self.reader
        tag = local(element)
        if tag == "entryRelationship":
            inner = next((each for each in element.iterchildren("{*}*") if local(each) != "sequenceNumber"), None)
            return self._words(inner) if inner is not None else None
        if tag in ("author", "performer", "informant", "participant"):
            return _person(element)
        if tag == "referenceRange":
            bounds = element.find("{*}observationRange/{*}value")
            return interval_words(bounds) if bounds is not None else None
        if tag == "reference":
            return value_of(element.find(f".//{V3}text/{_REFERENCE}"))
        words = reader.words(first(element, "originalText")) or reader.words(first(element, "text"))
        if words:
            return words
        for coded in (element, first(element, "value"), first(element, "code")):
            if coded is not None and (label := squeeze(coded.get("displayName")) or coded.get("code")):
                return label
        return squeeze(element.get("value")) or (flat(element) if len(element) == 0 else None)

    def comment(self, relationship: _Element) -> str | None:
        """The words of a comment (FR-Commentaire-ER); None when the relationship is another one."""
        act = first(relationship, "act")
        if act is None or COMMENT not in template_roots(act):
            return None
        return self.reader.words(first(act, "text"))

    def motive(self, relationship: _Element) -> Motive | None:
        """The reason of an entry (FR-Reference-interne); None when the relationship is another one."""
        act = first(relationship, "act")
        if act is None or _REASON not in template_roots(act):
            return None
        reader = self.reader
        identifier, concept = reader.uuid(first(act, "id")), reader.concept(first(act, "code"))
        return Motive(id=identifier, concept=concept) if identifier is not None or concept is not None else None

    def labelled(self, coded: _Element | None, text: _Element | None = None) -> Concept | None:
        """A concept; without words of its own, those of the entry."""
        words = self.reader.words(text) if text is not None else None
        return self.reader.concept(coded, text=words) if coded is not None else _concept(words)

    # --- the whole ---

    def text(self) -> str | None:
        """The words beside the entries, or all of them when there is no entry."""
        element = first(self.section, "text")
        pieces: list[str] = []
        if element is not None:
            pieces = self._beside(element)
        text = "\n".join(piece for piece in (*pieces, *self._lines) if piece)
        return self.bounded(text)

    def bounded(self, text: str | None) -> str | None:
        """Words within the bound of the hub; what is beyond is reported."""
        if text is not None and len(text) > MOST_WORDS:
            self.reader.log.lost(f"{self.place}/text", "text", _TOO_LONG, clinical=True)
            text = text[:MOST_WORDS]
        return text or None

    def _beside(self, element: _Element) -> list[str]:
        """The pieces of the narrative that no entry refers to; headings of tables are left out."""
        referred = {
            value.removeprefix("#")
            for entry in every(self.section, "entry")
            for each in entry.iter(_REFERENCE)
            if (value := each.get("value"))
        }
        if not referred and not self.entries and self.absence is None:
            words = flat(element)
            return [words] if words and words != NOTHING_SAID else []
        out = []
        if words := squeeze(element.text):
            out.append(words)
        for child in element.iterchildren():
            if isinstance(child.tag, str) and not _referred(child, referred):
                words = flat(child)
                following = child.getnext()
                styled = len(child) > 0 and child[0].get("styleCode") is not None
                heading = words is not None and styled and words.endswith(":")
                if words and not (heading and following is not None and following.tag in _TABLES):
                    out.append(words)
            if tail := squeeze(child.tail):
                out.append(tail)
        return out


@functools.cache
def _tags(names: frozenset[str]) -> frozenset[str]:
    return frozenset(V3 + name for name in names)


def _referred(element: _Element, anchors: set[str]) -> bool:
    if element.get(_ID) in anchors:
        return True
    return any(each.get(_ID) in anchors for each in element.iterdescendants() if each.get(_ID) is not None)


def _concept(words: str | None) -> Concept | None:
    return Concept(text=words) if words else None


def _person(element: _Element) -> str | None:
    """The name of who took part, and of the structure."""
    said = []
    for path in ("assignedPerson", "associatedPerson", "relatedPerson"):
        person = next(element.iter(V3 + path), None)
        names = name_parts(person)
        if names["family"]:
            said.append(" ".join(each for each in (names["given"], names["family"]) if each))
            break
    for path in ("representedOrganization", "scopingOrganization", "playingEntity", "playingDevice"):
        holder = next(element.iter(V3 + path), None)
        name = first(holder, "name") if holder is not None else None
        words = squeeze(name.text) if name is not None else None
        if words:
            said.append(words)
            break
    return ", ".join(said) or None


def statement(plan: SectionPlan, words: str) -> tuple[Absence | None, str | None]:
    """The statement that a text begins with, and the rest of it."""
    for absence in Absence:
        said = absence_words(plan, absence)
        if words == said:
            return absence, None
        if words.startswith(said + "\n"):
            return absence, words[len(said) + 1 :]
    return None, words
