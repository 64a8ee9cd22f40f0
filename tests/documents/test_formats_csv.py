import time

import pytest

from documents.formats import csv
from documents.structure import Failure, Kind, Limits, UnreadableError


def text_of(raw: str | bytes) -> str:
    return csv.read(raw.encode() if isinstance(raw, str) else raw, Limits()).text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("name,email\nAnn,a@x\nBob,b@x\n", "| name | email |\n| name: Ann | email: a@x |\n| name: Bob | email: b@x |"),
        ("Ware;Preis\r\nTee;2,50\r\nTasse;3,00\r\n", "| Ware | Preis |\n| Ware: Tee | Preis: 2,50 |\n| Ware: Tasse | Preis: 3,00 |"),
        ("sep=|\na|b,c\n1|2,3\n", "| a | b,c |\n| a: 1 | b,c: 2,3 |"),
        ('id\tnote\n1\t"two\nlines; and, more"\n', "| id | note |\n| id: 1 | note: two lines; and, more |"),
        ("1,2\n3,4\n", "| 1 | 2 |\n| 3 | 4 |"),
        ("a,b,c\n1,,3\n\n", "| a | b | c |\n| a: 1 | c: 3 |"),
        ("Stock\nItem,Left\nTea,5\nCup,6\n", "| Stock |\n| Item | Left |\n| Item: Tea | Left: 5 |\n| Item: Cup | Left: 6 |"),
        ('a,b,c\n1,"open quote\n2,3', "| a | b | c |\n| a: 1 | b: open quote 2,3 |"),
    ],
)  # fmt: skip
def test_a_value_stands_with_its_columns_name(raw: str, text: str) -> None:
    assert text_of(raw) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_told_from_the_bytes(encoding: str) -> None:
    assert text_of("Straße;Größe\nAllee;9 m\nWeg;7 m\n".encode(encoding)).endswith(
        "| Straße: Weg | Größe: 7 m |"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a,b\n1,2", True), ("one word\nand more", False), ("A line, with a comma\nand one without\nand more", False), ("", False),
     ("sep=;\na;b", True), ("a\tb\tc", True)],
)  # fmt: skip
def test_a_table_has_two_columns_in_most_rows(text: str, expected: bool) -> None:  # noqa: FBT001 - a test's parameter
    assert csv.is_table(text) is expected


def test_large_tables_take_seconds_and_hostile_ones_end() -> None:
    rows = "id,name,amount,day,comment\n" + "".join(
        f'{n},name {n},{n}.5,2024-01-01,"some, text"\n' for n in range(100_000)
    )
    begun = time.process_time()
    document = csv.read(rows.encode(), Limits())
    assert (len(document.blocks), document.blocks[0].kind, document.text.count("\n")) == (
        1,
        Kind.TABLE,
        100_000,
    )
    with pytest.raises(UnreadableError) as caught:  # a long header is repeated in every row
        csv.read(("h" * 70 + ",b,c\n" + "1,2,3\n" * 300_000).encode(), Limits())
    assert caught.value.code is Failure.TOO_LARGE_TEXT
    assert text_of('"' * 200_001 + ",b\n") != ""
    assert time.process_time() - begun < 8
