"""Secrets that have to be read back, sealed with ENCRYPTION_KEY (Fernet: AES-128-CBC and HMAC-SHA256)."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unreadable(Exception):
    """None of the keys at hand sealed this, or it was changed."""


def seal(text: str) -> str:
    return _keys(settings.ENCRYPTION_KEY).encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Raises Unreadable."""
    try:
        return _keys(settings.ENCRYPTION_KEY).decrypt(sealed).decode()
    except InvalidToken as error:
        raise Unreadable from error


def resealed(sealed: str) -> str:
    """The same secret under the first key, so that a key which comes after it can go. Raises Unreadable."""
    return seal(unseal(sealed))


def check(keys: str) -> None:
    """Raises ValueError where the setting does not hold one Fernet key, or several with commas between."""
    _keys(keys)


def _keys(keys: str) -> MultiFernet:
    return MultiFernet([Fernet(key.strip()) for key in keys.split(",")])
