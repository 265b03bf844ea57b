"""As strict as the official rules: whatever they refuse of single changes to valid documents, ours refuse too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conformance.cda import check
from conformance.verdict import Verdict
from tests.support.judge import Judge, judge
from tests.support.mutants import BASES, Mutant, base, mutants, sampled
from tests.support.official_coverage import cannot_fire, foreign_template

#: Codes by which ours refuse what the official rules accept, each with its reason; and the few agreed exceptions.
REVIEWED = yaml.safe_load(Path(__file__).with_name("stricter.yaml").read_text("utf-8"))
#: Changes of each document judged in every run; all of them are in the long run.
SAMPLE = 11
COVERED = 0.90


@pytest.fixture(scope="module")
def official() -> Iterator[Judge]:
    """The official rules; what they said is kept for the next run where there is a place for it."""
    found = judge()
    yield found
    found.save()


def ours(data: bytes) -> Verdict:
    """The verdict of our rules on a document about an invented patient."""
    return check(data, environment="test")


def reviewed(code: str) -> bool:
    """True when a rule, or its family, is one of those by which ours are stricter on purpose."""
    return any(code == each or (each[-1] == "*" and code.startswith(each[:-1])) for each in REVIEWED["stricter"])


def missed(mutant: Mutant, official: Judge) -> str | None:
    """What the official rules refuse and ours accept; None when there is nothing of the kind."""
    errors = official.errors(mutant.data)
    if not errors or not ours(mutant.data).ok or mutant.name in REVIEWED["exceptions"]:
        return None
    return f"{mutant.name}: {', '.join(errors)}"


@pytest.mark.official
@pytest.mark.parametrize("name", BASES)
def test_the_documents_changed_are_valid_for_both(name: str, official: Judge) -> None:
    """No false error on any document that changes start from, and none of the official rules either."""
    assert [f"{each.code} {each.location}" for each in ours(base(name)).errors] == []
    assert official.errors(base(name)) == []


@pytest.mark.official
@pytest.mark.parametrize("name", BASES)
def test_what_the_official_rules_refuse_is_refused(name: str, official: Judge) -> None:
    """A sample of the changes, always the same: more than four hundred over all documents."""
    assert [found for each in sampled(name, SAMPLE) if (found := missed(each, official))] == []


def test_the_sample_holds_more_than_four_hundred_changes() -> None:
    """Over the header, the summary, the prescription and the dispensation."""
    assert sum(1 for name in BASES for _ in sampled(name, SAMPLE)) >= 400


@pytest.mark.official
def test_the_judge_answers_as_the_outside_checker_does(official: Judge) -> None:
    """The judge reads the header apart and leaves out rules that only warn: the errors are the same."""
    for name in ("prescription", "header-act", "ips-3"):
        for mutant in sampled(name, 4):
            whole = official.whole(mutant.data)
            assert official.errors(mutant.data) == whole, mutant.name


@pytest.mark.long
@pytest.mark.official
@pytest.mark.timeout(7200)
def test_every_change_is_judged_and_nine_in_ten_official_assertions_fire(official: Judge) -> None:
    """Every change of every document; the figures are printed. Ours are stricter only where it was reviewed."""
    seen: set[str] = set()
    fired: set[str] = set()
    figures: Counter[str] = Counter()
    faults, unreviewed = [], set()
    for name in BASES:
        for mutant in mutants(name, seen):
            errors, verdict = official.errors(mutant.data), ours(mutant.data)
            fired.update(errors)
            figures[f"official {'refuses' if errors else 'accepts'}, ours {'accept' if verdict.ok else 'refuse'}"] += 1
            if found := missed(mutant, official):
                faults.append(found)
            if not errors:
                unreviewed |= {each.code for each in verdict.errors if not reviewed(each.code)}
    met = {rule for name in BASES for rule in official.contexts(base(name))}
    measured = [each for each in official.assertions.values() if each.role == "error"]
    assert not [each.number for each in measured if cannot_fire(each) and each.number in fired]
    can = [
        each
        for each in measured
        if not cannot_fire(each) and (each.rule in met or each.number in fired or not foreign_template(each))
    ]
    covered = sum(each.number in fired for each in can) / len(can)
    print(dict(figures))  # noqa: T201
    print(f"{len(fired)} official assertions fire; of {len(can)} that can, {covered:.1%}")  # noqa: T201
    print("never fired:", *sorted(each.number for each in can if each.number not in fired))  # noqa: T201
    assert faults == []
    assert sorted(unreviewed) == []
    assert covered >= COVERED
