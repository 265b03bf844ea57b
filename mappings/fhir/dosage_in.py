"""Dosages of R4 read as a posology: structured where CI-SIS can say it, in French words always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from conformance.verdict import Rule, Severity, Text
from mappings.document.medication import Dosage, Medication, Posology, PosologyMode
from mappings.document.values import Code, Concept, Quantity, QuantityRange, Ratio
from mappings.fhir.dosage_out import DEFERRED, MODES
from mappings.fhir.names import URI_SYSTEM
from mappings.fhir.node import Node
from mappings.fhir.source import Source
from mappings.fhir.timing_in import ReadTiming, read_timing
from mappings.fhir.values_in import code, codings, concept, concept_of, quantity, quantity_range, ratio
from mappings.rendering.posology import dosage_sentence, made_sentence
from mappings.rendering.words import amount
from mappings.rendering.words import quantity_range as range_words

__all__ = ["ReadPosology", "read_posology"]

_MODES: Final = {f"urn:oid:{oid}": mode for mode, oid in MODES.items()}
_DEFERRED: Final = f"urn:oid:{DEFERRED}"
_TEXT_ONLY = Text(
    "CI-SIS n'a pas de forme pour cet élément de posologie : il reste dans le texte.",
    "CI-SIS has no form for this part of the posology: it stays in words.",
)
NO_UNIT: Final = Rule(
    code="FHIR-READ-044",
    message=Text(
        "La dose est un nombre sans unité, et rien ne dit de quoi : ni l'unité, ni la forme du médicament.",
        "The dose is a number without unit, and nothing says of what: neither the unit nor the form of the medicine.",
    ),
    fix=Text("Donnez l'unité de la dose, ou la forme du médicament.", "Give the unit of the dose, or the form."),
    source="HL7 FHIR R4, Dosage; mapping-cda-fhir 4",
    severity=Severity.WARNING,
)
#: Statements of a Dosage that a hub Dosage holds; a Dosage with none of them is only words.
_STRUCTURE: Final = ("period", "duration", "timing", "route", "site", "dose", "rate", "maximum", "condition")


@dataclass(slots=True)
class _Step:
    """One Dosage read."""

    node: Node
    stem: str
    members: dict[str, Any]
    text: str | None
    words: list[str] = field(default_factory=list)

    @property
    def structured(self) -> bool:
        return any(self.members.get(name) for name in _STRUCTURE)


@dataclass(slots=True)
class ReadPosology:
    """A posology, what is told beside it, and the words of what has no structure."""

    posology: Posology | None
    instruction: str | None = None  #: what the patient is told (additionalInstruction, patientInstruction)
    text_only: tuple[str, ...] = ()  #: parts of the dosage that stay in words


def _words(source: Source, place: str, said: str, step: list[str]) -> None:
    if said:
        step.append(said)
        source.log.text_only(place, "Dosage", _TEXT_ONLY)


def _route(source: Source, node: Node, words: list[str]) -> Code | None:
    value = node.raw("route")
    if value is None:
        return None
    place = f"{node.place}/route"
    found = codings(value, place)
    for i, item in enumerate(found):
        if (read := code(item, f"{place}/coding/{i}")) is not None:
            text = value.get("text")
            return read if read.display or not isinstance(text, str) else read.model_copy(update={"display": text})
    text = value.get("text") or next((c.get("display") for c in found if type(c) is dict), None)
    if isinstance(text, str):
        _words(source, place, text, words)
    return None


def _as_needed(source: Source, node: Node) -> str | None:
    if node.flag("asNeededBoolean"):
        return "si besoin"
    value = concept(source.log, node, "asNeededCodeableConcept")
    return value.label if value is not None else None


def _fixed(value: Quantity | None) -> QuantityRange | None:
    return QuantityRange.fixed(value) if value is not None else None


def _per_one(value: Ratio) -> Quantity | None:
    """A rate for one unit of time as one quantity (400 ug for 1 min is 400 ug/min): exact, or nothing."""
    top, bottom = value.numerator, value.denominator
    if bottom.value != 1 or any("{" in u or u.isdigit() for u in (top.unit, bottom.unit)):
        return None
    shown = f"{top.display or top.unit}/{bottom.display or bottom.unit}" if top.display or bottom.display else None
    return Quantity(value=top.value, unit=f"{top.unit}/{bottom.unit}", display=shown)


def _amounts(source: Source, node: Node, members: dict[str, Any], words: list[str]) -> None:
    """Dose and rate: the one ordered when several are given (a calculated dose beside)."""
    items = node.nodes("doseAndRate")
    chosen = next((i for i in items if _kind(i) == "ordered"), items[0] if items else None)
    for item in items:
        item.use("type", "id")
        dose = quantity_range(item, "doseRange") or _fixed(quantity(item, "doseQuantity"))
        rate = quantity_range(item, "rateRange") or _fixed(quantity(item, "rateQuantity"))
        extent = item.node("doseRange") if dose is None and item.value.get("doseRange") else None
        if extent is not None:
            low, high = quantity(extent, "low"), quantity(extent, "high")
            said = f"au moins {amount(low)}" if low else f"au maximum {amount(high)}" if high else ""
            _words(source, f"{item.place}/doseRange", said, words)
        over = ratio(item, "rateRatio")
        if over is not None and rate is None:
            rate = _fixed(_per_one(over))
            if rate is None:
                said = f"débit : {amount(over.numerator)} en {amount(over.denominator)}"
                _words(source, f"{item.place}/rateRatio", said, words)
        for extra in item.nodes("extension"):
            extra.use("url")
            said = _extension_words(extra)
            if said:
                _words(source, extra.place, said, words)
        if item is chosen:
            members["dose"], members["rate"] = dose, rate
        else:
            for value in (dose, rate):
                if value is not None:
                    kind = {"calculated": "dose calculée"}.get(_kind(item), "autre dose")
                    _words(source, item.place, f"{kind} : {range_words(value)}", words)


def _kind(item: Node) -> str:
    value = item.value.get("type")
    found = value.get("coding") if type(value) is dict else None
    first = found[0] if type(found) is list and found and type(found[0]) is dict else {}
    return str(first.get("code", ""))


def _extension_words(node: Node) -> str:
    """What a person can read in an extension of a dose."""
    for key, value in node.value.items():
        if not key.startswith("value") or type(value) is not dict:
            continue
        node.use(key)
        if isinstance(value.get("text"), str):
            return str(value["text"])
        found = value.get("coding")
        first = found[0] if type(found) is list and found and type(found[0]) is dict else value
        shown = first.get("display") or first.get("reference")
        if isinstance(shown, str) and not shown.startswith("#"):
            return shown
    return ""


def _maxima(source: Source, node: Node, members: dict[str, Any], words: list[str]) -> None:
    members["maximum"] = ratio(node, "maxDosePerPeriod")
    raw = node.value.get("maxDosePerPeriod")
    if members["maximum"] is None and type(raw) is dict:
        part = node.node("maxDosePerPeriod")
        top = quantity(part, "numerator") if part is not None else None
        if top is not None and part is not None:
            _words(source, part.place, f"maximum {amount(top)}", words)
    for key, after in (("maxDosePerAdministration", "par prise"), ("maxDosePerLifetime", "pour toute la vie")):
        most = quantity(node, key)
        if most is not None:
            _words(source, f"{node.place}/{key}", f"maximum {amount(most)} {after}", words)


def _instructions(source: Source, node: Node) -> list[str]:
    said = []
    value = node.raw("additionalInstruction")
    for i in range(len(value) if type(value) is list else 0):
        read: Concept | None = concept_of(source.log, value[i], f"{node.place}/additionalInstruction/{i}")
        if read is not None:
            said.append(read.label)
    patient = node.text("patientInstruction")
    if patient is not None and patient not in said:
        said.append(patient)
    return said


def _step(source: Source, node: Node, day: str | None) -> _Step:
    words: list[str] = []
    timing: ReadTiming = read_timing(node.node("timing"), day)
    for place, said in timing.words:
        _words(source, place, said, words)
    members: dict[str, Any] = {
        "sequence": node.integer("sequence"),
        "period": timing.period,
        "duration": timing.duration,
        "timing": timing.timing,
        "condition": _as_needed(source, node),
        "site": concept(source.log, node, "site"),
        "route": _route(source, node, words),
    }
    node.use("method")
    method = node.value.get("method")
    if method is not None:
        read = concept(source.log, node, "method")
        if read is not None:
            _words(source, f"{node.place}/method", read.label, words)
    _amounts(source, node, members, words)
    _maxima(source, node, members, words)
    key = node.value.get("id")
    stem = key.split(".")[0] if isinstance(key, str) else ""
    return _Step(node, stem, members, node.text("text"), words)


def _joined(steps: list[_Step]) -> list[_Step]:
    """Dosages that our writer split because their times combine, put together again by their element ids."""
    out: list[_Step] = []
    for step in steps:
        if out and step.stem and step.stem == out[-1].stem and not step.words and not step.text:
            out[-1].members["timing"] += step.members["timing"]
        else:
            out.append(step)
    return out


def _tags(resource: Node) -> tuple[PosologyMode | None, bool]:
    mode, deferred = None, False
    for system, symbol, _ in resource.tags():
        if system == URI_SYSTEM:
            mode = _MODES.get(symbol, mode)
            deferred = deferred or symbol == _DEFERRED
    return mode, deferred


def _derived_mode(steps: list[_Step]) -> PosologyMode:
    """The mode of steps that no tag names (mapping 4: from the number of Dosages and asNeeded)."""
    if len(steps) < 2:
        return PosologyMode.NORMAL
    ranks = [s.members["sequence"] for s in steps]
    if None not in ranks and len(set(ranks)) > 1:
        return PosologyMode.TAPERED
    if len({s.members["condition"] for s in steps}) > 1:
        return PosologyMode.CONDITIONAL
    return PosologyMode.SPLIT


def _spoken(step: _Step, instructions: Sequence[str], medication: Medication) -> str:
    """The words of one step: its own text, else what the structure and the rest say."""
    if step.text:
        return step.text
    parts = [dosage_sentence(Dosage(**step.members), medication)] if step.structured else []
    said = ", ".join(p for p in (*parts, *step.words) if p)
    for words in instructions:
        # An instruction that starts as a sentence is one: it does not go on from the dose.
        begins = words[:1].isupper() and not said.endswith((".", "!"))
        said = f"{said}{'. ' if begins else ', '}{words}" if said else words
    return said


def _dosage(source: Source, step: _Step, said: str) -> Dosage:
    members = dict(step.members)
    members["text"] = said if step.words and not step.text else step.text
    return source.attempt(lambda: Dosage(**members), step.node)


def read_posology(
    source: Source, resource: Node, key: str, rendered: str, medication: Medication, *, day: str | None = None
) -> ReadPosology:
    """Read the Dosages of a resource. ``rendered`` names the extension that may hold the whole sentence."""
    read = _read_posology(source, resource, key, rendered, medication, day)
    if read.posology is not None and read.posology.unsaid_unit(medication):
        source.findings.append(NO_UNIT.finding(f"{resource.place}/{key}"))
    return read


def _read_posology(
    source: Source, resource: Node, key: str, rendered: str, medication: Medication, day: str | None
) -> ReadPosology:
    whole = resource.extension(rendered)
    sentence = None
    if whole is not None:
        sentence = whole.text("valueMarkdown") or whole.text("valueString")
    items = resource.nodes(key)
    told: list[list[str]] = []
    steps: list[_Step] = []
    for item in items:
        told.append(_instructions(source, item))
        steps.append(_step(source, item, day))
    spoken_all = [_spoken(step, told[i], medication) for i, step in enumerate(steps)]
    by_node = {id(step.node): spoken_all[i] for i, step in enumerate(steps)}
    several = len(steps)
    steps = _joined(steps)
    mode, deferred = _tags(resource)
    instruction = _instruction(told)
    text_only = tuple(w for step in steps for w in step.words)
    kept = [s for s in steps if s.structured or s.text or s.words]
    if not kept:
        if sentence is None and not instruction:
            return ReadPosology(None, None, ())
        if sentence is None:
            return ReadPosology(None, instruction, ())
        return ReadPosology(Posology(text=sentence, deferred_start=deferred), instruction, ())
    if mode is None:
        mode = _derived_mode(kept)
    main = next((s for s in kept if s.stem == "main"), None)
    if mode is PosologyMode.NORMAL:
        main, others = kept[0], kept[1:]
        if others:
            mode = PosologyMode.SPLIT
            main = None
    if mode is not PosologyMode.NORMAL and main is not None and len(kept) == 1:
        mode = PosologyMode.NORMAL
    if mode is PosologyMode.NORMAL and main is None:
        main = kept[0]
    if mode is PosologyMode.NORMAL and main is not None:
        return _normal(source, main, sentence, instruction, text_only, medication, deferred, by_node[id(main.node)])
    parts = [s for s in kept if s is not main]
    made = tuple(_dosage(source, s, by_node[id(s.node)]) for s in parts)
    head = _dosage(source, main, by_node[id(main.node)]) if main is not None else None
    posology = Posology(mode=mode, deferred_start=deferred, text=sentence, dosage=head, steps=made)
    if sentence is None:
        told_once = several == len(steps)
        said = made_sentence(posology, medication) if told_once else " ; ".join(s for s in spoken_all if s)
        if text_only or any(told):
            said = " ; ".join(s for s in spoken_all if s)
        posology = posology.model_copy(update={"text": said})
    return ReadPosology(posology, instruction, text_only)


def _instruction(told: list[list[str]]) -> str | None:
    seen: list[str] = []
    for said in told:
        seen.extend(word for word in said if word not in seen)
    return " ; ".join(seen) or None


def _normal(
    source: Source,
    step: _Step,
    sentence: str | None,
    instruction: str | None,
    text_only: tuple[str, ...],
    medication: Medication,
    deferred: bool,
    spoken: str,
) -> ReadPosology:
    if not step.structured:
        said = sentence or spoken
        return ReadPosology(Posology(text=said, deferred_start=deferred), instruction, text_only)
    dosage = _dosage(source, step, spoken)
    text = sentence or step.text
    if text is None:
        text = spoken if step.words or instruction else None
        text = text or made_sentence(Posology(dosage=dosage, deferred_start=deferred), medication)
    if dosage.text == text:
        dosage = dosage.model_copy(update={"text": None})
    posology = Posology(dosage=dosage, text=text, deferred_start=deferred)
    return ReadPosology(posology, instruction, text_only)
