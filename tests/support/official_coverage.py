"""Which official assertions a document of the kinds Passerelle writes can break, and why the others cannot be broken.

An assertion is counted when its context is met by one of the documents changes are made to and nothing below says that
it cannot fire. Those that cannot are told by their form here, or one by one with a reason in ``official_coverage.yaml``
beside this module, which also lists the templates of other documents.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.judge import Assertion

__all__ = ["cannot_fire", "foreign_template"]

_TEMPLATE = re.compile(r"templateId(?:/@root|\[\s*@root)\s*=\s*['\"]\s*([\d.]+)['\"]")


@cache
def _data() -> Any:
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))


def _plain(text: str) -> str:
    return re.sub(r"\s*([=<>]+)\s*", r"\1", re.sub(r"\b(?:hl7|cda):", "", " ".join(text.split()))).replace('"', "'")


def _last_step(context: str) -> str:
    depth, start = 0, 0
    for at, letter in enumerate(context):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "/" and depth == 0:
            start = at + 1
    return context[start:]


def cannot_fire(assertion: Assertion) -> str | None:
    """Why no document at all, or none of the kinds, breaks an assertion whose context is met; None when one may."""
    context, test = _last_step(_plain(assertion.context)), _plain(assertion.test)
    if assertion.number in _data()["never"]:
        return str(_data()["never"][assertion.number])
    if "string(@value castable as xs:anyURI)" in test:
        return "the text of a Boolean is never empty: the test always holds"
    if re.search(r">=0$|or 1\)$", test):
        return "always holds: a count is never negative, an or with 1 is never false"
    fixed = re.match(r"(?:@nullFlavor or )?\(?(?:string\()?(@\w+)\)?=\(?('[^']+')\)*$", test)
    if fixed and f"[{fixed[1]}={fixed[2]}" in context:
        return "the context asks for this very value"
    if re.fullmatch(r"@\w+", test) and f"[{test}]" in context:
        return "the context asks for this very attribute"
    counted = re.fullmatch(r"count\((.+)\)>=1", test)
    if counted and f"[{counted[1]}]" in context:
        return "the context asks for this very child"
    own = re.fullmatch(r"(?:count\()?templateId(?:\[@root='([\d.]+)'\]|/@root='([\d.]+)'\)=1)", test)
    if own and (own[1] or own[2]) in _TEMPLATE.findall(context):
        return "the context asks for this very template"
    return None


def foreign_template(assertion: Assertion) -> str | None:
    """Why a context met nowhere is none of ours: a template of other documents; None when it should be looked at."""
    if assertion.rule in _data()["rules"]:
        return str(_data()["rules"][assertion.rule])
    for oid in _TEMPLATE.findall(assertion.context):
        for reason, oids in _data()["templates"].items():
            if oid in oids:
                return str(reason)
    return None
