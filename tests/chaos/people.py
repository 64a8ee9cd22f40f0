"""A business user and an operator of a site under test, at the doors that they use."""

import re
from datetime import datetime
from typing import Any

import httpx2

from tests.site import Site

GENEROUS = {"rate_limit": 60_000, "burst": 10_000}
_TIMEOUT = 60
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


class Business:
    """Signed in with a JWT; signs in once, since addresses are limited."""

    def __init__(self, up: Site) -> None:
        self._http = httpx2.Client(base_url=up.facts["url"], timeout=_TIMEOUT)
        who = {"username": up.facts["business_username"], "password": up.facts["business_password"]}
        token = self._http.post("/api/token", json=who).raise_for_status().json()["access"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def mint(self, **wanted: Any) -> tuple[str, str]:
        """A new key's id and the key itself."""
        made = self._post("/api/keys", {"name": "chaos", "scopes": ["query"], **wanted})
        return made["id"], made["key"]

    def revoke(self, key_id: str) -> None:
        self._post(f"/api/keys/{key_id}/revoke", {})

    def rotate(self, key_id: str, *, overlap_seconds: int) -> tuple[str, str]:
        """The successor's id and the key itself."""
        made = self._post(f"/api/keys/{key_id}/rotate", {"overlap_seconds": overlap_seconds})
        return made["id"], made["key"]

    def expiry(self, key_id: str) -> float:
        """In seconds of the epoch."""
        key = self._http.get(f"/api/keys/{key_id}").raise_for_status().json()
        return datetime.fromisoformat(key["expires_at"]).timestamp()

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._http.post(path, json=body).raise_for_status().json()


class Operator:
    """Signed in to the admin, where forms are sent as a browser sends them."""

    def __init__(self, up: Site) -> None:
        self._http = httpx2.Client(base_url=up.facts["url"], timeout=_TIMEOUT, follow_redirects=False)
        self._tenant = up.facts["tenant"]
        who = {"username": up.facts["admin_username"], "password": up.facts["admin_password"]}
        self._send("/admin/login/", who)

    def revoke(self, key_id: str) -> None:
        self._send("/admin/apikeys/apikey/", {"action": "revoke", "_selected_action": key_id})

    def open_tenant(self, *, active: bool) -> None:
        """Opens or closes the site's one tenant."""
        page = self._http.get("/admin/accounts/tenant/").raise_for_status().text
        found = re.search(r"/admin/accounts/tenant/([0-9a-f-]{36})/change/", page)
        assert found, "the tenant is not listed"
        form = {
            "name": "Demo",
            "slug": "demo",
            "top_k": "5",
            "distance_threshold": "0.75",
            "retention_days": "365",
        }
        self._send(f"/admin/accounts/tenant/{found[1]}/change/", form | ({"active": "on"} if active else {}))

    def _send(self, path: str, form: dict[str, str]) -> None:
        """A form that was taken is answered with a redirect; one with errors is shown again."""
        token = _TOKEN.search(self._http.get(path).raise_for_status().text)
        assert token, f"{path} has no form"
        answer = self._http.post(path, data={**form, "csrfmiddlewaretoken": token[1]})
        assert answer.status_code == 302, f"{path} answered {answer.status_code}"
