"""The mail reader is bounded, and reads what other programs write."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mss.mime import MimeLimits, Part, parse
from adapters.mss.rules import MailRefused
from tests.support.mss import mail, peak_memory


def nested(depth: int) -> bytes:
    """A mail of so many multiparts, one in the other."""
    levels = [f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n'.encode() for n in range(depth)]
    return b"Subject: x\r\n" + b"".join(levels) + b"\r\nfin\r\n"


def refused(data: bytes, limits: MimeLimits | None = None) -> str:
    with pytest.raises(MailRefused) as error:
        contents(data, limits or MimeLimits())
    return error.value.code


def contents(data: bytes, limits: MimeLimits) -> list[bytes]:
    return [part.content() for part in parse(data, limits).walk() if not part.children]


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_parts_are_cut_at_their_boundaries(eol: bytes) -> None:
    """Nested containers, preamble, epilogue, a boundary that is the beginning of another one."""
    data = eol.join(
        [
            b"Subject: x",
            b"Content-Type: multipart/mixed; boundary=ab",
            b"",
            b"preamble",
            b"--ab",
            b'Content-Type: multipart/alternative; boundary="abc"',
            b"",
            b"--abc",
            b"",
            b"one",
            b"--abc",
            b"Content-Type: text/html",
            b"",
            b"two",
            b"--abc--",
            b"--ab  ",
            b"Content-Type: application/zip",
            b"Content-Transfer-Encoding: base64",
            b"",
            b"UEsDBA==",
            b"--ab--",
            b"epilogue",
        ]
    )
    mail = parse(data)
    assert [(p.content_type, p.content()) for p in mail.walk() if not p.children] == [
        ("text/plain", b"one"),
        ("text/html", b"two"),
        ("application/zip", b"PK\x03\x04"),
    ]


def test_a_missing_closing_line_is_tolerated() -> None:
    """The last part goes to the end."""
    mail = parse(b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nbody")
    assert [p.content() for p in mail.children] == [b"body"]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_what_the_standard_library_writes_is_read(contents: list[bytes]) -> None:
    """Any attachments come back byte for byte, whatever their bytes."""
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = "x"
    message.set_content("texte é")
    for number, content in enumerate(contents):
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=f"é{number}.bin")
    leaves = [p for p in parse(message.as_bytes()).walk() if not p.children]
    assert leaves[0].text().strip() == "texte é"
    assert [(p.filename, p.content()) for p in leaves[1:]] == [(f"é{n}.bin", c) for n, c in enumerate(contents)]


def test_an_attached_mail_stays_closed() -> None:
    """What a forwarded mail holds is not taken for an attachment of this one."""
    inner = mail().data
    outer = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n" + inner
    assert [p.content_type for p in parse(outer).walk()] == ["multipart/mixed", "message/rfc822"]


def test_an_attachment_may_be_named_by_its_type_alone() -> None:
    """Without Content-Disposition the name parameter of Content-Type tells."""
    part = parse(b'Content-Type: application/zip; name="IHE_XDM.ZIP"\r\n\r\n')
    assert part.filename == "IHE_XDM.ZIP"


def test_a_thousand_nested_parts_are_refused_at_once() -> None:
    """Named, in a moment, with little memory."""
    data = nested(1000)
    with peak_memory() as peak:
        begun = time.process_time()
        assert refused(data) == "MSS-MIME-002"
        assert time.process_time() - begun < 0.5
        assert peak() < 1_000_000


def test_the_levels_allowed_are_read() -> None:
    """Six containers pass, seven do not."""
    assert refused(nested(7)) == "MSS-MIME-002"
    assert [p.content() for p in parse(nested(6)).walk()][-1] == b"fin\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"Subject: x\r\n\r\n" + b"a" * 2000,
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\na\r\n" * 30,
        b"X: " + b"a" * 900 + b"\r\n\r\n",
        b"".join(b"X%d: a\r\n" % n for n in range(200)) + b"\r\n",
        b"Content-Type: text/plain; " + b"a=b;" * 80 + b"\r\n\r\n",
    ],
)
def test_every_limit_refuses_the_whole_mail(data: bytes) -> None:
    """Size, parts, one header, headers of a part, Content-Type."""
    limits = MimeLimits(
        max_bytes=1900, max_parts=20, max_header_bytes=1000, max_header_value=800, max_content_header=300
    )
    assert refused(data, limits) == "MSS-MIME-002"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"Subject: a\x00b\r\n\r\n", "MSS-MIME-004"),
        (b"Content-Type: multipart/mixed\r\n\r\n", "MSS-MIME-001"),
        (b"Content-Type: multipart/mixed; boundary=" + b"x" * 71 + b"\r\n\r\n", "MSS-MIME-001"),
        (b"Content-Transfer-Encoding: base64\r\n\r\nab*c", "MSS-MIME-001"),
        (b"Content-Transfer-Encoding: base64\r\n\r\nabc", "MSS-MIME-001"),
        (b"Content-Transfer-Encoding: x-uuencode\r\n\r\nabc", "MSS-MIME-001"),
    ],
)
def test_what_is_broken_is_named(data: bytes, code: str) -> None:
    """NUL in a header, no boundary, false base64, an unknown encoding."""
    assert refused(data) == code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Subject", b"=?utf-8?q?ok=0D=0ABcc:_x@y.fr?="),
        ("From", b"=?utf-8?q?a=0D=0A?= <a@b.fr>"),
        ("To", b"=?utf-8?b?" + base64.b64encode(b"a\nb") + b"?= <a@b.fr>"),
        ("Subject", b"=?utf-8?q?bell=07?="),
    ],
)
def test_an_encoded_line_break_in_a_header_is_an_injection(name: str, value: bytes) -> None:
    """Decoded, it would begin a header of its own."""
    part = parse(name.encode() + b": " + value + b"\r\n\r\n")
    with pytest.raises(MailRefused, match="MSS-MIME-004"):
        part.header(name)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but a refusal ever comes out."""
    for head in (b"", b"Subject: ", b"From: ", b"Content-Type: multipart/mixed; boundary=", b"Content-Type: "):
        try:
            mail: Part = parse(head + data)
            for part in mail.walk():
                part.header("Subject"), part.header("From"), part.filename, part.content(), part.text()
        except MailRefused:
            continue


@pytest.mark.parametrize("name", ["Subject", "References", "X-MSS-NIL", "auto-submitted"])
@given(value=st.text(st.sampled_from("aZ0 =?_<>@\"'()\\,;:é\t-"), max_size=60), folded=st.booleans())
def test_a_plain_value_is_what_the_library_says(name: str, value: str, folded: bool) -> None:
    """Values read without the standard library are those it would give."""
    written = f"{name}: {value[:20]}{chr(13)}{chr(10)} {value[20:]}" if folded else f"{name}: {value}"
    part = parse(f"{written}\r\n\r\nx\r\n".encode())
    try:
        library = " ".join(str(part.headers.get(name, "")).split())
    except Exception:  # the library cannot read it: neither may we
        with pytest.raises(MailRefused):
            part.header(name)
        return
    with contextlib.suppress(MailRefused):  # a control character
        assert part.header(name) == library
