"""Too much at once is refused before it is read."""

from __future__ import annotations

import pytest

from gateway.gate import Gate
from gateway.problems import Busy


def test_so_many_documents_and_no_more() -> None:
    """A place is given back when its holder ends, even by an error."""
    gate = Gate(documents=2, octets=1000)
    with gate.enter(1), gate.enter(1):
        with pytest.raises(Busy) as refused, gate.enter(1):
            pass
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"] == "1"
    with pytest.raises(KeyError), gate.enter(1):
        raise KeyError
    assert (gate.inside, gate.held, gate.refused) == (0, 0, 1)


def test_so_many_bytes_and_no_more_unless_alone() -> None:
    """Bodies share an allowance; one larger than all of it passes alone."""
    gate = Gate(documents=10, octets=1000)
    with gate.enter(5000):
        pass
    with gate.enter(600), pytest.raises(Busy), gate.enter(500):
        pass
    with gate.enter(600), gate.enter(400):
        assert gate.held == 1000
