"""Pieces of documents' texts, as decoded: what the spans of chunks and sources count in."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import connection


class Span(NamedTuple):
    """`text[start:end]` of a document."""

    document_id: UUID
    start: int
    end: int


# One statement, however many spans. Postgres reads of each text what leads to its span, and not the whole.
_READ = """
SELECT wanted.number - 1, substr(decoded.text, wanted.start + 1, wanted.stop - wanted.start)
FROM unnest(%s::uuid[], %s::int[], %s::int[]) WITH ORDINALITY AS wanted (document, start, stop, number)
JOIN documents_documenttext AS decoded ON decoded.document_id = wanted.document AND decoded.tenant_id = %s
"""


def read(tenant_id: UUID, spans: Sequence[Span]) -> list[str | None]:
    """The text of each span; None where the tenant has no such document, or has it no more."""
    texts: list[str | None] = [None] * len(spans)
    if spans:
        with connection.cursor() as cursor:
            cursor.execute(_READ, [*([*column] for column in zip(*spans, strict=True)), tenant_id])
            for number, text in cursor.fetchall():
                texts[number] = text
    return texts
