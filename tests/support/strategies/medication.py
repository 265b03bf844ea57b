"""Medicines and posologies."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappings.document.medication import (
    ATC,
    CIP,
    CIS,
    MV,
    UCD,
    AfterEvent,
    Dosage,
    Every,
    Ingredient,
    Medication,
    Package,
    Posology,
    PosologyMode,
)
from mappings.document.values import Concept
from tests.support.strategies.values import (
    DOSES,
    DURATIONS,
    EDQM,
    INTERVALS,
    PACKAGES,
    RATES,
    ROUTES,
    SITES,
    codes,
    days,
    instants,
    maybe,
    of,
    paragraphs,
    periods,
    quantities,
    ranges,
    ratios,
    some,
    texts,
)

CIS_CODES = codes(CIS, {"63107752": "PARACETAMOL 500 mg, comprimé", "60234100": "DOLIPRANE"}, "CIS")
CIP_CODES = codes(CIP, {"3400933516390": "plaquette de 16", "3400935955838": "boîte de 8"}, "CIP")
OTHER_CODES = codes(MV, {"MV00002306": "Paracétamol 500 mg comprimé"}, "MV") | codes(
    UCD, {"3400890000018": "PARACETAMOL UCD"}, "UCD"
)
ATC_CODES = codes(ATC, {"N02BE01": "paracétamol", "H03AA01": "lévothyroxine"}, "ATC")
FORMS = codes(EDQM, {"10219000": "Comprimé", "50015000": "pommade"}, "EDQM")
CONTAINERS = codes(EDQM, {"30009000": "Boîte", "30067000": "Tube"}, "EDQM")
SUBSTANCES = codes("2.16.840.1.113883.3.6905.2", {"100000090270": "Paracetamol"}, "SMS")
STRENGTHS = ratios(quantities((("mg", None), ("g", "grammes"))), quantities((("1", None), ("mL", None))))


def medications() -> st.SearchStrategy[Medication]:
    """A specialty, a presentation, a virtual medicine, a product in words, or a magistral preparation."""
    common: dict[str, Any] = {
        "atc": maybe(ATC_CODES),
        "form": maybe(FORMS),
        "ingredients": some(of(Ingredient, code=maybe(SUBSTANCES), name=texts(2), strength=maybe(STRENGTHS)), 2),
        "package": maybe(
            of(
                Package,
                code=maybe(CIP_CODES),
                name=st.one_of(texts(2), texts(2), st.none()),
                container=maybe(CONTAINERS),
                capacity=maybe(quantities((("{tablet}", None), ("mL", "millilitres")))),
            )
        ),
        "lot_number": maybe(st.sampled_from(("L123", "lot <7>"))),
        "expires_on": maybe(days()),
    }
    several = st.builds(
        lambda first, second, third: tuple(c for c in (first, second, third) if c is not None),
        maybe(OTHER_CODES),
        maybe(CIS_CODES),
        maybe(CIP_CODES),
    )
    return st.one_of(
        of(Medication, name=texts(4), codes=several, **common),
        of(Medication, codes=st.builds(lambda one, two: (one, two), CIP_CODES, CIS_CODES), **common),
        of(Medication, codes=CIP_CODES.map(lambda c: (c,)), **common),
        of(Medication, preparation=paragraphs(), name=maybe(texts(2)), **common),
    )


EVENTS = st.sampled_from(("AC", "ACM", "C", "CD", "HS", "ICV", "PCV", "WAKE"))


def timings() -> st.SearchStrategy[Every | AfterEvent]:
    """When a medicine is taken."""
    return st.one_of(
        of(Every, period=INTERVALS, at=maybe(instants()), text=maybe(texts(3))),
        of(Every, at=instants() | days(), text=maybe(texts(3))),
        of(AfterEvent, event=EVENTS, offset=quantities((("h", None), ("min", "minutes"))), text=maybe(texts(3))),
        of(AfterEvent, event=EVENTS, text=texts(3)),
    )


def dosages(*, step: bool = False) -> st.SearchStrategy[Dosage]:
    """A structured instruction that says at least a dose."""
    extents: st.SearchStrategy[dict[str, Any]] = st.one_of(
        st.just({}),
        periods().map(lambda p: {"period": p}),
        periods(start=True, end=True).map(lambda p: {"period": p}),
        DURATIONS.map(lambda q: {"duration": q}),
    )
    sites = st.one_of(
        of(Concept, code=SITES, text=maybe(texts(2)), translations=some(SITES, 1)),
        of(Concept, text=texts(2)),
    )
    return st.builds(
        lambda extent, **fields: Dosage(**extent, **fields),
        extents,
        timing=st.one_of(some(timings(), 3), some(timings(), 3, least=2)),
        route=maybe(ROUTES),
        site=maybe(sites),
        dose=ranges(DOSES),
        rate=maybe(ranges(RATES)),
        maximum=maybe(ratios(DOSES, quantities((("d", None), ("h", None))))),
        condition=maybe(texts()),
        text=st.one_of(texts(), texts(), st.none()) if step else st.none(),
        sequence=st.none(),
    )


def posologies() -> st.SearchStrategy[Posology]:
    """An instruction in words, structured, or made of steps in one of the four other modes."""
    words = of(Posology, text=paragraphs(), deferred_start=st.booleans())
    structured = of(
        Posology, text=maybe(paragraphs()), dosage=dosages(), deferred_start=st.sampled_from((False, False, True))
    )
    steps = some(dosages(step=True), 3, least=1)
    stepped = of(
        Posology,
        mode=st.sampled_from([mode for mode in PosologyMode if mode is not PosologyMode.NORMAL]),
        text=maybe(paragraphs()),
        dosage=maybe(dosages()),
        steps=steps,
    )
    return st.one_of(words, structured, stepped, stepped)


PACKED = PACKAGES
