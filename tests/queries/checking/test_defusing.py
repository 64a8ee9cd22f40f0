"""What a hostile answer is made of comes out harmless, and an honest answer as it was."""

import random
import time
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from documents.searching.search import Hit
from queries.checking import defusing
from queries.sources import Source, each

ADDRESS = "https://ok.example/a?b=1"


def make_sources(*texts: str) -> list[Source]:
    return each([
        Hit(UUID(int=n), UUID(int=n), "handbook.md", "default", "", None, None, 0, len(text), text, 0.5, 0.5)
        for n, text in enumerate(texts, start=1)
    ])  # fmt: skip


SOURCES = make_sources(
    f"See {ADDRESS} or [the site](https://site.example/x), mail to help@ok.example, read node.js.",
    "Plain text, at www.ok.example. And file.txt.",
)


@pytest.mark.parametrize(
    "honest",
    [
        "The warranty lasts three years [1].",
        "**Three** years [1][2], *not* four.\n\n- one\n- two `code`\n\n| a | b |\n|---|---|\n| 1 | 2 |",
        f"See {ADDRESS} [1].",
        f"See ({ADDRESS}), or **{ADDRESS}**.",
        "Mail to help@ok.example. Use node.js, file.txt and handbook.md.",
        "If x < 5 and y > 3, then 3<5; R&D at AT&T, e.g. U.S. 3.5 kg, 1,000.50 at 10:30.",
        "如何使用？参照第三章。三年です。 ประกัน",
        "می\u200cخواهم کتاب",
        'He said "no", she said “yes” (twice) [2].',
        "C:\\temp and \\alpha",
        "Section [a] and [2024]",
    ],
)
def test_an_honest_answer_stays_as_it_is(honest: str) -> None:
    assert defusing.harmless(honest, SOURCES) == honest


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("[here](https://evil.example/?q=secret)", "[here] (address removed)"),
        ("![](https://evil.example/x.png)", "![] (address removed)"),
        (
            "[![a](https://evil.example/x)](https://evil.example/y)",
            "[![a] (address removed)] (address removed)",
        ),
        (f"[1]({ADDRESS})", f"[1] ({ADDRESS})"),
        ("[a][b]\n\n[b]: https://evil.example/z", "[a][b]\n\n[b] : (address removed)"),
        (f"[1]\n\n[1]: {ADDRESS}", f"[1]\n\n[1] : {ADDRESS}"),
        ("<https://evil.example/z>", "< (address removed)>"),
        ("https://evil.example/z?q=1, then", "(address removed), then"),
        ("HTTPS://EVIL.EXAMPLE/z", "(address removed)"),
        ("https:/evil.example/z", "(address removed)"),
        (f"{ADDRESS}&data=secret", "(address removed)"),
        ("https://ok.example/", "(address removed)"),
        (f"{ADDRESS}(secret)", "(address removed))"),
        (f"{ADDRESS}[1]", f"{ADDRESS} [1]"),
        (f"{ADDRESS}秘密", f"{ADDRESS} 秘密"),
        ("www.evil.example", "(address removed)"),
        ("www.ok.example", "www.ok.example"),
        ("evil.example/secret", "(address removed)"),
        ("evil.example", "evil. example"),
        ("例え.jp", "例え .jp"),
        ("me@evil.example", "(address removed)"),
        ("\\\\evil\\share", "(address removed)"),
        ("javascript:alert(1)", "(address removed))"),
        ("data:text/html;base64,AAAA", "(address removed)"),
        ("data: three", "data: three"),
        ("<img src=x onerror=alert(1)>", ""),
        ("<scr<b>ipt>alert(1)</scr</b>ipt>", "< script>alert(1)< /script>"),
        ("a<br>b", "a b"),
        ("<img src=x onerror=alert(1)", "< img src=x onerror=alert(1)"),
        ("&lt;script&gt;x", "x"),
        ("&amp;lt;script", "& lt;script"),
        ("&#104;ttps://evil.example/z", "(address removed)"),
        ("&&num;106;", "& #106;"),
        ("https\\://evil.example/z", "(address removed)"),
        ("ht\u200btps://evil.example/z", "(address removed)"),
        ("a\u202eb\u2066c\ufeffd\u200ee\U000e0041", "abcde"),
        ("a\x1b[31mb\x00", "a[31mb"),
        ("[9] [\u0669] [\xa09\xa0] [99-120]", ""),
        ("ht[9]tps:/[9]/localhost/x", "(address removed)"),
        ("x" * 3_000, "(address removed)"),
        ("<[9]script>", "< script>"),
    ],
)
def test_a_hostile_answer_is_shown_harmless(hostile: str, shown: str) -> None:
    assert defusing.harmless(hostile, SOURCES) == shown


TEXTS = st.lists(
    st.sampled_from([
        "<", ">", "&", "#", ";", "[", "]", "(", ")", ":", "/", "\\", ".", " ", "\n", "1", "9", "\u200b", "\u200c",
        "ا", "秘", "a", "b", "img", "script", "https", "https://", "evil.example", "www.", "@", "amp", "lt", "x" * 700,
        "&lt;", "&#58;", "](", "]:", ADDRESS, "javascript:", " onerror=", "\u202e", '"', "x" * 990,
    ]),
    max_size=14,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example(["ا", "\u200c", "ا", "<"])
@example(["ا\u200c", "\u200c", "ا", "\u200cا"])
def test_pieces_make_up_the_same_text_however_they_were_cut(pieces: list[str]) -> None:
    text = "".join(pieces)
    whole = defusing.harmless(text, SOURCES)
    assert "".join(defusing.streamed(pieces, SOURCES)) == whole
    assert "".join(defusing.streamed(text, SOURCES)) == whole


def test_text_goes_out_as_soon_as_it_is_decided() -> None:
    def told(said: list[str]) -> list[str]:
        return list(defusing.streamed(said, SOURCES))

    assert len(told(["Three ", "years ", "and ", "no ", "more."])) >= 4


@pytest.mark.parametrize(
    "unit",
    ["<a ", "[", "](", "a.", "&", "\\", "a@", "x", "https://", "[1", "]", "\u200c", "ا\u200c", "<!", "w.w/"],
)
def test_hostile_text_takes_time_in_proportion(unit: str) -> None:
    def seconds(size: int) -> float:
        started = time.perf_counter()
        defusing.harmless(unit * (size // len(unit)), SOURCES)
        return time.perf_counter() - started

    seconds(1_000)
    # five times the text; quadratic time would be twenty-five
    assert seconds(250_000) < 12 * seconds(50_000) + 0.2


def test_a_megabyte_in_small_pieces_takes_no_minute() -> None:
    random.seed(7)
    text = "".join(random.choice(["<a ", "[1", "](", "a.b", "&", "x", "https:/", " "]) for _ in range(40_000))
    started = time.perf_counter()
    for _ in defusing.streamed(text, SOURCES):
        pass
    assert time.perf_counter() - started < 60
