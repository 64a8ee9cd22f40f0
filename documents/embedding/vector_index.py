"""The approximate index over a space's vectors, made once a search through all of them would take too long.

One partial index a space, since spaces differ in dimensions, and an HNSW index needs to know them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.conf import settings
from django.db import connection, connections

from documents.models import ChunkVector, EmbeddingSpace
from ragsite.lib import row_security
from ragsite.lib.postgres import OWNER

# pgvector's defaults: on 100,000 vectors of 384 dimensions recall@10 was 0.994 at ef_search 100.
_M: Final = 16
_EF_CONSTRUCTION: Final = 64
MAX_DIMENSIONS: Final = 4_000  # of a halfvec under an HNSW index; beyond, every search is exact
_LOCK: Final = 0x7261_6776  # "ragv": the advisory lock of whoever builds
# An index is made anew when a vector takes this many times the room that it took when the index was made: the rest
# belonged to vectors that are gone, and is kept in memory and walked through for nothing.
_BLOAT: Final = 2.0
# About how many vectors the index of this name holds; 0 where there is none that serves.
ROWS: Final = """coalesce((
    SELECT greatest(reltuples, 1) FROM pg_class JOIN pg_index ON indexrelid = oid
    WHERE oid = to_regclass(%(index)s) AND indisvalid
), 0)"""


def tend(space: EmbeddingSpace) -> bool:
    """Builds the space's index if it has none and enough vectors, or anew if it is bloated; whether it built one.

    Concurrently: documents are loaded and found meanwhile. Must not run in a transaction. Running it twice, or in
    two workers at once, is the same as once.
    """
    if space.dimensions > MAX_DIMENSIONS or not _is_due(space):
        return False
    # An index is of no tenant, and is built by a statement alone.
    with row_security.nobody(), _building() as mine:
        if not mine or not _is_due(space):
            return False
        _rebuild(space) if rows(space) else _build(space)
    return True


def is_ready(space: EmbeddingSpace) -> bool:
    """Whether searches in the space have the index that they need, if they need one."""
    return space.dimensions > MAX_DIMENSIONS or bool(rows(space)) or not _is_large(space)


def drop(space: EmbeddingSpace) -> None:
    """Removes the space's index, if it has one. As with `tend`, not in a transaction, and twice is the same as once."""
    with row_security.nobody(), connections[OWNER].cursor() as cursor:
        for index in (f"{name(space)}_ccnew", name(space)):
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")


def rows(space: EmbeddingSpace) -> int:
    """About how many vectors the space's index holds; 0 where it has none that serves."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {ROWS}", {"index": name(space)})
        return int(cursor.fetchone()[0])


def name(space: EmbeddingSpace) -> str:
    return f"vector_hnsw_{space.pk.hex}"


def _is_due(space: EmbeddingSpace) -> bool:
    return _is_bloated(space) if rows(space) else _is_large(space)


def _build(space: EmbeddingSpace) -> None:
    with connections[OWNER].cursor() as cursor:
        # What an interrupted build left is kept up by every load and serves no search.
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name(space)}")
        cursor.execute(
            f"CREATE INDEX CONCURRENTLY {name(space)} ON documents_chunkvector"
            f" USING hnsw ((vector::halfvec({int(space.dimensions)})) halfvec_cosine_ops)"
            f" WITH (m = {_M}, ef_construction = {_EF_CONSTRUCTION}) WHERE space_id = '{space.pk}'"
        )
        cursor.execute("ANALYZE documents_chunkvector")
    _note_size(space)


def _rebuild(space: EmbeddingSpace) -> None:
    with connections[OWNER].cursor() as cursor:
        # Interrupted, it leaves the old index in use and a new one, under this name, that is not valid.
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name(space)}_ccnew")
        cursor.execute(f"REINDEX INDEX CONCURRENTLY {name(space)}")
    _note_size(space)


def _note_size(space: EmbeddingSpace) -> None:
    """Keeps with the index how many bytes a vector takes in it while it is new."""
    with connections[OWNER].cursor() as cursor:
        cursor.execute(f"COMMENT ON INDEX {name(space)} IS '{_bytes_a_vector(space):.0f}'")


def _is_bloated(space: EmbeddingSpace) -> bool:
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [name(space)])
        noted = cursor.fetchone()[0]
    # An index whose builder died before its note counts as new when it is first looked at.
    if noted is None:
        _note_size(space)
        return False
    return _bytes_a_vector(space) > _BLOAT * float(noted)


def _bytes_a_vector(space: EmbeddingSpace) -> float:
    with connections[OWNER].cursor() as cursor:
        cursor.execute(
            "SELECT pg_relation_size(oid) / greatest(reltuples, 1) FROM pg_class WHERE oid = to_regclass(%s)",
            [name(space)],
        )
        return float(cursor.fetchone()[0])


def _is_large(space: EmbeddingSpace) -> bool:
    # Not a count: one of millions would take seconds, every minute.
    vectors = ChunkVector.objects.across_tenants().filter(space=space).order_by()
    with row_security.across():
        return vectors[settings.EXACT_SEARCH_MAX_CHUNKS : settings.EXACT_SEARCH_MAX_CHUNKS + 1].exists()


@contextmanager
def _building() -> Iterator[bool]:
    """The right to build, for one worker at a time, with the time and memory that building takes."""
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        mine = bool(cursor.fetchone()[0])
        try:
            if mine:
                cursor.execute("SET statement_timeout = 0")
                cursor.execute("SET lock_timeout = 0")
                # A graph that does not fit is finished on disk, many times slower.
                cursor.execute(f"SET maintenance_work_mem = '{int(settings.INDEX_BUILD_MEMORY_MB)}MB'")
            yield mine
        finally:
            if mine:
                cursor.execute("RESET statement_timeout; RESET lock_timeout; RESET maintenance_work_mem")
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
