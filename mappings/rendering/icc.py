"""An sRGB colour profile of our own making, for the output intent that PDF/A-1 requires.

Written from the figures of IEC 61966-2-1 (primaries and transfer curve) adapted to the D50 white of ICC.1:1998-09.
The profile of the usual libraries is of ICC version 4, which PDF/A-1 (ISO 19005-1, 6.2.2) does not accept.
"""

from __future__ import annotations

import functools
import struct

__all__ = ["srgb_profile"]

#: Primaries of sRGB in CIE XYZ, moved to D50 by the Bradford transform.
_PRIMARIES = {
    b"rXYZ": (0.4360747, 0.2225045, 0.0139322),
    b"gXYZ": (0.3850649, 0.7168786, 0.0971045),
    b"bXYZ": (0.1430804, 0.0606169, 0.7141733),
}
_D50 = (0.9642, 1.0, 0.8249)
_NAME = b"sRGB IEC61966-2-1"


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _curve() -> bytes:
    # IEC 61966-2-1 5.2: the linear part up to 0.04045, then the 2.4 power.
    points = 1024
    table = []
    for index in range(points):
        level = index / (points - 1)
        linear = level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4
        table.append(round(linear * 65535))
    return b"curv\0\0\0\0" + struct.pack(f">I{points}H", points, *table)


def _description() -> bytes:
    text = _NAME + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)


@functools.cache
def srgb_profile() -> bytes:
    """The profile: display class, RGB to XYZ, version 2.1, the same bytes every time."""
    curve = _curve()
    tags = {
        b"desc": _description(),
        b"cprt": b"text\0\0\0\0No copyright, use freely\0",
        b"wtpt": _xyz(_D50),
        **{name: _xyz(values) for name, values in _PRIMARIES.items()},
        b"rTRC": curve,
    }
    table: list[tuple[bytes, int, int]] = []
    body = b""
    start = 128 + 4 + 12 * (len(tags) + 2)
    for name, data in tags.items():
        table.append((name, start + len(body), len(data)))
        body += data + bytes(-len(data) % 4)
    red = table[-1]
    # One curve serves the three colours.
    table += [(b"gTRC", red[1], red[2]), (b"bTRC", red[1], red[2])]
    header = struct.pack(
        ">I4sI4s4s4s6H4s4sI4s4sQI12s4s44x",
        start + len(body),
        b"\0\0\0\0",
        0x02100000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        *(2026, 1, 1, 0, 0, 0),
        b"acsp",
        b"\0\0\0\0",
        0,
        b"\0\0\0\0",
        b"\0\0\0\0",
        0,
        0,
        b"".join(map(_fixed, _D50)),
        b"\0\0\0\0",
    )
    return header + struct.pack(">I", len(table)) + b"".join(struct.pack(">4sII", *row) for row in table) + body
