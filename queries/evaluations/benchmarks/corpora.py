"""Test collections of documents and questions with known answers. The files of the public ones are not ours to ship."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from django.core.management.base import CommandError

from queries.evaluations.benchmarks import reports as annual_reports


@dataclass(frozen=True, slots=True)
class Question:
    """`relevant`: the names of the documents that answer it. `answers`: the spans that do, if the collection has them.

    `by_passage`: only a passage with one of these spans counts as an answer, and not every passage of its document.
    """

    text: str
    relevant: frozenset[str]
    answers: tuple[str, ...] = ()
    by_passage: bool = False

    def named(self, document: str, text: str, *, passage: str) -> str:
        """The name that a passage counts under: its document's, or one of its own where only other passages answer."""
        answering = not self.by_passage or any(answer in text for answer in self.answers)
        return document if answering else f"{document} {passage}"


@dataclass(frozen=True, slots=True)
class Corpus:
    """`documents`: text by file name."""

    documents: Mapping[str, str]
    questions: Sequence[Question]


def cranfield(folder: Path) -> Corpus:
    """Cranfield: 1,400 abstracts, 225 questions, and which abstracts are relevant to them.

    A judgement names a question by its position in the file, from 1, and not by the number beside the question.
    """
    documents = {
        f"{_field(record, 'docno')}.md": _abstract(_field(record, "title"), _field(record, "text"))
        for record in _xml(folder / "cran.all.1400.xml").iter("doc")
    }
    relevant: dict[int, set[str]] = defaultdict(set)
    for line in _read(folder / "cranqrel.trec.txt").splitlines():
        question, _, document, judgement = line.split()
        if int(judgement) > 0:
            relevant[int(question)].add(f"{document}.md")
    questions = [
        Question(" ".join(_field(topic, "title").split()), frozenset(relevant[position]))
        for position, topic in enumerate(_xml(folder / "cran.qry.xml").iter("top"), start=1)
    ]
    return Corpus(documents, questions)


def xquad(folder: Path) -> Corpus:
    """XQuAD in English: 240 paragraphs, each a document, and 1,190 questions with the spans that answer them."""
    documents: dict[str, str] = {}
    questions = []
    for article in json.loads(_read(folder / "xquad.en.json"))["data"]:
        for paragraph in article["paragraphs"]:
            name = f"{article['title'].replace('_', ' ')} {len(documents)}.txt"
            documents[name] = paragraph["context"]
            for entry in paragraph["qas"]:
                answers = tuple(answer["text"] for answer in entry["answers"])
                questions.append(Question(entry["question"], frozenset([name]), answers))
    return Corpus(documents, questions)


def reports(_: Path) -> Corpus:
    """Sixty annual reports, and 240 questions for a figure in one of their tables."""
    questions = [
        Question(asked.text, asked.reports, (asked.figure,), by_passage=True)
        for asked in annual_reports.questions()
    ]
    return Corpus(annual_reports.documents(), questions)


READERS: Mapping[str, Callable[[Path], Corpus]] = {
    "cranfield": cranfield,
    "reports": reports,
    "xquad": xquad,
}


def _abstract(title: str, text: str) -> str:
    """Markdown with the title as heading. Cranfield repeats the title at the beginning of the text."""
    return f"# {' '.join(title.split())}\n\n{text.removeprefix(title).strip()}" if title else text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error


def _xml(path: Path) -> ET.Element:
    """The file's records under one root, which one of Cranfield's files lacks."""
    text = _read(path)
    declared = text.startswith("<?xml")
    return ET.fromstring(text if declared else f"<records>{text}</records>")  # noqa: S314  the operator's own file


def _field(record: ET.Element, name: str) -> str:
    return (record.findtext(name) or "").strip()
