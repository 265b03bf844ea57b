"""What a CDA can hold of a document: the reviewed table of its differences with the hub.

Rows that lose something come first and are what the writer reports; the others say how a default is made explicit or
how a value is spelt.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from conformance.verdict import Text
from mappings.cda.build import derived_id
from mappings.cda.header_write import main_act_code
from mappings.cda.medication_write import main_code
from mappings.cda.missing import keeper
from mappings.cda.people_write import address_parts
from mappings.cda.plans import plan_of
from mappings.cda.prescription_write import TA_ASIP
from mappings.cda.summary_projection import FORMS as SUMMARY_FORMS
from mappings.cda.summary_projection import LOSSES as SUMMARY_LOSSES
from mappings.document.base import Part
from mappings.document.header import Act, Authentication, Visibility
from mappings.document.medication import Dosage, Every, Medication
from mappings.document.people import IdentityStatus, Organization
from mappings.document.values import Address, Code, Concept, Period
from mappings.loss import Fate
from mappings.projection import Form, Row, Table, Where

__all__ = ["TABLE"]

PRESCRIPTION = frozenset({"prescription"})
DISPENSATION = frozenset({"dispensation"})


def _constant(value: Any) -> Any:
    return lambda _value, _where: value


_POSOLOGIES = (
    ("lines.*.posology", PRESCRIPTION),
    ("lines.*.changed_posology", DISPENSATION),
    ("treatments.entries.*.posology", frozenset({"medical_summary"})),
)
_DOSAGES = tuple((f"{path}.{part}", kinds) for path, kinds in _POSOLOGIES for part in ("dosage", "steps.*"))

# --- What is lost ---------------------------------------------------------------------------------

_LOSSES = (
    Row(
        path="visibility",
        becomes=_constant(Visibility()),
        fate=Fate.LOST,
        reason=Text(
            "La visibilité appartient aux métadonnées XDS, pas au CDA.",
            "Visibility is in XDS metadata, not in the CDA.",
        ),
    ),
    Row(
        path="patient.ins",
        becomes=lambda value, where: value if where.parent.qualified else None,
        fate=Fate.LOST,
        reason=Text(
            "L'INS ne sort que si l'identité est qualifiée.", "The INS leaves only when the identity is qualified."
        ),
    ),
    Row(
        path="patient.status",
        becomes=lambda value, where: (
            IdentityStatus.QUALIFIED if where.document.patient.qualified else IdentityStatus.PROVISIONAL
        ),
        fate=Fate.LOST,
        reason=Text("Le CDA ne dit pas le statut de l'identité.", "The CDA does not tell the identity status."),
    ),
    *(
        Row(
            path=f"patient.{name}",
            becomes=_constant(empty),
            fate=Fate.LOST,
            reason=Text("L'en-tête du CDA n'a pas de place pour ce trait.", "The CDA header has no place for this."),
        )
        for name, empty in (("attributes", ()), ("ins_checked_on", None), ("proof", None))
    ),
    Row(
        path="patient.identifiers",
        becomes=lambda value, _where: tuple(each for each in value if each.extension is not None),
        fate=Fate.LOST,
        reason=Text("Un identifiant de patient a une valeur.", "An identifier of a patient has a value."),
    ),
    *(
        Row(
            path=f"{path}.{name}",
            becomes=lambda value, where: value if where.parent.family is not None else None,
            fate=Fate.LOST,
            reason=Text("Une personne sans nom n'est pas écrite.", "A person without a family name is not written."),
        )
        for path in ("recipients.*", "participants.*")
        for name in ("given", "prefix", "suffix")
    ),
    Row(
        path="recipients.*.organization.practice_setting",
        becomes=_constant(None),
        fate=Fate.LOST,
        reason=Text("Un destinataire n'a pas de cadre d'exercice.", "A recipient has no practice setting."),
    ),
    Row(
        path="custodian.practice_setting",
        becomes=_constant(None),
        fate=Fate.LOST,
        reason=Text(
            "La structure de conservation n'a pas de cadre d'exercice.", "A custodian has no practice setting."
        ),
    ),
    *(
        Row(
            path=f"custodian.{name}",
            becomes=lambda value, _where: value[:1],
            fate=Fate.LOST,
            reason=Text("La structure de conservation en a un au plus.", "A custodian has one at most."),
        )
        for name in ("addresses", "telecoms")
    ),
    Row(
        path="informants.*.related.relation_class",
        becomes=lambda value, _where: "CON" if value == "GUARD" else value,
        fate=Fate.LOST,
        reason=Text("Un informateur n'est pas dit tuteur.", "An informant is not told as a guardian."),
    ),
    Row(
        path="patient.guardian.relation_class",
        becomes=_constant("GUARD"),
        fate=Fate.LOST,
        reason=Text("Le représentant est dit tuteur.", "The representative is told as a guardian."),
    ),
    *(
        Row(
            path=f"{path}.dosage.text",
            becomes=_constant(None),
            fate=Fate.TEXT_ONLY,
            reason=Text(
                "Une ligne a pour mots ceux de sa posologie.", "The words of a line are those of its posology."
            ),
            kinds=kinds,
        )
        for path, kinds in _POSOLOGIES
    ),
    *(
        Row(
            path=f"{path}.timing.*.text",
            becomes=lambda value, where: value if isinstance(where.parent, Every) else None,
            fate=Fate.TEXT_ONLY,
            reason=Text("Un moment de la journée n'a pas de mots propres.", "An event of the day has no words."),
            kinds=kinds,
        )
        for path, kinds in _DOSAGES
    ),
    Row(
        path="lines.*.medication.lot_number",
        becomes=_constant(None),
        fate=Fate.LOST,
        reason=Text("Un produit prescrit n'a pas de lot.", "A prescribed product has no lot."),
        kinds=PRESCRIPTION,
    ),
    Row(
        path="refused",
        becomes=_constant(()),
        fate=Fate.TEXT_ONLY,
        reason=Text(
            "Le modèle eDISP-MED n'a pas d'entrée pour une ligne non délivrée : elle est dite dans le texte.",
            "The eDISP-MED model has no entry for a line not given: it is told in the narrative.",
        ),
        kinds=DISPENSATION,
    ),
)

# --- What is made explicit ------------------------------------------------------------------------


def _legal(value: Authentication | None, where: Where) -> Authentication | None:
    if value is None and (who := where.document.first_professional) is not None:
        value = Authentication(professional=who)
    return value.model_copy(update={"time": value.time or where.document.created_at}) if value is not None else None


def _custodian(value: Organization | None, where: Where) -> Organization | None:
    kept = value or keeper(where.document)
    if kept is None or value is not None:
        return value
    return kept.model_copy(
        update={"practice_setting": None, "addresses": kept.addresses[:1], "telecoms": kept.telecoms[:1]}
    )


def _acts(acts: tuple[Act, ...], where: Where) -> tuple[Act, ...]:
    document = where.document
    others = _moved_marks(document)[0][1:] if document.kind == "prescription" else acts[1:]
    return (acts[0].model_copy(update={"code": main_act_code(document, plan_of(document))}), *others)


def _identified(value: UUID | None, where: Where) -> UUID | None:
    return value or derived_id(where.document.id, where.pointer.removesuffix("/id"))


def _labelled(value: Concept | None, _where: Where) -> Concept | None:
    if value is None or value.text is not None:
        return value
    return value.model_copy(update={"text": value.label})


def _site(value: Concept | None, where: Where) -> Concept | None:
    value = _labelled(value, where)
    if value is not None and value.code is None and value.translations:
        first, *others = value.translations
        value = value.model_copy(update={"code": first, "translations": tuple(others)})
    return value


def _steps(value: tuple[Dosage, ...], _where: Where) -> tuple[Dosage, ...]:
    return tuple(step.model_copy(update={"sequence": step.sequence or i + 1}) for i, step in enumerate(value))


def _no_period(value: Period | None, _where: Where) -> Period | None:
    return value if value is not None and (value.start or value.end) else None


def _moved_marks(document: Any) -> tuple[tuple[Act, ...], tuple[str, ...]]:
    """The acts without the context marks told as acts, and all the marks."""
    kept, marks = [document.acts[0]], list(document.context_marks)
    for act in document.acts[1:]:
        if act.informative and act.code is not None and act.code.system == TA_ASIP and act.period is None:
            marks.append(act.code.code)
        else:
            kept.append(act)
    return tuple(kept), tuple(dict.fromkeys(marks))


def _moved_order(document: Any) -> Any:
    """The order that reads as the prescription answered, when the document does not name one."""
    if document.prescription_id is not None:
        return None
    return next((order for order in document.orders if order.accession_number is None), None)


def _first_order(value: Any, where: Where) -> Any:
    moved = _moved_order(where.document)
    return value if moved is None else moved.id


def _other_orders(value: Any, where: Where) -> Any:
    moved = _moved_order(where.document)
    return tuple(order for order in value if order is not moved)


def _medicines_first(lines: tuple[Any, ...], _where: Where) -> tuple[Any, ...]:
    return tuple(sorted(lines, key=lambda line: line.kind != "medication"))


_FORMS = (
    Row(path="schema_version", becomes=_constant("1.0")),
    Row(path="legal_authenticator", becomes=_legal),
    Row(path="authenticators.*.time", becomes=lambda value, where: value or where.document.created_at),
    Row(path="authors.*.time", becomes=lambda value, where: value or where.document.created_at),
    Row(path="custodian", becomes=_custodian),
    Row(path="acts", becomes=_acts),
    Row(path="acts.*.period", becomes=_no_period),
    Row(path="participants.*.time", becomes=_no_period),
    Row(
        path="patient.deceased",
        becomes=lambda value, where: True if value is None and where.parent.deceased_at is not None else value,
    ),
    Row(
        path="patient.identifiers",
        becomes=lambda value, where: tuple(dict.fromkeys(value)),
    ),
    Row(path="context_marks", becomes=lambda _v, where: _moved_marks(where.document)[1], kinds=PRESCRIPTION),
    Row(path="lines.*.id", becomes=_identified, kinds=PRESCRIPTION | DISPENSATION),
    Row(path="lines.*.motives.*.id", becomes=_identified, kinds=PRESCRIPTION),
    Row(path="lines.*.motives.*.concept", becomes=_labelled, kinds=PRESCRIPTION),
    Row(path="lines.*.renewal_period", becomes=_no_period, kinds=PRESCRIPTION),
    Row(path="lines.*.period", becomes=_no_period, kinds=PRESCRIPTION),
    *(Row(path=f"{path}.site", becomes=_site, kinds=kinds) for path, kinds in _DOSAGES),
    *(Row(path=f"{path}.period", becomes=_no_period, kinds=kinds) for path, kinds in _DOSAGES),
    *(Row(path=f"{path}.steps", becomes=_steps, kinds=kinds) for path, kinds in _POSOLOGIES),
    Row(
        path="lines.*.codes",
        becomes=lambda value, _where: _main_first(value, lambda each: bool(each.system == "1.2.250.1.213.2.68")),
        kinds=PRESCRIPTION,
    ),
    Row(path="lines.*.medication", becomes=lambda value, _where: _medication(value, False), kinds=PRESCRIPTION),
    Row(path="lines.*.medication", becomes=lambda value, _where: _medication(value, True), kinds=DISPENSATION),
    Row(path="lines", becomes=_medicines_first, kinds=PRESCRIPTION),
    Row(path="prescription_id", becomes=_first_order, kinds=DISPENSATION),
    Row(path="orders", becomes=_other_orders, kinds=DISPENSATION),
)


def _main_first(codes: tuple[Code, ...], is_main: Any) -> tuple[Code, ...]:
    main = next((each for each in codes if is_main(each)), None)
    return codes if main is None else (main, *(each for each in codes if each is not main))


def _medication(value: Medication, dispensed: bool) -> Medication:
    """The main code first, and a name: the label that the narrative shows."""
    main = None if value.preparation is not None else main_code(value, dispensed=dispensed)
    changes: dict[str, Any] = {"codes": _main_first(value.codes, lambda each: each is main)}
    if value.name is None and value.preparation is None:
        changes["name"] = value.label
    return value.model_copy(update=changes)


# --- How values are spelt -------------------------------------------------------------------------

_ZULU = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?)Z\Z")
_SPACES = re.compile(r"[ \t\r]+")


def _text(value: str) -> str:
    """One spelling of offset, and no white space that an indented source could not tell from its own."""
    if (match := _ZULU.match(value)) is not None:
        return match[1] + "+00:00"
    if "  " in value or "\t" in value or "\r" in value:
        return "\n".join(_SPACES.sub(" ", line).strip(" ") for line in value.split("\n"))
    return value


def _address(value: Address) -> Address:
    parts = address_parts(value)
    lines = tuple(text for name, text in parts if name not in ("postalCode", "city", "country"))
    return value if lines == value.lines else value.model_copy(update={"lines": lines})


def _contact(value: Any) -> Any:
    """Addresses and telecoms once each, and none that says nothing."""
    changes: dict[str, Any] = {}
    if (found := getattr(value, "addresses", None)) is not None:
        unique = {tuple(address_parts(each)): each for each in reversed(found)}
        kept = tuple(reversed([each for parts, each in unique.items() if parts]))
        ordered = tuple(each for i, each in enumerate(found) if any(each is k for k in kept))
        if ordered != found:
            changes["addresses"] = ordered
    if (found := getattr(value, "telecoms", None)) is not None and len(set(found)) != len(found):
        changes["telecoms"] = tuple(dict.fromkeys(found))
    return value.model_copy(update=changes) if changes else value


TABLE = Table(
    rows=(*_LOSSES, *SUMMARY_LOSSES, *_FORMS, *SUMMARY_FORMS),
    forms=(Form(cls=Address, becomes=_address), Form(cls=Part, becomes=_contact)),
    texts=_text,
)
