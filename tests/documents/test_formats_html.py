import time

import pytest

from documents.formats import html
from documents.structure import Failure, Kind, Limits, ParsedDocument, UnreadableError


def parsed(markup: str | bytes) -> ParsedDocument:
    return html.read(markup.encode() if isinstance(markup, str) else markup, Limits())


def test_headings_paragraphs_and_line_breaks_read_as_in_a_browser() -> None:
    document = parsed(
        "<!doctype html><title> A\n page </title><h1>Top <em>words</em></h1>loose <p>One<b>word</b>\n  and<br>a line<p>un<!-- c -->closed"
    )
    assert document.text == "Top words\n\nloose\n\nOneword and\na line\n\nunclosed"
    assert [(b.kind, b.level, b.label) for b in document.blocks][:2] == [
        (Kind.HEADING, 1, "Top words"),
        (Kind.PARAGRAPH, 0, ""),
    ]
    assert (document.title, document.page_starts) == ("A page", [])


def test_list_items_have_their_numbers_and_terms_their_meanings() -> None:
    document = parsed(
        "<ul><li>one<li>two<ol start=3><li>in<li value=9>ner</ol><li><p>para</ul><dl><dt>SLA<dd>A promise</dl>"
    )
    assert document.text == "- one\n- two\n  3. in\n  9. ner\n- para\n\n- SLA\n  A promise"
    assert [block.kind for block in document.blocks] == [Kind.LIST, Kind.LIST]


def test_a_table_keeps_each_figure_beside_its_headers_spans_included() -> None:
    document = parsed(
        "<table><caption>Load</caption><thead><tr><th rowspan=2>Region<th colspan=2>2024</tr><tr><th>Q1<th>Q2</thead>"
        "<tr><td rowspan=2>North<td>1<td>2<tr><td>3<td><ul><li>4<li>5</ul></table>"
    )
    assert document.text == (
        "Load\n\n| Region | 2024 |\n| Region | Q1 | Q2 |\n"
        "| Region: North | 2024 Q1: 1 | 2024 Q2: 2 |\n| Region: North | 2024 Q1: 3 | 2024 Q2: 4 5 |"
    )
    assert [block.kind for block in document.blocks] == [Kind.PARAGRAPH, Kind.TABLE]


def test_a_table_that_holds_a_table_is_layout() -> None:
    document = parsed("<table><tr><td><h2>Left</h2>words<td><table><tr><td>a<td>b</table></table>")
    assert document.text == "Left\n\nwords\n\n| a | b |"


def test_code_keeps_its_white_space_and_links_and_images_show_their_words() -> None:
    document = parsed(
        '<pre>def f():\n    return 1\n</pre><p><a href="http://a.b">text</a> <a href="http://c.d"></a> <a href="x"><img alt="Logo"></a>'
    )
    assert document.text == "def f():\n    return 1\n\ntext http://c.d [Image: Logo]"
    assert document.blocks[0].kind is Kind.CODE


def test_what_is_not_seen_is_left_out() -> None:
    markup = "<p hidden>a</p><div style='color:red; display : none'>b</div><script>c</script><nav>d</nav><template>e</template><p>f"
    assert parsed(markup).text == "f"


@pytest.mark.parametrize(
    ("text", "encoding", "before"),
    [
        ("Größe – naïve", "cp1252", "<meta charset=iso-8859-1>"),
        ("日本語の表示", "cp932", '<meta http-equiv=Content-Type content="text/html; charset=Shift_JIS">'),
        ("Привет, мир", "koi8-r", "<meta charset='koi8-r'>"),
        ("żółw", "utf-16", ""),
        ("żółw", "utf-8-sig", "<meta charset=iso-8859-1>"),
        ("żółw 日本", "utf-8", "<meta charset=iso-8859-1>"),  # a wrong label
        ("Größe in Übermaß", "cp1252", "<meta charset=utf-8>"),  # another
        ("中文内容", "gb18030", '<?xml version="1.0" encoding="gb2312"?>'),
        ("plain", "ascii", "<meta charset=rot13>"),
    ],
)
def test_the_encoding_is_what_the_page_names_unless_the_bytes_say_otherwise(
    text: str, encoding: str, before: str
) -> None:
    page = f"<p>{text}</p>"
    raw = (
        f"{before}<html><head></head>{page}"
        if before.startswith("<?")
        else f"<html><head>{before}</head>{page}"
    ).encode(encoding)
    assert parsed(raw).text == text


@pytest.mark.parametrize(
    ("markup", "code"),
    [
        ("<div>" * 100_000 + "x", Failure.TOO_DEEP),
        ("<b>" * 900 + "x", Failure.TOO_DEEP),
        ("<ul><li>" * 3_000 + "x", Failure.TOO_DEEP),
        ("<script>alert(1)</script>", Failure.NO_TEXT),
        ("<table>" + "<tr><td rowspan=65534 colspan=1000>" * 2_000, Failure.NO_TEXT),
        ("<table>" + "<tr><td rowspan=65534>" + "word " * 2_000 + "<tr>" * 5_000, Failure.TOO_LARGE_TEXT),
    ],
    ids=["open tags", "inline", "lists", "no text", "spans", "text by spans"],
)
def test_a_hostile_page_ends_in_a_code_soon(markup: str, code: Failure) -> None:
    begun = time.process_time()
    with pytest.raises(UnreadableError) as caught:
        parsed(markup)
    assert (caught.value.code, time.process_time() - begun < 5) == (code, True)


def test_nul_and_control_characters_are_replaced() -> None:
    assert parsed(b"<html><p>a\0b&#2;c\x1bd").text in {"a\ufffdb\ufffdc\ufffdd", "ab\ufffdc\ufffdd"}
