"""The tables of what a target cannot hold, and the walk that applies them."""

from __future__ import annotations

import pytest

from mappings.loss import Fate
from mappings.projection import losses, projected
from tests.support import documents


def test_a_loss_has_the_place_of_the_member() -> None:
    """A JSON pointer in camelCase, with the reason in two languages."""
    value = documents.report()
    items = {item.place: item for item in losses(documents.load(value), "cda")}
    assert set(items) == {"/patient/insCheckedOn", "/patient/proof"}
    reason = items["/patient/proof"].reason
    assert reason is not None
    assert reason.fr
    assert reason.en
    assert not any(item.clinical for item in items.values())


def test_positions_stand_in_the_pointer() -> None:
    """The items of a tuple are counted from zero."""
    value = documents.report()
    value["informants"] = [
        {"related": {"family": "A"}},
        {"related": {"family": "B", "relationClass": "GUARD"}},
    ]
    (item,) = [i for i in losses(documents.load(value), "cda") if i.place.startswith("/informants")]
    assert (item.place, item.fate) == ("/informants/1/related/relationClass", Fate.LOST)


def test_a_projection_is_a_valid_document_and_a_fixed_point() -> None:
    """Projecting again changes nothing."""
    for make in (documents.report, documents.prescription, documents.dispensation):
        once = projected(documents.load(make()), "cda")
        assert projected(once, "cda") == once


def test_rows_of_other_kinds_do_not_apply() -> None:
    """A report has no line to be identified."""
    document = documents.load(documents.report())
    assert projected(document, "cda").content == document.content


def test_an_unknown_target_has_no_table() -> None:
    """A name of ours, not one of the callers'."""
    with pytest.raises(KeyError):
        projected(documents.load(documents.report()), "hl7v2")
