"""French words for the cells of a narrative.

The words of the sender stay as given, for the entry refers to them; what the sender did not say is said by
:mod:`mappings.rendering`.
"""

from __future__ import annotations

from mappings.document.medication import AfterEvent, Dosage, Every
from mappings.document.values import Quantity, QuantityRange
from mappings.rendering import words
from mappings.rendering.posology import dosage_sentence, made_sentence
from mappings.rendering.words import moment_text, period_text, ratio_text

__all__ = [
    "amount",
    "amounts",
    "dosage_sentence",
    "duration",
    "made_sentence",
    "moment_text",
    "period_text",
    "ratio_text",
    "timing",
    "yes_no",
]


def amount(quantity: Quantity) -> str:
    """A quantity, its unit in the sender's own words: the reader takes them back from there."""
    if quantity.display:
        return f"{format(quantity.value, 'f').replace('.', ',')} {quantity.display}"
    return words.amount(quantity)


def amounts(value: QuantityRange) -> str:
    """A fixed amount, or a low and a high one."""
    if value.low == value.high:
        return amount(value.low)
    return f"{amount(value.low)} à {amount(value.high)}"


def duration(dosage: Dosage) -> str:
    """How long a treatment lasts."""
    if dosage.period is not None:
        return period_text(dosage.period)
    return f"pendant {words.amount(dosage.duration)}" if dosage.duration is not None else ""


def timing(value: Every | AfterEvent) -> str:
    """When a medicine is taken: the sender's words when there are some."""
    return value.text or dosage_sentence(Dosage(timing=(value,)))


def yes_no(value: bool) -> str:
    """Oui or Non."""
    return "Oui" if value else "Non"
