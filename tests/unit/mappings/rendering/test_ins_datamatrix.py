"""The INS datamatrix as a picture: drawn square, read back to the same identity."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from conformance.identity.datamatrix import InsDatamatrix, read_payload, write_payload
from mappings.rendering import codes

ZOE = InsDatamatrix(
    matricule="275126322074974",
    oid="1.2.250.1.213.1.4.8",
    given_names="ZOE",
    birth_name="ADRUN",
    sex="F",
    birth_date="1975-12-31",
    birth_place="63220",
)


@pytest.mark.parametrize("given_names", ["ZOE", "PIERRE-ALAIN MURIEL FLORIANT", "A" * 100])
def test_the_symbol_is_square_and_keeps_its_separators(given_names: str) -> None:
    """Any identity survives paper: the separators GS come back as they were."""
    identity = InsDatamatrix(**{n: getattr(ZOE, n) for n in ZOE.__slots__} | {"given_names": given_names})
    rows = codes.modules(write_payload(identity))
    assert {len(row) for row in rows} == {len(rows)}
    (found,) = codes.read(codes.png(write_payload(identity)))
    assert read_payload(found.text) == identity


def test_a_scan_askew_with_a_prescription_code_beside_it_is_read() -> None:
    """A compressed page, turned, with two codes: each is told by its symbology."""
    page = Image.new("L", (1100, 700), 230)
    for at, picture in (
        (60, codes.png(write_payload(ZOE), scale=4)),
        (600, codes.png("EPU-0123456789", codes.Symbology.QR, scale=4)),
    ):
        page.paste(Image.open(io.BytesIO(picture)).convert("L"), (at, 150))
    out = io.BytesIO()
    page.rotate(7, fillcolor=230).save(out, "JPEG", quality=80)
    found = {code.symbology: code.text for code in codes.read(out.getvalue())}
    assert read_payload(found["DataMatrix"]) == ZOE
    assert found["QRCode"] == "EPU-0123456789"
