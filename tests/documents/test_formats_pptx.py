import itertools

from documents.formats import pptx
from documents.structure import Kind, Limits, ParsedDocument
from tests.documents import office
from tests.documents.office import P, shape, slide


def parsed(*slides: str, **options: object) -> ParsedDocument:
    return pptx.read(office.pptx(*slides, **options), Limits())  # type: ignore[arg-type]


def pages(document: ParsedDocument) -> list[str]:
    bounds = [*document.page_starts, len(document.text)]
    return [document.text[a:b].strip() for a, b in itertools.pairwise(bounds)]


def test_a_slide_is_a_page_under_its_title_which_comes_first() -> None:
    document = parsed(shape("later words") + shape("Our Plan", "title"), shape("Second", "ctrTitle"))
    assert pages(document) == ["Our Plan\n\nlater words", "Second"]
    assert [(b.kind, b.level) for b in document.blocks] == [
        (Kind.HEADING, 1),
        (Kind.PARAGRAPH, 0),
        (Kind.HEADING, 1),
    ]
    assert document.title == "Our Plan"


def test_lists_notes_and_groups_are_kept_and_the_masters_places_are_not() -> None:
    numbered = shape("one\ntwo", properties='<a:buAutoNum type="arabicPeriod" startAt="4"/>')
    shapes = (
        shape("a\nb", "body") + f"<p:grpSp>{numbered}</p:grpSp>" + shape("7", "sldNum") + shape("ACME", "ftr")
    )
    document = parsed(shapes, notes={1: "Speak slowly"})
    assert document.text == "- a\n- b\n\n4. one\n5. two\n\nNotes: Speak slowly"


def test_hidden_slides_are_left_out_and_keep_their_number() -> None:
    document = parsed(shape("first"), slide(shape("hidden"), 'show="0"'), shape("third"))
    assert pages(document) == ["first", "", "third"]


def test_tables_and_charts_keep_each_figure_beside_its_label() -> None:
    def row(*cells: str) -> str:
        return f"<a:tr>{''.join(map(cell, cells))}</a:tr>"

    def cell(text: str, attributes: str = "") -> str:
        return f"<a:tc {attributes}><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"

    merged = cell("", 'vMerge="1"')
    table = f'<a:tbl><a:tblPr firstRow="1"/>{row("Team", "Goals")}{row("Reds", "3")}<a:tr>{merged}{cell("4")}</a:tr></a:tbl>'
    frame = '<p:graphicFrame><a:graphic><a:graphicData uri="http://x/drawingml/2006/{}">{}</a:graphicData></a:graphic></p:graphicFrame>'
    chart_frame = frame.format("chart", '<c:chart xmlns:c="http://x/chart" r:id="c1"/>')

    def points(*values: str) -> str:
        return "".join(f'<c:pt idx="{n}"><c:v>{value}</c:v></c:pt>' for n, value in enumerate(values))

    chart = f'<c:chartSpace xmlns:c="http://x/chart"><c:ser><c:tx>{points("Sales")}</c:tx><c:cat>{points("East", "West")}</c:cat><c:val>{points("0.30000000000000004", "7")}</c:val></c:ser></c:chartSpace>'
    document = parsed(frame.format("table", table) + chart_frame, parts={"ppt/charts/chart1.xml": chart})
    assert document.text == (
        "| Team | Goals |\n| Team: Reds | Goals: 3 |\n| Team: Reds | Goals: 4 |\n\n"
        "| Sales |\n| East | Sales: 0.3 |\n| West | Sales: 7 |"
    )


def test_an_image_is_its_description() -> None:
    picture = '<p:pic><p:nvPicPr><p:cNvPr id="1" name="x.png" descr="The dock at night"/></p:nvPicPr></p:pic>'
    assert parsed(picture).text == "[Image: The dock at night]"
    assert P in slide("")
