"""Every request that was answered is on record once, whatever is killed meanwhile. `make chaos` does it at full size."""

from tests.chaos import records


def test_kills_of_every_process_lose_and_double_nothing() -> None:
    report = records.complete(160, victims=("web", "record", "postgres", "redis", "worker"))
    assert report.held, "\n".join(report.faults)
