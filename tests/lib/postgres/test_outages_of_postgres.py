"""What a caller hears while Postgres is away."""

import pytest
from django.db import OperationalError

from apikeys import callers
from tests.makers import Party


@pytest.mark.django_db
def test_a_database_that_is_away_is_a_503_and_no_500(ours: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise OperationalError("couldn't get a connection after 5.00 sec")

    client = ours.client
    monkeypatch.setattr(callers.Caller, "tenant", gone)
    response = client.post("/api/search", {"question": "Anything?"}, format="json")
    assert (response.status_code, response.json()["code"]) == (503, "database")
    assert response["Retry-After"]
    assert "5.00" not in response.content.decode()
