"""What Postgres stores and finds, measured in a process with the settings of a running site.

Prints the comparisons of one case as JSON: of each its name, its notes, and both sides' samples.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from statistics import mean
from typing import Any, Final

import django
import psutil

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragsite.settings")
django.setup()

import numpy as np  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402
from pgvector import HalfVector  # noqa: E402

from documents import copying, indexing  # noqa: E402
from documents.embedding import vector_index  # noqa: E402
from documents.models import Chunk, ChunkVector, Collection, Document  # noqa: E402
from documents.searching import retrieval, search, survey  # noqa: E402
from documents.searching.hits import Hit  # noqa: E402
from documents.searching.retrieval import Legs  # noqa: E402
from documents.searching.scope import Scope  # noqa: E402
from documents.searching.survey import Survey  # noqa: E402
from ragsite.lib import row_security  # noqa: E402
from ragsite.lib.postgres import OWNER  # noqa: E402
from tests.bench.crowd import CHUNKS_A_DOCUMENT, SHARES, Crowd  # noqa: E402
from tests.bench.measure import Comparison, Sample, compare  # noqa: E402

LARGE: Final = 100_000  # chunks
LOADED: Final = 2_000  # chunks a turn
SEARCHES: Final = 40  # a turn
BEST: Final = 10


def taken(work: Callable[[], int]) -> Sample:
    """Units of work a second; processor time of this process, and of the one of Postgres that serves it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = psutil.Process(cursor.fetchone()[0])
    began, own, behind = time.perf_counter(), time.process_time(), sum(backend.cpu_times()[:2])
    units = work()
    seconds = time.perf_counter() - began
    return Sample(
        units / seconds,
        (time.process_time() - own) / units,
        (sum(backend.cpu_times()[:2]) - behind) / units,
    )


def copy() -> Iterator[Comparison]:
    """Chunks and vectors by binary COPY, as documents are stored, over Django's bulk_create."""
    crowd = Crowd()
    collection = Collection.objects.create(tenant=crowd.tenant, name="loaded")
    documents = [crowd.document(collection, number) for number in range(LOADED // CHUNKS_A_DOCUMENT)]
    Document.objects.bulk_create(documents)

    def turn(load: Callable[[Sequence[Any], Sequence[Any]], None]) -> Sample:
        chunks = crowd.chunk_rows(documents)
        vectors = crowd.vector_rows(chunks)
        sample = taken(lambda: _loaded(load, chunks, vectors))
        ChunkVector.objects.for_tenant(crowd.tenant)._raw_delete(connection.alias)
        Chunk.objects.for_tenant(crowd.tenant)._raw_delete(connection.alias)
        return sample

    yield compare(
        "COPY / bulk_create", subject=lambda: turn(_by_copy), baseline=lambda: turn(_by_bulk_create)
    )


@transaction.atomic
def _loaded(
    load: Callable[[Sequence[Any], Sequence[Any]], None], chunks: Sequence[Any], vectors: Sequence[Any]
) -> int:
    load(chunks, vectors)
    return len(chunks)


def _by_copy(chunks: Sequence[Any], vectors: Sequence[Any]) -> None:
    copying.copy("documents_chunk", indexing.CHUNK_COLUMNS, chunks)
    copying.copy("documents_chunkvector", indexing.VECTOR_COLUMNS, vectors)


def _by_bulk_create(chunks: Sequence[Any], vectors: Sequence[Any]) -> None:
    names = [name.strip('"') for name in indexing.CHUNK_COLUMNS]
    Chunk.objects.bulk_create(
        [Chunk(**dict(zip(names, row, strict=True))) for row in chunks], batch_size=1_000
    )
    ChunkVector.objects.bulk_create(
        [ChunkVector(**dict(zip(indexing.VECTOR_COLUMNS, row, strict=True))) for row in vectors],
        batch_size=1_000,
    )


def index() -> Iterator[Comparison]:
    """The nearest chunks of a hundred thousand by the index, over comparing them all."""
    crowd, vectors = _large()
    scope = Scope(crowd.tenant.pk)

    def turn(*, by_index: bool) -> Sample:
        return taken(lambda: len([nearest(crowd, scope, vector, by_index=by_index) for vector in vectors]))

    found = [
        recall(*(nearest(crowd, scope, vector, by_index=by_index) for by_index in (True, False)))
        for vector in vectors
    ]
    yield compare(
        "HNSW / exact",
        subject=lambda: turn(by_index=True),
        baseline=lambda: turn(by_index=False),
        notes={"recall@10": round(mean(found), 4)},
    )


def filtered() -> Iterator[Comparison]:
    """A whole search in a collection that has a part of the chunks, over one in all of them."""
    crowd, vectors = _large()
    asked = [(vector, crowd.question()) for vector in vectors]

    def turn(scope: Scope) -> Sample:
        surveys = [survey.of(scope, question, space=crowd.space) for _, question in asked]
        return taken(lambda: len([_rows(crowd, scope, *one) for one in zip(vectors, surveys, strict=True)]))

    for share in SHARES:
        collection = Collection.objects.for_tenant(crowd.tenant).get(name=share)
        scope = Scope(crowd.tenant.pk, (collection.pk,))
        yield compare(
            f"search in {share} / in all",
            subject=partial(turn, scope),
            baseline=partial(turn, Scope(crowd.tenant.pk)),
            notes=_checked(crowd, scope, asked),
        )


def hybrid() -> Iterator[Comparison]:
    """Whole searches by both legs, over searches by vectors alone. Making the question's vector is left out of both."""
    crowd, vectors = _large()
    asked = [(vector, crowd.question()) for vector in vectors]
    scope = Scope(crowd.tenant.pk)

    def searched(*, by_words: bool) -> int:
        return len([_ranked(crowd, scope, *question, by_words=by_words) for question in asked])

    yield compare(
        "hybrid / dense",
        subject=lambda: taken(lambda: searched(by_words=True)),
        baseline=lambda: taken(lambda: searched(by_words=False)),
        notes={"BM25's best 10 in truth": _best_by_words(crowd, scope, asked)},
    )


def _ranked(crowd: Crowd, scope: Scope, vector: HalfVector, question: str, *, by_words: bool) -> list[Hit]:
    known = survey.of(scope, question if by_words else "", space=crowd.space)
    return search.ranked(scope, crowd.space, vector, known)[0]


def _best_by_words(crowd: Crowd, scope: Scope, asked: Sequence[tuple[HalfVector, str]]) -> float:
    """How many of the ten best by BM25 over every chunk the quicker way finds as well."""
    recalls = []
    for vector, question in asked:
        known = survey.of(scope, question, space=crowd.space)
        whole = Legs(vectors_by_index=True, terms_by_index=False)
        quick, truth = (
            [row["chunk_id"] for row in sorted(rows, key=lambda row: -row["bm25"])[:BEST]]
            for rows in (
                _rows(crowd, scope, vector, known),
                retrieval.run(scope, crowd.space, vector, known.terms, legs=whole)[1],
            )
        )
        recalls.append(recall(quick, truth))
    return round(mean(recalls), 4)


def _rows(crowd: Crowd, scope: Scope, vector: HalfVector, known: Survey) -> list[Any]:
    return retrieval.candidates(scope, crowd.space, vector, known)


def _checked(crowd: Crowd, scope: Scope, asked: Sequence[Any]) -> dict[str, float]:
    """How many of the nearest in truth are found, and the fewest candidates that a search found."""
    recalls, fewest = [], LARGE
    for vector, question in asked:
        known = survey.of(scope, question, space=crowd.space)
        rows = sorted(_rows(crowd, scope, vector, known), key=lambda row: -row["cosine"])
        truth = nearest(crowd, scope, vector, by_index=False)
        recalls.append(recall([row["chunk_id"] for row in rows[:BEST]], truth))
        fewest = min(fewest, len(rows))
    return {"recall@10": round(mean(recalls), 4), "fewest": fewest}


def recall(found: Sequence[Any], truth: Sequence[Any]) -> float:
    return len(set(found) & set(truth)) / len(truth)


def nearest(crowd: Crowd, scope: Scope, vector: HalfVector, *, by_index: bool) -> list[Any]:
    """The leg of a search that goes by vectors, alone."""
    legs = Legs(vectors_by_index=by_index, terms_by_index=True)
    parameters: dict[str, Any] = {"tenant": crowd.tenant.pk, "space": crowd.space.pk, "vector": vector.to_text(), "depth": BEST,
                  "collections": list(scope.collection_ids or ())}  # fmt: skip
    statement = retrieval.dense_leg(scope, crowd.space, legs)
    with connection.cursor() as cursor:
        cursor.execute(f"{retrieval.INDEX_SETTINGS}{statement}" if by_index else statement, parameters)
        if by_index:
            cursor.nextset()
        return [row[0] for row in cursor.fetchall()]


def _large() -> tuple[Crowd, list[HalfVector]]:
    """The corpus with its index, as a site has it after a night: analysed, and no list of the index pending."""
    crowd = Crowd()
    crowd.fill(LARGE)
    vector_index.tend(crowd.space)
    with row_security.nobody(), connections[OWNER].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE documents_chunk, documents_chunkvector, documents_document")
    vectors = [HalfVector(vector) for vector in np.asarray(crowd.vectors(SEARCHES))]
    return crowd, vectors


CASES: Final = {"copy": copy, "index": index, "filtered": filtered, "hybrid": hybrid}

if __name__ == "__main__":
    with row_security.across():
        tenant = Crowd().tenant
    with row_security.within(tenant.pk):
        print(json.dumps([asdict(comparison) for comparison in CASES[sys.argv[1]]()]))
