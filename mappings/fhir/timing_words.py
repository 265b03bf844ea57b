"""French words for what R4 can say of a dosage and a CI-SIS posology cannot: nothing is left unsaid."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from mappings.rendering.words import number

__all__ = ["WHEN", "clock_words", "days_words", "frequency_words", "time_words", "when_words"]

#: EventTiming of R4 in words, the codes a CI-SIS posology holds among them.
WHEN: Final = {
    "MORN": "le matin",
    "MORN.early": "tôt le matin",
    "MORN.late": "en fin de matinée",
    "NOON": "le midi",
    "AFT": "l'après-midi",
    "AFT.early": "en début d'après-midi",
    "AFT.late": "en fin d'après-midi",
    "EVE": "le soir",
    "EVE.early": "en début de soirée",
    "EVE.late": "en fin de soirée",
    "NIGHT": "la nuit",
    "PHS": "après l'endormissement",
    "HS": "au coucher",
    "WAKE": "au réveil",
    "C": "au moment des repas",
    "CM": "au petit-déjeuner",
    "CD": "au déjeuner",
    "CV": "au dîner",
    "AC": "avant les repas",
    "ACM": "avant le petit-déjeuner",
    "ACD": "avant le déjeuner",
    "ACV": "avant le dîner",
    "PC": "après les repas",
    "PCM": "après le petit-déjeuner",
    "PCD": "après le déjeuner",
    "PCV": "après le dîner",
}
_DAYS: Final = {
    "mon": "lundi",
    "tue": "mardi",
    "wed": "mercredi",
    "thu": "jeudi",
    "fri": "vendredi",
    "sat": "samedi",
    "sun": "dimanche",
}
_UNITS: Final = {
    "s": ("seconde", "secondes", "toutes les"),
    "min": ("minute", "minutes", "toutes les"),
    "h": ("heure", "heures", "toutes les"),
    "d": ("jour", "jours", "tous les"),
    "wk": ("semaine", "semaines", "toutes les"),
    "mo": ("mois", "mois", "tous les"),
    "a": ("an", "ans", "tous les"),
}


def _list(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " et " + words[-1]


def clock_words(times: Sequence[str]) -> str:
    """Times of day: ``à 7 h, 12 h et 18 h 30``."""
    said = []
    for time in times:
        hour, minute = time[:2].lstrip("0") or "0", time[3:5]
        said.append(f"{hour} h" if minute in ("", "00") else f"{hour} h {minute}")
    return f"à {_list(said)}" if said else ""


def days_words(days: Sequence[str]) -> str:
    """Days of the week: ``le lundi et le jeudi``."""
    return _list([f"le {_DAYS.get(day, day)}" for day in days])


def when_words(codes: Sequence[str], offset: int | None = None) -> str:
    """Events of the day, with the delay before or after: ``30 minutes avant le petit-déjeuner``."""
    said = _list([WHEN.get(code, code) for code in codes])
    if offset:
        delay = f"{offset // 60} h" if offset % 60 == 0 else f"{offset} minutes"
        if not said.startswith(("avant", "après")):
            return f"{delay} après : {said}" if said else delay
        return f"{delay} {said}"
    return said


def time_words(value: Decimal, unit: str, top: Decimal | None = None) -> str:
    """A length of time: ``20 minutes``, ``2 à 3 jours``."""
    names = _UNITS.get(unit)
    most = top if top is not None else value
    extent = number(value) if top is None or top == value else f"{number(value)} à {number(top)}"
    if names is None:
        return f"{extent} {unit}"
    return f"{extent} {names[1] if most >= 2 else names[0]}"


def frequency_words(
    frequency: Decimal | None,
    most: Decimal | None,
    period: Decimal | None,
    longest: Decimal | None,
    unit: str | None,
) -> str:
    """How often: ``3 fois par jour``, ``1 à 2 fois par jour``, ``toutes les 6 à 8 heures``."""
    parts = []
    single = frequency is None or frequency == 1
    # A regular interval is said as one: every 6 hours, not 1 time per 6 hours.
    interval = single and most is None and period is not None and (period != 1 or longest is not None)
    if not interval:
        if frequency is not None and most is not None and most != frequency:
            parts.append(f"{number(frequency)} à {number(most)} fois")
        elif most is not None and frequency is None:
            parts.append(f"au maximum {number(most)} fois")
        elif frequency is not None:
            parts.append(f"{number(frequency)} fois")
    if unit is None:
        return " ".join(parts)
    one, many, every = _UNITS.get(unit, (unit, unit, "tous les"))
    if period is None and longest is not None:
        parts.append(f"par période d'au plus {time_words(longest, unit)}")
    elif interval and period is not None:
        top = longest if longest is not None else period
        extent = number(period) if longest is None else f"{number(period)} à {number(longest)}"
        parts.append(f"{every} {extent} {many if top >= 2 else one}")
    elif period is None or period == 1:
        parts.append(f"par {one}")
    else:
        parts.append(f"par période de {time_words(period, unit)}")
    return " ".join(parts)
