"""The chat models that may write answers, as the settings list them. Importing this loads no vendor's client."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from django.conf import settings

from ragsite.lib.inference import endpoint_keys

_AT = " at "


@dataclass(frozen=True, slots=True)
class ChatModel:
    model: str
    base_url: str
    api_key: str = field(repr=False)


# A context variable, because a trial begins far above the two places that need the model: the call and its price.
_tried: ContextVar[str] = ContextVar("ragsite.tried_model", default="")


@contextmanager
def only(model: str) -> Iterator[None]:
    """Within the block this model answers, without fallbacks; "" leaves it to the settings."""
    token = _tried.set(model)
    try:
        yield
    finally:
        _tried.reset(token)


def asked() -> list[ChatModel]:
    """The models to ask, each when the one before it has failed: those of the settings, or the one that is tried out.

    A model that is tried out but not listed is asked at the address of the first one. Raises as `listed` does.
    """
    models, tried = listed(), _tried.get()
    if not tried:
        return models
    return [one for one in models if one.model == tried][:1] or [replace(models[0], model=tried)]


def listed() -> list[ChatModel]:
    """The model of the settings, then its fallbacks in order. Raises ValueError for an entry that cannot be read."""
    entries = [settings.ANSWER_MODEL, *settings.ANSWER_FALLBACK_MODELS]
    return [_read(entry) for entry in entries]


def _read(entry: str) -> ChatModel:
    """`model`, or `model at https://host/v1` where its address is not that of the first model."""
    model, _, address = entry.partition(_AT)
    base_url = address.strip() or settings.ANSWER_BASE_URL
    parts = urlsplit(base_url)
    if not model.strip() or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{entry!r} names no model and address")
    if address and "@" in parts.netloc:
        # The error does not quote the address: it may be logged.
        raise ValueError(f"the address of {model.strip()!r} holds a password")
    return ChatModel(model.strip(), base_url, endpoint_keys.key_for(base_url, of="ANSWER"))
