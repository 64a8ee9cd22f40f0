"""The annual reports that are made up: their answers are where they are said to be, and their words mislead."""

import json

import pytest
from django.core.management import CommandError, call_command

from documents.searching import lexical
from queries.evaluations.benchmarks import measuring, reports

ROWS = [item for items in reports._TABLES.values() for item in items]


def test_every_report_that_is_said_to_answer_has_the_figure_in_a_table_and_no_other_has_it() -> None:
    documents = reports.documents()
    asked = reports.questions()
    assert len(documents) == 60
    assert len({question.text for question in asked}) == len(asked) == 240
    for question in asked:
        holding = {name for name, text in documents.items() if question.figure in text}
        assert holding == question.reports
        assert all(f"| {question.figure} |" in documents[name] for name in holding)


def test_the_same_reports_and_questions_each_time() -> None:
    assert reports.documents() == reports.documents()
    assert reports.questions() == reports.questions()


@pytest.mark.parametrize("item", ROWS, ids=lambda item: item.row)
def test_the_words_of_a_question_are_in_the_prose_and_not_in_the_row(item: reports.Item) -> None:
    prose, row = set(lexical.terms(item.prose)), set(lexical.terms(item.row))
    for question in item.questions:
        words = set(lexical.terms(question.replace("{company}", "").replace("{year}", "")))
        assert len(words & prose) >= max(2, len(words) / 2), words - prose
        assert not words & row


@pytest.mark.django_db(transaction=True)
def test_a_passage_counts_only_with_its_figure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_COMPANIES", reports._COMPANIES[:1])
    monkeypatch.setattr(reports, "_YEARS", range(2019, 2021))
    monkeypatch.setattr(reports, "_QUESTIONS", 12)
    call_command("evaluate", "reports", "--json")
    rows = json.loads(capsys.readouterr().out)["reports"]
    for ranking in rows.values():
        assert set(measuring.MEASURES["reports"]) <= set(ranking)
    # By their documents alone all would be found at once.
    assert rows["BM25"]["hit@1"] < 1 > rows["dense"]["hit@1"]
    assert rows["hybrid"]["MRR@10"] > 0


def test_a_collection_of_others_needs_its_files() -> None:
    with pytest.raises(CommandError, match="Where are the files of xquad"):
        call_command("evaluate", "xquad")
