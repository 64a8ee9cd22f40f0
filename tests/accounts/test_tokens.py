"""Signing in for a token, and what ends one."""

from typing import Any

import jwt
import pytest
from django.test import Client

from accounts import attempts
from accounts.models import User
from tests.makers import PASSWORD, Party, make_user
from tests.outages import redis_refused
from tests.problems import problem


@pytest.fixture(autouse=True)
def quick_hashes(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    attempts.buckets.forget()


@pytest.fixture
def person(ours: Party) -> User:
    ours.user.set_password(PASSWORD)
    ours.user.save()
    return ours.user


def sign_in(username: str, password: str = PASSWORD, **extra: Any) -> Any:
    body = {"username": username, "password": password}
    return Client().post("/api/token", body, content_type="application/json", **extra)


def refresh(token: str) -> Any:
    return Client().post("/api/token/refresh", {"refresh": token}, content_type="application/json")


def history(token: str) -> Any:
    return Client(HTTP_AUTHORIZATION=f"Bearer {token}").get("/api/history")


def test_token_names_user_tenant_and_role(person: User, ours: Party) -> None:
    tokens = sign_in(person.username).json()
    claims = jwt.decode(tokens["access"], options={"verify_signature": False})
    assert claims["user"] == str(person.pk)
    assert claims["tenant"] == str(ours.tenant.pk)
    assert claims["role"] == "user"
    assert history(tokens["access"]).status_code == 200
    again = refresh(tokens["refresh"]).json()
    assert set(again) == {"access"}
    assert history(again["access"]).status_code == 200
    assert history(tokens["refresh"]).status_code == 401  # it opens nothing but the refresh


def test_role_is_read_from_the_row_and_not_from_the_token(person: User) -> None:
    tokens = sign_in(person.username).json()
    person.role = User.Role.BUSINESS
    person.save()
    client = Client(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    assert client.get("/api/keys").status_code == 200
    claims = jwt.decode(refresh(tokens["refresh"]).json()["access"], options={"verify_signature": False})
    assert claims["role"] == "business"


def test_wrong_name_and_wrong_password_are_one_answer(person: User) -> None:
    answers = [sign_in(person.username, "wrong"), sign_in("nobody"), sign_in(person.username.upper())]
    assert len({problem(answer, 401, "unauthenticated")["detail"] for answer in answers}) == 1


@pytest.mark.parametrize("password", [" blanks are part of it ", "пароль-密码-🔑", "x" * 1_000])
def test_any_password_signs_in(person: User, password: str) -> None:
    person.set_password(password)
    person.save()
    assert sign_in(person.username, password).status_code == 200
    problem(sign_in(person.username, password.strip() + "?"), 400 if len(password) == 1_000 else 401)


@pytest.mark.parametrize("why", ["person", "tenant", "password", "deleted"])
def test_what_ends_every_token(person: User, ours: Party, why: str) -> None:
    tokens = sign_in(person.username).json()
    if why == "person":
        person.is_active = False
        person.save()
    elif why == "tenant":
        ours.tenant.active = False
        ours.tenant.save()
    elif why == "password":
        person.set_password("another one entirely")
        person.save()
    else:
        person.delete()
    problem(history(tokens["access"]), 401)
    problem(refresh(tokens["refresh"]), 401)
    problem(sign_in(person.username), 401)


def test_forged_tokens(person: User) -> None:
    access = sign_in(person.username).json()["access"]
    head, body, signature = access.split(".")
    claims = jwt.decode(access, options={"verify_signature": False})
    forged = [
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{body}.",
        jwt.encode(claims, "another key", algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
    ]
    for token in forged:
        problem(history(token), 401)
        problem(refresh(token), 401)


def test_operator_signs_in_and_owns_nothing(db: None) -> None:
    operator = make_user("operator", is_staff=True, is_superuser=True)
    operator.set_password(PASSWORD)
    operator.save()
    access = sign_in("operator").json()["access"]
    claims = jwt.decode(access, options={"verify_signature": False})
    assert (claims["tenant"], claims["role"]) == (None, "operator")
    problem(history(access), 403, "no_tenant")


def test_tries_are_limited_by_address(person: User, settings: Any) -> None:
    settings.TOKEN_RATE = "3/h"
    for _ in range(3):
        problem(sign_in("nobody"), 401)
    refused = sign_in(person.username)
    problem(refused, 429, "rate_limited")
    assert 1 <= int(refused["Retry-After"]) <= 3_601
    assert sign_in(person.username, REMOTE_ADDR="203.0.113.5").status_code == 200
    problem(sign_in(person.username, HTTP_X_FORWARDED_FOR="203.0.113.6"), 429)  # forged


def test_tries_are_limited_without_redis(person: User, settings: Any) -> None:
    settings.TOKEN_RATE = "3/h"
    with redis_refused():
        for _ in range(3):
            problem(sign_in("nobody"), 401)
        refused = sign_in(person.username)
    problem(refused, 429)
    assert int(refused["Retry-After"]) > 1_000


@pytest.mark.parametrize(
    ("rate", "parsed"), [("10/m", (10, 60)), ("3/h", (3, 3600)), ("5/10m", (5, 600)), ("1/s", (1, 1))]
)
def test_rates(rate: str, parsed: tuple[int, int]) -> None:
    assert attempts.parse(rate) == parsed


@pytest.mark.parametrize("rate", ["", "10", "0/m", "10/w", "ten/m", "-1/m", "10/0m", "10/m "])
def test_malformed_rates(rate: str) -> None:
    with pytest.raises(ValueError, match="no rate"):
        attempts.parse(rate)
