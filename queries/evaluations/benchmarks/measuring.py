"""Measures retrieval and answers on a collection with known answers, with the code that serves requests.

The collection is ingested into a tenant of its own, which is removed afterwards.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from secrets import token_hex
from statistics import fmean
from time import perf_counter
from typing import Final

from django.db import connection
from Stemmer import Stemmer

from accounts.models import Tenant
from apikeys.purses import Purse
from documents import indexing, ingest, intake, passages, reweighing
from documents.models import Chunk, CorpusStatistics, Document
from documents.searching import lexical, retrieval, search
from documents.searching.search import Found, Hit, Scope
from queries import sources
from queries.evaluations import metrics
from queries.evaluations.benchmarks.corpora import Corpus, Question
from queries.generating import generation
from queries.generating.generation import Brief
from ragsite.lib import row_security
from ragsite.lib.errors import Invalid

TOP_K = 5
WORKERS = 2

Ranking = Sequence[str]
Scores = dict[str, float]

MEASURES: Final[Mapping[str, Sequence[str]]] = {
    "cranfield": ("nDCG@10", "recall@5", "recall@10", "MRR@10"),
    "reports": ("hit@1", "hit@5", "MRR@10"),
    "xquad": ("hit@1", "hit@5"),
}


@contextmanager
def throwaway_tenant() -> Iterator[Tenant]:
    slug = f"evaluation-{token_hex(4)}"
    tenant = Tenant.objects.create(name=slug, slug=slug)
    try:
        yield tenant
    finally:
        indexing.erase(tenant)
        tenant.delete()


def load(tenant: Tenant, corpus: Corpus, *, progress: Callable[[], None]) -> None:
    """Takes each document in and processes it as a worker would, `WORKERS` at a time."""

    def load_one(entry: tuple[str, str]) -> None:
        name, text = entry
        try:
            with row_security.within(tenant.pk):  # a thread of its own
                _ingest(tenant, name, text)
        finally:
            connection.close()
            progress()

    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(load_one, corpus.documents.items()):
            pass
    if reweighing.drifted(CorpusStatistics.objects.for_tenant(tenant).get()):
        reweighing.reweigh(tenant.pk)


def _ingest(tenant: Tenant, name: str, text: str) -> None:
    collection = intake.collection_named(tenant, intake.DEFAULT_COLLECTION)
    try:
        document, _ = intake.store(
            tenant=tenant, chunks=[text.encode()], filename=name, collection=collection
        )
    except Invalid:  # two of Cranfield's abstracts are empty
        return
    ingest.process_now(document.pk)


def run(
    tenant: Tenant, questions: Sequence[Question], *, measures: str, progress: Callable[[], None]
) -> dict[str, Scores]:
    """The mean scores of each ranking (dense, BM25, hybrid), by ranking and measure."""
    names = dict(Document.objects.for_tenant(tenant).values_list("pk", "filename"))
    rows: dict[str, list[Scores]] = {"dense": [], "BM25": [], "hybrid": []}
    for question in questions:
        found = search.candidates(Scope(tenant.pk), question.text)
        for leg, hits in legs(found).items():
            ranking = _ranking(
                question, ((names[hit.document_id], hit.text, str(hit.chunk_id)) for hit in hits)
            )
            rows[leg].append(_score(ranking, question, measures))
        if question.answers:
            rows["hybrid"][-1] |= _answer(tenant, question, found)
        progress()
    return {leg: mean(scores) for leg, scores in rows.items()}


def reference(tenant: Tenant, questions: Sequence[Question], *, measures: str) -> dict[str, Scores]:
    """The scores of the package bm25s, if installed, with the same chunks, k1 and b: our BM25 should equal them."""
    try:
        import bm25s  # noqa: PLC0415  a package of requirements-dev.txt
    except ImportError:
        return {}
    chunks = [
        (chunk.document.filename, chunk.text, passages.context(chunk))
        for chunk in Chunk.objects.for_tenant(tenant).select_related("document").defer("terms", "weights")
    ]
    analyse = partial(bm25s.tokenize, stopwords="en", stemmer=Stemmer("english"), show_progress=False)
    index = bm25s.BM25(method="lucene", k1=lexical.K1, b=lexical.B)
    index.index(analyse([context for *_, context in chunks]), show_progress=False)
    found, _ = index.retrieve(
        analyse([question.text for question in questions]),
        k=min(retrieval.DEPTH, len(chunks)),
        show_progress=False,
    )
    rankings = [
        _ranking(question, ((*chunks[row][:2], str(row)) for row in rows))
        for question, rows in zip(questions, found, strict=True)
    ]
    scores = [
        _score(ranking, question, measures) for ranking, question in zip(rankings, questions, strict=True)
    ]
    return {"bm25s": mean(scores)}


def _ranking(question: Question, found: Iterable[tuple[str, str, str]]) -> Ranking:
    """Ranks names without repetition. `found` has for each passage its document's name, its text and its own name."""
    return list(dict.fromkeys(question.named(name, text, passage=own) for name, text, own in found))


def _score(ranking: Ranking, question: Question, measures: str) -> Scores:
    return metrics.scores(MEASURES[measures], ranking, relevant=question.relevant)


def legs(found: Found) -> dict[str, list[Hit]]:
    """The rankings of one search. Each hit has both scores, whichever leg found it."""
    return {
        "dense": sorted(found.hits, key=lambda hit: -hit.cosine),
        "BM25": sorted((hit for hit in found.hits if hit.bm25 > 0), key=lambda hit: -hit.bm25),
        "hybrid": list(found.hits),
    }


def mean(scores: Sequence[Scores]) -> Scores:
    return {name: round(fmean(row[name] for row in scores), 4) for name in scores[0]}


def _answer(tenant: Tenant, question: Question, found: Found) -> Scores:
    started = perf_counter()
    given = sources.merged(tenant.pk, found.hits[:TOP_K])
    brief = Brief(question=question.text, asked=question.text, sources=given, idf=found.idf, purse=Purse())
    generated = generation.generate(brief)
    text = generated.text.casefold()
    return {
        "answer has gold span": float(any(answer.casefold() in text for answer in question.answers)),
        "answer characters": float(len(generated.text)),
        "answer ms": (perf_counter() - started) * 1000,
    }
