"""What every refusal must look like."""

from typing import Any

from ragsite.lib.problems import TITLES

FIELDS = {"type", "title", "status", "detail", "code", "request_id"}
# What OpenAI's clients and those of JSON-RPC are told, and what is meant by it.
_OPENAI = {
    "invalid_api_key": "unauthenticated",
    "insufficient_quota": "budget_spent",
    "rate_limit_exceeded": "rate_limited",
}
_OPENAI_FIELDS = {
    "unknown_parameter": "unknown",
    "unsupported_parameter": "unsupported",
    "missing_required_parameter": "required",
    "invalid_value": "invalid",
}


def problem(response: Any, status: int, code: str | None = None) -> dict[str, Any]:
    """The response's problem document, held to the contract; one that is told in other words is put back into it."""
    path = response.wsgi_request.path
    if path.startswith("/v1/"):
        body = _of_openai(response, status)
    elif path == "/mcp":
        body = _of_jsonrpc(response, status)
    else:
        body = _of_ours(response, status)
    assert body["request_id"] == response["X-Request-ID"]
    assert all(isinstance(body[name], str) and body[name] for name in FIELDS - {"status"})
    if code is not None:
        assert body["code"] == code
    assert (status == 401) == ("WWW-Authenticate" in response)
    return body


def _of_ours(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert FIELDS <= set(body) <= FIELDS | {"errors"}
    assert body["status"] == status
    assert body["type"] == f"urn:ragsite:problem:{body['code']}"
    for error in body.get("errors", []):
        assert set(error) == {"field", "code", "detail"}
    return body


def _of_openai(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == (429 if status == 402 else status), response.content[:500]
    assert response["Content-Type"] == "application/json"
    (error,) = response.json().values()
    assert set(error) == {"message", "type", "param", "code"}
    said = _like(response, status, _OPENAI.get(error["code"], error["code"]), error["message"])
    if error["param"] is None:
        return said
    wrong = {"field": error["param"], "code": _OPENAI_FIELDS[error["code"]], "detail": error["message"]}
    return {**said, "code": "invalid", "errors": [wrong]}


def _of_jsonrpc(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert (body["jsonrpc"], body["id"]) == ("2.0", None)
    error = body["error"]
    assert error["data"]["request_id"] == response["X-Request-ID"]
    return _like(response, status, error["data"]["code"], error["message"])


def _like(response: Any, status: int, code: str, detail: str) -> dict[str, Any]:
    return {
        "type": f"urn:ragsite:problem:{code}",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": response["X-Request-ID"],
    }


def without_request_id(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "request_id"}
