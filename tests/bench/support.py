"""How well `queries.checking.support` tells what a source supports: `python -m tests.bench.support PATH`, XQuAD's folder.

Of each kind of sentence the share that is told as unsupported. Of the first three kinds none should be, of the others
all. Statements are questions whose question word is replaced by their answer: said in other words than the paragraph.
"""

import argparse
import json
import os
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")
django.setup()

from documents import sentences  # noqa: E402  models are there once Django is set up
from documents.searching.search import Hit  # noqa: E402
from queries.checking import support  # noqa: E402
from queries.sources import each  # noqa: E402

ASKING = re.compile(
    r"\b(?:(?:what|which)(?: (?:year|date|day|month|percentage|number))?|who|whom|whose|when|where"
    r"|how (?:many|much|long|old|far|often))\b",
    re.IGNORECASE,
)
NUMBER = re.compile(r"(?<![\d.,])\d{1,4}(?![\d.,]\d)")

Case = tuple[str, str]
"""A sentence, and the paragraph that it is held against."""
Paragraph = dict[str, Any]


def cases(articles: Sequence[Sequence[Paragraph]], chance: random.Random) -> Iterator[tuple[str, Case]]:
    for article in articles:
        elsewhere = [paragraph for other in articles if other is not article for paragraph in other]
        for paragraph in article:
            others = [other for other in article if other is not paragraph]
            yield from _of_sentences(paragraph, chance.choice(others), chance.choice(elsewhere), chance)
            yield from _of_questions(paragraph, chance.choice(elsewhere), chance)


def _of_sentences(
    paragraph: Paragraph, near: Paragraph, far: Paragraph, chance: random.Random
) -> Iterator[tuple[str, Case]]:
    text = paragraph["context"]
    for start, end in sentences.spans(text):
        sentence = text[start:end]
        if not any(
            start <= answer["answer_start"] < end for qa in paragraph["qas"] for answer in qa["answers"]
        ):
            continue
        yield "gold sentence", (sentence, text)
        words = sentence.split()
        yield (
            "every fourth word left out",
            (" ".join(word for n, word in enumerate(words) if n % 4 != 3), text),
        )
        yield "sentence of another paragraph of the article", (sentence, near["context"])
        yield "sentence of another article", (sentence, far["context"])
        altered = NUMBER.sub(lambda found: str(int(found[0]) + chance.randint(1, 9)), sentence, count=1)
        if altered != sentence:
            yield "gold sentence, one number altered", (altered, text)


def _of_questions(paragraph: Paragraph, far: Paragraph, chance: random.Random) -> Iterator[tuple[str, Case]]:
    for qa in paragraph["qas"]:
        statement = _statement(qa["question"], qa["answers"][0]["text"])
        if statement is None:
            continue
        yield "statement", (statement, paragraph["context"])
        yield "statement about another article", (statement, far["context"])
        wrong = chance.choice(far["qas"])["answers"][0]["text"]
        if wrong.casefold() not in paragraph["context"].casefold():
            kind = "with a number or name" if re.search(r"\d|[A-Z]", wrong) else "of plain words"
            yield (
                f"statement with another question's answer, {kind}",
                (_statement(qa["question"], wrong) or "", paragraph["context"]),
            )


def _statement(question: str, answer: str) -> str | None:
    said, count = ASKING.subn(lambda _: answer, question.strip(" ?"), count=1)
    return f"{said}." if count else None


def is_told(case: Case) -> bool:
    sentence, text = case
    hit = Hit(UUID(int=1), UUID(int=1), "", "", "", None, None, 0, len(text), text, 0.0, 0.0)
    return bool(support.unsupported(sentence, each([hit])))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("path", type=Path)
    data = json.loads((options.parse_args().path / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    articles = [article["paragraphs"] for article in data if len(article["paragraphs"]) > 1]
    told: dict[str, list[bool]] = defaultdict(list)
    for kind, case in cases(articles, random.Random(11)):
        told[kind].append(is_told(case))
    for kind, results in told.items():
        print(f"{kind:66} {sum(results) / len(results):7.1%} of {len(results)}")


if __name__ == "__main__":
    main()
