"""Prescription lines of hospital and workflow software (FR ePrescription): MedicationRequests in any Bundle.

Such Bundles have no Composition and mostly no patient; references may be to nothing, ``#id`` may name a sibling entry.
Each line is read as a medicine and a posology: structured where CI-SIS can say it, in French words always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from conformance.verdict import Finding, Text
from mappings.document.medication import Medication, Posology
from mappings.fhir.dosage_in import read_posology
from mappings.fhir.medication_in import medication_of
from mappings.fhir.node import Node
from mappings.fhir.source import Source
from mappings.fhir.values_in import moment
from mappings.loss import LossReport

__all__ = ["PrescribedLine", "WorkflowReading", "read_prescriptions"]

_KINDS: Final = frozenset({"searchset", "collection", "document", "batch", "transaction", "message", "history"})
_DEAD: Final = frozenset({"cancelled", "entered-in-error", "stopped", "draft"})
_DEAD_LINE = Text("Cette ligne est annulée ou n'est qu'un brouillon.", "This line is cancelled or only a draft.")
_NO_POSOLOGY = Text("Cette ligne n'a pas de posologie.", "This line has no posology.")
_NOT_READ = Text("Cet élément de la ligne n'est pas repris.", "This element of the line is not kept.")
#: How these senders begin a note that repeats the whole prescription in words.
_TEXTUAL: Final = "prescription textuelle"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrescribedLine:
    """One medicine prescribed, as far as the gateway can say it."""

    place: str  #: JSON pointer of the MedicationRequest
    medication: Medication
    posology: Posology
    patient_instruction: str | None = None
    text_only: tuple[str, ...] = ()  #: parts of the posology that CI-SIS has no form for, in French

    @property
    def sentence(self) -> str:
        """The whole posology in French, as people read it."""
        return self.posology.text or ""

    @property
    def structured(self) -> dict[str, Any]:
        """The posology as CI-SIS can say it, in the gateway's JSON; empty when only words are known."""
        if not self.posology.structured:
            return {}
        words: Any = {"text": True, "dosage": {"text"}, "steps": {"__all__": {"text"}}}
        kept: dict[str, Any] = _pruned(self.posology.model_dump(mode="json", exclude_none=True, exclude=words))
        return kept if kept.keys() - {"mode"} else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowReading:
    """The lines of a Bundle, what of them is kept in words only or lost, and what is amiss."""

    lines: tuple[PrescribedLine, ...]
    loss: LossReport
    findings: tuple[Finding, ...]


def _pruned(value: Any) -> Any:
    """Plain values without what is empty or false by default."""
    if type(value) is dict:
        pruned = {key: _pruned(item) for key, item in value.items()}
        return {key: item for key, item in pruned.items() if item not in ({}, [], False)}
    if type(value) is list:
        return [_pruned(item) for item in value]
    return value


def read_prescriptions(bundle: Any) -> WorkflowReading:
    """Read every MedicationRequest of a Bundle, or a MedicationRequest alone, given as plain values.

    Raises :class:`UnreadableBundle` for what is not FHIR, breaks a limit or contradicts itself.
    """
    if type(bundle) is dict and bundle.get("resourceType") == "MedicationRequest":
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": bundle}]}
    source = Source(bundle, kinds=_KINDS)
    lines = []
    for node in source.of_kind("MedicationRequest"):
        with source.gather(lambda node=node: node.place):  # type: ignore[misc]
            line = _line(source, node)
            if line is not None:
                lines.append(line)
    if source.faults:
        first = source.faults[0]
        first.others = tuple(source.faults[1:])
        raise first
    return WorkflowReading(lines=tuple(lines), loss=source.log.report(), findings=tuple(source.findings))


def _line(source: Source, node: Node) -> PrescribedLine | None:
    if node.text("status") in _DEAD:
        source.log.lost(node.place, "MedicationRequest", _DEAD_LINE, clinical=True)
        return None
    medication = medication_of(source, node, loose=True)
    written = moment(node, "authoredOn")
    read = read_posology(
        source, node, "dosageInstruction", "rendered-request", medication, day=written[:10] if written else None
    )
    posology = read.posology
    instruction = read.instruction
    if posology is None:
        words = instruction or _noted(node)
        if words is None:
            source.log.lost(node.place, "MedicationRequest", _NO_POSOLOGY, clinical=True)
            return None
        posology, instruction = Posology(text=words), None
    source.log.carried(node.place, "MedicationRequest")
    node.use("intent", "priority", "subject", "encounter", "requester", "identifier", "groupIdentifier", "note")
    node.use("recorder", "supportingInformation", "category", "basedOn", "performer")
    for place in node.leftovers():
        source.log.lost(place, "MedicationRequest", _NOT_READ)
    return PrescribedLine(
        place=node.place,
        medication=medication,
        posology=posology,
        patient_instruction=instruction,
        text_only=_all_words(read.text_only, instruction),
    )


def _all_words(parts: tuple[str, ...], instruction: str | None) -> tuple[str, ...]:
    told = tuple(word for word in (instruction or "").split(" ; ") if word and word not in parts)
    return parts + told


def _noted(node: Node) -> str | None:
    """The prescription in words that these senders put into a note."""
    for note in node.nodes("note"):
        text = note.text("text") or ""
        while text.lower().startswith(_TEXTUAL):
            text = text[len(_TEXTUAL) :].lstrip(" :")
        if text:
            return text
    return None
