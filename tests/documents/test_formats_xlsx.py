import pytest

from documents.formats import xlsx
from documents.formats.xlsx_numbers import shown
from documents.structure import Kind, Limits, ParsedDocument
from tests.documents import office
from tests.documents.office import cells


def parsed(sheets: dict[str, str], **options: object) -> ParsedDocument:
    return xlsx.read(office.xlsx(sheets, **options), Limits())  # type: ignore[arg-type]


def test_a_sheet_is_a_page_under_its_name_and_each_cell_has_its_header() -> None:
    document = parsed(
        {"Sales": cells(["Region", "Q1", "Q2"], ["North", 4.5, 7]), "None": "", "Costs": cells(["Rent", 9])}
    )
    assert (
        document.text
        == "Sales\n\n| Region | Q1 | Q2 |\n| Region: North | Q1: 4.5 | Q2: 7 |\n\n\n\nCosts\n\n| Rent | 9 |"
    )
    assert [document.text[start : start + 5] for start in document.page_starts] == [
        "Sales",
        "\n\nCos",
        "Costs",
    ]
    assert [(b.kind, b.label) for b in document.blocks] == [
        (Kind.HEADING, "Sales"), (Kind.TABLE, ""), (Kind.HEADING, "Costs"), (Kind.TABLE, ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.125, "0%", "13%"), (0.125, "0.00%", "12.50%"), (1234567.891, "#,##0.00", "1,234,567.89"),
        (-1234.5, '"$"#,##0.00;("$"#,##0.00)', "($1,234.50)"), (1234.5, "#,##0.00 [$€-407]", "1,234.50 €"),
        (45382, "yyyy-mm-dd", "2024-03-31"), (45382.5866, "d.m.yyyy h:mm", "31.3.2024 14:04"), (0.75, "h:mm AM/PM", "6:00 PM"),
        (45382, "dddd, mmmm d, yyyy", "Sunday, March 31, 2024"), (1, "d mmm yyyy", "1 Jan 1900"), (1.5, "[h]:mm", "36:00"),
        (0.1 + 0.2, "General", "0.3"), (12, "", "12"), (1500000, '0.0,,"M"', "1.5M"), (0, '0;-0;"none"', "none"),
        (7, "000", "007"), (3.1, "0.##", "3.1"), (-0.001, "0.0", "0.0"), (0.5, "# ?/?", "0.5"), (1e300, "0.00", "1e+300"),
        (-5, "yyyy-mm-dd", "-5"), (5, "@", "5"), (3, '"' * 300, '"'), (2, "\\", "\\"),
    ],
)  # fmt: skip
def test_a_number_reads_as_it_is_shown(value: float, code: str, text: str) -> None:
    assert shown(value, code) == text


def test_cells_of_every_kind_read_as_shown() -> None:
    row = (
        '<c r="A1" t="s"><v>1</v></c><c r="B1" t="b"><v>1</v></c><c r="C1" t="str"><f>A&amp;B</f><v>made</v></c>'
        '<c r="D1" t="e"><v>#N/A</v></c><c r="E1" s="1"><f>1/4</f><v>0.25</v></c><c t="s"><v>99</v></c><c r="G1"><v>nan</v></c>'
        '<c r="H1" s="2"><v>0</v></c>'
    )
    rich = "<r><t>rich </t></r><r><t>text</t></r><rPh><t>reading</t></rPh>"
    document = parsed(
        {"S": f'<sheetData><row r="1">{row}</row></sheetData>'},
        strings=["<t>no</t>", rich], formats=["General", "0.0%", "yyyy-mm-dd"], properties='date1904="1"',
    )  # fmt: skip
    assert document.text == "S\n\n| rich text | TRUE | made | #N/A | 25.0% | nan | 1904-01-01 |"


def test_hidden_sheets_rows_and_columns_are_left_out_but_what_a_filter_hides_is_not() -> None:
    hidden_row = '<row r="2" hidden="1"><c r="A2"><v>2</v></c></row>'
    folded = '<row r="3" hidden="1" outlineLevel="1"><c r="A3"><v>3</v></c></row>'
    data = f'<sheetData><row r="1"><c r="A1"><v>1</v></c><c r="B1"><v>9</v></c></row>{hidden_row}{folded}</sheetData>'
    columns = '<cols><col min="2" max="2" hidden="1"/></cols>'
    document = parsed({"Gone": cells(["x"]), "Seen": columns + data}, states={"Gone": "veryHidden"})
    assert (document.text, document.page_starts) == ("Seen\n\n| 1 |\n| 3 |", [0])
    assert "| 2 |" in parsed({"Seen": '<sheetPr filterMode="1"/>' + data}).text


def test_merged_cells_head_their_columns_and_stand_in_each_of_their_rows() -> None:
    data = cells(
        ["Sales by region"], ["Region", "2024", ""], ["", "Plan", "Real"], ["North", 1, 2], ["", 3, 4]
    )
    merges = "".join(f'<mergeCell ref="{ref}"/>' for ref in ("A1:C1", "B2:C2", "A2:A3", "A4:A5"))
    document = parsed({"S": f'{data}<mergeCells count="4">{merges}</mergeCells>'})
    assert document.text == (
        "S\n\n| Sales by region |\n| Region | 2024 |\n| Region | Plan | Real |\n"
        "| Region: North | 2024 Plan: 1 | 2024 Real: 2 |\n| Region: North | 2024 Plan: 3 | 2024 Real: 4 |"
    )


def test_tables_that_a_blank_row_parts_have_their_own_headers() -> None:
    rows = [
        ["Item", "Kind", "Price"],
        ["Tea", "hot", 2],
        [],
        ["Cup", "blue", 3],
        [],
        ["Staff", "Role", "Since"],
        ["Ann", "cook", 2020],
    ]
    document = parsed({"S": cells(*rows)})  # type: ignore[arg-type]
    assert document.text.splitlines()[2:] == [
        "| Item | Kind | Price |", "| Item: Tea | Kind: hot | Price: 2 |", "| Item: Cup | Kind: blue | Price: 3 |", "",
        "| Staff | Role | Since |", "| Staff: Ann | Role: cook | Since: 2020 |",
    ]  # fmt: skip
