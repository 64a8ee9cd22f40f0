"""Whether what was uploaded is stored as it should be, once nothing is in work any more: asked of Postgres and the folder of files.

`python -m tests.chaos.ingested DATA_DIR` asks it of an embedded site.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from ragsite import embedded

MAX_ATTEMPTS: Final = 3  # the default of INGEST_MAX_ATTEMPTS
SHOWN: Final = 5  # rows of each fault

# Each returns what is wrong, row by row. Counts are made anew from the rows that they count.
CLAUSES: Final[Mapping[str, str]] = {
    "lost": """
        SELECT told.id FROM unnest(%(acknowledged)s::uuid[]) AS told (id)
        WHERE NOT EXISTS (SELECT FROM documents_document AS document WHERE document.id = told.id)
    """,
    "stuck": "SELECT id, status, stage, attempts FROM documents_document WHERE status IN ('queued', 'processing')",
    "claimed": """
        SELECT id, claim, leased_until FROM documents_document
        WHERE status <> 'processing' AND (claim IS NOT NULL OR leased_until IS NOT NULL OR stage <> '')
    """,
    "failed": """
        SELECT id, filename, error_code, attempts FROM documents_document
        WHERE status = 'failed' AND NOT id = ANY (%(poison)s::uuid[])
    """,
    "poison": """
        SELECT id, filename, status, error_code FROM documents_document
        WHERE id = ANY (%(poison)s::uuid[]) AND NOT (status = 'failed' AND error_code = ANY (%(codes)s))
    """,
    "attempts": "SELECT id, attempts FROM documents_document WHERE attempts > %(attempts)s",
    "ordinals": """
        SELECT document.id, document.chunks, count(chunk.id), count(DISTINCT ordinal), min(ordinal), max(ordinal)
        FROM documents_document AS document LEFT JOIN documents_chunk AS chunk ON chunk.document_id = document.id
        WHERE document.status = 'ready' GROUP BY document.id
        HAVING count(chunk.id) <> document.chunks OR count(DISTINCT ordinal) <> document.chunks
            OR min(ordinal) <> 0 OR max(ordinal) <> document.chunks - 1 OR document.chunks = 0
    """,
    "strays": """
        SELECT chunk.id, chunk.document_id FROM documents_chunk AS chunk
        LEFT JOIN documents_document AS document ON document.id = chunk.document_id AND document.tenant_id = chunk.tenant_id
        WHERE document.id IS NULL OR document.status <> 'ready'
    """,
    "vectors": """
        SELECT chunk.id, space.id, count(vector.chunk_id) FROM documents_chunk AS chunk
        CROSS JOIN documents_embeddingspace AS space
        LEFT JOIN documents_chunkvector AS vector
            ON vector.chunk_id = chunk.id AND vector.space_id = space.id AND vector.tenant_id = chunk.tenant_id
        WHERE space.state IN ('active', 'building') GROUP BY 1, 2 HAVING count(vector.chunk_id) <> 1
    """,
    "vectors of no chunk": """
        SELECT chunk_id, space_id FROM documents_chunkvector AS vector
        WHERE NOT EXISTS (SELECT FROM documents_chunk AS chunk WHERE chunk.id = vector.chunk_id)
    """,
    "texts": """
        SELECT document.id, document.status, text.document_id FROM documents_document AS document
        FULL JOIN documents_documenttext AS text ON text.document_id = document.id
        WHERE (document.status = 'ready') IS DISTINCT FROM (text.document_id IS NOT NULL)
    """,
    "spans": """
        SELECT chunk.id, chunk.start, chunk."end" FROM documents_chunk AS chunk
        JOIN documents_documenttext AS text USING (document_id)
        WHERE chunk.text <> substr(text.text, chunk.start + 1, chunk."end" - chunk.start)
    """,
    "terms": """
        SELECT tenant_id, term, kept.chunks, counted.chunks FROM documents_term AS kept
        FULL JOIN (SELECT tenant_id, unnest(terms) AS term, count(*) AS chunks FROM documents_chunk GROUP BY 1, 2)
            AS counted USING (tenant_id, term)
        WHERE kept.chunks IS DISTINCT FROM counted.chunks
    """,
    "statistics": """
        SELECT tenant_id, kept.chunks, counted.chunks, kept.length, counted.length FROM documents_corpusstatistics AS kept
        FULL JOIN (SELECT tenant_id, count(*) AS chunks, sum(length) AS length FROM documents_chunk GROUP BY 1)
            AS counted USING (tenant_id)
        WHERE (coalesce(kept.chunks, 0), coalesce(kept.length, 0))
            <> (coalesce(counted.chunks, 0), coalesce(counted.length, 0))
    """,
    # An end is told once to each address that was there before the upload, and what did not happen never.
    "messages": """
        SELECT document.id, document.status, endpoint.id, count(delivery.id) FROM documents_document AS document
        JOIN webhooks_endpoint AS endpoint
            ON endpoint.tenant_id = document.tenant_id AND endpoint.created_at < document.created_at
        LEFT JOIN webhooks_delivery AS delivery
            ON delivery.endpoint_id = endpoint.id AND delivery.document_id = document.id
        WHERE document.status IN ('ready', 'failed') GROUP BY document.id, endpoint.id
        HAVING count(delivery.id) <> 1 OR min(delivery.event) <> 'document.' || document.status
    """,
}


@dataclass(frozen=True)
class Expected:
    """What was answered 2xx, and which of it is to fail, with which codes."""

    acknowledged: Sequence[UUID] = ()
    poison: Sequence[UUID] = ()
    codes: Sequence[str] = field(default=("interrupted",))


def faults(connection: "psycopg.Connection[Any]", expected: Expected, *, files: Path) -> list[str]:
    """What is wrong, each in a line that begins with the name of the clause; nothing, where all is as it should be.

    `connection` must see the rows of all tenants; `files` is the folder of what was uploaded.
    """
    wanted = {
        "acknowledged": list(expected.acknowledged),
        "poison": list(expected.poison),
        "codes": list(expected.codes),
        "attempts": MAX_ATTEMPTS,
    }
    found = []
    for name, select in CLAUSES.items():
        rows = connection.execute(select, wanted).fetchall()
        found += [f"{name}: {', '.join(map(str, row))}" for row in rows[:SHOWN]]
        found += [f"{name}: {len(rows)} in all"] if len(rows) > SHOWN else []
    return [*found, *_files(connection, files)]


def _files(connection: "psycopg.Connection[Any]", files: Path) -> Iterator[str]:
    named = {str(path) for (path,) in connection.execute("SELECT file FROM documents_document").fetchall()}
    there = {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()}
    yield from (f"files: {path} is of no document" for path in sorted(there - named)[:SHOWN])
    yield from (f"files: {path} is gone" for path in sorted(named - there)[:SHOWN])


def of_site(data_dir: Path, expected: Expected) -> list[str]:
    with psycopg.connect(embedded.database_url(data_dir, role="postgres")) as connection:
        return faults(connection, expected, files=data_dir / "files")


def main() -> int:
    found = of_site(Path(sys.argv[1]), Expected())
    print("\n".join(found) or "all is as it should be")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
