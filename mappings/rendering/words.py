"""French words for values of a document: amounts, dates, people, addresses. Exact: nothing is rounded or converted."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from importlib import resources
from typing import Any

from mappings.document.people import Organization, Patient, Professional, Sex
from mappings.document.values import Address, Period, Quantity, QuantityRange, Ratio, Telecom

__all__ = [
    "address_lines",
    "amount",
    "clock",
    "date_text",
    "identity_name",
    "moment_text",
    "number",
    "period_text",
    "person_name",
    "professional_id",
    "quantity_range",
    "ratio_text",
    "sex_text",
    "structure_id",
    "table",
    "telecom_text",
    "unit_word",
]


@functools.cache
def table(name: str = "posology-fr") -> dict[str, Any]:
    """A dated table of words shipped with the package."""
    text = resources.files("mappings.rendering.data").joinpath(f"{name}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@functools.cache
def _by_word() -> dict[str, tuple[str, str]]:
    # From any French form, singular or plural, to both.
    known: dict[str, tuple[str, str]] = {}
    for key, (one, many) in table()["words"].items():
        known.setdefault(one, (one, many))
        known.setdefault(many, (one, many))
        if key.startswith("{"):
            # Senders give an annotation without its braces: Appln, tablet.
            known.setdefault(key[1:-1].lower(), (one, many))
    for one, many, _ in table()["time"].values():
        known.setdefault(one, (one, many))
        known.setdefault(many, (one, many))
    return known


def number(value: Decimal) -> str:
    """A number in French: decimal comma, no trailing zero, thousands parted from 10 000 on (no-break space)."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    whole, _, fraction = text.partition(".")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", "\u00a0")
    return sign + whole + (f",{fraction}" if fraction else "")


def _plural(value: Decimal) -> bool:
    # French grammar: plural from two on (1,5 comprimé, 2 comprimés).
    return abs(value) >= 2


def unit_word(unit: str, display: str | None, value: Decimal = Decimal(1)) -> str:
    """The unit as people read it: the words given win, put in the plural when known; else the table; else the code.

    A bare count (unit ``1``) has no word.
    """
    # A code told twice (« 3 g per 1 d », unit d) is a code, not a word.
    if display and (display != unit or unit not in table()["time"]):
        forms = _by_word().get(display.strip().lower())
        if forms:
            return forms[_plural(value)]
        return str(table()["symbols"].get(display, display))
    if unit in ("1", "{1}"):
        return ""
    known = table()
    if unit in known["words"]:
        return str(known["words"][unit][_plural(value)])
    if unit in known["time"]:
        return str(known["time"][unit][_plural(value)])
    if unit in known["symbols"]:
        return str(known["symbols"][unit])
    if "/" in unit and not unit.startswith("/"):
        return "/".join(_by_part(part, value if rank == 0 else Decimal(1)) for rank, part in enumerate(unit.split("/")))
    if unit.startswith("{") and unit.endswith("}") and len(unit) > 2:
        return unit[1:-1]
    return unit


def _by_part(unit: str, value: Decimal) -> str:
    # mL/h is printed so; mg/d is mg/jour, for d reads as nothing in French.
    return unit if unit in ("h", "min", "s") else unit_word(unit, None, value)


def amount(quantity: Quantity) -> str:
    """An amount with its unit: ``2 comprimés``, ``0,5 mL``."""
    word = unit_word(quantity.unit, quantity.display, quantity.value)
    return f"{number(quantity.value)} {word}".rstrip()


def quantity_range(extent: QuantityRange) -> str:
    """An amount, or from an amount to another: ``1 à 2 comprimés``."""
    low, high = extent.low, extent.high
    if low.value == high.value and low.unit == high.unit:
        return amount(low if low.display else high)
    if low.unit == high.unit and (low.display or "") == (high.display or ""):
        return f"{number(low.value)} à {amount(high)}"
    return f"de {amount(low)} à {amount(high)}"


def ratio_text(ratio: Ratio) -> str:
    """An amount for an amount: ``4 comprimés par jour``, ``4000 mg par 24 heures``."""
    per = ratio.denominator
    if per.value == 1:
        return f"{amount(ratio.numerator)} par {unit_word(per.unit, per.display) or 'prise'}"
    return f"{amount(ratio.numerator)} par {amount(per)}"


def date_text(moment: str) -> str:
    """The date of a moment as precise as it is: ``20/11/2026``, ``11/2026``, ``2026``."""
    return "/".join(reversed(moment[:10].split("-")))


_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T(\d{2}):(\d{2})")


def clock(moment: str) -> str:
    """The time of a moment in its own offset: ``8 h``, ``8 h 30``; empty when it has none."""
    match = _TIME.match(moment) if len(moment) > 15 else None
    if match is None:
        return ""
    hour, minute = int(match[1]), match[2]
    return f"{hour} h" if minute == "00" else f"{hour} h {minute}"


def moment_text(moment: str) -> str:
    """A moment with its time when known: ``20/11/2026 à 10 h 30``."""
    time = clock(moment)
    return f"{date_text(moment)} à {time}" if time else date_text(moment)


def period_text(period: Period) -> str:
    """From when to when: ``du 20/11/2026 au 25/11/2026``, ``à partir de 2021``, ``jusqu'au 25/11/2026``."""

    def full(moment: str) -> bool:
        return len(moment) >= 10

    start, end = period.start, period.end
    if start and end:
        if start == end:
            return f"le {moment_text(start)}" if full(start) else f"en {moment_text(start)}"
        first = f"du {moment_text(start)}" if full(start) else f"de {moment_text(start)}"
        return f"{first} au {moment_text(end)}" if full(end) else f"{first} à {moment_text(end)}"
    if start:
        return f"à partir du {moment_text(start)}" if full(start) else f"à partir de {moment_text(start)}"
    if end:
        return f"jusqu'au {moment_text(end)}" if full(end) else f"jusqu'en {moment_text(end)}"
    return ""


# JDV_J246: titles of professionals.
_TITLES = {
    "DR": "Dr",
    "PR": "Pr",
    "MC": "Médecin chef",
    "MG": "Médecin général",
    "PC": "Pharmacien chef",
    "PG": "Pharmacien général",
}
_CIVILITIES = {"M": "M.", "MME": "Mme"}


def person_name(
    family: str | None, given: str | None = None, prefix: str | None = None, suffix: str | None = None
) -> str:
    """A name as addressed: title (or civility), given name, family name in capitals."""
    title = _TITLES.get(suffix or "") or _CIVILITIES.get(prefix or "")
    return " ".join(part for part in (title, given, (family or "").upper()) if part)


def professional_name(professional: Professional) -> str:
    """The name of a professional, with title."""
    return person_name(professional.family, professional.given, professional.prefix, professional.suffix)


def professional_id(professional: Professional) -> str:
    """The national number in words: ``RPPS 99700218896`` (PS_IdNat: 8 then the RPPS, 0 then the ADELI)."""
    value = professional.id.extension or ""
    if professional.id.root != "1.2.250.1.71.4.2.1":
        return ""
    kinds = {"8": ("RPPS", 12), "0": ("ADELI", 10)}
    kind = kinds.get(value[:1])
    return f"{kind[0]} {value[1:]}" if kind and len(value) == kind[1] else f"N° national {value}"


def structure_id(organization: Organization) -> str:
    """The national number of a structure in words: FINESS, SIREN or SIRET (Struct_IdNat by its first digit)."""
    if organization.id is None or organization.id.root != "1.2.250.1.71.4.2.2":
        return ""
    value = organization.id.extension or ""
    kind = {"1": "FINESS", "2": "SIREN", "3": "SIRET"}.get(value[:1])
    return f"{kind} {value[1:]}" if kind else f"N° structure {value}"


def address_lines(addresses: Iterable[Address]) -> list[str]:
    """The first address, as lines of an envelope."""
    first = next(iter(addresses), None)
    if first is None:
        return []
    town = " ".join(part for part in (first.postal_code, first.city) if part)
    return [*first.lines, *([town] if town else []), *([first.country] if first.country else [])]


_SCHEMES = {"tel": "Tél.", "fax": "Fax", "mailto": "Courriel"}


def telecom_text(telecom: Telecom) -> str:
    """A way to reach someone: ``Tél. 02 98 00 00 00``."""
    scheme, _, value = telecom.value.partition(":")
    if scheme not in _SCHEMES:
        return telecom.value
    if value.lower().endswith("@patient.mssante.fr"):
        # The address of a citizen is the matricule: it is told apart, never spelled.
        return f"{_SCHEMES[scheme]}\u00a0messagerie citoyenne (Mon espace santé)"
    if scheme != "mailto" and re.fullmatch(r"0\d{9}", value):
        value = "\u00a0".join(value[i : i + 2] for i in range(0, 10, 2))
    return f"{_SCHEMES[scheme]}\u00a0{value}"


def sex_text(sex: Sex | str) -> str:
    """The sex in words."""
    return {"M": "masculin", "F": "féminin"}.get(str(sex), "indéterminé")


def identity_name(patient: Patient) -> list[tuple[str, str]]:
    """The names of a patient with their labels, the birth name first (RNIV: never one for the other)."""
    rows = [("Nom de naissance", patient.birth_name)]
    given = patient.given_names or patient.first_given_name
    if given:
        rows.append(("Prénom(s) de naissance", given))
    if patient.used_name:
        rows.append(("Nom utilisé", patient.used_name))
    if patient.used_given_name:
        rows.append(("Prénom utilisé", patient.used_given_name))
    return rows
