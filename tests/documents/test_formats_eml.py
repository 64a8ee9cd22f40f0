import base64

import pytest

from documents.formats import eml
from documents.structure import Failure, Kind, Limits, ParsedDocument, UnreadableError
from tests.documents import office

HEAD = "From: Ann <ann@x.example>\r\nTo: bob@x.example\r\nSubject: Re: =?utf-8?b?R3LDtsOfZQ==?=\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n"
READ = (
    "From: Ann <ann@x.example>\nTo: bob@x.example\nDate: Mon, 1 Jan 2024 10:00:00 +0000\nSubject: Re: Größe"
)


def parsed(raw: str | bytes, **limits: int) -> ParsedDocument:
    return eml.read(raw.encode() if isinstance(raw, str) else raw, Limits(**limits))


def mail(*parts: str, kind: str = "mixed", boundary: str = "B", head: str = HEAD) -> str:
    body = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    return f'{head}MIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n{body}--{boundary}--\r\n'


def attachment(name: str, content: bytes) -> str:
    return (
        f'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="{name}"\r\n'
        f"Content-Transfer-Encoding: base64\r\n\r\n{base64.encodebytes(content).decode()}"
    )


def test_headers_come_first_and_replies_stay() -> None:
    document = parsed(HEAD + "\r\nThe limit is 5.\r\n\r\n> What is it?\r\n> Ann\r\n")
    assert document.text == f"{READ}\n\nThe limit is 5.\n\n> What is it?\n> Ann"
    assert (document.title, [block.kind for block in document.blocks]) == ("Größe", [Kind.PARAGRAPH] * 3)


@pytest.mark.parametrize(
    ("label", "encoding"),
    [
        ("iso-8859-1", "cp1252"),
        ("utf-8", "cp1252"),
        ("us-ascii", "utf-8"),
        ("no-such", "cp1252"),
        ("utf-16", "utf-16"),
    ],
)
def test_a_wrong_charset_does_no_harm(label: str, encoding: str) -> None:
    text = "Die Größe des Übermaßes – gemessen in Fuß"
    encoded = base64.encodebytes(text.encode(encoding)).decode()
    raw = f"Subject: x\r\nContent-Type: text/plain; charset={label}\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}"
    assert parsed(raw).text == f"Subject: x\n\n{text}"


def test_strange_headers_are_read_as_far_as_they_can_be() -> None:
    raw = "Subject: Größe\r\nFrom: =?bogus?b?YWJj?= <a@x>\r\nTo: =?utf-8?q?J=C3=B6rg?= <j@x>\r\n folded\r\n\r\nx".encode(
        "cp1252"
    )
    assert parsed(raw).text.endswith("From: abc <a@x>\nTo: Jörg <j@x> folded\nSubject: Größe\n\nx")


def test_of_two_versions_the_plain_one_is_kept_and_html_is_read_where_it_is_alone() -> None:
    plain, page = (
        "Content-Type: text/plain\r\n\r\nplain words\r\n",
        "Content-Type: text/html\r\n\r\n<h1>Page</h1><p>html words\r\n",
    )
    assert parsed(mail(plain, page, kind="alternative")).text == f"{READ}\n\nplain words"
    document = parsed(mail("Content-Type: text/plain\r\n\r\n \r\n", page, kind="alternative"))
    assert document.text == f"{READ}\n\nPage\n\nhtml words"
    assert [block.level for block in document.blocks] == [0, 2, 0]


def test_what_hangs_on_the_version_that_is_not_kept_is_named_all_the_same() -> None:
    logo = "Content-Type: image/png\r\nContent-ID: <l>\r\n\r\nx"
    page = mail(
        "Content-Type: text/html\r\n\r\n<p>html", logo, attachment("plan.bin", b"\0\1"), boundary="C", head=""
    )
    document = parsed(mail("Content-Type: text/plain\r\n\r\nplain\r\n", page, kind="alternative"))
    assert document.text == f"{READ}\n\nplain\n\nAttachments:\n- plan.bin"


def test_attachments_that_can_be_read_are_and_the_others_are_named() -> None:
    workbook = office.xlsx({"Load": office.cells(["Dock", "Crates", "Note"], ["North", 7, "full"])})
    text = "Content-Type: text/plain\r\n\r\nSee below.\r\n"
    document = parsed(
        mail(
            text,
            attachment("t.xlsx", workbook),
            attachment("b.docx", b"PK\3\4broken"),
            attachment("c.csv", b"a,b,c\n1,2,3\n"),
        )
    )
    assert document.text == (
        f"{READ}\n\nSee below.\n\nAttachments:\n- t.xlsx\n- b.docx\n- c.csv\n\n"
        "t.xlsx\n\nLoad\n\n| Dock | Crates | Note |\n| Dock: North | Crates: 7 | Note: full |\n\nc.csv\n\n| a | b | c |\n| a: 1 | b: 2 | c: 3 |"
    )
    assert [(b.level, b.label) for b in document.blocks if b.label] == [
        (2, "t.xlsx"),
        (3, "Load"),
        (2, "c.csv"),
    ]


def test_mails_in_mails_are_read_to_a_depth() -> None:
    inner = "Subject: level 0\r\n\r\nthe core\r\n"
    for level in range(1, 8):
        inner = mail(
            f"Content-Type: message/rfc822\r\n\r\n{inner}",
            boundary=f"B{level}",
            head=f"Subject: level {level}\r\n",
        )
    text = parsed(inner).text
    assert "Subject: level 2" in text
    assert "- level 1" in text
    assert "Subject: level 1" not in text


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("no headers at all", Failure.CORRUPT),
        (
            HEAD + "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nxx",
            Failure.ENCRYPTED,
        ),
        (HEAD + 'Content-Type: multipart/encrypted; boundary="B"\r\n\r\n--B--', Failure.ENCRYPTED),
        (
            HEAD + "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(200)),
            Failure.TOO_DEEP,
        ),
        (HEAD + "Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 2_000, Failure.TOO_DEEP),
    ],
    ids=["no mail", "S/MIME", "PGP", "deep", "deeper"],
)
def test_what_cannot_be_read_says_why(raw: str, code: Failure) -> None:
    with pytest.raises(UnreadableError) as caught:
        parsed(raw)
    assert caught.value.code is code


def test_a_bomb_in_an_attachment_ends_the_mail() -> None:
    bomb = office.docx(office.paragraph("a" * 3_000_000))
    with pytest.raises(UnreadableError) as caught:
        parsed(mail(attachment("a.docx", bomb)), decompressed_bytes=1_000_000)
    assert caught.value.code is Failure.TOO_LARGE_UNPACKED
