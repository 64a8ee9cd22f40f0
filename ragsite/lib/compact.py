"""JSON as it goes out and as it is kept: without spaces, so that an answer has the same bytes whichever way it came."""

import json
from typing import Any

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encoded(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()
