"""Searches a site's corpus from a process of its own, beside the site, and holds each against the stored vectors.

    python -m tests.chaos.looking recall | watch

`recall`: how many of the ten nearest chunks, by numpy over all vectors of the space that serves, the index finds.
`watch`: searches until its input ends, and tells of each whose cosines are not all of one space. Prints JSON.
"""

import json
import select
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import django
import numpy as np
from numpy.typing import NDArray

QUESTIONS = 40
TOLERANCE = 0.004  # half precision, and the batches that a text is embedded in


def main() -> None:
    django.setup()
    from ragsite.lib import row_security

    with row_security.across():
        told = recall() if sys.argv[1] == "recall" else watch()
    json.dump(told, sys.stdout)


def questions() -> Iterator[str]:
    from tests.chaos import reembed

    yield from (reembed.question(number * 7 % reembed.DOCUMENTS) for number in range(QUESTIONS))


def recall() -> dict[str, Any]:
    from documents.embedding import reembedding, spaces
    from documents.models import Chunk, ChunkVector
    from documents.searching import search

    space, tenant_id = spaces.active(), _tenant()
    rows = ChunkVector.objects.for_tenant(tenant_id).filter(space=space).values_list("chunk_id", "vector")
    ids, vectors = zip(*rows.iterator(), strict=True)
    matrix, scores = np.array(vectors, dtype=np.float32), []
    for text in questions():
        nearest = np.argsort(-(matrix @ _embedded(space, text)), kind="stable")[:10]
        hits = sorted(search.candidates(search.Scope(tenant_id), text).hits, key=lambda hit: -hit.cosine)
        scores.append(len({ids[row] for row in nearest} & {hit.chunk_id for hit in hits[:10]}) / 10)
    return {
        "space": str(space),
        "recall@10": round(float(np.mean(scores)), 4),
        "vectors": len(ids),
        "chunks": Chunk.objects.for_tenant(tenant_id).count(),
        "is_missing": reembedding.is_missing(space),
    }


def watch() -> dict[str, Any]:
    from documents.searching import search

    tenant_id, seen, mixed = _tenant(), Counter[str](), []
    while True:
        for text in questions():
            hits = search.candidates(search.Scope(tenant_id), text).hits
            names = _consistent_with(tenant_id, text, {hit.chunk_id: hit.cosine for hit in hits})
            seen["searches"] += 1
            seen.update(names)
            if not hits or not names:
                mixed.append(text)
            if select.select([sys.stdin], [], [], 0)[0]:
                return {"seen": dict(seen), "mixed": mixed[:20]}


def _consistent_with(tenant_id: UUID, text: str, cosines: dict[UUID, float]) -> list[str]:
    """The spaces in which every chunk has the cosine that the search gave it."""
    from documents.models import ChunkVector, EmbeddingSpace

    found = []
    for space in EmbeddingSpace.objects.exclude(state="dropped"):
        rows = ChunkVector.objects.for_tenant(tenant_id).filter(space=space, chunk__in=cosines)
        stored = dict(rows.values_list("chunk_id", "vector"))
        if stored.keys() != cosines.keys():
            continue
        matrix = np.array([stored[pk] for pk in cosines], dtype=np.float32)
        off = np.abs(matrix @ _embedded(space, text) - np.array(list(cosines.values())))
        if float(off.max(initial=0.0)) < TOLERANCE:
            found.append(str(space))
    return found


def _embedded(space: Any, text: str) -> NDArray[np.float32]:
    from documents.embedding import spaces
    from ragsite.lib.inference.embedding_cache import embed_cached

    return np.asarray(embed_cached(spaces.model(space), [text], space=space.pk, owner="a look")[0])


def _tenant() -> UUID:
    from accounts.models import Tenant

    return Tenant.objects.get(slug="demo").pk


if __name__ == "__main__":
    main()
