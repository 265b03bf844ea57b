"""Contents that hold another are kept without it, and read whole; what is missing is never made up."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, select

from gateway.store import blobs
from gateway.store.blobs import Piece
from gateway.store.engine import Store
from gateway.store.tables import blobs as rows
from gateway.vault import Vault

NOW = datetime(2026, 11, 24, tzinfo=UTC)
VAULT = Vault(bytes(range(32)))
PDF = b"%PDF-1.4 canary " + bytes(range(256)) * 40
ENCODED = base64.b64encode(PDF)
BUNDLE = b'{"resourceType":"Bundle","data":"' + ENCODED + b'","end":1}'


def keep(store: Store, data: bytes, *pieces: Piece) -> str:
    """Keep bytes of one tenant."""
    return store.write_now(lambda c: blobs.put(c, VAULT, "t", data, NOW, pieces=pieces))


def read(store: Store, address: str) -> bytes:
    """Read them again."""
    return store.read_now(lambda c: blobs.get(c, VAULT, "t", address))


def sealed(store: Store, address: str) -> Any:
    """The row as it lies."""
    return store.read_now(lambda c: c.execute(select(rows).where(rows.c.address == address)).one())


def test_a_form_that_holds_a_pdf_is_kept_without_it(store: Store) -> None:
    """The row is small, says the whole size, and gives the same bytes; a form that holds none is kept as it is."""
    pdf = keep(store, PDF)
    held = Piece.encoded(pdf, PDF)
    bundle, other = keep(store, BUNDLE, held), keep(store, b"nothing of it" * 500, held)
    row = sealed(store, bundle)
    assert (row.size, len(row.sealed) < 400) == (len(BUNDLE), True)
    assert read(store, bundle) == BUNDLE
    assert len(sealed(store, other).sealed) > 6000
    assert read(store, other) == b"nothing of it" * 500


def test_pieces_within_pieces(store: Store) -> None:
    """A set holds a CDA that holds a PDF; several pieces stand in one content, whatever their order."""
    pdf = keep(store, PDF)
    cda = keep(store, BUNDLE, Piece.encoded(pdf, PDF))
    both = b"head\n" + BUNDLE + b"between" + PDF + b"tail"
    address = keep(store, both, Piece.plain(pdf, PDF), Piece.plain(cda, BUNDLE))
    assert len(sealed(store, address).sealed) < 600
    assert read(store, address) == both


def test_a_piece_purged_is_a_content_purged(store: Store) -> None:
    """Nothing is given in part: the reader is told that it is gone."""
    pdf = keep(store, PDF)
    bundle = keep(store, BUNDLE, Piece.encoded(pdf, PDF))
    store.write_now(lambda c: c.execute(delete(rows).where(rows.c.address == pdf)))
    with pytest.raises(KeyError):
        read(store, bundle)


def test_another_content_in_the_place_of_a_piece_is_seen(store: Store) -> None:
    """The bytes put together must be those the address was made of."""
    pdf, stranger = keep(store, PDF), b"%PDF-1.4 another" * 600
    bundle = keep(store, BUNDLE, Piece.encoded(pdf, PDF))
    forged = VAULT.seal("t", stranger, pdf)
    store.write_now(lambda c: c.execute(rows.update().where(rows.c.address == pdf).values(sealed=forged)))
    with pytest.raises(ValueError, match="put together"):
        read(store, bundle)


def test_small_pieces_stay_where_they_are(store: Store) -> None:
    """A few words are not worth a row of their own."""
    small = b"x" * 100
    address = keep(store, b"a" + small + b"b", Piece.plain(keep(store, small), small))
    assert read(store, address) == b"a" + small + b"b"
    assert sealed(store, address).sealed[0:1] == VAULT.seal("t", b"", "x")[0:1]


@given(st.binary(max_size=64), st.binary(max_size=64), st.booleans())
def test_any_content_comes_back(before: bytes, after: bytes, encoded: bool) -> None:
    """Whatever stands around a piece, line breaks and brackets included."""
    piece = Piece.encoded("p", PDF) if encoded else Piece.plain("p", PDF)
    data = before + piece.text + after
    rest = blobs._without(data, [piece])
    assert rest is not None
    line, _, inline = rest.partition(b"\n")
    assert inline == before + after
    assert line.count(b"[") == 4
