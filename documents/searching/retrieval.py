"""Where the candidates of a search come from: vectors and BM25, each exact over little and by index over much.

Both legs find candidates in one statement, which also gives each candidate both scores. Filters hold inside the legs,
so that they never cost results.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final

from django.db import connection
from pgvector import HalfVector, SparseVector

from documents.models import EmbeddingSpace
from documents.searching import lexical
from documents.searching.scope import Scope
from documents.searching.survey import Survey, Term

DEPTH: Final = 100  # candidates of each leg
# Before a statement that goes by the index, in the same message, which is one transaction.
INDEX_SETTINGS: Final = (
    "SELECT set_config('hnsw.ef_search', '100', true),"
    " set_config('hnsw.iterative_scan', 'relaxed_order', true); "
)
# Beyond this many chunks BM25 looks only at those of the question's rarest terms, up to about so many rows. Over fewer
# it scores every chunk that has a word of the question, which is then as quick.
LEXICAL_SCAN: Final = 2_000
ROW_BUDGET: Final = 3_000
# What looking at one vector by the index costs, in vectors that are compared one after the other: the index jumps about
# in memory, and where the scope is a part of the tenant's documents it looks up the document of each.
_INDEX_COST: Final = 3
_FILTERED_INDEX_COST: Final = 12


@dataclass(frozen=True, slots=True)
class Legs:
    """How each leg looks: through everything in the scope, or by its index."""

    vectors_by_index: bool
    terms_by_index: bool


def candidates(
    scope: Scope, space: EmbeddingSpace, vector: HalfVector, survey: Survey
) -> list[dict[str, Any]]:
    """The rows of both legs' best chunks: min(DEPTH, chunks in the scope) of the nearest at least."""
    if not survey.size:
        return []
    legs = Legs(
        vectors_by_index=_index_pays(survey.size, survey.indexed, is_filtered=bool(scope.conditions)),
        terms_by_index=survey.size > LEXICAL_SCAN,
    )
    near, rows = run(scope, space, vector, survey.terms, legs=legs)
    if legs.vectors_by_index and near < min(DEPTH, survey.size):
        # The index gave up before it had enough: the filter leaves little near the question.
        rows = run(scope, space, vector, survey.terms, legs=replace(legs, vectors_by_index=False))[1]
    return rows


def _index_pays(size: int, indexed: int, *, is_filtered: bool) -> bool:
    """Whether the index is quicker than comparing all `size` vectors of the scope.

    Of `indexed` vectors every (indexed / size)th is of the scope, so that the index looks at DEPTH times as many
    before it has found DEPTH of them.
    """
    cost = _FILTERED_INDEX_COST if is_filtered else _INDEX_COST
    return indexed > 0 and size**2 > cost * DEPTH * indexed


# The statement -----------------------------------------------------------------------------------------------

# Each candidate's rows are looked up one by one (OFFSET 0 keeps the planner from turning the join around): where it
# has no statistics yet, it would rather read the tenant's every chunk.
_STATEMENT: Final = """
WITH dense AS MATERIALIZED (
    {dense}
), lexical AS MATERIALIZED (
    {lexical}
), candidate AS (
    SELECT id FROM dense UNION SELECT id FROM lexical
)
SELECT chunk.id AS chunk_id, chunk.document_id, document.title, collection.name AS collection, chunk.heading,
       chunk.first_page, chunk.last_page, chunk.start, chunk."end", chunk.text,
       1 - (vector.vector <=> %(vector)s::halfvec) AS cosine,
       -(chunk.weights <#> %(question)s::sparsevec) AS bm25, (SELECT count(*) FROM dense) AS near,
       ARRAY(SELECT term FROM unnest(%(telling)s::int[]) AS term WHERE term = ANY(chunk.terms)) AS telling
FROM candidate
CROSS JOIN LATERAL (
    SELECT * FROM documents_chunk WHERE id = candidate.id AND tenant_id = %(tenant)s OFFSET 0
) AS chunk
JOIN documents_chunkvector AS vector ON vector.chunk_id = chunk.id AND vector.space_id = %(space)s
JOIN documents_document AS document ON document.id = chunk.document_id
JOIN documents_collection AS collection ON collection.id = document.collection_id
"""
# Without dimensions the expression is not the index's, and the search cannot but be exact.
_DENSE_SCAN: Final = """
    SELECT vector.chunk_id AS id
    FROM documents_chunkvector AS vector
    WHERE vector.tenant_id = %(tenant)s AND vector.space_id = %(space)s
    ORDER BY vector.vector <=> %(vector)s::halfvec LIMIT %(depth)s
"""
# From the documents to their vectors, and never the other way round (OFFSET 0): that would read all of the tenant's.
_DENSE_SCAN_IN_SCOPE: Final = """
    SELECT vector.id
    FROM documents_document AS document
    CROSS JOIN LATERAL (
        SELECT chunk_id AS id, vector <=> %(vector)s::halfvec AS distance
        FROM documents_chunkvector WHERE document_id = document.id AND space_id = %(space)s OFFSET 0
    ) AS vector
    WHERE document.tenant_id = %(tenant)s {filters}
    ORDER BY vector.distance LIMIT %(depth)s
"""
# The filter is asked of one vector after the other in the index's order. As a scalar, since the planner makes of an
# EXISTS a join, or a table of the whole scope, before it looks at the first vector.
_DENSE_INDEX: Final = """
    SELECT vector.chunk_id AS id
    FROM documents_chunkvector AS vector
    WHERE vector.tenant_id = %(tenant)s AND vector.space_id = %(space)s {in_scope}
    ORDER BY vector.vector::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions}) LIMIT %(depth)s
"""
_IN_SCOPE: Final = """
    AND (SELECT true FROM documents_document AS document WHERE document.id = vector.document_id {filters})
"""
_LEXICAL_SCAN: Final = """
    SELECT chunk.id
    FROM documents_chunk AS chunk {scope}
    WHERE chunk.tenant_id = %(tenant)s AND chunk.terms && %(terms)s::int[]
    ORDER BY chunk.weights <#> %(question)s::sparsevec LIMIT %(depth)s
"""
# By the index on terms, which row-level security keeps from a plain statement; a migration makes the function and
# says why. It takes the tenant from what Postgres was told of this statement. A new filter of `Scope` is a new
# version of it too.
_LEXICAL_INDEX: Final = """
    SELECT id FROM documents_best_chunks(%(terms)s::int[], %(question)s::sparsevec, %(depth)s,
        %(collections)s::uuid[], %(documents)s::uuid[], %(metadata)s::jsonb,
        %(path)s::jsonpath, %(variables)s::jsonb, %(created)s::tstzrange, %(ready)s::tstzrange)
"""
_OF_CHUNK: Final = "JOIN documents_document AS document ON document.id = chunk.document_id"


def run(
    scope: Scope, space: EmbeddingSpace, vector: HalfVector, terms: Sequence[Term], *, legs: Legs
) -> tuple[int, list[dict[str, Any]]]:
    """How many the dense leg found, and both legs' candidates; `telling` are the ids of such terms in each."""
    parameters = {
        **scope.parameters,
        "space": space.pk,
        "depth": DEPTH,
        "vector": vector.to_text(),
        "question": _sparse(terms),
        "terms": [term.id for term in (rarest(terms) if legs.terms_by_index else terms)],
        "telling": [term.id for term in terms if term.telling],
    }
    statement = _statement(scope, space, legs)
    with connection.cursor() as cursor:
        cursor.execute(f"{INDEX_SETTINGS}{statement}" if legs.vectors_by_index else statement, parameters)
        if legs.vectors_by_index:
            cursor.nextset()
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    near = [row.pop("near") for row in rows]
    return max(near, default=0), rows


def _statement(scope: Scope, space: EmbeddingSpace, legs: Legs) -> str:
    """Only fixed words are put into its text."""
    lexical_leg = (
        _LEXICAL_INDEX if legs.terms_by_index else _LEXICAL_SCAN.format(scope=_joined(scope.conditions))
    )
    return _STATEMENT.format(dense=dense_leg(scope, space, legs), lexical=lexical_leg)


def dense_leg(scope: Scope, space: EmbeddingSpace, legs: Legs) -> str:
    """SQL of the nearest chunks' ids; takes `tenant`, `space`, `vector`, `depth`, and the scope's filters."""
    conditions = scope.conditions
    if not legs.vectors_by_index:
        return _DENSE_SCAN_IN_SCOPE.format(filters=conditions) if conditions else _DENSE_SCAN
    in_scope = _IN_SCOPE.format(filters=conditions) if conditions else ""
    return _DENSE_INDEX.format(in_scope=in_scope, dimensions=int(space.dimensions))


def _joined(conditions: str) -> str:
    """What binds a chunk to the scope's filters."""
    return f"{_OF_CHUNK}{conditions}" if conditions else ""


def _sparse(terms: Sequence[Term]) -> str:
    # An empty sparsevec scores every chunk 0, and no chunk has a term of the empty array.
    return SparseVector({term.id - 1: term.idf for term in terms}, lexical.MAX_DIMENSIONS).to_text()


def rarest(terms: Sequence[Term]) -> list[Term]:
    """Of terms in the order of their rarity those whose chunks together stay within the budget; always at least one."""
    rows = accumulate(term.chunks for term in terms)
    return [
        term
        for number, (term, total) in enumerate(zip(terms, rows, strict=True))
        if not number or total <= ROW_BUDGET
    ]
