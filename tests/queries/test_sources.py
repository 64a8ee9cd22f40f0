"""Neighbouring chunks are one source, and every source's text is exactly a span of its document's."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Tenant
from documents import chunking
from documents.models import DocumentText
from documents.searching.search import Hit
from documents.structure import ParsedDocument
from queries import sources
from tests.makers import Party, ingest, make_document

pytestmark = pytest.mark.django_db

SECTIONS = "\n\n".join(f"## Part {n}\n\n" + f"Rule {n} tells of the kettle. " * 30 for n in range(6))


def hits_of(document_id: UUID, text: str, *, pages: Sequence[int] = ()) -> list[Hit]:
    """The chunks of a text, as a search finds them; the best first."""
    pieces = chunking.chunk(ParsedDocument(text, page_starts=list(pages)))
    return [
        Hit(UUID(int=piece.ordinal + 1), document_id, "t", "c", piece.heading, piece.first_page, piece.last_page,
            piece.start, piece.end, text[piece.start : piece.end], 0.5, 0.5, 1 / (piece.ordinal + 2))
        for piece in pieces
    ]  # fmt: skip


WORDS = st.lists(
    st.sampled_from(
        ["word ", "Satz. ", "\n\n", " \t\n \n", "# Head\n", "é", "秘", "x" * 400, "a. " * 300, "\r\n\r\n"]
    ),
    min_size=1,
    max_size=40,
).map("".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WORDS, st.data())
def test_a_sources_text_is_its_span_of_the_document(ours: Party, text: str, data: st.DataObject) -> None:
    document = make_document(ours.tenant, "x", filename="x.txt")
    DocumentText.objects.update_or_create(document=document, defaults={"text": text, "tenant": ours.tenant})
    hits = hits_of(document.pk, text, pages=[0, len(text) // 2] if len(text) > 1 else ())
    found = data.draw(st.lists(st.sampled_from(hits), unique=True)) if hits else []
    merged = sources.merged(ours.tenant.pk, found)
    assert [source.n for source in merged] == list(range(1, len(merged) + 1))
    assert sorted(hit.start for source in merged for hit in source.hits) == sorted(hit.start for hit in found)
    for source in merged:
        assert source.text == text[source.start : source.end]
        assert (source.start, source.end) == (source.hits[0].start, source.hits[-1].end)
        cut = source.cut(data.draw(st.integers(0, 3_000)))
        assert cut.text == text[cut.start : cut.end]
        assert cut.text
        assert all(hit.start < cut.end for hit in cut.hits)
    # None of two are neighbours: what parts them is more than white space.
    spans = sorted((source.start, source.end) for source in merged)
    for (_, end), (start, _) in pairwise(spans):
        gap = text[end:start]
        assert gap.strip() or len(gap) > sources.WIDEST_GAP


def test_overlapping_chunks_are_one_source(tenant: Tenant) -> None:
    text = "abcdefghij"
    one, *_ = hits_of(UUID(int=7), text)
    overlapping = [
        replace(one, chunk_id=UUID(int=n), start=start, end=end, text=text[start:end])
        for n, (start, end) in enumerate([(4, 8), (0, 6), (1, 3), (8, 10)])
    ]
    [source] = sources.merged(tenant.pk, overlapping)
    assert (source.start, source.end, source.text) == (0, 10, text)


def test_an_answer_cites_neighbours_as_one_source_with_its_pages(ours: Party) -> None:
    document = ingest(ours.tenant, SECTIONS, filename="rules.md")
    text = ours.business_client.get(f"/api/documents/{document.pk}/text").content.decode()
    answer = ours.client.post(
        "/api/query", {"question": "Rule 3 of the kettle", "top_k": 50}, format="json"
    ).json()
    [source] = answer["sources"]
    assert source["text"] == text[source["start"] : source["end"]]
    assert len(source["chunk_ids"]) == document.chunks > 1
    assert source["chunk_id"] in source["chunk_ids"]
    assert (source["n"], source["page"], source["last_page"]) == (1, None, None)
    assert "[1]" in answer["answer"]
    results = ours.client.post(
        "/api/search", {"question": "Rule 3 of the kettle", "top_k": 50}, format="json"
    ).json()
    assert len(results["results"]) == document.chunks  # a search shows what was found, passage by passage


def test_chunks_of_two_documents_or_with_one_between_stay_apart(ours: Party) -> None:
    one = ingest(ours.tenant, SECTIONS, filename="one.md")
    other = ingest(ours.tenant, SECTIONS.replace("Rule", "Law"), filename="other.md")
    text = DocumentText.objects.for_tenant(ours.tenant).one(one.pk).text
    hits = hits_of(one.pk, text)
    foreign = [replace(hit, document_id=other.pk, chunk_id=UUID(int=99)) for hit in hits[:1]]
    merged = sources.merged(ours.tenant.pk, [hits[2], hits[0], *foreign])
    assert [(source.start, source.best.document_id) for source in merged] == [
        (hits[2].start, one.pk), (hits[0].start, one.pk), (hits[0].start, other.pk),
    ]  # fmt: skip


def test_what_stands_between_is_read_of_the_tenants_own_documents_alone(ours: Party, theirs: Party) -> None:
    document = ingest(theirs.tenant, SECTIONS, filename="theirs.md")
    hits = hits_of(document.pk, DocumentText.objects.for_tenant(theirs.tenant).one(document.pk).text)
    assert len(sources.merged(theirs.tenant.pk, hits)) == 1
    assert len(sources.merged(ours.tenant.pk, hits)) == len(hits)
