"""The one form of errors; what goes through views is in tests/test_bad_input.py."""

import inspect
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404
from django.test import RequestFactory
from rest_framework import exceptions

from ragsite.lib import errors, problems
from ragsite.lib.errors import AppError, FieldError
from ragsite.lib.middleware import RequestID


@pytest.fixture
def request_() -> Any:
    request = RequestFactory().get("/api/x")
    RequestID(lambda _: {})(request)  # type: ignore[arg-type,return-value]  # any mapping takes the header
    return request


def test_every_kind_of_error_has_a_status() -> None:
    kinds = {
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AppError) and kind is not AppError
    }  # fmt: skip
    assert set(problems.STATUS) == kinds
    assert len({kind.code for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("kind", problems.STATUS)
def test_errors_become_problems(request_: Any, kind: type[AppError]) -> None:
    error = kind("Because.", code="why", fields=[FieldError("a.b", "c", "d")], headers={"Retry-After": "5"})
    response = problems.answer_error(error, {"request": request_, "view": None})
    assert response is not None
    assert response.status_code == problems.STATUS[kind][0]
    assert response["Retry-After"] == "5"
    assert (response.status_code == 401) == ("WWW-Authenticate" in response)
    assert response.data["errors"] == [{"field": "a.b", "code": "c", "detail": "d"}]
    assert response.data["request_id"] == str(request_.META["ragsite.id"])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Http404("a secret"), errors.NotFound),
        (PermissionDenied("a secret"), errors.Forbidden),
        (exceptions.NotAuthenticated("a secret"), errors.Unauthenticated),
        (exceptions.AuthenticationFailed("a secret"), errors.Unauthenticated),
        (RequestDataTooBig("a secret"), errors.TooLarge),
        (RecursionError("a secret"), errors.Invalid),
    ],
)
def test_what_frameworks_raise_says_nothing_of_its_own(error: Exception, kind: type[AppError]) -> None:
    known = problems.as_app_error(error)
    assert isinstance(known, kind)
    assert "secret" not in known.detail


def test_unknown_errors_are_not_hidden(request_: Any) -> None:
    assert problems.answer_error(ZeroDivisionError(), {"request": request_, "view": None}) is None


def test_nested_errors_have_dotted_paths() -> None:
    detail: Any = {
        "filters": {"tag": ["wrong"]},
        "ids": {0: ["wrong"], 7: ["wrong"]},
        "n": {"non_field_errors": ["wrong"]},
    }
    known = problems.as_app_error(exceptions.ValidationError(detail))
    assert known is not None
    assert [field.field for field in known.fields] == ["filters.tag", "ids.0", "ids.7", "n"]
