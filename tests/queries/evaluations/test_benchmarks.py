"""manage.py evaluate, end to end, on small collections in both formats."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Tenant
from documents.models import Chunk, Document
from queries.evaluations.benchmarks import corpora, measuring

SUBJECTS = ["kettles", "gardens", "mills", "rivers", "clocks", "bridges"]


@pytest.fixture
def cranfield(tmp_path: Path) -> Path:
    """Six abstracts, two of them without text; two questions whose numbers are not their positions."""
    documents = "".join(
        f"<doc><docno>{number}</docno><title>{subject} at rest</title>"
        f"<text>{subject} at rest . Much is known of {subject} .</text></doc>"
        for number, subject in enumerate(SUBJECTS, start=1)
    )
    empty = "<doc><docno>7</docno><title></title><text></text></doc>"
    questions = "".join(
        f"<top><num>{number}</num><title>what is known\n of {subject}</title></top>"
        for number, subject in ((4, "mills"), (9, "clocks"))
    )
    (tmp_path / "cran.all.1400.xml").write_text(documents + empty)
    (tmp_path / "cran.qry.xml").write_text(f"<?xml version='1.0'?><xml>{questions}</xml>")
    (tmp_path / "cranqrel.trec.txt").write_text("1 0 3 3\n1 0 1 -1\n2 0 5 1\n")
    return tmp_path


@pytest.fixture
def xquad(tmp_path: Path) -> Path:
    paragraphs: list[dict[str, Any]] = [
        {
            "context": f"The museum of {subject} was founded in {1900 + number} by a guild.",
            "qas": [
                {
                    "question": f"When was the museum of {subject} founded?",
                    "answers": [{"text": str(1900 + number)}],
                }
            ],
        }
        for number, subject in enumerate(SUBJECTS)
    ]
    data = {"data": [{"title": "Small_Museums", "paragraphs": paragraphs}]}
    (tmp_path / "xquad.en.json").write_text(json.dumps(data))
    return tmp_path


def test_a_judgement_names_a_question_by_its_position(cranfield: Path) -> None:
    corpus = corpora.cranfield(cranfield)
    assert [(question.text, set(question.relevant)) for question in corpus.questions] == [
        ("what is known of mills", {"3.md"}),
        ("what is known of clocks", {"5.md"}),
    ]
    assert corpus.documents["3.md"] == "# mills at rest\n\n. Much is known of mills ."


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("collection", ["cranfield", "xquad"])
def test_figures_come_out_and_nothing_stays(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], collection: str
) -> None:
    call_command("evaluate", collection, str(request.getfixturevalue(collection)), "--json")
    rows = json.loads(capsys.readouterr().out)[collection]
    assert {"dense", "BM25", "hybrid"} <= set(rows)
    for ranking in rows.values():
        assert set(measuring.MEASURES[collection]) <= set(ranking)
        assert ranking.get("nDCG@10", 1.0) == ranking.get("hit@5", 1.0) == 1.0
    if collection == "xquad":
        assert rows["hybrid"]["answer has gold span"] == 1.0
    for model in (Tenant, Document, Chunk):
        assert not model._default_manager.exists()


@pytest.mark.django_db(transaction=True)
def test_the_table_names_rankings_and_measures(xquad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("evaluate", "xquad", str(xquad))
    printed = capsys.readouterr().out
    for word in ("dense", "BM25", "hybrid", "hit@1", "hit@5"):
        assert word in printed


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["load", "run"])
def test_an_interrupt_leaves_nothing(xquad: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "_ingest" if step == "load" else "_score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        call_command("evaluate", "xquad", str(xquad))
    assert not Tenant.objects.exists()
    assert not Document.objects.across_tenants().exists()


def test_a_folder_without_the_files_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cran\.all\.1400\.xml cannot be read"):
        call_command("evaluate", "cranfield", str(tmp_path))
