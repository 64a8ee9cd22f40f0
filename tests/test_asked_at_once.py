"""The same question at the same moment, on a whole site, in small; `make chaos ARGS="flight neighbours"` is the whole."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import site
from tests.chaos import flight, neighbours
from tests.chaos.report import Report
from tests.model_server import Behaviour, ModelServer
from tests.site import Site

pytestmark = pytest.mark.long

ASKERS = 40


@pytest.fixture(scope="module")
def model_and_site() -> Iterator[tuple[ModelServer, Site]]:
    with (
        flight.model_of_site() as (model, settings),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site.running(Path(folder), **settings) as up,
    ):
        yield model, up


def holds(report: Report) -> None:
    assert report.held, "\n".join(report.faults)


def test_they_cost_one_call_to_the_model(model_and_site: tuple[ModelServer, Site]) -> None:
    model, up = model_and_site
    holds(flight.identical(up, model, askers=ASKERS, seconds=1))


def test_the_death_of_the_leader_costs_one_more(model_and_site: tuple[ModelServer, Site]) -> None:
    model, up = model_and_site
    holds(flight.killed(up, model, askers=ASKERS, seconds=1))


def test_two_tenants_are_told_nothing_of_each_other(model_and_site: tuple[ModelServer, Site]) -> None:
    model, up = model_and_site
    model.reset(Behaviour(reply=neighbours.echo))
    holds(neighbours.apart(up, rounds=10))
