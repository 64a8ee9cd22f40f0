import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.db import connection
from pgvector import HalfVector

from accounts.models import Tenant
from documents import indexing, reweighing
from documents.embedding import spaces
from documents.models import Chunk, ChunkVector, CorpusStatistics, Document, DocumentText, Term
from documents.searching import retrieval, search
from documents.searching.retrieval import Legs
from documents.searching.scope import Scope
from ragsite.lib import row_security
from tests.documents.corpora import assert_counts_are_exact, bm25, load, make_loaded, unit_vectors
from tests.makers import ingest, make_document

WORDS = "tea kettle warranty invoice river fox bank server index weight number seven".split()  # noqa: SIM905  reads better


def some_texts(chance: random.Random) -> list[str]:
    return [" ".join(chance.choices(WORDS, k=chance.randint(3, 30))) for _ in range(chance.randint(1, 6))]


def version(tenant: Tenant) -> int:
    return Tenant.objects.get(pk=tenant.pk).corpus_version


@pytest.mark.parametrize("seed", range(3))
def test_counts_stay_exact_through_loads_replacements_and_removals_in_any_order(
    tenant: Tenant, seed: int
) -> None:
    chance, vectors = random.Random(seed), unit_vectors(np.random.default_rng(seed), 6)
    documents = [make_document(tenant, f"document {number}") for number in range(6)]
    for _ in range(40):
        document, before = chance.choice(documents), version(tenant)
        if chance.random() < 0.2:
            indexing.remove(document)
            documents.remove(document)
            documents.append(make_document(tenant, f"document {chance.random()}"))
        else:
            texts = some_texts(chance)
            load(document, texts, vectors[: len(texts)])
        assert version(tenant) > before
        assert_counts_are_exact(tenant)
    for document in documents:
        indexing.remove(document)
    assert_counts_are_exact(tenant)
    assert not Term.objects.for_tenant(tenant).exists()


@pytest.mark.django_db(transaction=True)
def test_loads_and_removals_at_once_end_exact_and_none_is_refused(tenant: Tenant) -> None:
    documents = [make_document(tenant, f"document {number}") for number in range(8)]
    vectors = unit_vectors(np.random.default_rng(0), 6)

    def work(number: int) -> None:
        chance = random.Random(number)
        try:
            for _ in range(6):
                texts = some_texts(chance)
                load(documents[number], texts, vectors[: len(texts)])
                if chance.random() < 0.3:
                    indexing.remove(documents[number])
                    documents[number] = make_document(tenant, f"document {chance.random()}")
        finally:
            connection.close()

    with ThreadPoolExecutor(8, initializer=row_security.enter_across) as pool:
        list(pool.map(work, range(8)))
    assert_counts_are_exact(tenant)
    assert version(tenant) >= 48


@pytest.mark.django_db(transaction=True)
def test_removing_a_document_while_it_is_made_ready_is_no_deadlock(tenant: Tenant) -> None:
    vectors = unit_vectors(np.random.default_rng(0), 200)
    texts = ["tea kettle warranty"] * 200
    for number in range(6):
        document = make_document(tenant, f"document {number}")

        def remove(document: Document = document) -> None:
            try:
                indexing.remove(document)
            finally:
                connection.close()

        def make_ready(document: Document = document) -> None:
            try:
                load(document, texts, vectors)
            finally:
                connection.close()

        with ThreadPoolExecutor(2, initializer=row_security.enter_across) as pool:
            outcomes = [pool.submit(make_ready), pool.submit(remove)]
        errors = [outcome.exception() for outcome in outcomes]
        assert errors[1] is None
        assert errors[0] is None or isinstance(errors[0], Document.DoesNotExist)
    assert_counts_are_exact(tenant)


def test_a_vector_comes_back_in_half_precision(tenant: Tenant) -> None:
    vectors = unit_vectors(np.random.default_rng(1), 3)
    document = make_loaded(tenant, ["one", "two", "three"], vectors)
    rows = ChunkVector.objects.for_tenant(tenant).filter(chunk__document=document).order_by("chunk__ordinal")
    stored = np.array([row.vector for row in rows], dtype=np.float32)
    assert np.array_equal(stored, vectors.astype(np.float16).astype(np.float32))


def test_a_chunk_comes_back_as_it_was_whatever_its_text(tenant: Tenant) -> None:
    texts = ["\\N\ttab\nnewline", "quote \" ' ; {a,b} NULL", "😀 東京 é\u0301", "\x01\x7f\u2028"]
    document = make_loaded(tenant, texts, unit_vectors(np.random.default_rng(1), 4))
    chunks = Chunk.objects.for_tenant(tenant).order_by("ordinal")
    assert [chunk.text for chunk in chunks] == texts
    whole = DocumentText.objects.for_tenant(tenant).get(document=document).text
    assert [whole[chunk.start : chunk.end] for chunk in chunks] == texts


def test_scores_by_sql_are_bm25(tenant: Tenant, theirs: object) -> None:
    chance = random.Random(7)
    vectors = unit_vectors(np.random.default_rng(7), 6)
    for number in range(12):
        texts = [f"{text} only{number}" for text in some_texts(chance)]
        make_loaded(tenant, texts, vectors[: len(texts)])
    reweighing.reweigh(tenant.pk)
    question = "kettle warranty seven only3 unheard"
    expected = bm25(tenant, question)
    terms = search.terms_of(tenant.pk, question)
    vector = HalfVector(vectors[0])
    _, rows = retrieval.run(
        Scope(tenant.pk),
        spaces.active(),
        vector,
        terms,
        legs=Legs(vectors_by_index=False, terms_by_index=False),
    )
    assert len(rows) == len(expected)
    for row in rows:
        assert row["bm25"] == pytest.approx(expected[row["text"]], abs=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 1_000])
def test_reweighing_gives_the_weights_of_a_fresh_load(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(reweighing, "_BATCH", batch)
    vectors = unit_vectors(np.random.default_rng(3), 6)
    document = make_loaded(tenant, ["tea"], vectors[:1])
    texts = ["tea kettle warranty " * 10, "fox river", "server index " * 3, "seven"]
    load(document, texts, vectors[: len(texts)])
    statistics = CorpusStatistics.objects.get(tenant=tenant)
    assert reweighing.drifted(statistics)
    before = version(tenant)
    reweighing.reweigh(tenant.pk)
    assert version(tenant) == before + 1
    assert not reweighing.drifted(CorpusStatistics.objects.get(tenant=tenant))
    reweighed = list(Chunk.objects.for_tenant(tenant).order_by("ordinal").values_list("weights", flat=True))
    load(document, texts, vectors[: len(texts)])
    loaded = list(Chunk.objects.for_tenant(tenant).order_by("ordinal").values_list("weights", flat=True))
    assert [weights.to_text() for weights in reweighed] == [weights.to_text() for weights in loaded]


@pytest.mark.django_db(transaction=True)
def test_a_removed_document_leaves_nothing(tenant: Tenant) -> None:
    document = ingest(tenant, "The warranty of the kettle lasts three years.")
    name = document.file.name
    assert default_storage.exists(str(name))
    indexing.remove(document)
    for model in (Document, DocumentText, Chunk, ChunkVector, Term):
        assert not model.objects.filter(tenant=tenant).exists(), model
    assert_counts_are_exact(tenant)
    assert not default_storage.exists(str(name))
    indexing.remove(document)  # somebody else was quicker


@pytest.mark.django_db(transaction=True)
def test_erasing_one_tenant_leaves_the_other_whole(tenant: Tenant, theirs: object) -> None:
    other = Tenant.objects.exclude(pk=tenant.pk).get()
    ours, kept = ingest(tenant, "Tea at four."), ingest(other, "Tea at five.")
    indexing.erase(tenant)
    assert not Document.objects.for_tenant(tenant).exists()
    assert not default_storage.exists(str(ours.file))
    assert default_storage.exists(str(kept.file))
    assert Chunk.objects.for_tenant(other).count() == 1
