"""What tells whether uploads are stored as they should be: each of its clauses is seen to turn red."""

from pathlib import Path

import psycopg
import pytest
from django.db import connection, transaction
from pytest_django import Settings

from documents.models import Document
from ragsite.lib import row_security
from tests.chaos import ingested
from tests.chaos.ingested import CLAUSES, Expected
from tests.makers import Party, ingest
from webhooks import endpoints
from webhooks.models import Event

# Short for them, below.
NAMES = {
    ":one": "(SELECT id FROM documents_document WHERE filename = 'one.txt')",
    ":chunk": "(SELECT id FROM documents_chunk WHERE ordinal = 1 AND document_id = :one)",
    ":failed": "status = 'failed', error_code = 'corrupt', chunks = 0",
}
# What a bug would have left, and the clause that finds it; others may find it as well.
PLANTED = [
    ("lost", "DELETE FROM documents_document WHERE id = :one"),
    ("stuck", "UPDATE documents_document SET status = 'queued' WHERE id = :one"),
    ("claimed", "UPDATE documents_document SET stage = 'storing' WHERE id = :one"),
    ("failed", "UPDATE documents_document SET :failed WHERE id = :one"),
    ("poison", "UPDATE documents_document SET error_code = 'elsewhere' WHERE filename = 'bad.txt'"),
    ("attempts", "UPDATE documents_document SET attempts = 4 WHERE id = :one"),
    ("ordinals", "UPDATE documents_chunk SET ordinal = 77 WHERE id = :chunk"),
    ("ordinals", "DELETE FROM documents_chunk WHERE id = :chunk"),
    ("ordinals", "UPDATE documents_document SET chunks = chunks + 1 WHERE id = :one"),
    ("strays", "UPDATE documents_document SET :failed WHERE id = :one"),
    ("vectors", "DELETE FROM documents_chunkvector WHERE chunk_id = :chunk"),
    ("vectors of no chunk", "DELETE FROM documents_chunk WHERE id = :chunk"),
    ("texts", "DELETE FROM documents_documenttext WHERE document_id = :one"),
    ("texts", "UPDATE documents_document SET :failed WHERE id = :one"),
    ("spans", "UPDATE documents_chunk SET start = start + 1 WHERE id = :chunk"),
    (
        "terms",
        "UPDATE documents_term SET chunks = chunks + 1 WHERE term = (SELECT max(term) FROM documents_term)",
    ),
    ("terms", "DELETE FROM documents_term WHERE term = (SELECT min(term) FROM documents_term)"),
    ("statistics", "UPDATE documents_corpusstatistics SET chunks = chunks + 1"),
    ("statistics", "UPDATE documents_corpusstatistics SET length = length - 1"),
    ("messages", "DELETE FROM webhooks_delivery WHERE document_id = :one"),
    ("messages", "UPDATE webhooks_delivery SET event = 'document.failed' WHERE document_id = :one"),
]


def _store(ours: Party, theirs: Party) -> Expected:
    """Documents of two tenants, one of them poison."""
    ids, text = (
        [],
        "\n\n".join(f"Paragraph {number}. {'The tea is served at four. ' * 30}" for number in range(6)),
    )
    for party, names in ((ours, ("one.txt", "two.txt")), (theirs, ("three.txt",))):
        endpoints.add(party.tenant, url="https://example.com/hook", events=[event.value for event in Event])
        ids += [ingest(party.tenant, f"{name} {text}", filename=name).pk for name in names]
    poison = ingest(ours.tenant, " \n ", filename="bad.txt")
    return Expected(ids, [poison.pk], [poison.error_code])


def _spelt_out(statement: str) -> str:
    for name in (":failed", ":chunk", ":one"):
        statement = statement.replace(name, NAMES[name])
    return statement


def _faults(expected: Expected, files: Path) -> list[str]:
    raw: psycopg.Connection[object] = connection.connection
    Document.objects.exists()  # tells Postgres for the rest of the transaction whose rows may be seen
    return ingested.faults(raw, expected, files=files)


@pytest.mark.django_db
def test_each_clause_finds_what_a_bug_would_leave(
    ours: Party, theirs: Party, settings: Settings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    expected = _store(ours, theirs)
    with row_security.across(), transaction.atomic(), connection.cursor() as cursor:
        assert _faults(expected, tmp_path) == []
        for clause, bug in PLANTED:
            mark = transaction.savepoint()
            cursor.execute(_spelt_out(bug))
            assert cursor.rowcount, bug
            assert clause in {fault.partition(":")[0] for fault in _faults(expected, tmp_path)}, bug
            transaction.savepoint_rollback(mark)
        assert _faults(expected, tmp_path) == []
        moved = next(path for path in tmp_path.rglob("*") if path.is_file())
        moved.rename(moved.with_name("another"))
        strange, gone = _faults(expected, tmp_path)
    assert strange.endswith("another is of no document")
    assert gone.endswith(f"{moved.name} is gone")


def test_every_clause_is_seen_red() -> None:
    assert {clause for clause, _ in PLANTED} == CLAUSES.keys()
