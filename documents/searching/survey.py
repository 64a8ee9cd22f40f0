"""What a search must know before it looks: how many chunks are in its scope, and which of its words the corpus has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db import connection

from documents.embedding import vector_index
from documents.models import EmbeddingSpace
from documents.searching import lexical
from documents.searching.scope import Scope


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the question that the tenant's corpus has, in so many of its chunks; `telling` as `lexical` says."""

    word: str
    id: int
    chunks: int
    idf: float
    telling: float


@dataclass(frozen=True, slots=True)
class Survey:
    """`size`: chunks in the scope; `indexed`: about how many vectors the space's index holds, 0 where there is none.
    `terms`: the question's distinct ones that the corpus knows, rarest first."""

    size: int = 0
    indexed: int = 0
    terms: Sequence[Term] = ()


# One statement, for a search waits for each. Without a filter the scope's chunks are counted already: many documents
# take long to add up.
_SURVEY: Final = """
SELECT corpus.chunks, {size}, {indexed}, term.term, term.chunks
FROM documents_corpusstatistics AS corpus
LEFT JOIN documents_term AS term ON term.tenant_id = corpus.tenant_id AND term.term = ANY(%(words)s::int[])
WHERE corpus.tenant_id = %(tenant)s
ORDER BY term.chunks, term.term
"""
_IN_SCOPE: Final = """(
    SELECT coalesce(sum(document.chunks), 0) FROM documents_document AS document
    WHERE document.tenant_id = %(tenant)s {conditions}
)"""


def of(scope: Scope, question: str, *, space: EmbeddingSpace | None = None) -> Survey:
    """The survey of a question. `space`: the one whose index counts as `indexed`."""
    words = {lexical.term_id(scope.tenant_id, word): word for word in lexical.terms(question)}
    size = _IN_SCOPE.format(conditions=scope.conditions) if scope.conditions else "corpus.chunks"
    parameters = {**scope.parameters, "words": list(words), "index": space and vector_index.name(space)}
    with connection.cursor() as cursor:
        cursor.execute(_SURVEY.format(size=size, indexed=vector_index.ROWS), parameters)
        rows = cursor.fetchall()
    if not rows:
        return Survey()
    chunks, size_of_scope, indexed = rows[0][:3]
    terms = [_term(words[term], term, total=chunks, chunks=among) for *_, term, among in rows if term]
    return Survey(int(size_of_scope), int(indexed), terms)


def _term(word: str, identifier: int, *, total: int, chunks: int) -> Term:
    idf, telling = lexical.idf(total, chunks), lexical.telling(total, chunks)
    return Term(word, identifier, chunks, idf=idf, telling=telling)
