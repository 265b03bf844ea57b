"""A rule file is plain data, or it is refused by name."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.rulebook import RULES, RuleFileError, check_catalogue, json_schema, load, read, shipped
from gateway.feeds.scheme import RuleSet, exact

GOOD = """
schema: incentive-rules/1
id: test.rule
version: 2
published: 2026-01-01
sources: [{text: made up, mark: A}]
subject: {by: rpps}
period: {from: 2026-01-01, to: 2026-12-31}
policy: fr-default-1
measures:
  a: {events: dmp.document, where: {state: accepted}, unit: lineage}
  b: {import: b, origin: cnam}
indicators:
  - {id: i, value: {ratio: [a, b]}, test: {gte: 0.10}}
"""


def faults(text: str | bytes) -> list[tuple[str, str]]:
    with pytest.raises(RuleFileError) as caught:
        read(text if isinstance(text, bytes) else text.encode())
    return [(finding.code, finding.location) for finding in caught.value.verdict.findings]


def test_the_good_file_is_good() -> None:
    """The file the bad ones are made from reads well, and its JSON form reads the same."""
    rules = read(GOOD.encode())
    assert rules.period.closes.isoformat() == "2027-01-31"
    as_json = json.dumps(yaml.safe_load(GOOD), default=str)
    assert read(as_json.encode()) == rules


@pytest.mark.parametrize(
    ("old", "new", "code", "place"),
    [
        ("ratio: [a, b]", "ratio: [a, c]", "FEED-RULE-004", "/indicators/0/value/ratio/1"),
        ("ratio: [a, b]", "ratio: [a]", "FEED-RULE-003", "/indicators/0/value/ratio/1"),
        ("ratio: [a, b]", "code: 1+1", "FEED-RULE-003", "/indicators/0/value/code"),
        ("policy: fr", "gates: [j]\npolicy: fr", "FEED-RULE-005", "/gates/0"),
        ("  - {id: i,", "  - {id: i, neutralised: true}\n  - {id: i,", "FEED-RULE-006", "/indicators/1/id"),
        ("version: 2", "version: 2\nsupersedes: 2", "FEED-RULE-007", "/supersedes"),
        ("{state: accepted}", "{title: x}", "FEED-RULE-009", "/measures/a/where/title"),
        ("to: 2026-12-31", "to: 2025-12-31", "FEED-RULE-003", "/period"),
        ("unit: lineage", "unit: litre", "FEED-RULE-003", "/measures/a/unit"),
        (", unit: lineage", "", "FEED-RULE-003", "/measures/a"),
        (", origin: cnam", "", "FEED-RULE-003", "/measures/b"),
        (", test: {gte: 0.10}", "", "FEED-RULE-003", "/indicators/0"),
        ("gte: 0.10", "", "FEED-RULE-003", "/indicators/0/test"),
        ("gte: 0.10", "gte: 1/0", "FEED-RULE-003", "/indicators/0/test/gte"),
        ("gte: 0.10", "gte: 1e400", "FEED-RULE-003", "/indicators/0/test/gte"),
        ("gte: 0.10", "above: 0.10", "FEED-RULE-003", "/indicators/0/test/above"),
        ("mark: A", "mark: Z", "FEED-RULE-003", "/sources/0/mark"),
        ("schema: incentive-rules/1", "schema: incentive-rules/2", "FEED-RULE-003", "/schema"),
        ("published: 2026-01-01", "published: 2026-02-30", "FEED-RULE-002", ""),
        ("ratio: [a, b]", "&x ratio: [a, *x]", "FEED-RULE-002", ""),
        ("ratio: [a, b]", "ratio: &x [a, *x]", "FEED-RULE-002", ""),
        ("version: 2", "version: 2\nversion: 3", "FEED-RULE-002", ""),
        ("version: 2", "version: !!python/object/apply:os.system [id]", "FEED-RULE-002", ""),
        ("version: 2", "version: " + "9" * 30, "FEED-RULE-002", ""),
        ("version: 2", "version: " + "[" * 40 + "]" * 40, "FEED-RULE-002", ""),
        ("version: 2", "version: [", "FEED-RULE-001", ""),
        ("version: 2", "<<: {version: 2}", "FEED-RULE-003", "/version"),
    ],
)
def test_a_faulty_file_is_refused_at_its_place(old: str, new: str, code: str, place: str) -> None:
    """Unknown names, cycles by alias, wrong forms, tricks of YAML: each a code and, where there is one, a place."""
    assert old in GOOD
    assert (code, place) in faults(GOOD.replace(old, new))


def test_unreadable_bytes_are_refused() -> None:
    """Not text, not an object, too large."""
    assert faults(b"\xff\xfe")[0][0] == "FEED-RULE-001"
    assert faults("- 1")[0][0] == "FEED-RULE-001"
    assert faults("")[0][0] == "FEED-RULE-001"
    assert faults("# " + "x" * 300_000)[0][0] == "FEED-RULE-002"


@given(st.binary(max_size=200))
def test_no_bytes_make_anything_but_a_named_error(data: bytes) -> None:
    """Whatever the bytes, the reader answers with its own error."""
    with pytest.raises(RuleFileError):
        read(data)


def test_numbers_stay_exact() -> None:
    """0.10 is one tenth, not the nearest binary fraction."""
    test = read(GOOD.encode()).indicators[0].test
    assert test is not None
    assert test.gte is not None
    assert test.gte * 10 == 1
    with pytest.raises(ValueError, match="fraction"):
        exact(True)


def test_two_rules_for_the_same_days_need_one_to_replace_the_other() -> None:
    """Overlapping periods and repeated versions are found when files are put together."""
    first, second = read(GOOD.encode()), read(GOOD.replace("version: 2", "version: 3").encode())
    replacing = read(GOOD.replace("version: 2", "version: 3\nsupersedes: 2").encode())
    next_year = read(GOOD.replace("version: 2", "version: 3").replace("2026-", "2027-").encode())
    assert [f.code for f in check_catalogue([first, second]).findings] == ["FEED-RULE-008"]
    assert [f.code for f in check_catalogue([first, first]).findings] == ["FEED-RULE-006"]
    assert check_catalogue([first, replacing]).ok
    assert check_catalogue([first, next_year]).ok


def test_what_is_shipped_is_consistent_and_says_what_it_rests_on() -> None:
    """Every file reads, none overlaps, each names its sources; one with a mark C or ? is unverified."""
    assert check_catalogue(shipped()).ok
    for rules in shipped():
        assert rules.unverified == any(source.mark in ("C", "?") for source in rules.sources)


def test_file_names_say_what_they_hold() -> None:
    """A rule file is named by its id and version."""
    folder = resources.files("gateway.feeds") / "rules"
    names = {file.name for file in folder.iterdir() if file.name.startswith("fr.")}
    assert names == {f"{rules.id}.{rules.version}.yaml" for rules in shipped()}


def _published() -> Any:
    return json.loads((resources.files("gateway.feeds") / "rules" / "schema.json").read_text("utf-8"))


def test_the_published_schema_is_that_of_the_reader() -> None:
    """The schema on disk is generated from the models, and agrees with them on good and bad files."""
    assert _published() == json_schema()
    validator = jsonschema_rs.validator_for(_published())
    for file in (resources.files("gateway.feeds") / "rules").iterdir():
        if file.name.startswith("fr."):
            assert validator.is_valid(json.loads(json.dumps(yaml.safe_load(file.read_text("utf-8")), default=str)))
    good = json.loads(json.dumps(yaml.safe_load(GOOD), default=str))
    assert validator.is_valid(good)
    assert not validator.is_valid(good | {"code": "x"})
    assert not validator.is_valid(good | {"version": 0})


def test_codes_are_unique_and_files_load(tmp_path: Any) -> None:
    """Each code of the reference stands once; a file is read from the disk as from bytes."""
    assert len({rule.code for rule in RULES}) == len(RULES)
    path = tmp_path / "rule.yaml"
    path.write_text(GOOD)
    assert isinstance(load(str(path)), RuleSet)
