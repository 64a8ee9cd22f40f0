"""Whether a limit lets through what it permits, no more and no less."""

from tests.chaos.report import Report


def whole_exact() -> Report:
    raise NotImplementedError


whole_storm = whole_storm_over_http = whole_retry_after = whole_exact
