"""Sessions of professionals: proven by Pro Santé Connect, declared where allowed, bound to their program."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.problems import Busy, Forbidden, Invalid, Unauthenticated
from gateway.services.consulting import (
    Session,
    declared,
    open_session,
    proven,
    seal_session,
)
from gateway.services.intake import describe_actor
from gateway.settings import Settings
from gateway.tenants import Tenant
from gateway.vault import Vault
from mappings.document.people import Professional
from tests.support import documents

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TENANT = Tenant(id="tnt_1", structure_id="1290099886", name="CABINET FICTIF", activity_sector="SA07", references={})
OTHER = Tenant(id="tnt_2", structure_id="1750803447", name="X", activity_sector="SA33", references={})
ALLOWED = Settings.model_validate({"records_actor": "declared"})


def a_session(**said: Any) -> Session:
    """A declared session."""
    options = {"method": "e-cps", "authenticated_at": NOW, "settings": ALLOWED, "now": NOW, **said}
    actor = describe_actor(Professional.model_validate(documents.DOCTOR))
    return declared(actor, TENANT, **options)  # type: ignore[arg-type]


def test_a_session_comes_back_for_its_program_only(vault: Vault) -> None:
    """Sealed, opened, the same person; for another program, structure, moment, or altered: nothing."""
    session = a_session()
    text = seal_session(vault, TENANT, "vendor", session)
    assert documents.DOCTOR["family"] not in text
    back = open_session(vault, TENANT, "vendor", text, NOW)
    assert back == session
    assert back.strong
    assert back.actor.profession.code == "10"
    assert back.actor.specialty is not None
    assert back.actor.specialty.code == "SM54"
    assert back.actor.authn_declaration == back.actor.authn_context
    late = NOW + timedelta(minutes=241)
    for tenant, client, given, now in (
        (TENANT, "other", text, NOW),
        (OTHER, "vendor", text, NOW),
        (TENANT, "vendor", text, late),
        (TENANT, "vendor", text[:-8] + "AAAAAAAA", NOW),
        (TENANT, "vendor", "ses_", NOW),
        (TENANT, "vendor", "é", NOW),
    ):
        with pytest.raises(Unauthenticated):
            open_session(vault, tenant, client, given, now)


def test_a_declared_professional_needs_the_setting_and_the_structure() -> None:
    """Refused by default, and in production at start; a professional of another structure is no user of this one."""
    with pytest.raises(Forbidden):
        a_session(settings=Settings())
    actor = describe_actor(Professional.model_validate({**documents.DOCTOR, "organization": documents.PHARMACY}))
    with pytest.raises(Invalid):
        declared(actor, TENANT, method="cps", authenticated_at=NOW, settings=ALLOWED, now=NOW)
    with pytest.raises(ValueError, match="records_actor"):
        Settings.model_validate({"environment": "production", "records_actor": "declared"})


class Provider:
    """A provider that answers what it is told to."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def professional(self, token: str) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def a_professional(*exercises: tuple[str, str], structure: str = "1290099886") -> Any:
    """A professional as Pro Santé Connect tells it, with exercises (profession, specialty) in a structure."""
    from adapters.psc.userinfo import read_userinfo

    activity = {"ancienIdentifiantDeLaStructure": structure, "codeSecteurDactivite": "SA07^1.2.250.1.71.4.2.4"}
    return read_userinfo(
        {
            "SubjectNameID": "899700218896",
            "family_name": "KERVELLA",
            "given_name": "Odile",
            "SubjectRefPro": {
                "exercices": [
                    {"codeProfession": profession, "codeSavoirFaire": skill, "activities": [activity]}
                    for profession, skill in exercises
                ]
            },
        }
    )


def prove(answer: Any, profession: str | None = None) -> Session:
    """Prove a token to a provider."""
    provider = None if answer is None else Provider(answer)
    return asyncio.run(proven(provider, "t", TENANT, profession=profession, settings=Settings(), now=NOW))


def test_a_token_makes_a_session() -> None:
    """The exercise in the structure acted for: identity, roles and sector of the VIHF (dmp.md 6.3)."""
    session = prove(a_professional(("10", "SM54")))
    actor = session.actor
    assert (actor.id, actor.profession.code, actor.sector) == ("899700218896", "10", "SA07")
    assert actor.specialty is not None
    assert session.strong
    assert actor.authn_context.endswith("MobileTwoFactorUnregistered")


def test_the_exercise_is_chosen_never_guessed() -> None:
    """Several in the structure: the caller says which; none there: refused."""
    several = a_professional(("10", "SM54"), ("10", "SM26"))
    with pytest.raises(Forbidden) as caught:
        prove(several)
    assert caught.value.faults[0].found == "10/SM26, 10/SM54"
    assert prove(several, "10/SM26").actor.specialty is not None
    with pytest.raises(Forbidden):
        prove(a_professional(("10", "SM54"), structure="1750803447"))


def test_a_provider_that_refuses_or_is_silent() -> None:
    """Not configured, refused, silent: three answers."""
    for answer, expected in (
        (None, Busy),
        (PermissionError("http_401"), Unauthenticated),
        (ConnectionError("x"), Busy),
    ):
        with pytest.raises(expected):
            prove(answer)
