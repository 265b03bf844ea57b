"""The French sentence of a posology, made from its structure: what the patient and the pharmacist read.

The structure is said, never interpreted: every 8 hours stays every 8 hours, whatever that makes in a day.
"""

from __future__ import annotations

from datetime import date

from mappings.document.medication import AfterEvent, Dosage, Every, Medication, Posology, PosologyMode
from mappings.document.values import Quantity
from mappings.rendering.words import (
    amount,
    clock,
    date_text,
    number,
    period_text,
    quantity_range,
    ratio_text,
    table,
)

__all__ = ["dosage_sentence", "made_sentence", "sentence"]

NOT_SAID = "Posologie non précisée"

#: CI-SIS names of the modes (eP-MED-DM 4.1), as they open the list of steps.
_MODES = {
    PosologyMode.TAPERED: "Doses progressives",
    PosologyMode.SPLIT: "Doses fractionnées",
    PosologyMode.CONDITIONAL: "Doses conditionnelles",
    PosologyMode.COMBINATION: "Doses combinées",
}
_WEEKDAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
# Words with which a condition already reads as one.
_CONDITION_WORDS = (
    "si ", "s'", "s’", "en cas", "en fonction", "selon", "lors", "lorsqu", "quand", "uniquement", "seulement", "sauf",
    "au besoin", "à la demande", "dès", "tant que", "jusqu", "pour ", "avant ", "après ", "pendant ", "à partir",
)  # fmt: skip


def sentence(posology: Posology, medication: Medication | None = None) -> str:
    """The sentence people read: the prescriber's own words when given, else made from the structure.

    ``medication`` gives the word for a dose that has only a number (its form: comprimé, gélule...).
    """
    return posology.text or made_sentence(posology, medication)


def made_sentence(posology: Posology, medication: Medication | None = None) -> str:
    """The sentence made from the structure alone, whatever the words given."""
    parts: list[str] = []
    if posology.dosage is not None:
        said = dosage_sentence(posology.dosage, medication)
        if said:
            parts.append(said)
    if posology.steps:
        parts.append(f"{_MODES.get(posology.mode, 'Étapes')} : {_steps(posology, medication)}")
    if posology.deferred_start:
        parts.append("Début différé, à une date à préciser")
    return ". ".join(parts) or NOT_SAID


def _steps(posology: Posology, medication: Medication | None) -> str:
    """The steps with their ranks; those of one rank are taken together, and need none when there is no other."""
    groups: dict[int, list[str]] = {}
    for rank, step in enumerate(posology.steps, 1):
        said = dosage_sentence(step, medication) or NOT_SAID.lower()
        groups.setdefault(step.sequence or rank, []).append(said)
    if len(groups) == 1:
        return " ; ".join(next(iter(groups.values())))
    joint = " ; puis " if posology.mode is PosologyMode.TAPERED else " ; "
    return joint.join(f"{rank}) {' ; et '.join(said)}" for rank, said in groups.items())


def dosage_sentence(dosage: Dosage, medication: Medication | None = None) -> str:
    """One instruction: how much, when, how, for how long, on what condition, at most how much."""
    if dosage.text:
        return dosage.text
    head = " ".join(part for part in (_dose(dosage, medication), _when(dosage)) if part)
    parts = [head.rstrip(",")] if head else []
    if dosage.route is not None:
        known = table()["routes"].get(dosage.route.code)
        label = dosage.route.display or dosage.route.code
        parts.append(
            known or (f"par {label[0].lower()}{label[1:]}" if label.startswith("Voie ") else f"voie : {label}")
        )
    if dosage.site is not None:
        parts.append(f"site : {dosage.site.label}")
    if dosage.rate is not None:
        parts.append(f"débit : {quantity_range(dosage.rate)}")
    if dosage.duration is not None:
        parts.append(f"pendant {amount(dosage.duration)}")
    if dosage.period is not None and (extent := period_text(dosage.period)):
        parts.append(extent)
    if dosage.condition:
        parts.append(_condition(dosage.condition))
    if dosage.maximum is not None:
        parts.append(f"sans dépasser {ratio_text(dosage.maximum)}")
    return ", ".join(parts)


def _condition(words: str) -> str:
    if words.lower().startswith(_CONDITION_WORDS):
        return words[0].lower() + words[1:]
    return f"si besoin : {words}"


def _dose(dosage: Dosage, medication: Medication | None) -> str:
    if dosage.dose is None:
        return ""
    low, high = dosage.dose.low, dosage.dose.high
    if low.unit == high.unit == "1" and not (low.display or high.display):
        form = medication.form if medication else None
        known = table()["words"].get(form.code) if form else None
        display = str(known[0]) if known else form.display if form else None
        if display is None:
            # A count without a word: said as a count, for "unité" would read as international units.
            extent = number(low.value) if low.value == high.value else f"{number(low.value)} à {number(high.value)}"
            return f"dose : {extent},"
        low, high = (Quantity(value=q.value, unit="1", display=display) for q in (low, high))
        return quantity_range(dosage.dose.model_copy(update={"low": low, "high": high}))
    return quantity_range(dosage.dose)


# -- when -----------------------------------------------------------------------------------------------------------


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} et {words[-1]}"


def _when(dosage: Dosage) -> str:
    every = [t for t in dosage.timing if isinstance(t, Every)]
    events = [t for t in dosage.timing if isinstance(t, AfterEvent)]
    phrases: list[str] = []
    # Several instants of one interval read as one: every day at 8, 12 and 18.
    groups: dict[tuple[str, str], list[Every]] = {}
    for timing in every:
        key = (str(timing.period.value.normalize()), timing.period.unit) if timing.period else ("", "")
        groups.setdefault(key, []).append(timing)
    for group in groups.values():
        phrases.append(_interval(group))
    if events:
        phrases.append(_and([_with_words(_event(timing), timing.text) for timing in events]))
    return ", ".join(phrase for phrase in phrases if phrase)


def _with_words(made: str, words: str | None) -> str:
    """What the structure says, and the sender's words beside it when they say more or something else."""
    if not words:
        return made
    a, b = made.casefold(), words.casefold()
    if a in b:
        return words
    return made if b in a else f"{made} ({words})"


def _interval(group: list[Every]) -> str:
    period = group[0].period
    head = _every(period) if period else ""
    instants = list(dict.fromkeys(_instant(timing.at, period) for timing in group if timing.at))
    made = " ".join(part for part in (head, _and(instants) if instants else "") if part)
    words = list(dict.fromkeys(timing.text for timing in group if timing.text))
    return _with_words(made, " ; ".join(words)) if words else made


def _every(period: Quantity) -> str:
    known = table()["time"].get(period.unit)
    if known is None:
        return f"toutes les {amount(period)}"
    one, many, gender = known
    all_the = "toutes les" if gender == "f" else "tous les"
    if period.value == 1:
        return f"{all_the} {many}"
    return f"{all_the} {number(period.value)} {many if period.value >= 2 else one}"


def _instant(at: str, period: Quantity | None) -> str:
    time = clock(at)
    if len(at) < 10:
        return f"à partir de {date_text(at)}"
    unit = period.unit if period else ""
    if period is None:
        return f"à {time}" if time else f"le {date_text(at)}"
    if unit == "wk":
        day = f"le {_WEEKDAYS[date.fromisoformat(at[:10]).weekday()]}"
        said = f"{day} à {time}" if time else day
        return said if period.value == 1 else f"{said}, à partir du {date_text(at)}"
    if unit == "mo":
        day = f"le {int(at[8:10])}"
        said = f"{day} à {time}" if time else day
        return said if period.value == 1 else f"{said}, à partir du {date_text(at)}"
    if unit == "d" and period.value == 1 and time:
        return f"à {time}"
    if unit in ("h", "min") and time:
        return f"à partir de {time}"
    return f"à partir du {date_text(at)}" + (f" à {time}" if time else "")


def _event(timing: AfterEvent) -> str:
    where, what = table()["events"][timing.event]
    offset = timing.offset
    if offset is None or offset.value == 0:
        return f"{where} {what}"
    span = amount(Quantity(value=abs(offset.value), unit=offset.unit, display=offset.display))
    if where in ("avant", "après"):
        return f"{span} {where} {what}"
    side = "avant" if offset.value < 0 else "après"
    if where == "au":
        return f"{span} {side} le {what}"
    if where == "pendant":
        return f"{span} {side} le début du repas ({where} {what})"
    return f"{where} {what}, {span} {side} le début de cet intervalle"
