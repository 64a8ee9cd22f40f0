"""Which API key an endpoint gets, by the settings. One vendor's is never sent to another."""

from typing import Final, Literal
from urllib.parse import urlsplit

from django.conf import settings

Kind = Literal["EMBEDDING", "ANSWER"]
KINDS: Final[tuple[Kind, ...]] = ("EMBEDDING", "ANSWER")  # how the settings of an endpoint begin


def key_for(base_url: str, *, of: Kind) -> str:
    """The key that `{of}_API_KEYS` has for the host, or `{of}_API_KEY` at that of `{of}_BASE_URL`; empty for others."""
    keys, own_key, own_url = (
        getattr(settings, f"{of}_{name}") for name in ("API_KEYS", "API_KEY", "BASE_URL")
    )
    host = urlsplit(base_url).netloc.lower()
    is_own = host == urlsplit(own_url).netloc.lower()
    return str(keys.get(host) or (own_key if is_own else ""))
