import pytest

from documents.formats import docx
from documents.structure import Failure, Kind, Limits, ParsedDocument, UnreadableError
from tests.documents import office
from tests.documents.office import W, paragraph, table

STYLES = f"""<w:styles {W}>
<w:style w:type="paragraph" w:styleId="T"><w:name w:val="Title"/></w:style>
<w:style w:type="paragraph" w:styleId="H2"><w:name w:val="heading 2"/></w:style>
<w:style w:type="paragraph" w:styleId="Own"><w:name w:val="House"/><w:basedOn w:val="H2"/></w:style>
<w:style w:type="paragraph" w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>
<w:style w:type="paragraph" w:styleId="Toc"><w:name w:val="toc 1"/></w:style>
</w:styles>"""
NUMBERING = f"""<w:numbering {W}><w:abstractNum w:abstractNumId="7">
<w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerRoman"/><w:lvlText w:val="%1.%2)"/></w:lvl></w:abstractNum>
<w:abstractNum w:abstractNumId="8"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="x"/></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="8"/></w:num>
</w:numbering>"""


def parsed(body: str, **parts: str) -> ParsedDocument:
    return docx.read(office.docx(body, **parts), Limits())


def item(text: str, list_id: int, level: int = 0) -> str:
    numbered = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list_id}"/></w:numPr>'
    return paragraph(text, properties=numbered)


def test_headings_come_from_styles_and_what_those_stand_on() -> None:
    outlined = '<w:outlineLvl w:val="2"/>'
    body = paragraph("The Plan", "T") + paragraph("Scope", "Own") + paragraph("Words", "Loop")
    body += paragraph("Contents 4", "Toc") + paragraph("Deep", properties=outlined)
    document = parsed(body, styles=STYLES)
    assert document.text == "The Plan\n\nScope\n\nWords\n\nDeep"
    assert [(b.kind, b.level, b.label) for b in document.blocks] == [
        (Kind.HEADING, 1, "The Plan"),
        (Kind.HEADING, 2, "Scope"),
        (Kind.PARAGRAPH, 0, ""),
        (Kind.HEADING, 3, "Deep"),
    ]
    assert (document.title, document.page_starts) == ("The Plan", [])


def test_list_items_have_their_numbers_one_a_line() -> None:
    body = item("a", 1) + item("b", 1, 1) + item("c", 1, 1) + item("d", 1) + item("e", 1, 1) + item("f", 2)
    document = parsed(body, numbering=NUMBERING)
    assert document.text == "3. a\n  3.i) b\n  3.ii) c\n4. d\n  4.i) e\n- f"
    assert [block.kind for block in document.blocks] == [Kind.LIST]


def test_each_cell_stands_with_its_columns_header() -> None:
    merged = "<w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc>"
    start = f'<w:tc><w:tcPr><w:vMerge w:val="restart"/></w:tcPr>{paragraph("North")}</w:tc>'
    rows = "".join(
        f"<w:tr>{first}<w:tc>{paragraph(f'{n} t')}</w:tc></w:tr>" for n, first in enumerate([start, merged])
    )
    head = f"<w:tr><w:trPr><w:tblHeader/></w:trPr><w:tc>{paragraph('Region')}</w:tc><w:tc>{paragraph('Load')}</w:tc></w:tr>"
    document = parsed(f"<w:tbl>{head}{rows}</w:tbl>")
    assert document.text == "| Region | Load |\n| Region: North | Load: 0 t |\n| Region: North | Load: 1 t |"
    assert [block.kind for block in document.blocks] == [Kind.TABLE]


def test_headers_are_guessed_where_none_are_marked_and_a_form_has_none() -> None:
    document = parsed(
        table(["Region", "2023", "2024"], ["East", "1.5", "2.5"]) + table(["Name", "Ann"], ["Seat", "Oslo"])
    )
    assert (
        document.text
        == "| Region | 2023 | 2024 |\n| Region: East | 2023: 1.5 | 2024: 2.5 |\n\n| Name | Ann |\n| Seat | Oslo |"
    )


def test_tracked_changes_read_as_accepted_and_hidden_text_is_left_out() -> None:
    body = "<w:p><w:r><w:t>kept </w:t></w:r><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
    body += "<w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom><w:r><w:rPr><w:vanish/></w:rPr><w:t>secret</w:t></w:r>"
    body += "<w:r><w:tab/><w:t>a</w:t><w:noBreakHyphen/><w:t>b</w:t><w:br/><w:t>line</w:t></w:r></w:p>"
    assert parsed(body).text == "kept new a-b\nline"


def test_footnotes_text_boxes_and_images_stay_with_their_paragraph() -> None:
    box = f"<w:txbxContent>{paragraph('In the box')}</w:txbxContent>"
    drawing = f'<mc:AlternateContent><mc:Choice><w:drawing><wp:docPr descr="A map"/>{box}</w:drawing></mc:Choice><mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent>'
    body = (
        f'<w:p><w:r><w:t>Claim</w:t><w:footnoteReference w:id="5"/></w:r><w:r>{drawing}</w:r></w:p>'
        + paragraph("Next")
    )
    notes = f'<w:footnotes {W}><w:footnote w:id="0">{paragraph("rule")}</w:footnote><w:footnote w:id="5">{paragraph("Source")}</w:footnote></w:footnotes>'
    document = parsed(body, footnotes=notes)
    assert document.text == "Claim[^1] [Image: A map]\n\n[^1]: Source\n\nIn the box\n\nNext"


def test_headers_and_footers_stand_once_and_page_numbers_not_at_all() -> None:
    header = f"<w:hdr {W}>{paragraph('Draft for Tarnbeck')}</w:hdr>"
    footer = f"<w:ftr {W}>{paragraph('Page 3 of 9')}</w:ftr>"
    document = parsed(paragraph("Body"), header1=header, header2=header, footer1=footer)
    assert document.text == "Body\n\nDraft for Tarnbeck"


def test_a_single_cell_is_a_frame_and_tables_in_cells_are_flat() -> None:
    inner = f"<w:tbl><w:tr><w:tc>{table(['x', 'y'])}</w:tc><w:tc>{paragraph('z')}</w:tc></w:tr></w:tbl>"
    assert parsed(table(["only"]) + inner).text == "only\n\n| x y | z |"


def test_nesting_beyond_the_limit_and_empty_documents_are_refused() -> None:
    body = paragraph("deep")
    for _ in range(40):
        body = f"<w:tbl><w:tr><w:tc>{body}</w:tc></w:tr></w:tbl>"
    for content, code in (
        (body, Failure.TOO_DEEP),
        (paragraph(" "), Failure.NO_TEXT),
        (body.replace("<w:p>", "<w:sdt>" * 300), Failure.TOO_DEEP),
    ):
        with pytest.raises(UnreadableError) as caught:
            parsed(content.replace("</w:p>", "</w:sdt>" * 300 if "<w:sdt>" in content else "</w:p>"))
        assert caught.value.code is code
