"""Evaluation sets from CSV: what is read, and what is said of each line that is wrong."""

import pytest

from queries.evaluations import reading
from queries.evaluations.reading import Draft, Expected
from ragsite.lib.errors import Invalid

ID = "01a1fbd6-7873-7e82-90a7-67b977e5e250"


def find(document: str) -> Expected | None:
    known = {"kettle.md": None, ID: ID}
    return {"document_id": known[document], "filename": "kettle.md"} if document in known else None


def drafts(text: str | bytes) -> list[Draft]:
    return reading.drafts(text.encode() if isinstance(text, str) else text, find)


def wrong(text: str | bytes) -> list[str]:
    with pytest.raises(Invalid) as raised:
        drafts(text)
    return [f"{field.field}: {field.detail}" for field in raised.value.fields]


def test_columns_in_any_order_and_lines_of_one_question() -> None:
    found = drafts(f"Page,question,Document,answer\n2,Why?,kettle.md,\n,Why?,{ID},because\n,Who?,,\n")
    assert found == [
        Draft("Why?", [{"document_id": None, "filename": "kettle.md", "page": 2},
                       {"document_id": ID, "filename": "kettle.md", "page": None}], "because"),
        Draft("Who?"),
    ]  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_as_spreadsheets_write_it(delimiter: str) -> None:
    text = f'\ufeffquestion{delimiter}document\r\n"Why, ""so""?"{delimiter}kettle.md\r\n\r\n'
    (draft,) = drafts(text)
    assert draft.question == 'Why, "so"?'
    assert draft.expected


def test_every_line_that_is_wrong_is_named() -> None:
    text = "question,document,page\nWhy?,teapot.md,\n,kettle.md,\nWho?,kettle.md,zero\nHow?,,3\nA,kettle.md,1,more\nGood?,kettle.md,1\n"
    assert wrong(text) == [
        "file.2: Line 2: there is no document 'teapot.md'.",
        "file.3: Line 3: the question is missing.",
        "file.4: Line 4: the page is no number from 1.",
        "file.5: Line 5: a page needs a document.",
        "file.6: Line 6: there are more cells than columns.",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "what,document\n", "question,question\n", "question,surprise\n", "question\n", b"question\n\xff\n", "question\na\0b\n", 'question\n"open'],
)  # fmt: skip
def test_what_is_no_set(text: str | bytes) -> None:
    assert wrong(text)


def test_bounds() -> None:
    many = "question\n" + "\n".join(f"q{n}" for n in range(reading.MAX_QUESTIONS + 100))
    problems = wrong(many)
    assert len(problems) == reading.MOST_ERRORS
    assert problems[0].startswith(f"file.{reading.MAX_QUESTIONS + 2}:")
    assert wrong("question\n" + "x" * (reading.MAX_TEXT + 1))
    assert wrong("question\n" + "x" * 200_000)  # more than the reader takes in one cell
    assert wrong(b"question\n" + b"x" * reading.MAX_BYTES)
