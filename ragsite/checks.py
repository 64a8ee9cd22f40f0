"""System checks: bad configuration says what to do."""

from ipaddress import ip_network
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def secrets_are_set(**_: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    try:
        Fernet(settings.ENCRYPTION_KEY)
    except ValueError:
        problems.append(
            Error(
                "ENCRYPTION_KEY is not a Fernet key.",
                hint="Make one: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'",
                id="ragsite.E001",
            )
        )
    return problems


@register()
def models_can_be_reached(**_: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    for name in ("EMBEDDING", "ANSWER"):
        provider, key = getattr(settings, f"{name}_PROVIDER"), getattr(settings, f"{name}_API_KEY")
        if provider == "openai" and not key:
            problems.append(
                Error(
                    f"{name}_PROVIDER is openai and {name}_API_KEY is empty.",
                    hint="Set the endpoint's key; for one that asks for none, any word.",
                    id="ragsite.E002",
                )
            )
    return problems


@register()
def proxies_are_networks(**_: Any) -> list[CheckMessage]:
    for entry in settings.TRUSTED_PROXIES:
        try:
            ip_network(entry, strict=False)
        except ValueError:
            return [
                Error(
                    f"TRUSTED_PROXIES has {entry!r}, which is no address.",
                    hint="List addresses or networks (10.0.0.0/8), separated by commas.",
                    id="ragsite.E003",
                )
            ]
    return []
