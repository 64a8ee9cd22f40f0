"""What a message says, and its signature: Standard Webhooks 1.0.0, symmetric (HMAC-SHA256).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hashlib
import hmac
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

PREFIX = "whsec_"
_BYTES = 32  # the specification takes 24 to 64


def new_secret() -> str:
    return PREFIX + b64encode(secrets.token_bytes(_BYTES)).decode()


def message_id(message: UUID) -> str:
    return f"msg_{message.hex}"


def payload(event: str, *, at: datetime, data: Mapping[str, str]) -> bytes:
    """Thin: ids alone. Whoever wants to know more asks the API, with credentials, and is told what is true by then."""
    body = {"type": event, "timestamp": at.isoformat(), "data": data}
    return json.dumps(body, separators=(",", ":")).encode()


def headers(message: UUID, body: bytes, *, at: datetime, with_secrets: Iterable[str]) -> dict[str, str]:
    """`at` is the time of this try; receivers refuse one that is minutes old. One signature a secret."""
    name, moment = message_id(message), str(int(at.timestamp()))
    signed = f"{name}.{moment}.".encode() + body
    return {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(f"v1,{_signature(secret, signed)}" for secret in with_secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = b64decode(secret.removeprefix(PREFIX))
    return b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
