"""What may be tried out before it is switched on: a question answered otherwise than its tenant is set."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from accounts.models import Tenant
from documents.embedding_space import EmbeddingSpace
from queries.generating import chat_models
from queries.generating.chat_models import ChatModel
from ragsite.lib.errors import Conflict, NotFound

State = EmbeddingSpace.State


@dataclass(frozen=True, slots=True)
class Trial:
    """None, or empty for the model: as it is set."""

    prompt: str | None = None
    top_k: int | None = None
    distance_threshold: float | None = None
    model: str = ""
    space: EmbeddingSpace | None = None

    def applied(self, tenant: Tenant) -> Tenant:
        """The tenant as it would be. It is not to be saved."""
        if self == AS_SET:
            return tenant
        tried = copy(tenant)
        for name in ("prompt", "top_k", "distance_threshold"):
            value = getattr(self, name)
            if value is not None:
                setattr(tried, name, value)
        return tried


AS_SET: Final = Trial()


def space(identifier: UUID) -> EmbeddingSpace:
    """A space that questions can be asked in: all its vectors are there.

    Raises NotFound, and Conflict for one that is still being built, or whose vectors were dropped.
    """
    found = EmbeddingSpace.objects.filter(pk=identifier).first()
    if found is None:
        raise NotFound("There is no such embedding space.")
    if found.state == State.DROPPED or (found.state == State.BUILDING and not found.is_complete):
        raise Conflict(
            f"The embedding space {found} lacks vectors: it is {found.state}.", code="space_incomplete"
        )
    return found


# The model is asked for far below whoever answers, by what makes the call and by what prices it; both must be told the
# same one.
_model: ContextVar[str] = ContextVar("ragsite.tried_model", default="")


@contextmanager
def answering_with(model: str) -> Iterator[None]:
    """In the block this model answers, and no other where it fails; with "" those of the settings."""
    token = _model.set(model)
    try:
        yield
    finally:
        _model.reset(token)


def models() -> list[ChatModel]:
    """The models that are asked, one after the other as each fails.

    A tried one is asked where the settings have it, or else where the first one is.
    """
    listed, tried = chat_models.listed(), _model.get()
    if not tried:
        return listed
    return [model for model in listed if model.model == tried][:1] or [replace(listed[0], model=tried)]
