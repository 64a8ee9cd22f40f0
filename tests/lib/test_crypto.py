"""Secrets at rest, and keys that take each other's place."""

from typing import Any

import pytest
from cryptography.fernet import Fernet

from ragsite.lib import crypto


def keys(*which: bytes) -> str:
    return ",".join(key.decode() for key in which)


def test_sealed_and_unsealed() -> None:
    assert crypto.unseal(crypto.seal("whsec_x")) == "whsec_x"
    assert "whsec" not in crypto.seal("whsec_x") != crypto.seal("whsec_x")


def test_a_key_takes_the_place_of_another(settings: Any) -> None:
    old, new = Fernet.generate_key(), Fernet.generate_key()
    settings.ENCRYPTION_KEY = keys(old)
    sealed = crypto.seal("a secret")
    settings.ENCRYPTION_KEY = keys(new, old)
    assert crypto.unseal(sealed) == "a secret"
    resealed = crypto.resealed(sealed)
    settings.ENCRYPTION_KEY = keys(new)
    assert crypto.unseal(resealed) == "a secret"
    with pytest.raises(crypto.Unreadable):
        crypto.unseal(sealed)


@pytest.mark.parametrize("setting", ["", "x", "A" * 44, f"{'A' * 43}=,short"])
def test_settings_that_are_no_keys(setting: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        crypto.check(setting)
