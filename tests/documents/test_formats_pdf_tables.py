from itertools import pairwise
from pathlib import Path

import pytest

from documents import chunking
from documents.formats import pdf
from documents.structure import Kind, Limits, ParsedDocument
from tests.documents import pdfs

STATEMENT = [
    ["", "2023", "2022"],
    ["Current assets:"],
    ["  Cash and cash equivalents", "1,204", "998"],
    ["  Accounts receivable, net", "310", "(12)"],
    ["  Deferred charges", "", "45"],
    ["  Total current assets", "1,514", "1,031"],
    ["Goodwill", "87", ""],
    ["Total assets", "1,601", "1,031"],
]
STATEMENT_TEXT = """| 2023 | 2022
Current assets:
Cash and cash equivalents | 1,204 | 998
Accounts receivable, net | 310 | (12)
Deferred charges | | 45
Total current assets | 1,514 | 1,031
Goodwill | 87
Total assets | 1,601 | 1,031"""
PROSE = [f"a line of running text that fills row {n:02}" for n in range(30)]


def parsed(tmp_path: Path, *pages: pdfs.Page) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(pdfs.pdf(*pages))
    return pdf.parse(path, Limits())


def tables(document: ParsedDocument) -> list[str]:
    return [document.text[b.start : b.end] for b in document.blocks if b.kind is Kind.TABLE]


def by_columns(lines: list[pdfs.Line], columns: int = 3) -> list[pdfs.Line]:
    """The order in which many programs write a table: each column to its end."""
    edges = [0, 250, 400, 1000][: columns + 1]
    return [line for left, right in pairwise(edges) for line in lines if left <= line.x < right]


@pytest.mark.parametrize("order", [list, by_columns])
def test_a_financial_statement_keeps_each_figure_beside_its_label(
    tmp_path: Path, order: type[list[pdfs.Line]]
) -> None:
    lines = pdfs.table(STATEMENT, [72, 380, 480], right=True)
    document = parsed(tmp_path, pdfs.Page(order(lines)))
    assert document.text == STATEMENT_TEXT
    assert tables(document) == [STATEMENT_TEXT]
    assert document.blocks[0].label == "| 2023 | 2022"


def test_prose_around_a_table_is_not_in_it(tmp_path: Path) -> None:
    before, after = pdfs.flowing(*PROSE[:3]), pdfs.flowing(*PROSE[3:6], top=540)
    lines = [*before, *pdfs.table(STATEMENT, [72, 380, 480], top=690, right=True), *after]
    document = parsed(tmp_path, pdfs.Page(lines))
    assert document.text == "\n\n".join(["\n".join(PROSE[:3]), STATEMENT_TEXT, "\n".join(PROSE[3:6])])
    assert [b.kind for b in document.blocks] == [Kind.PARAGRAPH, Kind.TABLE, Kind.PARAGRAPH]


def test_a_ruled_table_keeps_wrapped_lines_and_empty_cells_in_their_cell(tmp_path: Path) -> None:
    xs, ys = [70.0, 170.0, 330.0, 400.0], [750.0, 732.0, 690.0, 672.0]
    lines = [
        *pdfs.table([["Part", "What it is for", "Price"]], [74, 174, 334], top=737),
        *pdfs.table(
            [["Valve", "Keeps the water in", "12.50"], ["", "the boiler and the"], ["", "steam out"]],
            [74, 174, 334],
            top=720,
        ),
        *pdfs.table([["Cover", "", "3.00"]], [74, 174, 334], top=677),
    ]
    document = parsed(tmp_path, pdfs.Page(lines, rulings=pdfs.grid(xs, ys)))
    assert document.text == (
        "Part | What it is for | Price\n"
        "Valve | Keeps the water in the boiler and the steam out | 12.50\n"
        "Cover | | 3.00"
    )


def test_rulings_part_cells_that_stand_close_together(tmp_path: Path) -> None:
    xs, ys = [70.0, 106.0, 146.0, 190.0], [750.0, 732.0, 714.0, 696.0]
    lines = [
        line
        for row, words in enumerate(
            [["Name", "Region", "Total"], ["Anna", "North", "1,000"], ["Bert", "South", "2,000"]]
        )
        for line in pdfs.table([words], [74, 109, 150], top=737 - 18 * row)
    ]
    document = parsed(tmp_path, pdfs.Page(lines, rulings=pdfs.grid(xs, ys)))
    assert document.text == "Name | Region | Total\nAnna | North | 1,000\nBert | South | 2,000"


def test_a_frame_with_columns_but_no_lines_between_the_rows_is_read_by_the_heights(tmp_path: Path) -> None:
    rows = [["Year", "Units"], ["first", "10"], ["second", "20"], ["third", "30"]]
    lines = pdfs.table(rows, [74, 174], top=737)
    rulings = pdfs.grid([70, 170, 270], [750, 733, 680])
    assert (
        parsed(tmp_path, pdfs.Page(lines, rulings=rulings)).text
        == "Year | Units\nfirst | 10\nsecond | 20\nthird | 30"
    )


def test_a_wrapped_cell_of_an_unruled_table_is_one_cell(tmp_path: Path) -> None:
    rows = [
        ["Item", "Description", "Amount"],
        ["A-100", "Hinge for doors of up to", "120"],
        ["", "forty kilograms"],
        ["A-200", "Lock", "75"],
        ["A-300", "Handle, left and right,", "60"],
        ["", "brushed steel"],
    ]
    document = parsed(tmp_path, pdfs.Page(pdfs.table(rows, [72, 160, 400])))
    assert document.text == (
        "Item | Description | Amount\n"
        "A-100 | Hinge for doors of up to forty kilograms | 120\n"
        "A-200 | Lock | 75\n"
        "A-300 | Handle, left and right, brushed steel | 60"
    )


def test_a_wrapped_label_stays_one_label(tmp_path: Path) -> None:
    rows = [
        ["", "2023", "2022"],
        ["Sales", "10", "20"],
        ["Costs of the goods that were", "3", "4"],
        ["sold in the year"],
        ["Total", "7", "16"],
    ]
    document = parsed(tmp_path, pdfs.Page(pdfs.table(rows, [72, 380, 480], right=True)))
    assert "Costs of the goods that were sold in the year | 3 | 4\nTotal | 7 | 16" in document.text


def test_a_currency_sign_of_its_own_column_stays_with_its_figure(tmp_path: Path) -> None:
    rows = [
        ["", "", "2023", "", "2022"],
        ["Cash", "$", "12", "$", "15"],
        ["Debt", "", "3", "", "4"],
        ["Net", "$", "9", "$", "11"],
    ]
    document = parsed(tmp_path, pdfs.Page(pdfs.table(rows, [72, 300, 340, 400, 440])))
    assert document.text == "| 2023 | 2022\nCash | $ 12 | $ 15\nDebt | 3 | 4\nNet | $ 9 | $ 11"


@pytest.mark.parametrize("written", ["by rows", "by columns"])
def test_a_table_across_two_columns_of_prose_parts_them(tmp_path: Path, written: str) -> None:
    def columns(top: float, first: int) -> list[pdfs.Line]:
        left = pdfs.flowing(*PROSE[first : first + 8], top=top)
        right = pdfs.flowing(*PROSE[first + 8 : first + 15], x=330, top=top)
        return (
            [line for pair in zip(left, right, strict=False) for line in pair] + left[7:]
            if written == "by rows"
            else left + right
        )

    table = pdfs.table(STATEMENT, [72, 380, 480], top=600, right=True)
    document = parsed(tmp_path, pdfs.Page([*columns(740, 0), *table, *columns(460, 15)]))
    assert tables(document) == [STATEMENT_TEXT]
    expected = [*PROSE[:15], *STATEMENT_TEXT.split("\n"), *PROSE[15:30]]
    assert [line for line in document.text.split("\n") if line] == expected


@pytest.mark.parametrize("written", ["by rows", "by columns"])
def test_a_table_in_one_of_two_columns_stays_in_it(tmp_path: Path, written: str) -> None:
    rows = [["", "2023", "2022"], ["Sales", "10", "20"], ["Costs", "3", "4"], ["Profit", "7", "16"]]
    table = pdfs.table(rows, [72, 180, 240], top=600, right=True)
    left = [*pdfs.flowing(*PROSE[:8]), *table, *pdfs.flowing(*PROSE[8:16], top=530)]
    right = pdfs.flowing(*PROSE[16:30], *PROSE[16:22], x=330)
    lines = (
        sorted([*left, *right], key=lambda line: (-line.y, line.x))
        if written == "by rows"
        else [*left, *right]
    )
    document = parsed(tmp_path, pdfs.Page(lines))
    assert tables(document) == ["| 2023 | 2022\nSales | 10 | 20\nCosts | 3 | 4\nProfit | 7 | 16"]
    read = [line for line in document.text.split("\n") if line.startswith("a line")]
    assert read == [*PROSE[:16], *PROSE[16:30], *PROSE[16:22]]


def test_marks_before_the_items_of_a_list_make_no_table(tmp_path: Path) -> None:
    items = [
        line
        for n in range(5)
        for line in (
            pdfs.Line(f"{n + 1}.", 72, 740 - 14 * n),
            pdfs.Line(f"item number {n}", 100, 740 - 14 * n),
        )
    ]
    document = parsed(tmp_path, pdfs.Page(items))
    assert tables(document) == []
    assert document.text.split("\n")[0] == "1. item number 0"


def test_a_table_that_goes_on_over_the_page_break_keeps_the_names_of_its_columns(tmp_path: Path) -> None:
    rows = [["Label", "2023", "2024"], *[[f"Position {n}", str(100 + n), str(200 + n)] for n in range(8)]]
    one, two = (pdfs.Page(pdfs.table(part, [72, 300, 400], right=True)) for part in (rows[:5], rows[5:]))
    document = parsed(tmp_path, one, two)
    assert tables(document)[1].split("\n")[0] == "Position 4 | 104 | 204"
    assert [b.label for b in document.blocks] == ["Label | 2023 | 2024"] * 2
    assert [piece.heading for piece in chunking.chunk(document)] == ["", "Label | 2023 | 2024"]


def test_each_part_of_a_long_table_knows_the_names_of_its_columns(tmp_path: Path) -> None:
    rows = [
        ["Label", "2023", "2024"],
        *[[f"Position with a long name {n}", str(1000 + n), str(2000 + n)] for n in range(45)],
    ]
    document = parsed(tmp_path, pdfs.Page(pdfs.table(rows, [72, 300, 400], right=True)))
    pieces = chunking.chunk(document)
    assert [piece.heading for piece in pieces] == ["", "Label | 2023 | 2024", "Label | 2023 | 2024"]
    assert all(document.text[piece.start : piece.end].count("|") % 2 == 0 for piece in pieces)
