"""Texts in no encoding or in several, markup that nests without end, and names that would be paths."""

from collections.abc import Mapping, Sequence
from typing import Final

NAMES: Final[Sequence[str]] = (
    "../../../etc/passwd.txt",
    "/etc/cron.d/evil.md",
    "C:\\Windows\\System32\\evil.txt",
    "evil\0.exe.txt",
    "CON.txt",
    "x" * 300 + ".txt",
    "\u202etxt.exe.txt",
    "..",
    ".txt",
    "a\r\nSet-Cookie: x=1.txt",
    "${jndi:ldap://127.0.0.1/x}.txt",
    "=cmd|' /C calc'!A0.md",
    "\U0001f600" * 80 + ".md",
)


def files() -> Mapping[str, bytes]:
    return {**_encodings(), **_markdown(), **_sizes()}


def _encodings() -> dict[str, bytes]:
    return {
        "nul.txt": b"a\0b\0c" * 100,
        "nul-late.txt": b"word " * 4_000 + b"\0" * 100 + b"word",
        "surrogates.txt": b"a \xed\xa0\x80 b \xed\xbf\xbf c",
        "surrogate-utf16.txt": "a".encode("utf-16") + b"\x00\xd8b\x00",
        "odd-utf16.txt": b"\xff\xfea\0b",
        "beyond-utf32.txt": b"\xff\xfe\0\0a\0\0\0\xff\xff\xff\xff",
        "mark-alone.txt": b"\xef\xbb\xbf",
        "marks.txt": b"\xff\xfe\xfe\xff\xef\xbb\xbf",
        "continuation.txt": b"\x80" * 10_000,
        "overlong.txt": b"\xc0\xaf\xe0\x80\xaf\xf8\x88\x80\x80\x80 text" * 50,
        "every-byte.txt": bytes(range(1, 256)) * 40,
        "controls.txt": bytes(range(1, 32)) * 100,
        "utf7.txt": b"+AGEAYg- +2AA-",
        "shift-jis.txt": "鍵は九十日ごとに変わる。".encode("shift_jis")[:-1] * 20,
        "gb18030.txt": "密钥每九十天轮换一次。".encode("gb18030")[:-1] * 20,
        "koi8.txt": "Ключи меняют каждые девяносто дней.".encode("koi8-r") * 5,
        "ebcdic.txt": "Keys are rotated every ninety days.".encode("cp500") * 5,
        "mixed.txt": "Größe ".encode() + "Größe ".encode("latin-1") + "Größe ".encode("utf-16-le"),
        "overridden.txt": "safe \u202e\u2066txt.exe\u2069 \ufeff\u200b".encode(),
        "private.txt": "\ufffe\uffff\U000f0000\U0010ffff".encode() * 10,
        "combining.txt": ("a" + "\u0301" * 200_000).encode(),
    }


def _markdown() -> dict[str, bytes]:
    """What makes a parser of Markdown nest or start over again and again."""
    return {
        "quotes.md": b">" * 100_000 + b" deep",
        "lists.md": b"".join(b" " * n + b"- a\n" for n in range(2_000)),
        "list-marks.md": b"- " * 50_000 + b"deep",
        "brackets.md": b"# " + b"[" * 100_000,
        "links.md": b"# " + b"[a](" * 50_000,
        "stars.md": b"# " + b"*a_" * 100_000,
        "ticks.md": b"# " + b" ".join(b"`" * n for n in range(1, 800)),
        "fences.md": b"```\n" * 100_001,
        "headings.md": b"# a\n" * 200_000,
        "columns.md": b"|a" * 100_000 + b"|\n" + b"|-" * 100_000 + b"|\n" + b"|b|\n" * 1_000,
        "definitions.md": b"".join(b"[a%d]: /x 'y\n" % n for n in range(50_000)),
        "tags.md": b"<a " * 100_000,
        "comment.md": b"<!-- " * 100_000,
        "front.md": b"---\n" + b"title: x\n" * 100_000,
        "front-nul.md": b"---\ntitle: a\0b\n---\n\nx",
        "returns.md": b"a\r" * 100_000,
        "rules.md": b"a\n===\n" * 50_000,
    }


def _sizes() -> dict[str, bytes]:
    suffixes = ("txt", "md", "pdf", "docx", "pptx", "xlsx", "html", "csv", "eml")
    return {
        **{f"one-byte.{suffix}": b"P" for suffix in suffixes},
        **{f"blank.{suffix}": b" \r\n\t " for suffix in suffixes},
        "line.txt": b"word " * 100_000,
        "letters.txt": b"x" * 500_000,
        "blocks.txt": b"a\n\n" * 1_100_000,
        "lines.txt": b"\n" * 2_000_000 + b"x",
        "too-long.txt": b"x" * 21_000_000,
        "signature.docx": b"PK\3\4",
        "signature.doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),
        "end.docx": b"PK\5\6" + bytes(18),
    }
