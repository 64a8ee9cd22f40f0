from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, connection, connections
from pytest_django import Settings

from accounts.models import Tenant
from documents.embedding import spaces, vector_index
from documents.models import ChunkVector, EmbeddingSpace
from ragsite.lib import row_security
from tests.documents.corpora import make_loaded, unit_vectors

RANDOM = np.random.default_rng(5)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def owner(statement: str) -> None:
    with row_security.nobody(), connections["owner"].cursor() as cursor:
        cursor.execute(statement)


def definition(space: EmbeddingSpace) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid, indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)",
            [vector_index.name(space)],
        )
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def test_a_space_gets_its_index_once_when_it_is_large(tenant: Tenant, settings: Settings) -> None:
    settings.EXACT_SEARCH_MAX_CHUNKS = 5
    space = spaces.active()
    make_loaded(tenant, ["a"] * 5, unit_vectors(RANDOM, 5))
    assert not vector_index.tend(space)
    assert definition(space) is None
    make_loaded(tenant, ["b"], unit_vectors(RANDOM, 1))
    assert vector_index.tend(space)
    made = definition(space)
    assert not vector_index.tend(space)
    assert definition(space) == made
    with connections["owner"].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone()[0] == "30s"  # the pool hands the connection on
        cursor.execute(f"DROP INDEX {vector_index.name(space)}")
        # As an interrupted build does, it leaves an index that is not valid.
        with row_security.nobody(), pytest.raises(IntegrityError):
            cursor.execute(
                f"CREATE UNIQUE INDEX CONCURRENTLY {vector_index.name(space)} ON documents_chunkvector (tenant_id)"
            )
    assert (broken := definition(space)) is not None
    assert not broken[1]
    assert vector_index.tend(space)
    assert (mended := definition(space)) is not None
    assert mended[1]
    owner(f"DROP INDEX {vector_index.name(space)}")


def test_an_index_most_of_whose_vectors_are_gone_is_made_anew_once(
    tenant: Tenant, settings: Settings
) -> None:
    settings.EXACT_SEARCH_MAX_CHUNKS = 50
    space = spaces.active()
    document = make_loaded(tenant, ["a"] * 900, unit_vectors(RANDOM, 900))
    make_loaded(tenant, ["b"] * 100, unit_vectors(RANDOM, 100))
    assert vector_index.tend(space)
    assert not vector_index.tend(space)
    ChunkVector.objects.for_tenant(tenant).filter(chunk__document=document).delete()
    owner("VACUUM documents_chunkvector")
    before = definition(space)
    assert vector_index.tend(space)
    after = definition(space)
    assert (before and before[1], after and after[1]) == (True, True)
    assert vector_index.rows(space) == 100
    assert not vector_index.tend(space)
    owner(f"DROP INDEX {vector_index.name(space)}")
