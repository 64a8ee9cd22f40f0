"""What an operator may ask of embedding spaces: begin one, let it serve, give it up, drop what served before."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.db import OperationalError, transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Sum
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce, Greatest, Now

from documents.embedding import retiring, spaces
from documents.embedding.spaces import State
from documents.models import CorpusStatistics, EmbeddingSpace
from ragsite.lib import row_security
from ragsite.lib.errors import Conflict, Invalid, Unavailable
from ragsite.lib.inference import embeddings, local_model
from ragsite.lib.inference.embeddings import EmbeddingModel

MAX_DIMENSIONS = 16_000  # of a halfvec: https://github.com/pgvector/pgvector#halfvec
PROVIDERS = ("local", "openai")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A model to change to. `dimensions` None: as many as it gives by itself; `base_url` empty: the settings'."""

    provider: str
    model: str
    precision: str = ""
    dimensions: int | None = None
    base_url: str = ""


def target(name: str, *, precision: str = "", dimensions: int | None = None, base_url: str = "") -> Target:
    """From `provider:model`, such as openai:text-embedding-3-small. Raises Invalid for what can be no model."""
    provider, _, model = name.partition(":")
    if provider not in PROVIDERS or not model:
        raise Invalid(f"{name!r} is not PROVIDER:MODEL, such as local:{local_model.MODEL} or openai:bge-m3.")
    wanted = Target(
        provider=provider, model=model, precision=precision, dimensions=dimensions, base_url=base_url
    )
    return _local(wanted) if provider == "local" else _remote(wanted)


def _local(wanted: Target) -> Target:
    if wanted.model != local_model.MODEL:
        raise Invalid(f"The only local model is {local_model.MODEL}.")
    if wanted.base_url:
        raise Invalid("A local model has no base URL.")
    if wanted.dimensions not in {None, local_model.DIMENSIONS}:
        raise Invalid(f"{local_model.MODEL} has {local_model.DIMENSIONS} dimensions.")
    precision = wanted.precision or local_model.Precision.INT8
    if precision not in set(local_model.Precision):
        raise Invalid("The precision is int8 or fp32.")
    return Target(
        provider="local", model=wanted.model, precision=str(precision), dimensions=local_model.DIMENSIONS
    )


def _remote(wanted: Target) -> Target:
    if wanted.precision:
        raise Invalid("Only the local model has a precision to choose.")
    if wanted.dimensions is not None and not 1 <= wanted.dimensions <= MAX_DIMENSIONS:
        raise Invalid(f"A vector has 1 to {MAX_DIMENSIONS} dimensions.")
    if wanted.base_url and not _is_address(wanted.base_url):
        raise Invalid("The base URL is no http:// or https:// URL without a user, a password or a query.")
    return wanted


def _is_address(url: str) -> bool:
    parts = urlsplit(url)
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and not parts.query
    )


def begin(wanted: Target, *, switches: bool = True) -> EmbeddingSpace:
    """Begins to build a space, or goes on with the same one; workers do the rest (`reembedding`).

    A space that served before and still has its vectors is only completed. One text is embedded first: raises what
    `embeddings.dimensions` raises for a model that cannot be reached or gives vectors of another size, Invalid
    where the settings have no key for it, and Conflict when it serves already or another is being built.
    """
    described = _probed(wanted)
    with _alone():
        return _begun(described, switches=switches)


def _probed(wanted: Target) -> Mapping[str, Any]:
    """The fields of the space's row."""
    space = EmbeddingSpace(
        provider=wanted.provider,
        model=wanted.model,
        precision=wanted.precision,
        base_url=wanted.base_url,
        dimensions=wanted.dimensions or 0,
    )
    model = spaces.model(space)
    if model.provider == "openai" and not model.api_key:
        host = urlsplit(model.base_url).netloc
        raise Invalid(
            f"There is no key for {host}. Set EMBEDDING_API_KEYS={host}=KEY for the web and worker processes and"
            " for this one; for an endpoint that asks for none, any word."
        )
    found = _found_dimensions(model)
    names = ("provider", "model", "precision", "base_url")
    return {name: getattr(space, name) for name in names} | {"dimensions": found}


def _found_dimensions(model: EmbeddingModel) -> int:
    found = embeddings.dimensions(model)
    if found > MAX_DIMENSIONS:
        raise Invalid(
            f"Its vectors have {found} dimensions, and the most that can be stored are {MAX_DIMENSIONS}."
        )
    return found


def _begun(described: Mapping[str, Any], *, switches: bool) -> EmbeddingSpace:
    same = EmbeddingSpace.objects.filter(**described)
    spaces.active()  # there is one, also where nobody has asked or uploaded anything yet
    if same.filter(state=State.ACTIVE).exists():
        raise Conflict("This model serves already.")
    other = spaces.building()
    if other is not None and not same.filter(pk=other.pk).exists():
        raise Conflict(f"{other} is being built. Cancel it first, or let it end.")
    if other is not None:
        EmbeddingSpace.objects.filter(pk=other.pk).update(switches=switches, problem="", leased_until=None)
        return other
    space = same.filter(state=State.RETIRED).first() or EmbeddingSpace(**described)
    space.state, space.switches, space.is_complete = State.BUILDING, switches, False
    space.done, space.total = 0, _chunks()
    space.cursor_tenant = space.cursor_chunk = space.leased_until = None
    space.save()
    return space


def _chunks() -> int:
    with row_security.across():
        total = CorpusStatistics.objects.across_tenants().aggregate(total=Sum("chunks"))["total"]
    return int(total or 0)


def switch(space: EmbeddingSpace) -> None:
    """Lets a space that is being built serve as soon as it is complete. Raises Conflict for any other."""
    _change(space, switches=True)


def cancel(space: EmbeddingSpace) -> None:
    """Gives up a space that is being built, and its vectors. Raises Conflict for any other."""
    with _alone():
        _change(
            space,
            state=State.RETIRED,
            retired_at=Coalesce(F("retired_at"), Now()),
            drops_at=Greatest(Now(), _out_of_flight()),  # it may have served before
            problem="",
            leased_until=None,
            cursor_tenant=None,
        )


def drop(space: EmbeddingSpace) -> None:
    """Drops a retired space's vectors before their time, but under no search. Raises Conflict for any other space."""
    retired = EmbeddingSpace.objects.filter(pk=space.pk, state=State.RETIRED)
    if not retired.update(drops_at=Greatest(Now(), _out_of_flight())):
        raise Conflict(
            f"{space} is {space.state}: only what served before, and serves no more, can be dropped."
        )


def _out_of_flight() -> "ExpressionWrapper[CombinedExpression]":
    """When no search can be held to a retired space any more; null for one that never served."""
    return ExpressionWrapper(F("retired_at") + retiring.IN_FLIGHT, output_field=DateTimeField())


def _change(space: EmbeddingSpace, **values: object) -> None:
    if not EmbeddingSpace.objects.filter(pk=space.pk, state=State.BUILDING).update(**values):
        raise Conflict(f"{space} is not being built.")


@contextmanager
def _alone() -> Iterator[None]:
    """In a transaction, with the states of the spaces for us alone."""
    try:
        with transaction.atomic():
            spaces.hold_alone()
            yield
    except OperationalError as error:
        raise Unavailable("A large document is being stored. Try again in a moment.") from error
