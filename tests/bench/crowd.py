"""A large corpus made of random numbers, as many of its rows as a real one's and as hard to search."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from django.db import transaction
from numpy.typing import NDArray
from pgvector import HalfVector, SparseVector

from accounts.models import Tenant
from documents import copying, indexing
from documents.embedding import spaces
from documents.models import Collection, CorpusStatistics, Document
from documents.searching import lexical
from ragsite.lib.identifiers import uuid7

CHUNKS_A_DOCUMENT: Final = 20
# Which part of the chunks is in which collection; the rest is in one of its own.
SHARES: Final = {"0.1 %": 0.001, "1 %": 0.01, "10 %": 0.1, "50 %": 0.5}
_WORDS_A_CHUNK: Final = 90
_DOCUMENTS_AT_ONCE: Final = 250
_VOCABULARY: Final = 40_000
_DIMENSIONS: Final = 384
# Embeddings of texts lie near a surface of few dimensions, in clumps: uniform noise of 384 is nothing like them, and
# no index finds its way in it.
_LATENT, _CLUMPS, _SPREAD, _NOISE = 32, 400, 0.6, 0.5

Vectors = NDArray[np.float32]


class Crowd:
    """The tenant `crowd`, its corpus, and questions that fit it. The same numbers each time."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(5)
        self.tenant = Tenant.objects.get_or_create(slug="crowd", defaults={"name": "crowd"})[0]
        self.space = spaces.active()
        frequencies = 1 / np.arange(1, _VOCABULARY + 1) ** 1.05  # Zipf's law, about as steep as English
        self._frequencies = frequencies / frequencies.sum()
        self._terms = np.array([lexical.term_id(self.tenant.pk, f"w{n}") for n in range(_VOCABULARY)])
        self._clumps = self.random.normal(size=(_CLUMPS, _LATENT))
        self._surface = self.random.normal(size=(_LATENT, _DIMENSIONS))

    def vectors(self, count: int) -> Vectors:
        """Unit vectors, (count, 384)."""
        clumps = self._clumps[self.random.integers(0, _CLUMPS, count)]
        places = clumps + _SPREAD * self.random.normal(size=(count, _LATENT))
        vectors = places @ self._surface + _NOISE * self.random.normal(size=(count, _DIMENSIONS))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    def question(self) -> str:
        """Three common words and five rarer ones."""
        common, rare = self.random.integers(0, 30, 3), self.random.integers(50, 5_000, 5)
        return " ".join(f"w{number}" for number in (*common, *rare))

    def fill(self, chunks: int) -> None:
        documents = self._documents(chunks // CHUNKS_A_DOCUMENT)
        counts = Counter[int]()
        for start in range(0, len(documents), _DOCUMENTS_AT_ONCE):
            rows = self.chunk_rows(documents[start : start + _DOCUMENTS_AT_ONCE])
            vectors = self.vector_rows(rows)
            counts.update(term for row in rows for term in row[-2])
            with transaction.atomic():
                copying.copy("documents_chunk", indexing.CHUNK_COLUMNS, rows)
                copying.copy("documents_chunkvector", indexing.VECTOR_COLUMNS, vectors)
        self._count(chunks, counts)

    def _documents(self, count: int) -> list[Document]:
        names = [name for name, share in SHARES.items() for _ in range(round(share * count))]
        names += ["the rest"] * (count - len(names))
        collections = {
            name: Collection.objects.create(tenant=self.tenant, name=name) for name in dict.fromkeys(names)
        }
        return Document.objects.bulk_create(
            [
                self.document(collections[name], number)
                for number, name in enumerate(self.random.permutation(names))
            ],
            batch_size=1_000,
        )

    def document(self, collection: Collection, number: int) -> Document:
        return Document(
            tenant=self.tenant, collection=collection, title=f"{number}", filename=f"{number}.txt", bytes=1,
            media_type="text/plain", sha256=f"{number:064x}", status="ready", chunks=CHUNKS_A_DOCUMENT,
        )  # fmt: skip

    def chunk_rows(self, documents: Sequence[Document]) -> list[tuple[Any, ...]]:
        """Rows of `indexing.CHUNK_COLUMNS`."""
        return [row for document in documents for row in self._chunks_of(document)]

    def _chunks_of(self, document: Document) -> Iterator[tuple[Any, ...]]:
        size = (CHUNKS_A_DOCUMENT, _WORDS_A_CHUNK)
        for ordinal, words in enumerate(self.random.choice(_VOCABULARY, size=size, p=self._frequencies)):
            counts = Counter(self._terms[words].tolist())
            weights = lexical.document_weights(counts, length=_WORDS_A_CHUNK, average_length=_WORDS_A_CHUNK)
            sparse = SparseVector(
                {term - 1: weight for term, weight in weights.items()}, lexical.MAX_DIMENSIONS
            )
            text = " ".join(f"w{word}" for word in words)
            place = (ordinal * 1_000, ordinal * 1_000 + len(text))
            yield (
                uuid7(), self.tenant.pk, document.pk, ordinal, text, "", None, None, *place, _WORDS_A_CHUNK,
                sorted(counts), sparse,
            )  # fmt: skip

    def vector_rows(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Rows of `indexing.VECTOR_COLUMNS` for those of chunks."""
        return [
            (row[0], self.space.pk, self.tenant.pk, row[2], HalfVector(vector))
            for row, vector in zip(rows, self.vectors(len(rows)), strict=True)
        ]

    @transaction.atomic
    def _count(self, chunks: int, counts: Mapping[int, int]) -> None:
        terms = ((self.tenant.pk, term, count) for term, count in counts.items())
        copying.copy("documents_term", {"tenant_id": "uuid", "term": "int4", "chunks": "int4"}, terms)
        CorpusStatistics.objects.create(
            tenant=self.tenant,
            chunks=chunks,
            length=chunks * _WORDS_A_CHUNK,
            average_length=_WORDS_A_CHUNK,
        )
