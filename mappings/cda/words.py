"""French words for the cells of a narrative: moments, periods, quantities, frequencies.

Short forms for tables; the sentence of a whole posology is made elsewhere.
"""

from __future__ import annotations

from decimal import Decimal

from mappings.document.medication import AfterEvent, Dosage, Every
from mappings.document.values import Moment, Period, Quantity, QuantityRange, Ratio

__all__ = ["amount", "amounts", "duration", "moment", "number", "per", "period", "timing", "unit", "yes_no"]

#: Units of time (UCUM), one and several.
TIME_UNITS = {
    "s": ("seconde", "secondes"),
    "min": ("minute", "minutes"),
    "h": ("heure", "heures"),
    "d": ("jour", "jours"),
    "wk": ("semaine", "semaines"),
    "mo": ("mois", "mois"),
    "a": ("an", "ans"),
}
_FEMININE = {"s", "min", "h", "wk"}

#: Annotated units (UCUM braces) and EDQM packagings often met, when the sender gives no words.
UNITS = {
    "{tablet}": ("comprimé", "comprimés"),
    "{capsule}": ("gélule", "gélules"),
    "{drop}": ("goutte", "gouttes"),
    "{puff}": ("bouffée", "bouffées"),
    "{sachet}": ("sachet", "sachets"),
    "{ampoule}": ("ampoule", "ampoules"),
    "{dose}": ("dose", "doses"),
    "{patch}": ("patch", "patchs"),
    "30009000": ("boîte", "boîtes"),
    "30067000": ("tube", "tubes"),
    "30015500": ("récipient", "récipients"),
}

#: HL7 TimingEvent.
EVENTS = {
    "AC": "avant les repas",
    "ACM": "avant le petit déjeuner",
    "ACD": "avant le déjeuner",
    "ACV": "avant le dîner",
    "C": "au cours des repas",
    "CM": "au petit déjeuner",
    "CD": "au déjeuner",
    "CV": "au dîner",
    "HS": "au coucher",
    "IC": "entre les repas",
    "ICM": "entre le petit déjeuner et le déjeuner",
    "ICD": "entre le déjeuner et le dîner",
    "ICV": "entre le dîner et le coucher",
    "PC": "après les repas",
    "PCM": "après le petit déjeuner",
    "PCD": "après le déjeuner",
    "PCV": "après le dîner",
    "WAKE": "au réveil",
}


def moment(value: Moment) -> str:
    """A date as people write it: 20/11/2026, 11/2026, 2026, with the time when there is one."""
    date = "/".join(reversed(value[:10].split("-")))
    return f"{date} à {value[11:16]}" if len(value) > 10 else date


def period(value: Period) -> str:
    """From when to when."""
    if value.start and value.end:
        return f"du {moment(value.start)} au {moment(value.end)}"
    if value.start:
        return f"à partir du {moment(value.start)}"
    return f"jusqu'au {moment(value.end)}" if value.end else ""


def number(value: Decimal) -> str:
    """A number with a decimal comma."""
    return format(value, "f").replace(".", ",")


def unit(quantity: Quantity) -> str:
    """The unit of a quantity: the sender's words, else ours, else the code."""
    if quantity.display:
        return quantity.display
    if quantity.unit == "1":
        return ""
    known = TIME_UNITS.get(quantity.unit) or UNITS.get(quantity.unit)
    if known:
        return known[1] if abs(quantity.value) >= 2 else known[0]
    return quantity.unit.strip("{}")


def amount(quantity: Quantity) -> str:
    """A quantity: 2 boîtes, 1,5 mL."""
    words = unit(quantity)
    return f"{number(quantity.value)} {words}" if words else number(quantity.value)


def amounts(value: QuantityRange) -> str:
    """A fixed amount, or a low and a high one."""
    if value.low == value.high:
        return amount(value.low)
    return f"{amount(value.low)} à {amount(value.high)}"


def per(value: Ratio) -> str:
    """An amount for an amount: 4 comprimés par jour."""
    denominator = value.denominator
    words = unit(denominator) if denominator.value == 1 else amount(denominator)
    return f"{amount(value.numerator)} par {words or '1'}"


def duration(dosage: Dosage) -> str:
    """How long a treatment lasts."""
    if dosage.period is not None:
        return period(dosage.period)
    return f"pendant {amount(dosage.duration)}" if dosage.duration is not None else ""


def timing(value: Every | AfterEvent) -> str:
    """When a medicine is taken, in the sender's words when there are some."""
    if value.text:
        return value.text
    if isinstance(value, AfterEvent):
        words = EVENTS[value.event]
        return f"{amount(value.offset)} : {words}" if value.offset is not None else words
    parts = []
    if value.period is not None:
        every = "toutes les" if value.period.unit in _FEMININE else "tous les"
        if value.period.value == 1:
            every, count = ("chaque", "")
        else:
            count = f"{number(value.period.value)} "
        parts.append(f"{every} {count}{unit(value.period)}")
    if value.at is not None:
        parts.append(f"à {value.at[11:16]}" if len(value.at) > 10 else f"à compter du {moment(value.at)}")
    return ", ".join(parts)


def yes_no(value: bool) -> str:
    """Oui or Non."""
    return "Oui" if value else "Non"
