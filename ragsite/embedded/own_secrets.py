"""The secrets of a site that was given none."""

import base64
import json
import os
import secrets as random
from contextlib import suppress
from pathlib import Path


def secrets(data_dir: Path) -> dict[str, str]:
    """Return the random secrets of `data_dir`, made on the first call and kept in `secrets.json`, mode 0600."""
    path = data_dir / "secrets.json"
    if not path.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = data_dir / f".secrets-{random.token_hex(8)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(_new_secrets(), file, indent=1)
        with suppress(FileExistsError):  # two processes began at once: the first one's secrets are everyone's
            os.link(draft, path)
        draft.unlink()
    content: dict[str, str] = json.loads(path.read_text())
    return content


def _new_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": random.token_urlsafe(50),
        "ENCRYPTION_KEY": base64.urlsafe_b64encode(random.token_bytes(32)).decode(),
        "admin_password": random.token_urlsafe(12),
        "business_password": random.token_urlsafe(12),
        "user_password": random.token_urlsafe(12),
    }
