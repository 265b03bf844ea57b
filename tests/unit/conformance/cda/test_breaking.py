"""One rule, one code, one change that breaks it: the document without the change does not, and the place resolves."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml

from conformance.cda import RULES, check, resolve
from conformance.verdict import Verdict
from tests.support.cda import tree
from tests.support.handmade import HANDMADE, handmade
from tests.support.mutants import base, made

BREAKING: dict[str, str] = yaml.safe_load(Path(__file__).with_name("breaking.yaml").read_text("utf-8"))
#: Broken by what is no CDA at all: there is no document without the fault.
NO_DOCUMENT = ("CDA-STR-000", "CDA-STR-001")


@cache
def valid(name: str) -> frozenset[str]:
    """The codes found in a document before it is changed."""
    return frozenset(each.code for each in verdict(base(name)).findings)


def verdict(data: bytes) -> Verdict:
    """What our rules say of a document about an invented patient."""
    return check(data, environment="test")


@pytest.mark.parametrize("code", sorted(RULES))
def test_a_rule_is_broken_by_its_change_and_not_before(code: str) -> None:
    """A rule without a change of its own fails here. Every finding has a place that leads to an element."""
    if code in BREAKING:
        name = BREAKING[code].split("|")[0]
        data = made(BREAKING[code])
    else:
        assert code in HANDMADE or code in NO_DOCUMENT, f"{code} has no change that breaks it"
        name = HANDMADE[code][0] if code in HANDMADE else ""
        data = handmade(code)
    findings = verdict(data).findings
    assert code in {each.code for each in findings}
    if name:
        assert code not in valid(name)
        root = tree(data)
        assert [each.location for each in findings if resolve(root, each.location) is None] == []


def test_no_change_is_kept_for_a_rule_that_is_gone() -> None:
    """The tables of changes name rules of the catalogue only, each once."""
    assert sorted({*BREAKING, *HANDMADE} - RULES.keys()) == []
    assert sorted(BREAKING.keys() & HANDMADE.keys()) == []


def test_every_rule_speaks_both_languages_and_names_its_source() -> None:
    """What is wrong and what to do, in French and in English, each a sentence; the clause it comes from."""
    for rule in RULES.values():
        for text in (rule.message.fr, rule.message.en, rule.fix.fr, rule.fix.en):
            assert text.endswith((".", "!", "…")), rule.code
        assert rule.source, rule.code
