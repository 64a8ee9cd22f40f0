"""Corpora made without a model, and a recount of what the index keeps counts of."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from accounts.models import Tenant
from documents import indexing
from documents.chunking import Piece
from documents.embedding import spaces
from documents.models import Chunk, CorpusStatistics, Document, Term
from documents.passages import Prepared, analyse, context, term_ids
from documents.searching import lexical
from tests.makers import make_document

DIMENSIONS = 384


def unit_vectors(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    vectors = random.normal(size=(count, DIMENSIONS)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def load(document: Document, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Puts these chunks in the place of the document's, as a worker does in its last step."""
    whole, pieces, start = "\n".join(texts), [], 0
    for ordinal, text in enumerate(texts):
        pieces.append(Piece(ordinal, start, start + len(text), "", None, None))
        start += len(text) + 1
    passages = analyse(document.tenant_id, whole, pieces, title=document.title)
    with transaction.atomic():
        if not Document.objects.filter(pk=document.pk).update(status="ready", chunks=len(texts)):
            raise Document.DoesNotExist
        indexing.replace(
            [
                Prepared(
                    document=document,
                    text=whole,
                    pages=None,
                    title=document.title,
                    passages=passages,
                    vectors={spaces.active(): vectors},
                )
            ]
        )


def make_loaded(
    tenant: Tenant,
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    *,
    collection: str = "default",
    **metadata: object,
) -> Document:
    document = make_document(tenant, "\n".join(texts), collection=collection, metadata=metadata)
    load(document, texts, vectors)
    return document


def assert_counts_are_exact(tenant: Tenant) -> None:
    """Statistics and terms are what counting the chunks anew gives."""
    terms: Counter[int] = Counter()
    chunks = length = 0
    for chunk in Chunk.objects.for_tenant(tenant).select_related("document"):
        ids = term_ids(tenant.pk, context(chunk))
        assert chunk.length == len(ids)
        assert chunk.terms == sorted(set(ids))
        terms.update(set(ids))
        chunks, length = chunks + 1, length + len(ids)
    statistics = CorpusStatistics.objects.for_tenant(tenant).first() or CorpusStatistics()
    assert (statistics.chunks, statistics.length) == (chunks, length)
    assert dict(Term.objects.for_tenant(tenant).values_list("term", "chunks")) == dict(terms)


def bm25(tenant: Tenant, question: str) -> dict[str, float]:
    """Every chunk's BM25 score for the question, by its text, by the formula in plain Python."""
    chunks = list(Chunk.objects.for_tenant(tenant).select_related("document"))
    bags = [Counter(lexical.terms(context(chunk))) for chunk in chunks]
    average = sum(bag.total() for bag in bags) / len(bags)
    scores = {}
    for chunk, bag in zip(chunks, bags, strict=True):
        norm = lexical.K1 * (1 - lexical.B + lexical.B * bag.total() / average)
        scores[chunk.text] = sum(
            lexical.idf(len(bags), sum(term in other for other in bags)) * bag[term] / (bag[term] + norm)
            for term in set(lexical.terms(question))
        )
    return scores
