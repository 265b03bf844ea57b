"""Reading rule files: from bytes somebody else wrote to a checked :class:`~gateway.feeds.scheme.RuleSet`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml
from pydantic import ValidationError

from conformance.verdict import Finding, Rule, Text, Verdict
from gateway.feeds.scheme import RuleSet

__all__ = ["RULES", "RuleFileError", "check_catalogue", "json_schema", "load", "plain", "read", "shipped"]

_SOURCE = "incentives 8.1"
_SEE = Text("Corrigez le fichier de règles selon son schéma publié.", "Mend the rule file by its published schema.")

UNREADABLE: Final = Rule(
    code="FEED-RULE-001",
    message=Text("Le fichier de règles n'est pas lisible.", "The rule file cannot be read."),
    fix=_SEE,
    source=_SOURCE,
)
UNSAFE: Final = Rule(
    code="FEED-RULE-002",
    message=Text(
        "Le fichier de règles n'est pas de simples données (alias, cycle, étiquette ou taille).",
        "The rule file is not plain data (alias, cycle, tag or size).",
    ),
    fix=_SEE,
    source=_SOURCE,
)
MALFORMED: Final = Rule(
    code="FEED-RULE-003",
    message=Text("Un élément de la règle n'a pas la forme voulue.", "A member of the rule does not have its form."),
    fix=_SEE,
    source=_SOURCE,
)
UNKNOWN_MEASURE: Final = Rule(
    code="FEED-RULE-004",
    message=Text("La règle emploie une mesure qu'elle ne définit pas.", "The rule uses a measure it does not define."),
    fix=Text("Définissez la mesure sous « measures ».", "Define the measure under measures."),
    source=_SOURCE,
)
UNKNOWN_GATE: Final = Rule(
    code="FEED-RULE-005",
    message=Text("Un prérequis ne désigne aucun indicateur.", "A gate names no indicator."),
    fix=Text("Nommez un indicateur de la règle.", "Name an indicator of the rule."),
    source=_SOURCE,
)
TWICE: Final = Rule(
    code="FEED-RULE-006",
    message=Text("Le même nom est employé deux fois.", "The same name is used twice."),
    fix=Text("Donnez à chacun un nom à lui.", "Give each a name of its own."),
    source=_SOURCE,
)
SUPERSEDES: Final = Rule(
    code="FEED-RULE-007",
    message=Text(
        "Une version ne peut remplacer qu'une version plus ancienne.", "A version may only replace an older one."
    ),
    fix=Text("Corrigez « supersedes » ou « version ».", "Correct supersedes or version."),
    source=_SOURCE,
)
OVERLAP: Final = Rule(
    code="FEED-RULE-008",
    message=Text(
        "Deux règles du même dispositif couvrent les mêmes jours sans que l'une remplace l'autre.",
        "Two rules of one scheme cover the same days and neither replaces the other.",
    ),
    fix=Text("Indiquez « supersedes », ou séparez les périodes.", "Give supersedes, or part the periods."),
    source=_SOURCE,
)
UNKNOWN_WHERE: Final = Rule(
    code="FEED-RULE-009",
    message=Text("La mesure filtre sur ce que le journal ne tient pas.", "The measure filters on what is not kept."),
    fix=_SEE,
    source="incentives 6.1",
)

#: All of them, for the reference page.
RULES: Final = (
    UNREADABLE,
    UNSAFE,
    MALFORMED,
    UNKNOWN_MEASURE,
    UNKNOWN_GATE,
    TWICE,
    SUPERSEDES,
    OVERLAP,
    UNKNOWN_WHERE,
)

#: What a measure may filter on.
WHERE: Final = frozenset(
    "state doc_type doc_type_system doc_format ins_status test ald_listed recipient_class care_mode care_place "
    "actor_role reason".split()
)

_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 24


class RuleFileError(ValueError):
    """The rule file cannot be used; ``verdict`` lists every fault with its place."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.verdict = Verdict.of(findings)
        first = self.verdict.findings[0]
        super().__init__(f"{first.code} {first.location}: {first.rule.message.en}")


class _Refused(yaml.YAMLError):
    pass


class _Loader(yaml.SafeLoader):
    """YAML without what a rule has no use for: aliases, tags, merge keys, octal or sexagesimal numbers, floats."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - replaces the class's own table
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise _Refused("an alias")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _Refused(f"more than {_MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _Refused("a member whose name is not a text")
            if key.value in seen:
                raise _Refused(f"the member {key.value[:40]} twice, line {key.start_mark.line + 1}")
            seen.add(key.value)
        return super().construct_mapping(node, deep=True)


def _decimal(loader: yaml.SafeLoader, node: Any) -> Decimal:
    return Decimal(loader.construct_scalar(node))


def _integer(loader: yaml.SafeLoader, node: Any) -> int:
    text = loader.construct_scalar(node)
    if len(text) > 24:
        raise _Refused("a number of more than 24 digits")
    return int(text)


def _day(loader: yaml.SafeLoader, node: Any) -> date:
    try:
        return date.fromisoformat(loader.construct_scalar(node))
    except ValueError as exc:
        raise _Refused("a day that does not exist") from exc


def _prepare() -> None:
    import re

    for tag, pattern, first in (
        ("tag:yaml.org,2002:null", r"^(?:~|null|)$", ["~", "n", ""]),
        ("tag:yaml.org,2002:bool", r"^(?:true|false)$", list("tf")),
        ("tag:yaml.org,2002:int", r"^-?(?:0|[1-9][0-9]*)$", list("-0123456789")),
        ("tag:yaml.org,2002:float", r"^-?[0-9]+\.[0-9]+$", list("-0123456789")),
        ("tag:yaml.org,2002:timestamp", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", list("0123456789")),
    ):
        _Loader.add_implicit_resolver(tag, re.compile(pattern), first)
    _Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
    _Loader.add_constructor("tag:yaml.org,2002:int", _integer)
    _Loader.add_constructor("tag:yaml.org,2002:timestamp", _day)


_prepare()


def plain(data: bytes) -> Any:
    """Read YAML as data and nothing else, numbers exact; raises :class:`RuleFileError`."""
    if len(data) > _MAX_BYTES:
        raise RuleFileError([UNSAFE.finding(found=f"{len(data)} octets", expected=f"{_MAX_BYTES} octets au plus")])
    try:
        text = data.decode("utf-8-sig")
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader that allows less
    except UnicodeDecodeError as exc:
        raise RuleFileError([UNREADABLE.finding(found="pas de l'UTF-8", expected="UTF-8")]) from exc
    except _Refused as exc:
        raise RuleFileError([UNSAFE.finding(found=str(exc))]) from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        problem = str(getattr(exc, "problem", "") or "YAML")
        rule = UNSAFE if isinstance(exc, yaml.constructor.ConstructorError) else UNREADABLE
        raise RuleFileError([rule.finding(found=problem[:120], line=line)]) from exc
    except RecursionError as exc:
        raise RuleFileError([UNSAFE.finding(found="imbrication trop profonde")]) from exc


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{part}" for part in location if isinstance(part, int) or not part.startswith("→"))


def _malformed(error: ValidationError) -> list[Finding]:
    faults = [
        MALFORMED.finding(_pointer(fault["loc"]), expected=fault["msg"].removeprefix("Value error, "))
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    # A list whose items are faulty is also said to be too short: the items say more.
    places = [fault.location for fault in faults]
    return [fault for fault in faults if not any(other.startswith(f"{fault.location}/") for other in places)]


def read(data: bytes) -> RuleSet:
    """Read a rule file (YAML, or the same tree in JSON); raises :class:`RuleFileError` with every fault found."""
    tree = plain(data)
    if not isinstance(tree, dict):
        raise RuleFileError([UNREADABLE.finding(found="autre chose", expected="un objet")])
    try:
        rules = RuleSet.model_validate(tree)
    except ValidationError as exc:
        raise RuleFileError(_malformed(exc)) from None
    faults = list(_inconsistencies(rules))
    if faults:
        raise RuleFileError(faults)
    return rules


def _inconsistencies(rules: RuleSet) -> Iterable[Finding]:
    for place, name in rules.references():
        if name not in rules.measures:
            yield UNKNOWN_MEASURE.finding(place, found=name)
    names = [indicator.id for indicator in rules.indicators]
    for at, name in enumerate(names):
        if name in names[:at]:
            yield TWICE.finding(f"/indicators/{at}/id", found=name)
    for at, gate in enumerate(rules.gates):
        if gate not in names:
            yield UNKNOWN_GATE.finding(f"/gates/{at}", found=gate)
    for name, measure in rules.measures.items():
        for key in measure.where:
            if key not in WHERE:
                yield UNKNOWN_WHERE.finding(f"/measures/{name}/where/{key}", expected=", ".join(sorted(WHERE)))
    if rules.supersedes is not None and rules.supersedes >= rules.version:
        yield SUPERSEDES.finding("/supersedes", found=str(rules.supersedes), expected=f"< {rules.version}")


def load(path: str) -> RuleSet:
    """Read a rule file of the disk; raises ``OSError`` or :class:`RuleFileError`."""
    from pathlib import Path

    return read(Path(path).read_bytes())


def check_catalogue(catalogue: Iterable[RuleSet]) -> Verdict:
    """Check several rule files against each other: one file a version, no two live rules for the same days."""
    found: list[Finding] = []
    kept: list[RuleSet] = []
    for rules in catalogue:
        for other in kept:
            if rules.id != other.id:
                continue
            place = f"{rules.id}/{rules.version}"
            if rules.version == other.version:
                found.append(TWICE.finding(place, found=f"version {rules.version}"))
                continue
            older, newer = sorted((rules, other), key=lambda one: one.version)
            shared = older.period.start <= newer.period.end and newer.period.start <= older.period.end
            if shared and newer.supersedes is None:
                found.append(OVERLAP.finding(place, found=f"versions {older.version} et {newer.version}"))
        kept.append(rules)
    return Verdict.of(found)


@cache
def shipped() -> tuple[RuleSet, ...]:
    """Every rule file that comes with the program, by id and version."""
    folder = resources.files("gateway.feeds") / "rules"
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".yaml"))
    rules = [read((folder / name).read_bytes()) for name in files if not name.startswith("groups")]
    return tuple(sorted(rules, key=lambda one: (one.id, one.version)))


def json_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of a rule file, as published beside the rules."""
    schema = RuleSet.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "incentive-rules/1"
    return schema
