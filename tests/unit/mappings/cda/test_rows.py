"""Every row of the models is emitted at least once: templates of the e-prescription and of the dispensation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings

from mappings import cda
from tests.support.strategies import dispensations, prescriptions
from tests.unit.mappings.cda.support import find, tree

PCC = "1.3.6.1.4.1.19376.1.5.3.1"
FR = "1.2.250.1.213.1.1.3"

#: CI-SIS eP-MED-DM 2024.01 (reference sections 2 to 5). The IHE template of the treatment-plan item is left out: its
#: published rule counts over the whole document.
PRESCRIPTION = {
    # document
    f"{PCC}.1.1",
    "1.3.6.1.4.1.19376.1.9.1.1.1",
    "1.2.250.1.213.1.1.1.39",
    # sections: 2D code, medicines, devices, comment, vital signs, pregnancy, printed copy
    "1.2.250.1.213.1.1.2.223",
    "1.3.6.1.4.1.19376.1.9.1.2.1",
    "1.2.250.1.213.1.1.2.171",
    "1.2.250.1.213.1.1.2.222",
    "1.2.250.1.213.1.1.2.73",
    "1.2.250.1.213.1.1.2.75",
    "1.2.250.1.213.1.1.2.77",
    "1.2.250.1.213.1.1.2.243",
    # line, structured posology, modes, deferred start, step
    f"{FR}.83",
    "1.3.6.1.4.1.19376.1.9.1.3.2",
    "1.3.6.1.4.1.19376.1.9.1.3.6",
    *(f"{PCC}.4.{mode}" for mode in ("7.1", "8", "9", "10", "11", "21")),
    f"{FR}.83.1",
    # product
    f"{FR}.43",
    "1.3.6.1.4.1.19376.1.9.1.3.1",
    # instructions, quantity, renewals, substitution, motive, plan item
    f"{FR}.33",
    f"{FR}.34",
    f"{FR}.86",
    f"{FR}.88",
    f"{FR}.87",
    f"{FR}.36",
    f"{FR}.85",
    # statements
    *(f"{FR}.48.{mark}" for mark in ("12", "13", "14", "15", "34")),
    # device, attached file, vital signs, pregnancy
    f"{FR}.20",
    f"{FR}.18",
    f"{FR}.48.18",
    f"{FR}.103",
    f"{FR}.49",
    f"{FR}.50",
    f"{FR}.53",
}

#: CI-SIS eDISP-MED 2024.01 (reference sections 6 and 7).
DISPENSATION = {
    "1.3.6.1.4.1.19376.1.9.1.1.3",
    "1.2.250.1.213.1.1.1.54",
    "1.3.6.1.4.1.19376.1.9.1.2.3",
    "1.2.250.1.213.1.1.2.236",
    "1.3.6.1.4.1.19376.1.9.1.3.4",
    f"{FR}.204",
    "1.3.6.1.4.1.19376.1.9.1.3.11",
    f"{FR}.90",
    f"{FR}.33",
    f"{FR}.207",
    f"{FR}.42",
    "1.3.6.1.4.1.19376.1.9.1.3.6",
    "1.3.6.1.4.1.19376.1.9.1.3.9.2",
    f"{FR}.206",
}


@pytest.mark.parametrize(("strategy", "rows"), [(prescriptions, PRESCRIPTION), (dispensations, DISPENSATION)])
def test_every_row_of_the_model_is_emitted(strategy: Any, rows: set[str]) -> None:
    """Over three hundred generated documents at most, thirty by thirty until every row was met."""
    met: set[str] = set()
    for number in range(10):

        @seed(number)
        @settings(max_examples=30, database=None, phases=[Phase.generate], deadline=None)
        @given(strategy())
        def write(document: Any) -> None:
            met.update(str(root) for root in find(tree(cda.write(document).data), "//h:templateId/@root"))

        write()
        if rows <= met:
            break
    assert rows - met == set()
