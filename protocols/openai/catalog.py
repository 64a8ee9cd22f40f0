"""The models that a caller may name: one that answers from all, one for each collection, and one for embeddings."""

from typing import Any, Final

from accounts.tenancy import TenantQuerySet
from apikeys.callers import Caller
from documents import access
from documents.embedding import spaces
from documents.embedding_space import EmbeddingSpace
from documents.models import Collection
from ragsite.lib.errors import FieldError, Invalid, NotFound

ALL: Final = "ragsite"
_PREFIX: Final = f"{ALL}/"
# Clients read no further pages of this list. Collections beyond it can be named all the same.
MOST_LISTED: Final = 500

Model = dict[str, Any]


def listed(caller: Caller) -> list[Model]:
    collections = _readable(caller).order_by("name")[:MOST_LISTED]
    return [_all(caller), *(_of_collection(row) for row in collections), _of_space(spaces.active())]


def one(caller: Caller, name: str) -> Model:
    """Raises NotFound, also for a collection that the caller may not read."""
    if name == ALL:
        return _all(caller)
    if name.startswith(_PREFIX):
        return _of_collection(_collection(caller, name))
    return _of_space(space(name))


def collection(caller: Caller, name: str) -> str | None:
    """The id of the collection that a model answers from; None: from all that the caller may read. Raises NotFound."""
    if name == ALL:
        return None
    if not name.startswith(_PREFIX):
        raise _unknown(name)
    return str(_collection(caller, name).pk)


def space(name: str, *, dimensions: int | None = None) -> EmbeddingSpace:
    """The active space, if `name` is its model: only its vectors can be compared. Raises NotFound or Invalid."""
    active = spaces.active()
    if name != active.model:
        raise _unknown(name)
    if dimensions not in {None, active.dimensions}:
        wrong = FieldError("dimensions", "invalid", f"This model's vectors have {active.dimensions}.")
        raise Invalid("Some fields are wrong.", fields=[wrong])
    return active


def _collection(caller: Caller, name: str) -> Collection:
    try:
        return access.collection(caller, name.removeprefix(_PREFIX))
    except NotFound as error:
        raise _unknown(name) from error


def _readable(caller: Caller) -> TenantQuerySet[Collection]:
    collections = Collection.objects.for_tenant(caller.tenant_id)
    return collections if caller.collections is None else collections.filter(pk__in=caller.collections)


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"The model “{name}” does not exist, or not for this key. GET /v1/models lists those that do.",
        code="model_not_found",
    )


def _all(caller: Caller) -> Model:
    return _model(ALL, caller.tenant().created_at)


def _of_collection(row: Collection) -> Model:
    return _model(f"{_PREFIX}{row.name}", row.created_at)


def _of_space(row: EmbeddingSpace) -> Model:
    return _model(row.model, row.created_at)


def _model(name: str, created: Any) -> Model:
    return {"id": name, "object": "model", "created": int(created.timestamp()), "owned_by": ALL}
