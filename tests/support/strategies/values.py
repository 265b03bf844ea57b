"""Values: texts, codes, moments, periods, quantities, addresses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import strategies as st

from mappings.document.values import Address, Code, Concept, Period, Quantity, QuantityRange, Ratio, Telecom

T = TypeVar("T")

LOINC = "2.16.840.1.113883.6.1"
SNOMED = "2.16.840.1.113883.6.96"
EDQM = "0.4.0.127.0.16.1.1.2.1"

WORDS = (
    "matin", "soir", "à", "jeun", "prudence", "d'après", "l’équipe", "œdème", "Noël", "<5", "a&b", '"cité"', "µg",
    "50 %", "10/12", "n°1", "(bis)", "37,2 °C", "#3", "x>y", "ÉTÉ", "\u00e9", "n\u00a01", "→", "1) repos",
)  # fmt: skip


class _Of:
    """Draws the members of a part, then makes it; a class of its own keeps what hypothesis prints short."""

    def __init__(self, cls: Callable[..., T]) -> None:
        self.cls = cls

    def __call__(self, fields: dict[str, Any]) -> Any:
        return self.cls(**fields)


def of(cls: Callable[..., T], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """A part from the strategies of its members (``st.builds`` would also fill the camelCase aliases)."""
    return st.fixed_dictionaries(fields).map(_Of(cls))


def short(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """The same strategy with a short name: hypothesis warns of the hundred kilobytes that a whole document has."""

    @st.composite
    def document(draw: st.DrawFn) -> T:
        return draw(strategy)

    return document()


def maybe(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """Absent about half of the time."""
    return st.none() | strategy


def some(strategy: st.SearchStrategy[T], most: int = 3, *, least: int = 0) -> st.SearchStrategy[tuple[T, ...]]:
    """A few, in order."""
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


def texts(most: int = 6) -> st.SearchStrategy[str]:
    """A line of text."""
    return st.lists(st.sampled_from(WORDS), min_size=1, max_size=most).map(" ".join)


def paragraphs(most: int = 3) -> st.SearchStrategy[str]:
    """A text of one or several lines."""
    return st.lists(texts(), min_size=1, max_size=most).map("\n".join)


def names() -> st.SearchStrategy[str]:
    """A family or given name."""
    return st.sampled_from(("KERVELLA", "LE GOFF", "D'ARC", "ÉLÉONORE", "NGUYỄN", "Martin-Dupont", "Œuvrard", "B<C"))


def civil_names() -> st.SearchStrategy[str]:
    """A name as the national identity service writes it."""
    return st.sampled_from(("PAT-TROIS", "ADRUN", "CORSE", "D'ARTAGNAN", "DE VINCI", "ECETINSI"))


# --- Times ----------------------------------------------------------------------------------------

DAYS = st.dates(min_value=dt.date(2000, 1, 3), max_value=dt.date(2030, 12, 28))
OFFSETS = st.sampled_from(("+01:00", "+02:00", "-04:00", "+00:00", "+04:00", "Z"))


def days() -> st.SearchStrategy[str]:
    """A date."""
    return DAYS.map(dt.date.isoformat)


def instants() -> st.SearchStrategy[str]:
    """A date and time with its offset, seconds or not."""
    return st.builds(
        lambda day, time, offset, seconds: (
            f"{day.isoformat()}T{time.strftime('%H:%M:%S' if seconds else '%H:%M')}{offset}"
        ),
        DAYS,
        st.times(),
        OFFSETS,
        st.booleans(),
    )


def moments() -> st.SearchStrategy[str]:
    """A date or an instant of any precision."""
    return st.one_of(days(), days().map(lambda d: d[:4]), days().map(lambda d: d[:7]), instants())


def _period(day: dt.date, span: int, precise: bool, ends: tuple[bool, bool]) -> Period:
    start, end = day.isoformat(), (day + dt.timedelta(days=span)).isoformat()
    if precise:
        start, end = f"{start}T08:30:00+01:00", f"{end}T09:45:00+01:00"
    return Period(start=start if ends[0] else None, end=end if ends[1] else None)


def periods(*, start: bool | None = None, end: bool | None = None) -> st.SearchStrategy[Period]:
    """From when to when, at least one end known; ``start`` and ``end`` impose or forbid an end."""
    allowed = [
        (low, high)
        for low in (True, False)
        for high in (True, False)
        if (low or high) and start in (None, low) and end in (None, high)
    ]
    return st.builds(_period, DAYS, st.integers(1, 400), st.booleans(), st.sampled_from(allowed))


# --- Codes ----------------------------------------------------------------------------------------


def codes(system: str, values: dict[str, str], name: str | None = None) -> st.SearchStrategy[Code]:
    """A code of a terminology, its label always, the terminology's name sometimes."""
    return st.builds(
        lambda pair, named: Code(code=pair[0], system=system, display=pair[1], system_name=name if named else None),
        st.sampled_from(sorted(values.items())),
        st.booleans(),
    )


LOINC_CODES = codes(LOINC, {"11488-4": "CR ou fiche de consultation", "11502-2": "CR d'examens biologiques"}, "LOINC")
PROBLEMS = codes(
    "2.16.840.1.113883.6.3",
    {"E11.9": "Diabète de type 2", "I10": "Hypertension", "J45.9": "Asthme <allergique>"},
    "CIM10",
)
SITES = codes(SNOMED, {"368208006": "bras gauche", "368209003": "bras droit", "81745001": "œil"}, "SNOMED CT")
ROUTES = codes(EDQM, {"20053000": "Voie orale", "20003000": "Voie cutanée", "20045000": "Voie intraveineuse"}, "EDQM")


def concepts(coded: st.SearchStrategy[Code], others: st.SearchStrategy[Code]) -> st.SearchStrategy[Concept]:
    """A code and words, a code alone, words alone, translations."""
    return st.one_of(
        of(Concept, code=coded, text=maybe(texts())),
        of(Concept, code=coded, text=texts(), translations=some(others, 1)),
        of(Concept, text=texts(), translations=some(others, 1)),
    )


# --- Quantities -----------------------------------------------------------------------------------

AMOUNTS = st.sampled_from(("0.5", "1", "2", "3.25", "10", "100", "1000", "0.001", "1E+2")).map(Decimal)


def quantities(
    units: tuple[tuple[str, str | None], ...], values: st.SearchStrategy[Decimal] = AMOUNTS
) -> st.SearchStrategy[Quantity]:
    """An amount of one of some units, each with the words of the sender or none."""
    return st.builds(
        lambda value, unit: Quantity(value=value, unit=unit[0], display=unit[1]), values, st.sampled_from(units)
    )


DOSES = quantities((("{tablet}", "comprimé"), ("{tablet}", None), ("mg", None), ("mL", "mL (seringue)"), ("1", None)))
RATES = quantities((("mg/h", None), ("mL/h", "mL par heure")))
DURATIONS = quantities((("d", None), ("wk", None), ("mo", "mois lunaires"), ("h", None)))
INTERVALS = quantities((("h", None), ("d", None), ("wk", None)))
PACKAGES = quantities((("30009000", "boîte"), ("30009000", None), ("30067000", "tube"), ("1", None)))


def ranges(strategy: st.SearchStrategy[Quantity]) -> st.SearchStrategy[QuantityRange]:
    """A fixed amount, or from one to another of the same unit."""

    def wider(quantity: Quantity, more: Decimal) -> QuantityRange:
        high: dict[str, Any] = {"value": quantity.value + more}
        return QuantityRange(low=quantity, high=quantity.model_copy(update=high))

    return strategy.map(QuantityRange.fixed) | st.builds(wider, strategy, AMOUNTS)


def ratios(
    numerator: st.SearchStrategy[Quantity], denominator: st.SearchStrategy[Quantity]
) -> st.SearchStrategy[Ratio]:
    """An amount for an amount."""
    return of(Ratio, numerator=numerator, denominator=denominator)


# --- Contact --------------------------------------------------------------------------------------


def addresses() -> st.SearchStrategy[Address]:
    """An address, as lines alone or with postal code and city."""
    lines = st.sampled_from(
        (
            ("1 rue de l'Exemple",),
            ("Résidence Fictive", "12 bis avenue <Essai>"),
            ("Appartement 3", "Bâtiment B", "4 quai & port", "Lieu-dit Ker", "BP 12"),
            ("Lieu-dit Kerfictif",),
            ("Hall A", "Étage 2", "Porte 4", "7 rue Haute", "Cedex 1", "BP 1", "TSA 2"),
        )
    )
    uses = st.sampled_from((None, "H", "HP", "WP", "TMP"))
    return st.one_of(
        of(Address, use=uses, lines=lines),
        of(
            Address,
            use=uses,
            lines=st.just(()) | lines,
            postal_code=st.sampled_from(("29000", "20000", "97110")),
            city=st.sampled_from(("QUIMPER", "AJACCIO", "L'ÎLE-D'ESSAI")),
            country=st.sampled_from((None, "FRANCE")),
        ),
    )


def telecoms() -> st.SearchStrategy[Telecom]:
    """A telephone, a fax, a mail address or a web address."""
    return of(
        Telecom,
        value=st.sampled_from(
            (
                "tel:0298000000",
                "tel:+33600000000",
                "fax:0298000009",
                "mailto:boite@exemple.mssante.fr",
                "http://exemple.fr/a?b=1&c=2",
            )
        ),
        use=st.sampled_from((None, "H", "HP", "WP", "MC")),
    )
