"""Our judgement of a document with that of the official rules beside it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from conformance.verdict import Finding, Rule, Severity, Text, Verdict
from gateway.official.runner import OfficialFinding, WarmRules
from gateway.packs import Pack, current
from gateway.services.checks import Environment, Judgement, judge

__all__ = ["OfficialJudge"]

_FIX = Text("Corrigez d'après le message de la règle officielle.", "Correct it after the message of the official rule.")


class OfficialJudge:
    """Judges documents by our rules and, for a CDA, by those of the pack in use."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._rules = WarmRules(pack)

    @classmethod
    def start(cls) -> OfficialJudge:
        """Open the newest pack of the settings' folder. Raises :class:`gateway.packs.PackError`."""
        from gateway.settings import Settings

        packs = Settings().data_dir / "packs"
        return cls(current(packs))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rules.close()

    def __call__(self, data: bytes, *, environment: Environment = "test") -> Judgement:
        """Judge a document; the official findings follow ours. Raises :class:`gateway.packs.PackError`."""
        ours = judge(data, environment=environment)
        if ours.form != "cda" or ours.word == "unreadable":
            return ours
        official = [_finding(each, self.pack) for each in self._rules.check(data)]
        return Judgement(form=ours.form, verdict=Verdict.of([*ours.verdict.findings, *official]))


def _finding(found: OfficialFinding, pack: Pack) -> Finding:
    words = found.message  # as published: one language, values of the document left out
    rule = Rule(
        code=f"ANS-{found.schema.upper()}",
        message=Text(words, words),
        fix=_FIX,
        source=f"{pack.id}, {found.schema} {found.rule}".strip(),
        severity=Severity(found.severity),
    )
    return rule.finding(found.location, line=found.line)
