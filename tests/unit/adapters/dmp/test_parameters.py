"""The DMP's system parameters: read once a day, whatever their form, and the last ones hold."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pytest_httpx import HTTPXMock

from adapters.dmp.parameters import DmpParameters, ParameterKeeper, read_parameters
from security.errors import UnsafeInput

URL = "https://dmp.test.invalid/web/dmp/documents/param-lps"
FILE = (
    b'<parametres><parametre nom="cumul-invisible_patient-masque_ps" valeur="true"/>'
    b'<parametre nom="fonctions-gestion-mineurs" valeur="false"/></parametres>'
)


@pytest.mark.parametrize(
    ("data", "both", "minors"),
    [
        (FILE, True, False),
        (b"<p><cumul-invisible_patient-masque_ps>OUI</cumul-invisible_patient-masque_ps></p>", True, None),
        (b'<p xmlns="urn:x"><param name="fonctions-gestion-mineurs">1</param></p>', None, True),
        (b'<p><param name="cumul-invisible_patient-masque_ps" value="perhaps"/></p>', None, None),
        (b"<p/>", None, None),
    ],
)
def test_values_are_found_beside_their_names(data: bytes, both: bool | None, minors: bool | None) -> None:
    """As attributes, as text, as an element's own name; what is no yes or no says nothing."""
    assert read_parameters(data) == DmpParameters(both_restrictions=both, minors=minors)


def test_what_is_no_xml_is_refused() -> None:
    """An error page is no file of parameters."""
    with pytest.raises(UnsafeInput):
        read_parameters(b"<!doctype html><p>Maintenance")


def test_the_file_is_read_once_a_day_and_its_last_values_hold(httpx_mock: HTTPXMock) -> None:
    """A failure is tried again after an hour; meanwhile nothing changes."""
    now = [datetime(2026, 11, 20, 9, tzinfo=UTC)]
    keeper = ParameterKeeper(URL, ssl_context=None, clock=lambda: now[0])
    httpx_mock.add_response(url=URL, content=FILE)
    httpx_mock.add_response(url=URL, status_code=503)
    httpx_mock.add_response(url=URL, content=b"<p/>")

    async def scenario() -> list[bool | None]:
        seen = []
        for hours in (0, 1, 23, 0.5, 0.5):
            now[0] += timedelta(hours=hours)
            seen.append((await keeper.current()).both_restrictions)
        return seen

    assert asyncio.run(scenario()) == [True, True, True, True, None]
    assert len(httpx_mock.get_requests()) == 3


def test_without_an_address_nothing_is_read() -> None:
    """The setting alone decides."""
    keeper = ParameterKeeper("", ssl_context=None, clock=lambda: datetime.now(UTC))
    assert asyncio.run(keeper.current()) == DmpParameters()
