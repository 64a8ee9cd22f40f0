"""The chat models that answers may come from, as the settings list them. Loads no vendor's client."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.conf import settings

from ragsite.lib.inference import endpoint_keys

_AT = " at "


@dataclass(frozen=True, slots=True)
class ChatModel:
    model: str
    base_url: str
    api_key: str = field(repr=False)


def listed() -> list[ChatModel]:
    """The one that is asked, then its fallbacks in their order. Raises ValueError for one that cannot be read."""
    entries = [settings.ANSWER_MODEL, *settings.ANSWER_FALLBACK_MODELS]
    return [_read(entry) for entry in entries]


def _read(entry: str) -> ChatModel:
    """`model`, or `model at https://host/v1` where it is not at the address of the first."""
    model, _, address = entry.partition(_AT)
    base_url = address.strip() or settings.ANSWER_BASE_URL
    parts = urlsplit(base_url)
    if not model.strip() or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{entry!r} names no model and address")
    if address and "@" in parts.netloc:
        # Never what it says: addresses stand in logs.
        raise ValueError(f"the address of {model.strip()!r} holds a password")
    return ChatModel(model.strip(), base_url, endpoint_keys.key_for(base_url, of="ANSWER"))
