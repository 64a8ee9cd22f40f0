"""Connections are shared by tenants, and nothing of one tenant's is left on them for the next."""

import os
from typing import Any

import pytest
from django.conf import settings

from tests import hidden, pooled, walls
from tests.makers import Party, ingest, make_user
from tests.pooled import Person, Seen
from tests.site import wait_for
from tests.strangers import session

HOW_MANY = int(os.environ.get("POOLED_REQUESTS", "1000"))  # `make chaos` asks for 10,000
MARKS = {"ours": "windmill", "theirs": "lighthouse"}


def people(party: Party, *, other: str) -> list[Person]:
    """A key and a person of the party, who has a word of its own in every list."""
    own = MARKS[party.tenant.slug]
    ingest(party.tenant, f"The {own} is old.", filename=f"{own}.txt", collection=own)
    hidden.ask(party, f"How old is the {own}?")
    query = hidden.ask(party, f"How old is the {own} now?")
    query.key = None
    query.user = party.user
    query.save()
    return [
        Person({"X-API-Key": party.raw}, own, MARKS[other]),
        Person({"Cookie": cookie(party.business)}, own, MARKS[other]),
    ]


def cookie(user: Any) -> str:
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={session(user).cookies[name].value}"


@pytest.mark.django_db(transaction=True)
def test_pooled_connections_forget_whose_they_were(
    ours: Party, theirs: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = [*people(ours, other="theirs"), *people(theirs, other="ours")]
    operator = Person(
        {"Cookie": cookie(make_user("operator", is_staff=True, is_superuser=True))}, "lighthouse", ""
    )
    seen = Seen()
    pooled.plant(monkeypatch)
    walls.take_filter_out(monkeypatch)  # what is kept apart here is kept apart by Postgres
    with pooled.small_pool(seen):
        pooled.ask_all(pooled.plan(everybody, operator, how_many=HOW_MANY), seen)
        wait_for(lambda: seen.looks >= HOW_MANY)
    assert not seen.faults, (len(seen.faults), seen.faults[:5])
    assert seen.statuses["500"] > HOW_MANY // 13
