"""The header of a French CDA against its table: numbers, types, attributes, value sets, and the rules of the whole."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from lxml import etree

from conformance.cda import rules_types as rules
from conformance.cda.datatypes import TYPES, Check, siblings
from conformance.cda.model import HL7, XSI, full_name
from conformance.cda.places import short_name
from conformance.cda.report import Report, shown
from conformance.cda.rulebook import RuleFileError, load
from conformance.terminology import value_set
from conformance.verdict import Rule, Text

__all__ = ["RULES", "check_header"]

_Element = etree._Element
_FILE: Final = "cda-header.yaml"
_XSI_TYPE: Final = XSI + "type"
_KEYS: Final = frozenset(
    "path code card where fr en type nullable need fixed set text_set attribute_set use personal advice".split()
)


class Step(NamedTuple):
    """What to do about the children of one name, when their number is right."""

    node: Node
    at: tuple[int, ...]  #: their positions
    kind: str  #: the type whose rules compare brothers, empty for an only child


@dataclass(slots=True)
class Node:
    """What the header asks of one element."""

    rule: Rule | None = None  #: broken by a wrong number
    low: int = 0
    high: int | None = None
    where: str | None = None  #: only those with this root count
    kind: str = ""
    check: Check | None = None
    null: bool = True
    need: tuple[str, ...] = ()
    fixed: tuple[tuple[str, frozenset[str]], ...] = ()
    set: str | None = None
    text_set: str | None = None
    attribute_sets: tuple[tuple[str, str], ...] = ()
    personal: bool = False
    advice: bool = False
    children: dict[str, Node] = field(default_factory=dict)
    required: tuple[tuple[str, Node], ...] = ()
    attended: bool = False  #: its attributes, code or text are looked at
    plans: dict[tuple[Any, ...], tuple[Step, ...] | None] = field(default_factory=dict)  #: by the names of the children


RULES: Final[dict[str, Rule]] = {}


def _texts(row: dict[str, Any], low: int, high: int | None) -> tuple[Text, Text]:
    name = Text(row["fr"], row["en"])
    subject = Text(name.fr[0].upper() + name.fr[1:], name.en[0].upper() + name.en[1:])
    tail = row["path"].rpartition("/")[2]
    if low and high == 1:
        how = Text("doit figurer une fois et une seule", "must appear exactly once")
    elif low:
        how = Text(
            "doit figurer au moins une fois" if low == 1 else f"doit figurer au moins {low} fois",
            "must appear at least once" if low == 1 else f"must appear at least {low} times",
        )
    else:
        how = Text(
            "ne peut figurer qu'une fois" if high == 1 else f"figure au plus {high} fois",
            "may appear only once" if high == 1 else f"may appear at most {high} times",
        )
    return (
        Text(f"{subject.fr} {how.fr}.", f"{subject.en} {how.en}."),
        Text(f"Donnez « {tail} » le nombre de fois voulu.", f"Give “{tail}” the number of times asked for."),
    )


def _node(row: dict[str, Any], source: str) -> Node:
    if unknown := row.keys() - _KEYS:
        raise RuleFileError(f"{_FILE}: {row.get('path')}: unknown members {sorted(unknown)}")
    node = Node(personal=bool(row.get("personal")), where=row.get("where"), advice=bool(row.get("advice")))
    if "card" in row:
        low, _, high = row["card"].partition("..")
        node.low, node.high = int(low), None if high == "*" else int(high)
        message, fix = _texts(row, node.low, node.high)
        node.rule = Rule(code=row["code"], message=message, fix=fix, source=f"{source}, {row['path']}")
        if RULES.setdefault(row["code"], node.rule) != node.rule:
            raise RuleFileError(f"{_FILE}: {row['code']} stands twice")
    kind = row.get("type", "")
    if kind and kind not in TYPES:
        raise RuleFileError(f"{_FILE}: {row['path']}: no type {kind}")
    node.kind, node.check = kind, TYPES.get(kind)
    node.null = row.get("nullable", True)
    node.need = tuple(row.get("need", ()))
    node.fixed = tuple((key, frozenset(map(str, values))) for key, values in row.get("fixed", {}).items())
    node.set, node.text_set = row.get("set"), row.get("text_set")
    node.attribute_sets = tuple(row.get("attribute_set", {}).items())
    for oid in (node.set, node.text_set, *(each for _, each in node.attribute_sets)):
        if oid is not None:
            value_set(oid)  # a table that is not there fails now, not at the first request
    return node


def _copied(node: Node, personal: bool) -> Node:
    return replace(
        node,
        personal=node.personal or personal,
        children={name: _copied(child, node.personal or personal) for name, child in node.children.items()},
        plans={},
    )


def _tree() -> Node:
    table = load(_FILE, "groups", "elements")
    groups: dict[str, dict[str, Node]] = {}
    for name in _in_order(table["groups"]):
        root = Node()
        _grow(root, table["groups"][name], groups, table["source"])
        groups[name] = root.children
    root = Node()
    _grow(root, table["elements"], groups, table["source"])
    _settle(root)
    return root


def _in_order(groups: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Groups after those they use."""
    done: list[str] = []
    waiting = list(groups)
    while waiting:
        ready = [name for name in waiting if all(row.get("use", name) in (*done, name) for row in groups[name])]
        if not ready:
            raise RuleFileError(f"{_FILE}: groups use one another: {waiting}")
        done += ready
        waiting = [name for name in waiting if name not in done]
    return done


def _grow(root: Node, rows: list[dict[str, Any]], groups: dict[str, dict[str, Node]], source: str) -> None:
    for row in rows:
        parent, personal = root, False
        *steps, last = row["path"].split("/")
        for step in steps:
            parent = parent.children.setdefault(full_name(step), Node())
            personal = personal or parent.personal
        made = _node(row, source)
        made.personal = made.personal or personal
        old = parent.children.get(full_name(last))
        if old is not None:
            made.children = old.children
        parent.children[full_name(last)] = made
        if "use" in row:
            if row["use"] not in groups:
                raise RuleFileError(f"{_FILE}: {row['path']}: no group {row['use']}")
            for name, node in groups[row["use"]].items():
                made.children.setdefault(name, _copied(node, made.personal))


def _settle(node: Node) -> None:
    node.required = tuple((name, each) for name, each in node.children.items() if each.low)
    node.attended = bool(node.need or node.fixed or node.attribute_sets or node.set or node.text_set)
    for child in node.children.values():
        _settle(child)


_ROOT: Final = _tree()


#: Names of children for which a plan is kept: no more than this of one element, and not of a long row.
_PLANS: Final = 256
_LONG: Final = 48
_BODY: Final = HL7 + "component"


def check_header(root: _Element, report: Report) -> None:
    """Check every element of the header that the table knows."""
    report.nulled = _nulled(root)
    _inside(root, _ROOT, report)
    report.nulled = None
    for element in _TYPED(root):
        _typed(element, report)


_TYPED: Final = etree.XPath(
    "/*/*[not(self::h:component)]/descendant-or-self::*[@xsi:type]",
    namespaces={"h": "urn:hl7-org:v3", "xsi": "http://www.w3.org/2001/XMLSchema-instance"},
)


def _typed(element: _Element, report: Report) -> None:
    """An element of the header may repeat its type (``xsi:type``), never name another, be it a specialisation."""
    node: Node | None = _ROOT
    for step in (*reversed(list(element.iterancestors())), element):
        if step.getparent() is not None and node is not None:
            node = node.children.get(str(step.tag))
    if node is None or not node.kind or node.kind == "ANY":
        return
    prefix, _, local = element.get(_XSI_TYPE, "").strip().rpartition(":")
    if local != node.kind or element.nsmap.get(prefix or None) != "urn:hl7-org:v3":
        report.add(rules.TYPE_CHANGED, element, _XSI_TYPE, found=shown(element, _XSI_TYPE), expected=node.kind)


def _nulled(root: _Element) -> frozenset[_Element]:
    """The elements of the header that are null or hold one that is."""
    found: set[_Element] = set()
    for part in root.iterchildren("*"):
        if part.tag != _BODY:
            for element in part.iter("*"):
                if element.get("nullFlavor") is not None:
                    node: _Element | None = element
                    while node is not None and node not in found:
                        found.add(node)
                        node = node.getparent()
    return frozenset(found)


def _inside(element: _Element, node: Node, report: Report) -> None:
    children = element[:]
    tags = tuple([child.tag for child in children])
    try:
        plan = node.plans[tags]
    except KeyError:
        plan = _plan(node, tags)
        if len(tags) <= _LONG and len(node.plans) < _PLANS:
            node.plans[tags] = plan
    if plan is None:
        _numbers(element, node, children, report)
        return
    for child_node, positions, kind in plan:
        if kind:
            siblings(kind, [children[at] for at in positions], report)
        for at in positions:
            _one(children[at], child_node, report)


def _plan(node: Node, tags: tuple[Any, ...]) -> tuple[Step, ...] | None:
    """What to do with children of these names; None when a number is wrong, or hangs on what the children are."""
    groups: dict[str, list[int]] = {}
    for at, tag in enumerate(tags):
        if tag in node.children:
            groups.setdefault(tag, []).append(at)
    wanted = {tag: node.children[tag] for tag in groups}
    if any(name not in groups for name, _ in node.required) or any(
        each.rule is not None and (each.where is not None or not _counts(len(groups[tag]), each))
        for tag, each in wanted.items()
    ):
        return None
    return tuple(Step(each, tuple(groups[tag]), each.kind * (len(groups[tag]) > 1)) for tag, each in wanted.items())


def _numbers(element: _Element, node: Node, children: list[_Element], report: Report) -> None:
    groups: dict[str, list[_Element]] = {}
    for child in children:
        if child.tag in node.children:
            groups.setdefault(child.tag, []).append(child)
    for name, wanted in node.required:
        if name not in groups:
            _miscounted(element, name, wanted, report)
    for name, elements in groups.items():
        child_node = node.children[name]
        if child_node.where is not None:
            counted = [each for each in elements if each.get("root") == child_node.where]
        else:
            counted = elements
        if child_node.rule is not None and not _counts(len(counted), child_node):
            _miscounted(counted[-1] if counted else element, name, child_node, report)
        if len(elements) > 1 and child_node.kind:
            siblings(child_node.kind, elements, report)
        for each in elements:
            _one(each, child_node, report)


def _counts(number: int, node: Node) -> bool:
    return number >= node.low and (node.high is None or number <= node.high)


def _miscounted(element: _Element, name: str, node: Node, report: Report) -> None:
    if node.rule is not None:
        high = "*" if node.high is None else node.high
        report.add(node.rule, element, expected=f"{short_name(name)} {node.low}..{high}")


def _one(element: _Element, node: Node, report: Report) -> None:
    if not node.null and element.get("nullFlavor") is not None:
        report.add(rules.NULL_FORBIDDEN, element, "nullFlavor")
    if node.check is not None:
        node.check(element, report)
    if node.attended:
        _attended(element, node, report)
    if node.children:
        _inside(element, node, report)


def _attended(element: _Element, node: Node, report: Report) -> None:
    if node.need and (node.where is None or element.get("root") == node.where):
        for name in node.need:
            if element.get(name) is None:
                report.add(rules.NEEDED, element, expected=name)
    for name, values in node.fixed:
        value = element.get(name)
        if value is not None and value not in values:
            report.add(
                rules.NOT_FIXED,
                element,
                name,
                found=shown(element, name, personal=node.personal),
                expected=" | ".join(sorted(values)),
            )
    for name, oid in node.attribute_sets:
        value = element.get(name)
        if value is not None and value not in value_set(oid).bare:
            report.add(rules.NOT_IN_SET, element, name, found=shown(element, name), expected=value_set(oid).title)
    if node.set is not None and element.get("code") is not None:
        in_set(element, node.set, report, personal=node.personal, advice=node.advice)
    if node.text_set is not None and (element.text or "").strip() not in value_set(node.text_set).bare:
        report.add(rules.NOT_IN_SET, element, expected=value_set(node.text_set).title)


def in_set(
    element: _Element,
    oid: str,
    report: Report,
    *,
    rule: Rule = rules.NOT_IN_SET,
    personal: bool = False,
    advice: bool = False,
) -> None:
    """The code of an element is of a value set, and its label is not that of another code."""
    allowed = value_set(oid)
    code, system = element.get("code", ""), element.get("codeSystem", "")
    if (code, system) not in allowed:
        said = rules.NOT_IN_SET_ADVICE if advice else rule
        report.add(said, element, "code", found=shown(element, "code", personal=personal), expected=allowed.title)
        return
    label = element.get("displayName")
    right = allowed.label(code, system)
    if label is not None and right is not None and label != right and label in allowed.codes.values():
        report.add(rules.OTHER_LABEL, element, "displayName", expected=None if personal else right)
