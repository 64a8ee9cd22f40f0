"""What every refusal must look like."""

from typing import Any

FIELDS = {"type", "title", "status", "detail", "code", "request_id"}


def problem(response: Any, status: int, code: str | None = None) -> dict[str, Any]:
    """The response's problem document, held to the contract."""
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert FIELDS <= set(body) <= FIELDS | {"errors"}
    assert body["status"] == status
    assert body["type"] == f"urn:ragsite:problem:{body['code']}"
    assert body["request_id"] == response["X-Request-ID"]
    assert all(isinstance(body[name], str) and body[name] for name in FIELDS - {"status"})
    for error in body.get("errors", []):
        assert set(error) == {"field", "code", "detail"}
    if code is not None:
        assert body["code"] == code
    assert (status == 401) == ("WWW-Authenticate" in response)
    return body


def without_request_id(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "request_id"}
