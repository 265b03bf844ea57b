"""What becomes of a value of the hub in FHIR wherever it stands: codes, quantities, structures, medicines."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from mappings.document.medication import ATC
from mappings.document.values import Address, Period
from mappings.fhir.names import system_name
from mappings.fhir.prescription_in import substitution_of
from mappings.fhir.prescription_out import substitution_reason
from mappings.fhir.values_out import annotation, date_time, number, plain_spaces

__all__ = [
    "code",
    "medication",
    "organization",
    "package",
    "plain",
    "quantity",
    "spelling",
    "substitution",
    "telecom",
]

_EDQM: Final = "0.4.0.127.0.16.1.1.2.1"
_NO_SECONDS: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?:Z|[+-]\d{2}:\d{2})\Z")


def plain(value: Any) -> Any:
    """Empty texts, periods and addresses are not written: they come back absent."""
    changes: dict[str, Any] = {}
    for name, field in type(value).model_fields.items():
        held = getattr(value, name)
        if field.default is None and (held in ("", Period(), Address(), b"")):
            changes[name] = None
        elif isinstance(held, tuple) and any(item in ("", Address()) for item in held):
            changes[name] = tuple(item for item in held if item not in ("", Address()))
    return value.model_copy(update=changes) if changes else value


def code(value: Any) -> Any:
    """A code bears the name of its system from the table of names."""
    name = system_name(value.system)
    return value if value.system_name == name else value.model_copy(update={"system_name": name})


def quantity(value: Any) -> Any:
    """A value is a JSON number; a unit in words is its own display."""
    exact = Decimal(repr(number(value.value)))
    changes: dict[str, Any] = {} if exact == value.value else {"value": exact}
    words = value.unit.startswith("{") and value.unit.endswith("}")
    if words and value.display and annotation(value.display) != value.unit:
        changes["display"] = None
    return value.model_copy(update=changes) if changes else value


def telecom(value: Any) -> Any:
    """A telecom use is one of those FHIR has."""
    scheme = value.value.partition(":")[0]
    use = {"HP": "H", "HV": "H", "DIR": "WP", "PUB": "WP", "EC": None}.get(value.use, value.use)
    if use == "PG" and scheme != "tel":
        use = None
    return value if use == value.use else value.model_copy(update={"use": use})


def package(value: Any) -> Any:
    """Container and code come back by their terminology: EDQM is the container."""
    known = [c for c in (value.container, value.code) if c is not None]
    container = next((c for c in known if c.system == _EDQM), None)
    other = next((c for c in known if c.system != _EDQM), None)
    return value.model_copy(update={"container": container, "code": other})


def organization(value: Any) -> Any:
    """Nothing of a structure is of use home (org-2, org-3)."""
    places = tuple(
        kept
        for a in value.addresses
        if (kept := a.model_copy(update={"use": None}) if a.use in ("H", "HP", "HV") else a) != Address()
    )
    calls = tuple(t.model_copy(update={"use": None}) if t.use == "H" else t for t in value.telecoms)
    return value.model_copy(update={"addresses": places, "telecoms": calls})


def medication(value: Any) -> Any:
    """The ATC code, the name and the package as one Medication resource gives them back."""
    changes: dict[str, Any] = {}
    atc = next((code for code in value.codes if code.system == ATC), None)
    if atc is not None:
        changes |= {"atc": atc, "codes": tuple(code for code in value.codes if code.system != ATC)}
    if value.preparation:
        if value.name == value.preparation:
            changes["name"] = None
    elif not value.name:
        changes["name"] = value.label
    if value.package is not None and not any(getattr(value.package, n) for n in type(value.package).model_fields):
        changes["package"] = None
    return value.model_copy(update=changes) if changes else value


def substitution(value: Any) -> Any:
    """A reason is read back from the words that say it."""
    return substitution_of(value.permitted, substitution_reason(value))


def spelling(text: str) -> str:
    """R4 wants seconds beside an hour, and knows no other space than the plain one in a string."""
    return date_time(text) if _NO_SECONDS.match(text) else plain_spaces(text)
